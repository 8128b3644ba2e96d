"""Jobs and results of the v1 API: legacy app runs and flow binaries."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from aihub_async.models.base import Model
from aihub_async.models.decode import DecodeError
from aihub_async.models.runs import TERMINAL_RUN_STATUSES, RunStatus

_PENDING = "PENDING"
_HELD: Final = frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPED_AT_CHECKPOINT})


@attrs.frozen
class LegacyJob(Model):
    """A job that was started."""

    job_id: str


@attrs.frozen
class FlowJob(Model):
    """A flow run that was started; `output_folder` is the full path of its root output folder."""

    job_id: str
    output_folder: str | None = None


@attrs.frozen
class FlowJobAnswer(Model):
    """The v1 envelope around a `FlowJob`."""

    data: FlowJob


@attrs.frozen
class LegacyJobResult(Model):
    """How one part of a job ended; `status` is ``"OK"`` or ``"ERROR"``."""

    status: str | None = None
    output_folder: str | None = None
    msg: str | None = None


@attrs.frozen
class CurrentStatus(Model):
    """The `cur_status` of a job.

    `finish_timestamp` is Unix **seconds**, `curProgress` a share from 0 to 1, `review_state` one of NONE, IN REVIEW,
    COMPLETED, NOT_COMPLETED.
    """

    status: str | None = None
    finish_timestamp: int | None = None
    curProgress: float | None = None  # noqa: N815  # as on the wire
    reviewer: str | None = None
    review_state: str | None = None
    numRecords: int | None = None  # noqa: N815  # as on the wire


@attrs.frozen
class LegacyJobStatus(Model):
    """The state of a job.

    `state` is PENDING, then DONE or COMPLETE, which means only that it ended; `outcome` is how. `cur_status` is JSON
    inside JSON; `current` is its content. `results` are there at the end.
    """

    state: str | None = None
    msg: str | None = None
    job_id: str | None = None
    results: list[LegacyJobResult] = attrs.field(factory=list)
    cur_status: Any = None

    @property
    def current(self) -> CurrentStatus:
        """`cur_status` decoded; without values where it cannot be."""
        try:
            if isinstance(self.cur_status, str):
                return CurrentStatus.from_json(self.cur_status)
            return CurrentStatus.from_dict(self.cur_status or {})
        except DecodeError:
            return CurrentStatus()

    @property
    def outcome(self) -> str:
        """`state`, `current` and `results` folded into one of the states of `RunStatus`.

        A job has ended when its `state` is final: then it is CANCELLED or FAILED if any part has that status, else
        COMPLETE, unless it waits for a person.
        """
        current = self.current.status
        if self.state in {None, "", _PENDING}:
            return current if current is not None and current in _HELD else RunStatus.RUNNING
        said = {self.state, current}
        if RunStatus.CANCELLED in said:
            return RunStatus.CANCELLED
        if RunStatus.FAILED in said or any(_failed(result) for result in self.results):
            return RunStatus.FAILED
        return RunStatus.STOPPED_AT_CHECKPOINT if current == RunStatus.STOPPED_AT_CHECKPOINT else RunStatus.COMPLETE

    @property
    def is_terminal(self) -> bool:
        """True when the job will not change any more."""
        return self.outcome in TERMINAL_RUN_STATUSES

    @property
    def progress(self) -> float | None:
        """Share of the work that is done, from 0 to 1."""
        return self.current.curProgress

    @property
    def output_folder(self) -> str | None:
        """Where the results are, once the job has ended."""
        return next((result.output_folder for result in self.results if result.output_folder), None)

    @property
    def message(self) -> str | None:
        """The messages of the server, first those about failures."""
        failures = [result.msg for result in self.results if _failed(result) and result.msg]
        return "; ".join(failures) or self.msg


def _failed(result: LegacyJobResult) -> bool:
    return result.status is not None and result.status not in {"OK", RunStatus.COMPLETE}


@attrs.frozen
class LegacyJobInfo(Model):
    """A job in a list; which keys it has is not documented, see `raw`."""

    job_id: str | None = None
    finish_timestamp: int | None = None
    flow_path: str | None = None


@attrs.frozen
class ListLegacyJobs(Model):
    """One page of jobs; `next_page` is a URL."""

    jobs: list[LegacyJobInfo] = attrs.field(factory=list)
    next_page: str | None = None


@attrs.frozen
class LegacyField(Model):
    """An extracted field; `value` is ``""`` when it was not found."""

    key: str | None = None
    value: Any = None
    field_type: str | None = None
    model_confidence: float | None = None


@attrs.frozen
class LegacyRecord(Model):
    """One record of a flow's results; further keys are in `extra`.

    Example:
        >>> LegacyRecord(results=[LegacyField(key="total", value="7")]).values
        {'total': '7'}
    """

    results: list[LegacyField] = attrs.field(factory=list)
    file_name: str | None = None
    document_path: str | None = None
    output_file_path: str | None = None
    file_index: int | None = None
    record_index: int | None = None
    flow_index: int | None = None
    current_step_index: int | None = None
    absolute_ibocr_path: str | None = None
    is_manually_reviewed: bool | None = None
    is_human_corrected: bool | None = None
    was_classified: bool | None = None
    is_finalized: bool | None = None

    @property
    def values(self) -> Mapping[str, Any]:
        """The extracted values by key; of equal keys the last one counts."""
        return {field.key: field.value for field in self.results if field.key is not None}


@attrs.frozen
class LegacyResults(Model):
    """Results of a flow: of a whole run in memory, or one page of a finished run.

    `csv` is the text of a run that requested CSV; it then has no `records`.
    """

    records: list[LegacyRecord] = attrs.field(factory=list)
    binary_path: str | None = None
    job_id: str | None = None
    num_tasks: int | None = None
    has_more_tasks: bool | None = None
    next_offset: int | None = None
    can_resume: bool | None = None
    on_last_resumable_step: bool | None = None
    csv: str | None = None


@attrs.frozen
class LegacyResultsAnswer(Model):
    """The envelope around the results of an app that ran in memory."""

    response: LegacyResults
