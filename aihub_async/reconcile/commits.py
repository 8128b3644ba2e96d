"""Find out whether a multipart upload was committed."""

from collections.abc import Awaitable, Callable

from aihub_async.errors import OutcomeUnknownError, StatusError

_CLOSED = frozenset({400, 404, 409, 410, 422})
"""What a server may answer about a session that a first, unclear commit has already closed."""


async def commit_once(
    commit: Callable[[], Awaitable[None]], size_of: Callable[[], Awaitable[int | None]], size: int
) -> None:
    """Commit a multipart session; after an unclear outcome, compare the batch's file and commit again.

    A file of this name and size may also be an older one: only the session knows, and its second commit is refused when
    the first went through.

    Args:
        commit: Commits the session.
        size_of: Returns the size in bytes of the file in the batch, or None if there is none.
        size: The size in bytes that the file must have.

    Raises:
        OutcomeUnknownError: The second commit was refused, and the file is not there.
        RequestError: The commit failed.
    """
    try:
        await commit()
    except OutcomeUnknownError as unclear:
        is_there = await size_of() == size
        try:
            await commit()
        except StatusError as error:
            if not is_there or error.status not in _CLOSED:
                raise unclear from error
