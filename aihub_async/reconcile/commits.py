"""Find out whether a multipart upload was committed."""

from collections.abc import Awaitable, Callable

from aihub_async.clock import Clock
from aihub_async.errors import (
    CertificateError,
    ConnectError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    StatusError,
)

_CLOSED = frozenset({400, 404, 409, 410, 422})
"""What a server may answer about a session that a first, unclear commit has already closed."""

_TRIES = 20
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
"""With these pauses, 20 tries take about four minutes: a file that was sent is not given up in a short outage."""


async def commit_once(
    commit: Callable[[], Awaitable[None]], size_of: Callable[[], Awaitable[int | None]], size: int, clock: Clock
) -> None:
    """Commit a multipart session; after an unclear outcome, commit again, and compare the batch's file when refused.

    Only the session knows what became of its commit: a file of this name and size may also be an older one. A session
    is committed once however often it is requested, so the request may be repeated; the second is refused when the
    first went through.

    Args:
        commit: Commits the session.
        size_of: Returns the size in bytes of the file in the batch, or None if there is none.
        size: The size in bytes that the file must have.
        clock: Sleep and randomness of the pauses between tries.

    Raises:
        OutcomeUnknownError: A later commit was refused and the file is not there, or the outcome stays unclear.
        RequestError: The commit failed.
    """
    last: RequestError | None = None
    unclear: OutcomeUnknownError | None = None
    pause = _FIRST_PAUSE
    for number in range(_TRIES):
        if number:
            await clock.sleep(pause * (0.5 + 0.5 * clock.random()))
            pause = min(_LONGEST_PAUSE, 2 * pause)
        try:
            return await commit()
        except CertificateError:
            raise
        except ConnectError as error:
            last = error
        except OutcomeUnknownError as error:
            last = unclear = error
        except StatusError as error:
            if unclear is None:
                raise
            committed = await _was_committed(error, size_of, size)
            if committed:
                return None
            if committed is False:
                raise unclear from error
    raise unclear or last or RuntimeError("nothing was tried")


async def _was_committed(error: StatusError, size_of: Callable[[], Awaitable[int | None]], size: int) -> bool | None:
    """Return whether the first commit succeeded although a later one was refused; None if that cannot be determined."""
    if isinstance(error, RateLimitedError):
        return None
    if error.status not in _CLOSED:
        return False
    try:
        return await size_of() == size
    except RequestError:
        return None
