"""The settings of the emulator, all with defaults that suit a test."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import attrs

from aihub_async.emulator.clock import EmulatorClock
from aihub_async.emulator.versions import ApiVersion
from aihub_async.emulator.world import DEFAULT_DRIVE
from aihub_async.limits import MAX_FILE_BYTES, MAX_FILES_PER_RUN

RESULTS_PAGE_SIZE = 20
"""Files on one page of run results."""

PostWebhook = Callable[[str, Any, Mapping[str, str]], Awaitable[int | None]]


def _to_clock(clock: EmulatorClock | Callable[[], int]) -> EmulatorClock:
    return clock if isinstance(clock, EmulatorClock) else EmulatorClock(clock)


def _random_id() -> str:
    return str(uuid4())


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """What the parts of the emulator need to know; sizes in bytes, durations in seconds.

    Attributes:
        org: Id of the organization, unless a world is described.
        user: User id behind the default token, unless a world is described.
        drive: Display name of the drive, unless a world is described.
        api_version: "current", or "2024" for the API of the seeds' time.
        part_size: Size of the parts of a multipart upload.
        max_file_size: Largest file; None is no limit.
        max_files_per_run: Most files of one run.
        list_page_size: Default number of items on a page of a list.
        max_page_size: Most items on a page of a list.
        results_page_size: Files on a page of run results.
        workers: Files that are processed concurrently, of all runs together.
        run_seconds: Least duration of a run.
        job_seconds: Least duration of a deletion, compilation or other job.
        webhook_delays: Wait before each attempt to deliver a webhook; its length is the number of attempts.
        conversations: False answers 404 to conversations and queries, as the service does since February 2026.
        max_extracted_bytes: Most bytes that an archive is extracted to.
        clock: An `EmulatorClock`, or a callable that returns Unix time in nanoseconds.
        new_id: Return a new id; ids are random unless `Emulator(generator=...)` makes them repeatable.
        post_webhook: Deliver a webhook in place of HTTP: URL, body and headers to a status, or None for no answer.
        threads: False runs blocking work inline, for simulations in one thread.
    """

    org: str = "acme"
    user: str = "jane.doe_acme.com"
    drive: str = DEFAULT_DRIVE
    api_version: ApiVersion = attrs.field(default="current", validator=attrs.validators.in_(get_args(ApiVersion)))
    part_size: int = attrs.field(default=10_485_760, validator=attrs.validators.ge(1))
    max_file_size: int | None = MAX_FILE_BYTES
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
    clock: EmulatorClock = attrs.field(factory=EmulatorClock, converter=_to_clock)
    new_id: Callable[[], str] = _random_id
    post_webhook: PostWebhook | None = None
    threads: bool = True

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return self.clock.time_ns() // 1_000_000


def ids_from(generator: random.Random) -> Callable[[], str]:
    """Return a source of ids that are the same for the same seed."""

    def new_id() -> str:
        return str(UUID(int=generator.getrandbits(128), version=4))

    return new_id


def stable_id(kind: str, name: str) -> str:
    """Return a UUID that is the same in every process for the same name."""
    return str(uuid5(NAMESPACE_URL, f"aihub-emulator:{kind}:{name}"))


def setting_names() -> frozenset[str]:
    """Return the names of all settings."""
    fields: tuple[Any, ...] = attrs.fields(EmulatorSettings)
    return frozenset(field.name for field in fields)
