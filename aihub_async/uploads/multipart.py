"""A large file: a session, its parts in parallel, one commit; aborted when it fails, or kept to be continued."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterator

import anyio

from aihub_async.errors import (
    AIHubError,
    NotFoundError,
    OutcomeUnknownError,
    RequestError,
    SourceChangedError,
    StatusError,
)
from aihub_async.models import MultipartUploadSession
from aihub_async.reconcile.commits import commit_once
from aihub_async.transport.body import ContentBody
from aihub_async.transport.file_body import SourceTouchedError
from aihub_async.uploads.single import BatchUploadAPI

logger = logging.getLogger("aihub_async")

MAX_PARTS_IN_FLIGHT = 12
"""Parts of one file in flight. They are read as they are sent: each holds one chunk in memory, not its part."""
_ABORT_SECONDS = 10.0
_RESENDS = 6
"""How often parts are sent again that a late copy may have replaced; with the pauses, that takes half a minute."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
_REFUSED = frozenset({400, 409, 412, 422})
"""What a server may answer to a commit that names a part by an id that it does not have any more."""


class UploadResume:
    """Keeps an upload that broke, so that the same call in the same process continues after its last part.

    Without it, the session of a large upload that fails or is cancelled is aborted, and its parts are dropped.

    Example:
        >>> async def persistent(client, batch_id, path):
        ...     resume = UploadResume()
        ...     while True:
        ...         try:
        ...             return await client.batches.add_large_file(batch_id, path.name, path, resume=resume)
        ...         except ConnectionLostError:
        ...             print(f"continuing after {len(resume.parts)} parts")
    """

    def __init__(self) -> None:
        self.session: MultipartUploadSession | None = None
        self.parts: dict[int, str] = {}
        self.repeated: set[int] = set()
        """Parts that were sent more than once: the server may still store an earlier copy, under another id."""
        self._key: object = None

    def begin(self, session: MultipartUploadSession, key: object) -> None:
        """Remember a new session."""
        self.session, self.parts, self.repeated, self._key = session, {}, set(), key

    def fits(self, key: object) -> bool:
        """Whether the session kept here belongs to the same unchanged file."""
        return self.session is not None and self._key == key

    def clear(self) -> None:
        """Forget the session."""
        self.session, self.parts, self.repeated, self._key = None, {}, set(), None


async def upload_in_parts(
    steps: BatchUploadAPI,
    name: str,
    body: ContentBody,
    *,
    concurrency: int | None = None,
    resume: UploadResume | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> int:
    """Upload a large file and return 1 plus the number of requests that had to be repeated.

    Raises:
        SourceError: it cannot be read, or changes meanwhile.
        RequestError: a part or the commit failed for good.
    """
    state = resume if resume is not None else UploadResume()
    key = (name, body.identity)
    if not state.fits(key):
        if state.session is not None:
            await abort(steps, state)
        state.begin(await steps.open_session(name, body.length), key)
    try:
        repeated = await _send_parts(steps, body, state, concurrency or MAX_PARTS_IN_FLIGHT, on_bytes)
        repeated += await _commit(steps, name, body, state)
    except BaseException as error:
        if isinstance(error, NotFoundError):
            # The server has dropped the session: there is nothing to continue, and nothing to abort.
            state.clear()
        elif resume is None or isinstance(error, SourceChangedError):
            await abort(steps, state)
        raise
    state.clear()
    return 1 + repeated


async def _send_parts(
    steps: BatchUploadAPI,
    body: ContentBody,
    state: UploadResume,
    concurrency: int,
    on_bytes: Callable[[int], None] | None,
) -> int:
    session = state.session
    if session is None:
        raise RuntimeError("no session")
    size = session.part_size
    missing = iter([number for number in range(1, -(-body.length // size) + 1) if number not in state.parts])
    parts, turn = body.parts(), asyncio.Lock()
    repeated = 0

    async def work() -> None:
        nonlocal repeated
        while True:
            # One at a time: a stream has its parts in order.
            async with turn:
                number = next(missing, None)
                if number is None:
                    return
                offset = (number - 1) * size
                part = await parts.part(offset, min(size, body.length - offset))
            first, state.repeated = number not in state.repeated, state.repeated | {number}
            state.parts[number], attempts = await steps.put_part(session.session_id, number, part)
            if first and attempts == 1:
                state.repeated.discard(number)
            repeated += attempts - 1
            if on_bytes is not None:
                on_bytes(part.length)

    async with contextlib.aclosing(parts):
        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(concurrency, -(-body.length // size))):
                    group.start_soon(work)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
    return repeated


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first, *others = _leaves(failures)
    for other in others:
        if isinstance(other, SourceTouchedError):
            other.close()
    return first


def _leaves(failures: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure


async def _commit(steps: BatchUploadAPI, name: str, body: ContentBody, state: UploadResume) -> int:
    """Commit; return how many parts had to be sent again.

    A part that was sent again after an unclear attempt can be replaced by the copy of that attempt, which a backend
    stores late: with the same bytes, but under another id, so that the commit is refused. Such parts are sent again.
    """
    resent, pause = 0, _FIRST_PAUSE
    for left in reversed(range(_RESENDS + 1)):
        try:
            await _commit_parts(steps, name, body.length, state)
        except RequestError as error:
            refusal = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
            is_refused = isinstance(refusal, StatusError) and refusal.status in _REFUSED
            if not (left and is_refused and state.repeated):
                raise
        else:
            return resent
        resent += len(state.repeated)
        for number in state.repeated:
            state.parts.pop(number, None)
        await steps.clock.sleep(pause * (0.5 + 0.5 * steps.clock.random()))
        pause = min(_LONGEST_PAUSE, 2 * pause)
        await _send_parts(steps, body, state, MAX_PARTS_IN_FLIGHT, None)
    raise AssertionError("the last commit either succeeds or raises")


async def _commit_parts(steps: BatchUploadAPI, name: str, size: int, state: UploadResume) -> None:
    session = state.session
    if session is None:
        raise RuntimeError("no session")
    parts = dict(sorted(state.parts.items()))
    commit = functools.partial(steps.commit, session.session_id, parts)
    await commit_once(commit, functools.partial(steps.size_of, name), size, steps.clock)


async def abort(steps: BatchUploadAPI, state: UploadResume) -> None:
    """Drop the uploaded parts, also while the task is being cancelled, within a time limit."""
    session = state.session
    state.clear()
    if session is None:
        return
    with anyio.move_on_after(_ABORT_SECONDS, shield=True):
        try:
            await steps.abort(session.session_id)
        except AIHubError as error:
            logger.warning("the upload session %s could not be aborted: %s", session.session_id, error)
