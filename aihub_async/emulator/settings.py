"""The knobs of the emulator, all with defaults that suit a test."""

import time
from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

import attrs

MAX_FILES_PER_RUN = 1000
"""Files that one app run takes (docs: limits)."""

MAX_TAG_CHARACTERS = 500
"""Combined length of all tags of a run."""

RESULTS_PAGE_SIZE = 20
"""Files on one page of run results."""


@attrs.frozen
class Account:
    """Whom a token belongs to.

    A service account has no personal workspace, so it must name one wherever a person need not.
    """

    user: str
    org: str
    email: str
    service: bool = False
    admin: bool = True


@attrs.frozen(kw_only=True)
class Settings:
    """What the parts of the emulator need to know; sizes in bytes, durations in seconds.

    `clock` gives Unix time in nanoseconds. `conversations` False lets conversations and queries answer 404, as the
    service does since February 2026.
    """

    org: str = "acme"
    user: str = "jane.doe_acme.com"
    drive: str = "Instabase Drive"
    part_size: int = attrs.field(default=10_485_760, validator=attrs.validators.ge(1))
    max_file_size: int | None = None
    max_files_per_run: int = MAX_FILES_PER_RUN
    list_page_size: int = attrs.field(default=100, validator=attrs.validators.ge(1))
    max_page_size: int = attrs.field(default=1000, validator=attrs.validators.ge(1))
    results_page_size: int = attrs.field(default=RESULTS_PAGE_SIZE, validator=attrs.validators.ge(1))
    workers: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    run_seconds: float = 0.0
    job_seconds: float = 0.0
    webhook_delays: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.1, 0.1, 0.1)
    conversations: bool = True
    max_extracted_bytes: int = 200_000_000
    clock: Callable[[], int] = time.time_ns

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self.clock() // 1_000_000

    def workspace_folder(self, workspace: str) -> str:
        """The folder of a workspace's drive, without a leading slash."""
        return f"{self.org}/{workspace}/fs/{self.drive}"


def stable_id(kind: str, name: str) -> str:
    """A UUID that is the same in every process for the same name."""
    return str(uuid5(NAMESPACE_URL, f"aihub-emulator:{kind}:{name}"))
