"""Asynchronous jobs, such as deletions."""

import enum
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import attrs

from aihub_async.models.base import Model


class JobState(enum.StrEnum):
    """The published states of a job; a server may send others, which stay plain strings."""

    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RUNNING = "RUNNING"
    PENDING = "PENDING"

    @property
    def is_terminal(self) -> bool:
        """True when the job will not change any more."""
        return self in TERMINAL_JOB_STATES


TERMINAL_JOB_STATES: Final[frozenset[str]] = frozenset({JobState.COMPLETE, JobState.FAILED, JobState.CANCELLED})


@attrs.frozen
class JobStatus(Model):
    """The state of a job; `state` compares equal to the members of `JobState`."""

    state: str | None = None
    message: str | None = None

    @property
    def is_terminal(self) -> bool:
        """True when the job is COMPLETE, FAILED or CANCELLED."""
        return self.state in TERMINAL_JOB_STATES


@attrs.frozen
class DeletionJob(Model):
    """The job of a deletion, named in the answer's Location header; both are None if none was."""

    job_id: str | None = None
    location: str | None = None

    @classmethod
    def from_location(cls, location: str | None) -> Self:
        """Read a Location header: a URL, a path, or a bare job id.

        Example:
            >>> DeletionJob.from_location("/api/v2/jobs/9f3a?wait=1").job_id
            '9f3a'
        """
        if location is None:
            return cls()
        return cls(job_id=_last_segment(location), location=location)


def _last_segment(location: str) -> str | None:
    try:
        path = urlsplit(location.strip()).path
    except ValueError:
        return None
    return unquote(path.rstrip("/").rpartition("/")[2]) or None
