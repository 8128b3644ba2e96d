"""What can be waited for, and how its state is requested: one pollable per client and kind, over callables."""

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import attrs

from aihub_async.clock import http_date
from aihub_async.models import Run, RunStatus
from aihub_async.transport.messages import Response

S = TypeVar("S")

_KNOWN_RUN_STATUSES = frozenset(RunStatus)
_NANOSECONDS = 1_000_000_000


class Pollable(Protocol[S]):
    """One kind of thing of one client, such as its runs. Pollables that compare equal are polled together."""

    @property
    def supports_list(self) -> bool:
        """Whether `page` can request the states of many."""
        ...

    async def fetch(self, id: str) -> S:
        """Request the state of one."""
        ...

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Request a page of all that began at `since` (Unix seconds; the server's default if None), oldest first."""
        ...

    def status(self, state: S) -> str | None:
        """Return the status in a state."""
        ...

    def start_timestamp(self, state: S) -> int | None:
        """Return when it began, in Unix nanoseconds by the server's clock, if the state has it."""
        ...

    def is_known_status(self, status: str | None) -> bool:
        """Return whether the status is a published one."""
        ...

    def observed_duration(self, state: S) -> tuple[str, float | None] | None:
        """Return the duration key of an ended one and its seconds by the server's record (None: unknown)."""
        ...

    def duration_key(self, state: S) -> str | None:
        """Return the key of those that take about as long, or None."""
        ...

    def describe(self, id: str) -> tuple[str, str]:
        """Return its name for messages, and the code that continues to wait for it."""
        ...


PageCall = Callable[[int | None, int, int, bool], Awaitable[Response]]


@attrs.frozen
class RunPollable:
    """The runs that the client of `transport` sees."""

    transport: object
    fetch_one: Callable[[str], Awaitable[Run]] = attrs.field(eq=False)
    fetch_page: PageCall = attrs.field(eq=False)
    supports_list: bool = attrs.field(default=True, eq=False)

    async def fetch(self, id: str) -> Run:
        """Request a run."""
        return await self.fetch_one(id)

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Request a page of runs."""
        return await self.fetch_page(since, limit, offset, newest_first)

    def status(self, state: Run) -> str | None:
        """Return the run's status."""
        return state.status

    def start_timestamp(self, state: Run) -> int | None:
        """Return when the run started, in Unix nanoseconds."""
        return state.start_timestamp

    def is_known_status(self, status: str | None) -> bool:
        """Return whether the status is a published one."""
        return status in _KNOWN_RUN_STATUSES

    def observed_duration(self, state: Run) -> tuple[str, float | None] | None:
        """Return the app or deployment of an ended run, and how long the run took."""
        key = self.duration_key(state)
        if not state.is_terminal or key is None:
            return None
        begin, end = state.start_timestamp, state.finish_timestamp
        return key, (end - begin) / _NANOSECONDS if begin and end and end > begin else None

    def duration_key(self, state: Run) -> str | None:
        """Return the deployment, or else the app."""
        return state.deployment_id or state.app_id

    def describe(self, id: str) -> tuple[str, str]:
        """Return the run's name for messages, and the code that continues to wait for it."""
        return f"run {id}", f"client.apps.runs.wait({id!r})"


@attrs.frozen
class StatePollable(Generic[S]):
    """Things that the API cannot list, such as the jobs of deletions; see `Pollable`.

    Attributes:
        transport: That of the client that sees them.
        noun: What one is called.
        call: The method that waits for one.
        fetch_one: Requests the state of one.
        status_of: Returns the status in a state.
        known: The published statuses.
        ended: The statuses after which nothing changes.
    """

    transport: object
    noun: str
    call: str
    fetch_one: Callable[[str], Awaitable[S]] = attrs.field(eq=False)
    status_of: Callable[[S], str | None] = attrs.field(eq=False)
    known: frozenset[str] = attrs.field(eq=False)
    ended: frozenset[str] = attrs.field(eq=False)
    supports_list: bool = attrs.field(default=False, eq=False, init=False)

    async def fetch(self, id: str) -> S:
        """Request the state of one."""
        return await self.fetch_one(id)

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Raise: never called, because `supports_list` is False."""
        raise NotImplementedError

    def status(self, state: S) -> str | None:
        """Return the status in a state."""
        return self.status_of(state)

    def start_timestamp(self, state: S) -> int | None:  # noqa: ARG002 - only lists need it
        """Return None: nothing lists them."""
        return None

    def is_known_status(self, status: str | None) -> bool:
        """Return whether the status is a published one."""
        return status in self.known

    def observed_duration(self, state: S) -> tuple[str, float | None] | None:
        """Return the noun as the key: items of one kind take about equally long, and their states have no duration."""
        return (self.noun, None) if self.status_of(state) in self.ended else None

    def duration_key(self, state: S) -> str | None:  # noqa: ARG002 - all are of one kind
        """Return the noun."""
        return self.noun

    def describe(self, id: str) -> tuple[str, str]:
        """Return its name for messages, and the code that continues to wait for it."""
        return f"{self.noun} {id}", f"{self.call}({id!r})"


def start_seconds(start_timestamp: int | None) -> int | None:
    """Return the Unix seconds of a start in Unix nanoseconds, rounded down; None for null and 0."""
    return start_timestamp // _NANOSECONDS if start_timestamp else None


def server_time(response: Response) -> float | None:
    """Return the Unix seconds in a response's Date header: the server's own clock, as this machine's may be wrong."""
    date = http_date(response.headers.get("Date", ""))
    return None if date is None else date.timestamp()
