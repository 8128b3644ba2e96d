"""Time that passes only in sleeps, and a server whose calendar has nothing to do with this machine's."""

import email.utils
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pytest

from aihub_async.clock import Clock
from aihub_async.errors import OutcomeUnknownError, RequestDetails, StatusError, status_error_class
from aihub_async.reconcile.once import OncePolicy
from aihub_async.transport.messages import Response

SERVER = 1_700_000_000
"""Unix seconds of the server when the test begins; this machine's calendar says another century."""


class PassingTime:
    """A clock on which a sleep takes its time immediately; `chance` is every random number."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.chance = 0.5
        self.clock = Clock(
            lambda: self.time, lambda: datetime(2150, 1, 1, tzinfo=UTC), self._sleep, lambda: self.chance
        )

    @property
    def passed(self) -> float:
        """Seconds since the test began."""
        return self.time - 1000

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def policy(self, max_retries: int = 3, deadline: float | None = None, reconcile_for: float = 60.0) -> OncePolicy:
        return OncePolicy(self.clock, max_retries, deadline, reconcile_for)

    def answer(self, body: Any = b"{}", *, date: bool = True, ahead: float = 0.0) -> Response:
        """An answer of the server that has just arrived, `ahead` seconds off its usual clock."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        moment = SERVER + self.passed + ahead
        return Response(200, "OK", {"Date": email.utils.formatdate(moment, usegmt=True)} if date else {}, raw)


@attrs.define
class Script:
    """A callable that meets each call with the next of its outcomes; the last one stands for all that follow."""

    outcomes: list[Any]
    time: PassingTime | None = None
    moments: list[float] = attrs.field(factory=list)
    arguments: list[Any] = attrs.field(factory=list)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.moments.append(self.time.passed if self.time else 0.0)
        self.arguments.append(kwargs or args)
        outcome = self.outcomes[min(len(self.moments), len(self.outcomes)) - 1]
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def calls(self) -> int:
        return len(self.moments)


DETAILS = RequestDetails("runApp", "POST", "/v2/apps/runs", body=b"answer")


def unknown(message: str = "lost", cause: str = "lost") -> OutcomeUnknownError:
    return OutcomeUnknownError(message, DETAILS, cause=cause)


def refused(status: int) -> StatusError:
    return status_error_class(status)("refused", RequestDetails("listRuns", "GET", "/v2/apps/runs", status=status))


@pytest.fixture
def time() -> PassingTime:
    return PassingTime()
