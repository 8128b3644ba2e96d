"""Many files concurrently: a fixed number of workers, each taking the next file when it is done with one."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

import anyio
import attrs

from aihub_async import operations
from aihub_async.errors import (
    AIHubError,
    AuthenticationError,
    ClosedClientError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
)
from aihub_async.limits import MULTIPART_THRESHOLD
from aihub_async.loops import running_loop
from aihub_async.models.reprs import html_bar, size_text
from aihub_async.models.uploads import UploadRecord
from aihub_async.pagination import OutcomePages, cancel_all
from aihub_async.transport.body import ContentBody
from aihub_async.uploads.multipart import UploadResume, upload_in_parts
from aihub_async.uploads.names import NameSet
from aihub_async.uploads.single import BatchUploadAPI, digested, with_fresh_body
from aihub_async.uploads.sources import SourceFile, SourceReader

OnError = Literal["raise", "collect"]
_PAGE = 256
"""Outcomes that may wait to be taken before the workers pause."""
_OF_BATCH = frozenset({operations.ADD_FILE.name, operations.CREATE_UPLOAD.name})
"""Operations whose 404 means that there is no such batch."""
_PROGRESS_EVERY = 0.1


@attrs.frozen
class UploadProgress:
    """How far an upload is. `files_found` and `bytes_found` grow while sources are pulled; sizes are bytes."""

    files_found: int = 0
    files_done: int = 0
    files_failed: int = 0
    bytes_found: int = 0
    bytes_done: int = 0

    def _repr_html_(self) -> str:
        failed = f", {self.files_failed:,} failed" if self.files_failed else ""
        text = f"{self.files_done:,} of {self.files_found:,} files, {size_text(self.bytes_done)} uploaded{failed}"
        return html_bar(self.bytes_done, self.bytes_found, text)


OnProgress = Callable[[UploadProgress], None]


class _Counter:
    """Counts, and reports at most ten times a second: a callback per file would cost more than a small file."""

    def __init__(self, callback: OnProgress | None) -> None:
        self._callback = callback
        self._last = 0.0
        self.files_found = self.files_done = self.files_failed = self.bytes_found = self.bytes_done = 0

    def report(self, *, finally_: bool = False) -> None:
        if self._callback is None:
            return
        now = time.monotonic()
        if finally_ or now - self._last >= _PROGRESS_EVERY:
            self._last = now
            self._callback(
                UploadProgress(self.files_found, self.files_done, self.files_failed, self.bytes_found, self.bytes_done)
            )

    def sent(self, size: int) -> None:
        self.bytes_done += size
        self.report()


@attrs.frozen
class UploadOptions:
    """How to upload. `concurrency` is the number of workers; after an error for which `stops` is true none starts."""

    concurrency: int
    stops: Callable[[Exception], bool] | None = None
    digest: bool = False
    multipart_threshold: int = MULTIPART_THRESHOLD
    on_progress: OnProgress | None = None

    def __attrs_post_init__(self) -> None:
        if self.concurrency < 1:
            raise InvalidRequestError(f"max_concurrency must be 1 or more, not {self.concurrency}")


class Uploads(OutcomePages[UploadRecord]):
    """The outcomes of an upload as they happen: `async for record in uploads`, or `await uploads.next_page()`.

    Nothing starts before the first outcome is requested, and nothing is kept of those that were returned. Leaving the
    loop early, or `aclose()`, cancels what is in flight.
    """

    def __init__(self, api: BatchUploadAPI, reader: SourceReader, options: UploadOptions, *, page: int = 1) -> None:
        self._api = api
        self._reader = reader
        self._options = options
        self._page = page
        self._names = NameSet()
        self._counter = _Counter(options.on_progress)
        self._outcomes: deque[tuple[int, UploadRecord]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._started = self._stopping = self._closed = False

    @property
    def skipped(self) -> list[str]:
        """Paths of files of operating systems and Office that were left out so far; see `UploadReport`."""
        return list(self._reader.skipped)

    async def next_page(self) -> list[UploadRecord] | None:
        """Return the outcomes since the last call, waiting for at least one; None when there are no more.

        Raises:
            Exception: what an iterable of sources raised, after everything in flight has settled.
        """
        page = await self.next_numbered()
        return None if page is None else [record for _, record in page]

    async def next_numbered(self) -> list[tuple[int, UploadRecord]] | None:
        """Return the same as `next_page`, each outcome with the number of its source."""
        if not self._started and not self._closed:
            self._start()
        while self._workers and len(self._outcomes) < self._page:
            self._news = running_loop().create_future()
            await self._news
        page = list(self._outcomes)
        self._outcomes.clear()
        _wake(self._room)
        if page:
            return page
        await self._finish()
        return None

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has released files, connections and sessions."""
        self._stopping = self._closed = True
        await cancel_all(self._workers)
        with anyio.CancelScope(shield=True):
            await self._reader.aclose()

    def _start(self) -> None:
        # Checked before coroutines are created that would never run.
        loop = running_loop()
        self._started = True
        self._count = 0
        for _ in range(self._options.concurrency):
            worker = loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: "asyncio.Task[None]") -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            self._failure = self._failure or error
            self._stopping = True
        if not self._workers:
            _wake(self._news)

    async def _finish(self) -> None:
        if self._closed:
            return
        await self._reader.aclose()
        self._closed = True
        if self._failure is not None:
            raise self._failure
        self._counter.report(finally_=True)

    async def _work(self) -> None:
        reader, counter = self._reader, self._counter
        while not self._stopping and (file := await reader.next()) is not None:
            number = self._count
            self._count += 1
            counter.files_found += 1
            record = await self._upload(file)
            if record.error is None:
                counter.files_done += 1
            else:
                counter.files_failed += 1
                stops = self._options.stops
                self._stopping |= stops is not None and stops(record.error)
            counter.report()
            self._outcomes.append((number, record))
            if len(self._outcomes) >= self._page:
                _wake(self._news)
            while len(self._outcomes) >= max(_PAGE, self._page) and not self._stopping:
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        if self._room is None or self._room.done():
            self._room = running_loop().create_future()
        # Shared by all workers: cancelling one of them must not take it from the others.
        await asyncio.wait([self._room])

    async def _upload(self, file: SourceFile) -> UploadRecord:
        began = time.monotonic()
        size: int | None = None
        try:
            if file.error is not None:
                raise file.error
            if not self._names.add(file.name):
                raise duplicate_name(file)
            body = await file.body()
            size = body.length
            self._counter.bytes_found += size
            attempts, digest = await self._send(file.name, body)
        except ClosedClientError:
            raise
        except AIHubError as error:
            attempts = len(error.attempts) if isinstance(error, RequestError) else 0
            return UploadRecord(file.name, file.source, size, attempts, time.monotonic() - began, error=error)
        return UploadRecord(file.name, file.source, size, attempts, time.monotonic() - began, digest)

    async def _send(self, name: str, body: ContentBody) -> tuple[int, str | None]:
        attempts = sent = 0

        def count(size: int) -> None:
            nonlocal sent
            sent += size
            self._counter.sent(size)

        async def send(body: ContentBody) -> str | None:
            nonlocal attempts, sent
            # What an attempt sent of a file that was touched meanwhile does not count.
            self._counter.bytes_done -= sent
            sent = 0
            attempts += 1
            finish: Callable[[], str] | None = None
            if self._options.digest:
                body, finish = await digested(body)
            threshold = self._options.multipart_threshold
            attempts += await upload_one(self._api, name, body, threshold=threshold, on_bytes=count) - 1
            return None if finish is None else finish()

        digest = await with_fresh_body(send, body)
        return attempts, digest


def duplicate_name(file: SourceFile) -> InvalidRequestError:
    """Return the error of a file whose name an earlier one has."""
    return InvalidRequestError(
        f"{file.source}: an earlier file of this upload has the name {file.name!r}, or one that differs only in case "
        "or Unicode form; use another name, for example with naming='relative'"
    )


def is_error_of_all(error: Exception | None) -> bool:
    """Whether every file of the same batch would meet this error."""
    if isinstance(error, NotFoundError):
        return error.operation in _OF_BATCH
    return isinstance(error, AuthenticationError | ForbiddenError)


async def upload_one(
    api: BatchUploadAPI,
    name: str,
    body: ContentBody,
    *,
    threshold: int,
    concurrency: int | None = None,
    resume: UploadResume | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> int:
    """Upload one file, in parts when it is larger than `threshold` bytes; return the attempts for its record."""
    if body.length > threshold:
        return await upload_in_parts(api, name, body, concurrency=concurrency, resume=resume, on_bytes=on_bytes)
    attempts = await api.put(name, body)
    if on_bytes is not None:
        on_bytes(body.length)
    return attempts


async def collect(api: BatchUploadAPI, reader: SourceReader, options: UploadOptions) -> list[UploadRecord]:
    """Return all outcomes, in the order of their sources."""
    numbered: list[tuple[int, UploadRecord]] = []
    async with Uploads(api, reader, options, page=_PAGE) as uploads:
        while (page := await uploads.next_numbered()) is not None:
            numbered += page
    numbered.sort(key=lambda outcome: outcome[0])
    return [record for _, record in numbered]


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
