"""What can be waited for, and how its state is asked: engines over callables, one source per client and kind."""

import datetime as dt
import email.utils
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

import attrs
import msgspec

from aihub_async.errors import JobFailedError, RunCancelledError, RunFailedError, RunNeedsReviewError
from aihub_async.models import JobState, JobStatus, Run, RunStatus
from aihub_async.models.decode import DecodeError, decode
from aihub_async.transport.messages import Response

S = TypeVar("S")

_KNOWN_RUN_STATUSES = frozenset(RunStatus)
_KNOWN_JOB_STATES = frozenset(JobState)
_NANOSECONDS = 1_000_000_000
_ANY_JOB = "job"


class Source(Protocol[S]):
    """One kind of thing of one client. Sources that compare equal are polled together."""

    @property
    def supports_list(self) -> bool:
        """Whether many can be asked for at once with `page`."""
        ...

    async def fetch(self, id: str) -> S:
        """Ask for one."""
        ...

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """A page of all that began at `since` (Unix seconds; the server's default if None), oldest first."""
        ...

    def status(self, state: S) -> str | None:
        """The word for a state."""
        ...

    def is_known_status(self, status: str | None) -> bool:
        """Whether the word is a published one."""
        ...

    def observed_duration(self, state: S) -> tuple[str, float | None] | None:
        """What an ended one teaches: its kind, and the seconds that it took by its own record."""
        ...

    def duration_key(self, state: S) -> str | None:
        """Those of one kind take about as long."""
        ...

    def describe(self, id: str) -> tuple[str, str]:
        """What it is called, and the line that goes on waiting for it."""
        ...


PageCall = Callable[[int | None, int, int, bool], Awaitable[Response]]


@attrs.frozen
class RunSource:
    """Runs, as the client that owns `transport` sees them."""

    transport: object
    fetch_one: Callable[[str], Awaitable[Run]] = attrs.field(eq=False)
    fetch_page: PageCall = attrs.field(eq=False)
    supports_list: bool = attrs.field(default=True, eq=False)

    async def fetch(self, id: str) -> Run:
        """Ask for one run."""
        return await self.fetch_one(id)

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Ask for a page of runs."""
        return await self.fetch_page(since, limit, offset, newest_first)

    def status(self, state: Run) -> str | None:
        """The run's status."""
        return state.status

    def is_known_status(self, status: str | None) -> bool:
        """Whether the status is a published one."""
        return status in _KNOWN_RUN_STATUSES

    def observed_duration(self, state: Run) -> tuple[str, float | None] | None:
        """The app and how long its run took."""
        duration_key = self.duration_key(state)
        if not state.is_terminal or duration_key is None:
            return None
        begin, end = state.start_timestamp, state.finish_timestamp
        return duration_key, (end - begin) / _NANOSECONDS if begin and end and end > begin else None

    def duration_key(self, state: Run) -> str | None:
        """The deployment, or else the app."""
        return state.deployment_id or state.app_id

    def describe(self, id: str) -> tuple[str, str]:
        """How to speak of the run."""
        return f"run {id}", f"client.apps.runs.wait({id!r})"


@attrs.frozen
class JobSource:
    """Jobs of deletions; the API cannot list them."""

    transport: object
    fetch_one: Callable[[str], Awaitable[JobStatus]] = attrs.field(eq=False)
    supports_list: bool = attrs.field(default=False, eq=False)

    async def fetch(self, id: str) -> JobStatus:
        """Ask for one job."""
        return await self.fetch_one(id)

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Never called: `supports_list` is False."""
        raise NotImplementedError

    def status(self, state: JobStatus) -> str | None:
        """The job's state."""
        return state.state

    def is_known_status(self, status: str | None) -> bool:
        """Whether the state is a published one."""
        return status in _KNOWN_JOB_STATES

    def observed_duration(self, state: JobStatus) -> tuple[str, float | None] | None:
        """Jobs all count as one kind."""
        return (_ANY_JOB, None) if state.is_terminal else None

    def duration_key(self, state: JobStatus) -> str | None:  # noqa: ARG002 - all are of one kind
        """Deletions take about as long as each other."""
        return _ANY_JOB

    def describe(self, id: str) -> tuple[str, str]:
        """How to speak of the job."""
        return f"job {id}", f"client.jobs.wait({id!r})"


def run_is_over(run: Run, *, through_review: bool = False) -> bool:
    """Whether a run has come to its results.

    Raises:
        RunFailedError: FAILED.
        RunCancelledError: CANCELLED.
        RunNeedsReviewError: STOPPED_AT_CHECKPOINT, unless it shall be waited through.
    """
    said = f": {run.msg}" if run.msg else ""
    match run.status:
        case RunStatus.COMPLETE:
            return True
        case RunStatus.FAILED:
            raise RunFailedError(f"run {run.id} failed{said}", run=run)
        case RunStatus.CANCELLED:
            raise RunCancelledError(f"run {run.id} was cancelled{said}", run=run)
        case RunStatus.STOPPED_AT_CHECKPOINT if not through_review:
            raise RunNeedsReviewError(
                f"run {run.id} waits for a human review{said}; wait with through_review=True to wait for its end",
                run=run,
            )
    return False


def job_is_over(job_id: str, job: JobStatus) -> bool:
    """Whether a job is done.

    Raises:
        JobFailedError: FAILED or CANCELLED.
    """
    if job.state in {JobState.FAILED, JobState.CANCELLED}:
        said = f": {job.message}" if job.message else ""
        raise JobFailedError(
            f"job {job_id} ended {job.state}{said}", job_id=job_id, state=str(job.state), job_message=job.message
        )
    return job.state == JobState.COMPLETE


class _Item(msgspec.Struct):
    id: str
    status: str | None = None
    start_timestamp: int | None = None
    tags: list[str] | None = None


class _Listing(msgspec.Struct):
    runs: list[msgspec.Raw] = []


_read_listing = msgspec.json.Decoder(_Listing).decode
_read_item = msgspec.json.Decoder(_Item).decode


@attrs.frozen(slots=True)
class RunSummary:
    """A run in a list: just what polling needs. `run()` decodes the rest."""

    id: str
    status: str | None
    start_timestamp: int | None
    tags: list[str] | None
    _raw: msgspec.Raw

    def run(self) -> Run:
        """The whole run.

        Raises:
            DecodeError: it has no id.
        """
        return decode(Run, bytes(self._raw))


def run_summaries(body: bytes) -> list[RunSummary]:
    """The runs on a page, decoded only as far as polling needs: a page of 1,000 takes a few milliseconds.

    Runs that cannot be read are left out; they are asked for singly.

    Raises:
        DecodeError: not a list of runs.
    """
    try:
        items = _read_listing(body).runs
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not a list of runs: {error}") from None
    return list(_seen(items))


def _seen(items: list[msgspec.Raw]) -> Iterator[RunSummary]:
    for raw in items:
        try:
            item: Any = _read_item(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # The page was only split into its items: what is inside one is first read here.
            item = _read_tolerantly(raw)
        if item is not None:
            yield RunSummary(item.id, item.status, item.start_timestamp, item.tags, raw)


def _read_tolerantly(raw: msgspec.Raw) -> Run | None:
    try:
        return decode(Run, bytes(raw))
    except DecodeError:
        return None


def start_seconds(start_timestamp: int | None) -> int | None:
    """Unix seconds of a run's start, rounded down; None for null and 0."""
    return start_timestamp // _NANOSECONDS if start_timestamp else None


def server_time(response: Response) -> float | None:
    """Unix seconds by the server's own clock, from its Date header; ours may be wrong."""
    try:
        date = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
