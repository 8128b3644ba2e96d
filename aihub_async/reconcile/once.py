"""Send once-only requests: after an unclear outcome, look up what the request created before it is sent again."""

import functools
from collections.abc import Awaitable, Callable
from typing import Protocol, Self, TypeVar

import attrs

from aihub_async.clock import Clock
from aihub_async.config import ClientConfig
from aihub_async.errors import (
    ConflictError,
    OutcomeUnknownError,
    ProtocolError,
    RedirectError,
    RequestError,
    UnreadableAnswerError,
)
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import server_time

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_FIRST_DELAY = 0.5
_MAX_DELAY = 15.0
_JITTER = 0.2
_UNREADABLE_LOOKUPS = 4
"""After so many unreadable lists the address is likely wrong (a login page), and waiting longer proves nothing."""


class Find(Protocol[T_co]):
    """Looks up what a request has created."""

    async def __call__(self, *, thorough: bool) -> T_co:
        """Return it, or raise `NotCreated` or `Inconclusive`; only a thorough lookup must be able to prove absence."""
        ...


class NotCreated(Exception):  # noqa: N818 - an answer, not a failure
    """The server shows nothing that the request has created."""


class Inconclusive(Exception):  # noqa: N818 - an answer, not a failure
    """What the server shows may or may not be the effect of the request; the text, if any, describes it."""


class Undecidable(Inconclusive):
    """No later lookup can tell whether what the server shows is the effect of the request."""


class UnreadableList(Inconclusive):
    """The answer was not a list, such as a login page."""


@attrs.frozen
class OncePolicy:
    """How a client treats once-only requests.

    Attributes:
        clock: Time, sleep and randomness.
        max_retries: How often a request may be sent again.
        deadline: Seconds for the whole call, or None.
        reconcile_for: Seconds after an unclear outcome of lookups before absence counts as proven: a
            backend may carry a request out after its gateway has timed out, and lists lag.
    """

    clock: Clock
    max_retries: int
    deadline: float | None
    reconcile_for: float

    @classmethod
    def of(cls, settings: ClientConfig, clock: Clock) -> Self:
        """Return the policy of a client with these settings."""
        return cls(clock, settings.max_retries, settings.deadline, settings.lookup_seconds)


async def send_once(send: Callable[[], Awaitable[T]], find: Find[T], policy: OncePolicy) -> T:
    """Send a request; if it is unclear whether it was carried out, look up its effect and resend only if there is none.

    A request that was answered with something unreadable is never sent again: the server reported that it succeeded.

    Args:
        send: Sends the request.
        find: Looks up what the request has created.
        policy: How long to look, and how often to resend.

    Raises:
        OutcomeUnknownError: The outcome could not be determined; the error's `reconcile()` repeats the lookup.
        RequestError: The request was refused.
    """
    clock = policy.clock
    expires = float("inf") if policy.deadline is None else clock.monotonic() + policy.deadline
    unclear: OutcomeUnknownError | None = None
    resends = 0
    while True:
        try:
            return await send()
        except RedirectError:
            raise
        except OutcomeUnknownError as error:
            unclear = error
        except ProtocolError as error:
            unclear = UnreadableAnswerError(str(error.args[0]), error.details, cause="unreadable")
        except ConflictError:
            # The conflict may be with the effect of the attempt before.
            if unclear is None:
                raise
            raise _reconcilable(unclear, find, policy) from None
        final: OutcomeUnknownError | None = None
        try:
            return await look_up(find, policy, expires=expires, unreadable=isinstance(unclear, UnreadableAnswerError))
        except Inconclusive as answer:
            final = _explained(unclear, answer)
        except NotCreated:
            is_final = isinstance(unclear, UnreadableAnswerError) or resends >= policy.max_retries
            final = unclear if is_final or clock.monotonic() >= expires else None
        if final is not None:
            # Raised here, it carries no context: the answer to a lookup may echo secrets that only this request knows.
            raise _reconcilable(final, find, policy)
        resends += 1


async def look_up(find: Find[T], policy: OncePolicy, *, expires: float = float("inf"), unreadable: bool = False) -> T:
    """Look up repeatedly, for `policy.reconcile_for` seconds if nothing is found; the last lookup is thorough.

    Args:
        find: Looks up what the request has created.
        policy: How long to look.
        expires: Monotonic time after which no lookup starts.
        unreadable: The answer to the request itself was unreadable; unreadable lists end the lookup early then.

    Raises:
        NotCreated: All of that time has passed, and the last lookup shows nothing.
        Inconclusive: The server does not show enough, or the time has expired.
    """
    clock = policy.clock
    ends = clock.monotonic() + policy.reconcile_for
    delay, lookups, unreadable_lists = 0.0, 0, 0
    while True:
        remaining = max(0.0, ends - clock.monotonic())
        pause = min(remaining, delay * (1 - _JITTER + 2 * _JITTER * clock.random()))
        if clock.monotonic() + pause >= expires:
            raise Inconclusive
        if pause:
            await clock.sleep(pause)
        thorough = pause >= remaining
        lookups += 1
        try:
            return await find(thorough=thorough)
        except Undecidable:
            raise
        except (NotCreated, Inconclusive) as answer:
            if thorough:
                raise
            unreadable_lists += isinstance(answer, UnreadableList)
        except RequestError as error:
            if thorough:
                raise Inconclusive from None
            unreadable_lists += isinstance(error, ProtocolError)
        if unreadable and lookups == unreadable_lists == _UNREADABLE_LOOKUPS:
            raise UnreadableList
        delay = min(_MAX_DELAY, max(_FIRST_DELAY, 2 * delay))


def _explained(unclear: OutcomeUnknownError, answer: Inconclusive) -> OutcomeUnknownError:
    if not str(answer):
        return unclear
    return type(unclear)(f"{unclear.args[0]}; {answer}", unclear.details, cause=unclear.cause)


def _reconcilable(unclear: OutcomeUnknownError, find: Find[T], policy: OncePolicy) -> OutcomeUnknownError:
    unclear.reconcile = functools.partial(_reconcile, find, unclear, policy)
    return unclear


async def _reconcile(find: Find[T], unclear: OutcomeUnknownError, policy: OncePolicy) -> T:
    again: OutcomeUnknownError | None = None
    try:
        return await look_up(find, policy)
    except NotCreated:
        pass
    except Inconclusive:
        again = type(unclear)(str(unclear.args[0]), unclear.details, cause=unclear.cause)
    if again is None:
        raise LookupError("nothing of the request is on the server: it may be sent again")
    raise _reconcilable(again, find, policy)


def server_time_at(moment: float, answer: Response, clock: Clock) -> float | None:
    """Convert a moment of the monotonic clock to Unix seconds of the server, by an answer that has just arrived.

    This machine's calendar may be wrong by a day.
    """
    now = server_time(answer)
    return None if now is None else now - (clock.monotonic() - moment)
