"""The options of a job."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from aihub_async.errors import ConfigurationError, InvalidRequestError
from aihub_async.ingest.candidates import Grouping
from aihub_async.ingest.scan import Sources
from aihub_async.limits import MAX_FILES_PER_RUN, MAX_TAGS_LENGTH
from aihub_async.models import RunSettings, settings_dict
from aihub_async.models.settings import conceal_settings
from aihub_async.paths import local_path
from aihub_async.results.files import FORMATS
from aihub_async.results.gates import Gate
from aihub_async.results.rows import Requested, Shape
from aihub_async.uploads.walking import PathFilter

_OWN_TAG = 80


Group = str | Callable[[Path], str] | None
SettingsOf = Callable[[str], "RunSettings | Mapping[str, Any] | None"]
"""Returns the settings of the run of a group."""
_LEAST = {
    "batch_bytes": 1,
    "max_runs": 1,
    "in_flight_grace": 0,
    "outage_patience": 0,
    "max_files": 1,
    "max_pages": 1,
    "max_runs_total": 1,
}
ON_REVIEW = ("skip", "wait", "export")


def _concealed(settings: RunSettings | Mapping[str, Any] | SettingsOf | None) -> RunSettings | SettingsOf | None:
    return settings if callable(settings) else conceal_settings(settings)


def _check_local(_options: object, attribute: "attrs.Attribute[Path]", path: Path) -> None:
    """Refuse a URL, which would become a folder of that name."""
    try:
        local_path(path, attribute.name)
    except InvalidRequestError as error:
        raise ConfigurationError(str(error)) from None


def _patterns(patterns: str | Sequence[str] | None) -> tuple[str, ...]:
    if patterns is None:
        return ()
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


@attrs.frozen(kw_only=True)
class JobOptions:
    """The options of a job; `AsyncAIHub.ingest` describes each of them."""

    out: Path = attrs.field(converter=Path, validator=_check_local)
    journal: Path = attrs.field(converter=Path, validator=_check_local)
    publish_to: str | None = None
    """URL to which the results in `out` are copied."""
    app_name: str | None = None
    app_id: str | None = None
    deployment_id: str | None = None
    owner: str | None = None
    version: str | None = None
    workspace: str | None = None
    settings: RunSettings | SettingsOf | None = attrs.field(default=None, repr=False, converter=_concealed)
    format: str = "jsonl"
    rows: str = "document"
    columns: str | None = None
    add: Sequence[str] = attrs.field(default=(), converter=_patterns)
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
    group: Group = None
    group_sorted: bool = False
    """The files of each group that `group` returns follow each other in the source."""
    on_review: str = "skip"
    gate: Gate | None = None
    max_files: int | None = None
    max_pages: int | None = None
    max_runs_total: int | None = None

    def __attrs_post_init__(self) -> None:
        if sum(value is not None for value in (self.app_name, self.app_id, self.deployment_id)) != 1:
            raise ConfigurationError("pass exactly one of app_name, app_id and deployment_id")
        # Refused here when they do not go together.
        _ = self.shape
        for name, known in (("format", FORMATS), ("on_review", ON_REVIEW)):
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if not 1 <= self.batch_files <= MAX_FILES_PER_RUN:
            raise ConfigurationError(f"batch_files must be 1 to {MAX_FILES_PER_RUN}, not {self.batch_files!r}")
        if not (self.group in {None, "folder"} if isinstance(self.group, str | None) else callable(self.group)):
            raise ConfigurationError(f"group must be 'folder' or a callable, not {self.group!r}")
        if self.group_sorted and not callable(self.group):
            raise ConfigurationError("group_sorted is about the groups of a callable; pass it as group")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"{name} must be at least {least}, not {value!r}")
        if sum(map(len, self.tags)) > MAX_TAGS_LENGTH - _OWN_TAG:
            raise ConfigurationError(f"the tags of a job may have {MAX_TAGS_LENGTH - _OWN_TAG} characters together")

    @property
    def tags(self) -> list[str]:
        """The caller's own tags; empty when the settings depend on the group."""
        return [] if callable(self.settings) else list(settings_dict(self.settings).get("tags") or ())

    @property
    def filter(self) -> PathFilter:
        """Which files of folders are selected."""
        return PathFilter(self.include or None, self.exclude or None)

    @property
    def requested(self) -> Requested:
        """What is requested with results: what the rows have and what the gate needs."""
        gate, shape = (self.gate or Gate()).request, self.shape.request
        has_scores = self.rows == "field" or bool({"confidence", "ocr"} & set(self.add))
        return {
            "include_confidence_scores": has_scores or gate["include_confidence_scores"],
            "include_source_info": shape["include_source_info"],
            # Rows from before a review must differ from those after it.
            "include_review_results": shape["include_review_results"] or self.on_review == "export",
            "include_validation_results": shape["include_validation_results"] or gate["include_validation_results"],
        }

    @property
    def grouping(self) -> Grouping:
        """How the files of the source belong to groups."""
        if self.group is None:
            return Grouping.NONE
        if self.group == "folder":
            return Grouping.FOLDERS
        return Grouping.SORTED if self.group_sorted else Grouping.SCATTERED

    @property
    def shape(self) -> Shape:
        """What the rows are.

        Raises:
            ConfigurationError: `rows`, `columns` or `add` has an unknown word, or they do not go together.
        """
        return Shape.of(self.rows, self.columns or "long", self.add)

    def run_settings(self, group: str) -> dict[str, Any]:
        """Return the settings of the run of a group.

        Raises:
            ConfigurationError: they leave no room for the job's own tag.
        """
        settings = settings_dict(self.settings(group) if callable(self.settings) else self.settings)
        if sum(map(len, settings.get("tags") or ())) > MAX_TAGS_LENGTH - _OWN_TAG:
            raise ConfigurationError(
                f"the tags of group {group!r} may have {MAX_TAGS_LENGTH - _OWN_TAG} characters together"
            )
        return settings

    def __getstate__(self) -> dict[str, Any]:
        # Workers on other machines need the settings, and secrets refuse to be pickled.
        state = {field.name: getattr(self, field.name) for field in attrs.fields(JobOptions)}
        return state if callable(self.settings) else state | {"settings": settings_dict(self.settings)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, _concealed(value) if name == "settings" else value)

    def spec(self, sources: Sources | None) -> dict[str, Any]:
        """Return what identifies the job: resuming it with something else is refused. It holds no secrets."""
        # Of an iterable only its files are known; it may be longer the next time.
        named = os.fspath(sources) if isinstance(sources, str | os.PathLike) else None
        names = ("app_name", "app_id", "owner", "version", "workspace", "format", "rows", "send_all_types")
        spec = {"source": named, **{name: getattr(self, name) for name in names}}
        # Newer options are left out unless they are used, so that the journals of older versions still match.
        more = {
            "deployment_id": self.deployment_id,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "columns": self.columns,
            "add": list(self.add),
            "group": "callable" if callable(self.group) else self.group,
        }
        return spec | {name: value for name, value in more.items() if value}
