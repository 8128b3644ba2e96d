"""Runs of apps and deployments."""

import datetime as dt
import enum
from typing import Any, Final

import attrs

from aihub_async.models.base import Model
from aihub_async.models.reprs import duration_text, html_card


class RunStatus(enum.StrEnum):
    """The published states of a run; a server may send others, which stay plain strings."""

    CANCELLED = "CANCELLED"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    RUNNING = "RUNNING"
    STOPPED_AT_CHECKPOINT = "STOPPED_AT_CHECKPOINT"

    @property
    def is_terminal(self) -> bool:
        """True when the run will not change any more. STOPPED_AT_CHECKPOINT is not: it waits for a person."""
        return self in TERMINAL_RUN_STATUSES


TERMINAL_RUN_STATUSES: Final[frozenset[str]] = frozenset({RunStatus.COMPLETE, RunStatus.FAILED, RunStatus.CANCELLED})

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def from_nanoseconds(timestamp: int | None) -> dt.datetime | None:
    """Return Unix nanoseconds as an aware UTC datetime; None for None, for 0, and for times that datetime cannot hold.

    The API sends null or 0 for "not yet".
    """
    if not timestamp:
        return None
    try:
        return _EPOCH + dt.timedelta(microseconds=timestamp // 1000)
    except OverflowError:
        return None


@attrs.frozen(repr=False)
class Run(Model):
    """A run of an app or deployment.

    `status` compares equal to the members of `RunStatus`; one that is not published is kept as it is.
    `start_timestamp` and `finish_timestamp` are Unix nanoseconds, the latter None or 0 while it runs.
    """

    id: str
    status: str | None = None
    start_timestamp: int | None = None
    finish_timestamp: int | None = None
    msg: str | None = None
    batch_id: int | None = None
    input_dir: str | None = None
    app_id: str | None = None
    deployment_id: str | None = None
    tags: list[str] | None = None

    @property
    def started_at(self) -> dt.datetime | None:
        """When the run started, in UTC, to the microsecond."""
        return from_nanoseconds(self.start_timestamp)

    @property
    def finished_at(self) -> dt.datetime | None:
        """When the run finished, in UTC, to the microsecond; None while it runs."""
        return from_nanoseconds(self.finish_timestamp)

    @property
    def is_terminal(self) -> bool:
        """True when the run is COMPLETE, FAILED or CANCELLED."""
        return self.status in TERMINAL_RUN_STATUSES

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._facts().items() if value is not None)
        return f"{type(self).__name__}(id={self.id!r}, {shown})" if shown else f"{type(self).__name__}(id={self.id!r})"

    def _repr_html_(self) -> str:
        return html_card(f"Run {self.id}", self._facts())

    def _facts(self) -> dict[str, Any]:
        started, finished = self.started_at, self.finished_at
        took = None if started is None or finished is None else (finished - started).total_seconds()
        return {
            "status": None if self.status is None else str(self.status),
            "started": None if started is None else f"{started:%Y-%m-%d %H:%M:%S} UTC",
            "duration": None if took is None else duration_text(took),
            "msg": self.msg or None,
            "batch_id": self.batch_id,
            "input_dir": self.input_dir,
            "app_id": self.app_id,
            "deployment_id": self.deployment_id,
            "tags": self.tags,
        }


@attrs.frozen
class ListRuns(Model):
    """One page of runs; the API does not report whether there are more."""

    runs: list[Run] = attrs.field(factory=list)


@attrs.frozen
class RunDeletion(Model):
    """The jobs that delete what belongs to a run; None where nothing is to be deleted."""

    delete_input_dir_job_id: str | None = None
    delete_output_dir_job_id: str | None = None
    delete_log_dir_job_id: str | None = None

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of the jobs that were started: input, output, logs."""
        ids = (self.delete_input_dir_job_id, self.delete_output_dir_job_id, self.delete_log_dir_job_id)
        return tuple(job_id for job_id in ids if job_id)
