"""Requests that must be carried out once: after an unclear failure the server is asked before it is sent again."""

import functools
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from aihub_async.clock import Clock
from aihub_async.errors import ConflictError, OutcomeUnknownError, ProtocolError, RedirectError, RequestError
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import server_time

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_AFTER_A_BREAK = (0.0, 0.5, 1.5, 3.0)
_AFTER_SILENCE = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each look: lists may lag, and a server that did not answer in time may still be at work."""
_BREAKS = frozenset({"lost", "truncated", "too large", "500", "501", "502", "503"})


class Find(Protocol[T_co]):
    """Looks for what a request has created."""

    async def __call__(self, *, thorough: bool) -> T_co:
        """Give it, or raise `NotCreated` or `Inconclusive`; only a thorough look must be able to tell absence."""
        ...


class NotCreated(Exception):  # noqa: N818 - an answer, not a failure
    """The server shows that the request was not carried out."""


class Inconclusive(Exception):  # noqa: N818 - an answer, not a failure
    """What the server shows can mean both."""


async def send_once(
    send: Callable[[], Awaitable[T]],
    find: Find[T],
    *,
    clock: Clock,
    max_retries: int,
    deadline: float | None,
) -> T:
    """Send; when it is unclear whether that was carried out, look; send again only what was not.

    Args:
        send: makes the request.
        find: looks for what the request has created.
        clock: time.
        max_retries: how often it may be sent again.
        deadline: seconds after which nothing is begun any more.

    Raises:
        OutcomeUnknownError: it could not be found out; the error's `reconcile()` asks again.
        ProtocolError: the answer was unreadable, and nothing has come of the request.
        RequestError: it was refused.
    """
    expires = float("inf") if deadline is None else clock.monotonic() + deadline
    unclear: OutcomeUnknownError | ProtocolError | None = None
    resends = 0
    while True:
        try:
            return await send()
        except RedirectError:
            raise
        except (OutcomeUnknownError, ProtocolError) as error:
            unclear = error
        except ConflictError:
            # What was sent before may be what it conflicts with.
            if unclear is None:
                raise
            raise _reconcilable(unclear, find, clock) from None
        try:
            return await _look(find, _delays(unclear), clock, expires)
        except Inconclusive:
            raise _reconcilable(unclear, find, clock) from None
        except NotCreated:
            if isinstance(unclear, ProtocolError) or resends >= max_retries or clock.monotonic() >= expires:
                raise _reconcilable(unclear, find, clock) from None
        resends += 1


def _reconcilable(
    unclear: OutcomeUnknownError | ProtocolError, find: Find[T], clock: Clock
) -> OutcomeUnknownError | ProtocolError:
    if isinstance(unclear, OutcomeUnknownError):
        unclear.reconcile = functools.partial(_reconcile, find, unclear, clock)
    return unclear


def _delays(unclear: OutcomeUnknownError | ProtocolError) -> tuple[float, ...]:
    if isinstance(unclear, ProtocolError):
        return _AFTER_A_BREAK[:1]
    return _AFTER_A_BREAK if unclear.cause in _BREAKS else _AFTER_SILENCE


async def _look(find: Find[T], delays: tuple[float, ...], clock: Clock, expires: float) -> T:
    last: NotCreated | Inconclusive = Inconclusive()
    for number, delay in enumerate(delays, 1):
        if clock.monotonic() + delay >= expires:
            raise Inconclusive
        if delay:
            await clock.sleep(delay * (0.8 + 0.4 * clock.random()))
        try:
            return await find(thorough=number == len(delays))
        except (NotCreated, Inconclusive) as answer:
            last = answer
        except RequestError:
            last = Inconclusive()
    raise last


async def _reconcile(find: Find[T], unclear: OutcomeUnknownError, clock: Clock) -> T:
    try:
        return await _look(find, _AFTER_A_BREAK, clock, float("inf"))
    except NotCreated:
        raise LookupError("the request was not carried out: it may be sent again") from None
    except Inconclusive:
        again = OutcomeUnknownError(str(unclear.args[0]), unclear.details, cause=unclear.cause)
        raise _reconcilable(again, find, clock) from None


def server_time_of(moment: float, answer: Response, clock: Clock) -> float | None:
    """A moment of the monotonic clock as Unix seconds of the server's, from an answer that has just arrived.

    This machine's calendar may be wrong by a day.
    """
    now = server_time(answer)
    return None if now is None else now - (clock.monotonic() - moment)
