"""Find out whether a multipart upload was committed."""

from collections.abc import Awaitable, Callable

from aihub_async.errors import OutcomeUnknownError, StatusError

_CLOSED = frozenset({400, 404, 409, 410, 422})
"""What a server may answer about a session that a first, unclear commit has already closed."""


_TRIES = 5


async def commit_once(
    commit: Callable[[], Awaitable[None]], size_of: Callable[[], Awaitable[int | None]], size: int
) -> None:
    """Commit a multipart session; after an unclear outcome, commit again, and compare the batch's file when refused.

    Only the session shows what became of its commit: a file of this name and size may also be an older one. A session
    is committed only once even if the request is repeated; the second is refused when the first
    went through.

    Args:
        commit: Commits the session.
        size_of: Returns the size in bytes of the file in the batch, or None if there is none.
        size: The size in bytes that the file must have.

    Raises:
        OutcomeUnknownError: A later commit was refused and the file is not there, or the outcome stays unclear.
        RequestError: The commit failed.
    """
    unclear: OutcomeUnknownError | None = None
    for _ in range(_TRIES):
        try:
            await commit()
        except OutcomeUnknownError as error:
            unclear = error
        except StatusError as error:
            if unclear is None:
                raise
            if error.status in _CLOSED and await size_of() == size:
                return
            raise unclear from error
        else:
            return
    if unclear is not None:
        raise unclear
