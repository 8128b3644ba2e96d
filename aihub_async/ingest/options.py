"""What a job is and how it is to be done."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.ingest.export import FORMATS, ROWS
from aihub_async.ingest.scan import Sources
from aihub_async.limits import MAX_FILES_PER_RUN, MAX_TAGS_LENGTH
from aihub_async.models import settings_dict

_OWN_TAG = 80


@attrs.frozen(kw_only=True)
class JobOptions:
    """Everything that a job was told; see `AsyncAIHub.ingest` for what each means."""

    out: Path = attrs.field(converter=Path)
    journal: Path = attrs.field(converter=Path)
    app_name: str | None = None
    app_id: str | None = None
    owner: str | None = None
    version: str | None = None
    workspace: str | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict, repr=False, converter=settings_dict)
    format: str = "jsonl"
    rows: str = "document"
    raw: bool = False
    send_all_types: bool = False
    batch_files: int = MAX_FILES_PER_RUN
    batch_bytes: int = 1 << 30
    max_runs: int = 8
    in_flight_grace: float = 5.0
    """Seconds after which a request that was in flight when its process died has surely arrived or not."""

    def __attrs_post_init__(self) -> None:
        if (self.app_name is None) == (self.app_id is None):
            raise ConfigurationError("give app_name or app_id, and not both")
        if self.format not in FORMATS:
            raise ConfigurationError(f"format is one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.rows not in ROWS:
            raise ConfigurationError(f"rows is one of {', '.join(ROWS)}, not {self.rows!r}")
        if not 1 <= self.batch_files <= MAX_FILES_PER_RUN:
            raise ConfigurationError(f"batch_files is 1 to {MAX_FILES_PER_RUN}, not {self.batch_files!r}")
        if self.batch_bytes < 1 or self.max_runs < 1:
            raise ConfigurationError("batch_bytes and max_runs must be at least 1")
        if sum(map(len, self.tags)) > MAX_TAGS_LENGTH - _OWN_TAG:
            raise ConfigurationError(f"all tags together have {MAX_TAGS_LENGTH - _OWN_TAG} characters at most in a job")

    @property
    def tags(self) -> list[str]:
        """The caller's own tags."""
        return list(self.settings.get("tags") or ())

    def spec(self, sources: Sources | None) -> dict[str, Any]:
        """What makes this job itself: resuming it with something else is refused. No secrets are in it."""
        # Of an iterable only its files are known; it may be longer the next time.
        named = os.fspath(sources) if isinstance(sources, str | os.PathLike) else None
        names = ("app_name", "app_id", "owner", "version", "workspace", "format", "rows", "send_all_types")
        return {"source": named, **{name: getattr(self, name) for name in names}}
