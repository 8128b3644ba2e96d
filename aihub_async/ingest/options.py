"""The options of a job."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.ingest.scan import Sources
from aihub_async.limits import MAX_FILES_PER_RUN, MAX_TAGS_LENGTH
from aihub_async.models import settings_dict
from aihub_async.results.files import FORMATS
from aihub_async.results.rows import ROWS
from aihub_async.uploads.walking import PathFilter

_OWN_TAG = 80


def _local_path(path: "str | os.PathLike[str]") -> Path:
    """Return a path; refuse a URL, which would become a folder of that name.

    Raises:
        ConfigurationError: it is a URL.
    """
    text = os.fspath(path)
    if "://" in text:
        raise ConfigurationError(f"{text!r} is a URL; results and journals are written to local folders")
    return Path(path)


def _patterns(patterns: str | Sequence[str] | None) -> tuple[str, ...]:
    if patterns is None:
        return ()
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


@attrs.frozen(kw_only=True)
class JobOptions:
    """The options of a job; `AsyncAIHub.ingest` describes each of them."""

    out: Path = attrs.field(converter=_local_path)
    journal: Path = attrs.field(converter=_local_path)
    app_name: str | None = None
    app_id: str | None = None
    deployment_id: str | None = None
    owner: str | None = None
    version: str | None = None
    workspace: str | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict, repr=False, converter=settings_dict)
    format: str = "jsonl"
    rows: str = "document"
    raw: bool = False
    formulas: bool = False
    send_all_types: bool = False
    include: Sequence[str] = attrs.field(default=(), converter=_patterns)
    exclude: Sequence[str] = attrs.field(default=(), converter=_patterns)
    batch_files: int = MAX_FILES_PER_RUN
    batch_bytes: int = 1 << 30
    max_runs: int = 8
    in_flight_grace: float = 60.0
    """Seconds to look for what a request of unknown outcome may have created, before it is sent again."""
    outage_patience: float = 1800.0
    """Seconds that the server may be unreachable before the job stops."""
    group: str | None = None

    def __attrs_post_init__(self) -> None:
        if sum(value is not None for value in (self.app_name, self.app_id, self.deployment_id)) != 1:
            raise ConfigurationError("pass exactly one of app_name, app_id and deployment_id")
        if self.in_flight_grace < 0 or self.outage_patience < 0:
            raise ConfigurationError("in_flight_grace and outage_patience must be at least 0 seconds")
        if self.format not in FORMATS:
            raise ConfigurationError(f"format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.rows not in ROWS:
            raise ConfigurationError(f"rows must be one of {', '.join(ROWS)}, not {self.rows!r}")
        if not 1 <= self.batch_files <= MAX_FILES_PER_RUN:
            raise ConfigurationError(f"batch_files must be 1 to {MAX_FILES_PER_RUN}, not {self.batch_files!r}")
        if self.batch_bytes < 1 or self.max_runs < 1:
            raise ConfigurationError("batch_bytes and max_runs must be at least 1")
        if sum(map(len, self.tags)) > MAX_TAGS_LENGTH - _OWN_TAG:
            raise ConfigurationError(f"the tags of a job may have {MAX_TAGS_LENGTH - _OWN_TAG} characters together")

    @property
    def tags(self) -> list[str]:
        """The caller's own tags."""
        return list(self.settings.get("tags") or ())

    @property
    def filter(self) -> PathFilter:
        """Which files of folders are wanted."""
        return PathFilter(self.include or None, self.exclude or None)

    @property
    def include_facts(self) -> tuple[str, ...]:
        """The facts about fields that the rows have beside values and errors."""
        return ()

    def run_settings(self, group: str) -> dict[str, Any]:  # noqa: ARG002 - settings of a group
        """Return the settings of a run."""
        return dict(self.settings)

    def spec(self, sources: Sources | None) -> dict[str, Any]:
        """Return what identifies the job: resuming it with something else is refused. It holds no secrets."""
        # Of an iterable only its files are known; it may be longer the next time.
        named = os.fspath(sources) if isinstance(sources, str | os.PathLike) else None
        names = ("app_name", "app_id", "owner", "version", "workspace", "format", "rows", "send_all_types")
        spec = {"source": named, **{name: getattr(self, name) for name in names}}
        # Newer options are left out unless they are used, so that the journals of older versions still match.
        more = {"deployment_id": self.deployment_id, "include": list(self.include), "exclude": list(self.exclude)}
        return spec | {name: value for name, value in more.items() if value}
