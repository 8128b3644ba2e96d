"""What can be uploaded, and how it is found little by little."""

import asyncio
import os
import stat
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import anyio.to_thread
import attrs

from aihub_async.errors import AIHubError, InvalidRequestError, SourceError
from aihub_async.transport.body import Body, BytesBody, FileBody
from aihub_async.uploads.contents import ByteStream, RemoteFile, file_body, remote_files
from aihub_async.uploads.walking import Filter, Found, Walk

Content = bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO
"""Content of one file: bytes, a path object, or an open binary file."""

Source = str | os.PathLike[str] | tuple[str, str | Content | ByteStream] | BinaryIO
"""A path or an fsspec URL, a folder, ``(name, content)``, or an open binary file; a str is a path."""

Sources = Source | Iterable[Source] | AsyncIterable[Source]
"""One source or many; iterables are pulled as fast as files are sent, and never become lists."""

Naming = Literal["name", "relative"] | Callable[[Path], str] | None
"""How files without a name get one: the last part of the path (the default), the path below the folder that was
given, joined by ``__`` (the API does not say what a slash in a name does), or what a callable makes of the path."""

_END = object()


def content_body(content: Content, name: str) -> Body:
    """The request body for a content; `name` is used in errors.

    Raises:
        InvalidRequestError: text, or something else that has no bytes.
        SourceError: the file cannot be read.
    """
    if isinstance(content, str):
        raise InvalidRequestError(
            f"{name}: a str could be content or a path; pass pathlib.Path(…) for a file, or .encode() for content"
        )
    if isinstance(content, bytes | bytearray | memoryview):
        # A copy of what may change, for a repeated request must send the same.
        return BytesBody(bytes(content))
    if isinstance(content, os.PathLike):
        return FileBody.measure(content)
    if not hasattr(content, "read"):
        raise InvalidRequestError(
            f"{name}: pass bytes, a path, or a file opened with 'rb', not {type(content).__name__}"
        )
    return file_body(content, name)


def open_body(name: str, content: Content | ByteStream) -> Body:
    """The request body for one content that may be a stream.

    Raises:
        InvalidRequestError: text, or something else that has no bytes.
        SourceError: the file cannot be read.
    """
    if isinstance(content, os.PathLike):
        return FileBody.measure(content)
    return content.body(name) if isinstance(content, ByteStream) else content_body(content, name)


@attrs.frozen
class Item:
    """One file to upload: its name in the batch, where it comes from, and its content (a str is a path)."""

    name: str
    source: str
    content: str | Content | ByteStream | RemoteFile
    error: AIHubError | None = None

    def body(self) -> Body:
        """The request body.

        Raises:
            SourceError: it cannot be read.
            InvalidRequestError: it has no bytes.
        """
        content = self.content
        if isinstance(content, str):
            return FileBody.measure(content)
        if isinstance(content, RemoteFile):
            return content.body()
        return open_body(self.name, content)


class Feed:
    """Gives the files of sources one by one, to any number of tasks."""

    def __init__(self, sources: Sources, naming: Naming, wanted: Filter) -> None:
        if naming not in {None, "name", "relative"} and not callable(naming):
            raise InvalidRequestError(f"naming is 'name', 'relative' or a callable, not {naming!r}")
        self._naming = naming
        self._wanted = wanted
        self._lock = asyncio.Lock()
        self._ready: deque[Item] = deque()
        self._walk: Walk | None = None
        self._stream: AsyncIterator[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        if _is_source(sources):
            self._iterator = iter((sources,))
        elif isinstance(sources, AsyncIterable):
            self._stream = aiter(sources)
        elif isinstance(sources, Iterable):
            self._iterator = iter(sources)
        else:
            raise InvalidRequestError(
                f"sources are paths, (name, content) pairs, open files, or an iterable of them, not {sources!r}"
            )

    async def next(self) -> Item | None:
        """The next file; None at the end. Sources are asked for one at a time, folders in chunks."""
        if self._ready:
            return self._ready.popleft()
        async with self._lock:
            while not self._ready:
                if self._walk is not None:
                    await self._go_on_walking(self._walk)
                    continue
                source = await anext(self._stream, _END) if self._stream is not None else next(self._iterator, _END)
                if source is _END:
                    return None
                await self._open(source)
            return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the generators that the sources came from."""
        self._walk = None
        if isinstance(self._stream, AsyncGenerator):
            await self._stream.aclose()
        if isinstance(self._iterator, Generator):
            self._iterator.close()

    async def _open(self, source: Any) -> None:
        if isinstance(source, str | os.PathLike):
            await self._open_path(os.fspath(source))
        elif _is_pair(source):
            name, content = source
            await self._open_pair(name, content)
        elif hasattr(source, "read"):
            name = getattr(source, "name", None)
            if not isinstance(name, str):
                raise InvalidRequestError("an open file without a name needs one: pass (name, file)")
            self._ready.append(Item(os.path.basename(name), name, source))  # noqa: PTH119  # not a path of ours
        else:
            raise InvalidRequestError(
                f"sources are paths, (name, content) pairs and open files, not {type(source).__name__}"
            )

    async def _open_pair(self, name: str, content: Any) -> None:
        if isinstance(content, os.PathLike):
            content = os.fspath(content)
        if not isinstance(content, str):
            self._ready.append(Item(name, name, content))
        elif "://" not in content:
            self._ready.append(Item(name, content, content))
        else:
            files = await self._look_up(content)
            self._ready.extend(attrs.evolve(item, name=name) for item in files)

    async def _open_path(self, path: str | bytes) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if "://" in path:
            self._ready.extend(await self._look_up(path))
        elif _is_folder(path):
            self._walk = Walk(path, self._wanted)
        else:
            self._ready.append(self._named(path, os.path.basename(path)))  # noqa: PTH119  # a Path costs 10 µs

    async def _go_on_walking(self, walk: Walk) -> None:
        found = await anyio.to_thread.run_sync(walk.take)
        if not found:
            self._walk = None
        self._ready.extend(self._found(file) for file in found)

    def _found(self, file: Found) -> Item:
        item = self._named(file.path, file.relative)
        return item if file.error is None else attrs.evolve(item, error=file.error)

    async def _look_up(self, url: str) -> list[Item]:
        try:
            found = await anyio.to_thread.run_sync(remote_files, url)
        except SourceError as error:
            return [Item(url.rpartition("/")[2], url, url, error)]
        if isinstance(found, RemoteFile):
            return [attrs.evolve(self._named(found.path, found.path.rpartition("/")[2]), source=url, content=found)]
        return [
            attrs.evolve(self._named(file.path, file.relative), source=file.url, content=file)
            for file in found
            if self._wanted.wants_file(file.relative)
        ]

    def _named(self, path: str, relative: str) -> Item:
        if callable(self._naming):
            return Item(self._naming(Path(path)), path, path)
        if self._naming == "relative":
            return Item(relative.replace("/", "__"), path, path)
        return Item(relative.rpartition("/")[2], path, path)


def _is_source(sources: object) -> bool:
    if isinstance(sources, str | os.PathLike) or hasattr(sources, "read"):
        return True
    return _is_pair(sources)


def _is_pair(source: object) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], str)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  # a Path costs 10 µs
    except (OSError, ValueError):
        return False
