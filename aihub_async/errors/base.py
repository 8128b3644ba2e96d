"""Exceptions of this side: settings, arguments, sources, waits, runs and bulk jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from aihub_async.models.runs import Run
    from aihub_async.models.uploads import UploadReport


class AIHubError(Exception):
    """Base class of every exception that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = {key: value for key, value in self.__dict__.items() if key not in self._unpicklable}
        return _rebuild, (type(self), self.args), state

    _unpicklable: ClassVar[frozenset[str]] = frozenset({"__notes__"})


def _rebuild(cls: type[AIHubError], args: tuple[Any, ...]) -> AIHubError:
    error = cls.__new__(cls)
    error.args = args
    return error


class ConfigurationError(AIHubError, ValueError):
    """A setting cannot be used; the message names it and where it came from."""


class InvalidRequestError(AIHubError, ValueError):
    """Arguments that cannot make a request; nothing was sent."""


class ClosedClientError(AIHubError, RuntimeError):
    """The client was closed, before or during the call, or is used where it cannot work.

    Closing a client ends its calls and waits with this error within a moment, also those that wait for their turn, the
    end of an outage or the next attempt. A once-only request that was ended may or may not have been carried out.
    """


class SourceError(AIHubError):
    """Something to upload cannot be read; `name` is its name."""

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class SourceChangedError(SourceError):
    """A file shrank, grew or was replaced while it was being uploaded; the request was aborted."""


class SourceAccessError(SourceError):
    """The credentials for a source are missing, expired or refused, so that nothing of it can be read or written."""


class SourceUnavailableError(SourceError):
    """The server of a source is overloaded, or cannot be reached; the same may succeed later."""


class BindingError(AIHubError, ValueError):
    """Documents do not fit the class they were bound to; has all `problems`, and the bound `records`."""

    def __init__(self, problems: Sequence[str], *, records: Sequence[Any] = ()) -> None:
        shown = "\n".join(f"  {problem}" for problem in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{count} in the documents:\n{shown}{more}")
        self.problems = list(problems)
        self.records = list(records)


class UploadError(AIHubError):
    """Some files of a batch upload failed; `report` has one record per source."""

    def __init__(self, message: str, *, report: UploadReport) -> None:
        super().__init__(message)
        self.report = report


class WaitTimeoutError(AIHubError, TimeoutError):
    """A wait ran out of time; `id` is the run or job that continues, `last` its last known state."""

    def __init__(self, message: str, *, id: str, last: str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.last = last


class JobFailedError(AIHubError):
    """An asynchronous job ended FAILED or CANCELLED (see `state`); `job_message` is the reason."""

    def __init__(self, message: str, *, job_id: str, state: str, job_message: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state
        self.job_message = job_message


class RunError(AIHubError):
    """A run ended without results; `run` is its last state."""

    def __init__(self, message: str, *, run: Run) -> None:
        super().__init__(message)
        self.run = run


class RunFailedError(RunError):
    """The run ended FAILED."""


class RunCancelledError(RunError):
    """The run ended CANCELLED."""


class RunNeedsReviewError(RunError):
    """The run is STOPPED_AT_CHECKPOINT: it continues after a human review."""


class IngestError(AIHubError):
    """A bulk job cannot continue; what is done is kept, and running it again resumes it."""


class JournalError(IngestError):
    """The journal of a bulk job cannot be read or written, such as on a full disk."""


class JournalBusyError(JournalError):
    """Another process holds the journal; the message names it."""


class JournalDamagedError(JournalError):
    """The journal is not what was written: truncated, or bits were flipped."""


class JournalMismatchError(JournalError):
    """The journal belongs to another job, or was written by another version of this package."""
