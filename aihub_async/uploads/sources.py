"""What can be uploaded, and how it is found little by little."""

import asyncio
import os
import stat
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any, BinaryIO, Literal

import anyio.to_thread
import attrs

from aihub_async.errors import AIHubError, InvalidRequestError, SourceError
from aihub_async.paths import folded_url, is_url
from aihub_async.transport.body import ContentBody
from aihub_async.transport.file_body import FileBody
from aihub_async.uploads.contents import ByteStream, Content, check_content, check_readable, to_body
from aihub_async.uploads.remote import RemoteFile
from aihub_async.uploads.remote_walk import RemoteWalk, look_up
from aihub_async.uploads.walking import FolderWalk, Found, PathFilter

Source = str | os.PathLike[str] | tuple[str, str | Content | ByteStream] | BinaryIO
"""A path, a folder, an fsspec URL of a file, folder or pattern (``s3://bucket/**/*.pdf``), ``(name, content)``, or
an open binary file; a str is a path or a URL."""

Sources = Source | Mapping[str, Content | ByteStream] | Iterable[Source] | AsyncIterable[Source]
"""One source or many, or contents by name; iterables are pulled as fast as files are sent, and never become lists."""

Naming = Literal["name", "relative"] | Callable[[Path], str] | None
"""How files without a name get one: the last part of the path (the default), the path below the folder of the
source joined by ``__`` (slashes in names are not specified by the API), or what a callable returns for the path."""

_Named = tuple[str, str | RemoteFile]
NamedRemote = tuple[str, str | RemoteFile]
"""A file behind a URL that was found before, or a path or URL, with its name in the batch."""

_END = object()


@attrs.frozen
class SourceFile:
    """One file to upload: its name in the batch, where it comes from, and its content (a str is a path)."""

    name: str
    source: str
    content: str | Content | ByteStream | RemoteFile
    error: AIHubError | None = None

    @property
    def is_light(self) -> bool:
        """Whether it costs neither memory nor a descriptor before it is sent."""
        return isinstance(self.content, str | os.PathLike | ByteStream | RemoteFile)

    def check(self) -> None:
        """Check what can be checked without reading. Touches the disk: to be called in a thread.

        Raises:
            SourceError: it cannot be read.
            InvalidRequestError: it has no bytes.
        """
        if self.error is not None:
            raise self.error
        if isinstance(self.content, str):
            check_readable(self.content)
        elif not isinstance(self.content, RemoteFile):
            check_content(self.content, self.name)

    async def body(self) -> ContentBody:
        """Return the request body.

        Raises:
            SourceError: it cannot be read.
            InvalidRequestError: it has no bytes.
        """
        if self.error is not None:
            raise self.error
        content = self.content
        if isinstance(content, str):
            return FileBody.measure(content)
        return content.body() if isinstance(content, RemoteFile) else await to_body(content, self.name)


class SourceReader:
    """Returns the files of sources one by one, to any number of tasks.

    `skipped` lists the paths of litter that was left out: see `PathFilter`.
    """

    def __init__(
        self,
        sources: Sources | Iterable[NamedRemote] | AsyncIterable[NamedRemote],
        naming: Naming = None,
        accepted: PathFilter | None = None,
    ) -> None:
        if naming not in {None, "name", "relative"} and not callable(naming):
            raise InvalidRequestError(f"naming is 'name', 'relative' or a callable, not {naming!r}")
        self.skipped: list[str] = []
        self._most: int | None = None
        self._advice = ""
        self._count = 0
        self._naming = naming
        self._accepted = accepted or PathFilter()
        self._lock = asyncio.Lock()
        self._ready: deque[SourceFile] = deque()
        self._walk: FolderWalk | RemoteWalk | None = None
        self._stream: AsyncIterator[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        if isinstance(sources, AsyncIterable) and not hasattr(sources, "read"):
            self._stream = aiter(sources)
        else:
            self._iterator = _iterator(sources)
        # Whether something makes the sources one by one, which may hold a lot of memory together.
        self.is_streaming = self._stream is not None or self._iterator is sources

    def limit(self, most: int, advice: str) -> None:
        """Raise an error instead of returning more than `most` files."""
        self._most, self._advice = most, advice

    def put_back(self, files: Sequence[SourceFile]) -> None:
        """Return these files again, before all others."""
        self._ready.extendleft(reversed(files))
        self._count -= len(files)

    async def next(self) -> SourceFile | None:
        """Return the next file; None at the end. Sources are pulled one at a time, folders in chunks.

        Raises:
            InvalidRequestError: a source cannot be used, or there are more files than the limit.
        """
        self._check_limit()
        file = self._ready.popleft() if self._ready else await self._find_next()
        if file is not None:
            self._count += 1
            self._check_limit()
        return file

    def _check_limit(self) -> None:
        if self._most is not None and self._count > self._most:
            raise InvalidRequestError(f"more than {self._most} files: {self._advice}")

    async def _find_next(self) -> SourceFile | None:
        async with self._lock:
            while not self._ready:
                if self._walk is not None:
                    await self._continue_walk(self._walk)
                    continue
                source = await anext(self._stream, _END) if self._stream is not None else next(self._iterator, _END)
                if source is _END:
                    return None
                await self._open(source)
            return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the folder and the generators that the sources come from."""
        if self._walk is not None:
            self._walk.close()
            self._walk = None
        if isinstance(self._stream, AsyncGenerator):
            await self._stream.aclose()
        if isinstance(self._iterator, Generator):
            self._iterator.close()

    async def _open(self, source: Any) -> None:
        if isinstance(source, str | os.PathLike):
            await self._open_path(os.fsdecode(source))
        elif _is_pair(source):
            name, content = source
            await self._open_pair(name, content)
        elif hasattr(source, "read"):
            name = _name_of(source)
            self._ready.append(SourceFile(os.path.basename(name), name, source))  # noqa: PTH119  # not a path of ours
        else:
            raise _no_source(source)

    async def _open_pair(self, name: str, content: Any) -> None:
        if isinstance(content, os.PathLike):
            content = os.fsdecode(content)
        if isinstance(content, RemoteFile):
            self._ready.append(SourceFile(name, content.url, content))
        elif not isinstance(content, str):
            self._ready.append(SourceFile(name, name, content))
        elif is_url(content):
            self._ready.append(await _named_url(name, content))
        else:
            self._ready.append(_checked(SourceFile(name, content, content)))

    async def _open_path(self, path: str) -> None:
        if is_url(path):
            self._walk = RemoteWalk(path, self._accepted, must_match=True)
        elif _is_folder(path):
            self._walk = FolderWalk(path, self._accepted)
        else:
            self._ready.append(_checked(self._named(path, os.path.basename(path))))  # noqa: PTH119  # a Path costs 10 µs

    async def _continue_walk(self, walk: FolderWalk | RemoteWalk) -> None:
        try:
            found: Sequence[Found | RemoteFile] = await anyio.to_thread.run_sync(walk.take)
        except SourceError as error:
            # Of a URL: a folder on this machine that cannot be read is one of the files found.
            self._walk = None
            url = error.name or ""
            self._ready.append(SourceFile(url.rstrip("/").rpartition("/")[2], url, url, error))
            return
        if not found:
            self._walk = None
        for file in found:
            if file.litter:
                self.skipped.append(file.url if isinstance(file, RemoteFile) else file.path)
            else:
                self._ready.append(self._of_walk(file))

    def _of_walk(self, found: Found | RemoteFile) -> SourceFile:
        file = self._named(found.path, found.relative)
        if isinstance(found, RemoteFile):
            return attrs.evolve(file, source=found.url, content=found)
        return file if found.error is None else attrs.evolve(file, error=found.error)

    def _named(self, path: str, relative: str) -> SourceFile:
        if callable(self._naming):
            return SourceFile(self._naming(Path(path)), path, path)
        if self._naming == "relative":
            return SourceFile(relative.replace("/", "__"), path, path)
        return SourceFile(relative.rpartition("/")[2], path, path)


async def _named_url(name: str, url: str) -> SourceFile:
    try:
        file = await anyio.to_thread.run_sync(look_up, url)
    except SourceError as error:
        return SourceFile(name, url, url, error)
    if file is None:
        refusal = SourceError(f"{url} is a folder or a pattern, which cannot have the name of one file", name=url)
        return SourceFile(name, url, url, refusal)
    return SourceFile(name, url, file)


def _iterator(sources: Any) -> Iterator[Any]:
    if isinstance(sources, str | os.PathLike) or hasattr(sources, "read"):
        return iter((sources,))
    if isinstance(sources, tuple) and _is_pair(sources):
        return _of_tuple(sources)
    if isinstance(sources, Mapping):
        return iter(sources.items())
    if isinstance(sources, bytes | bytearray | memoryview) or not isinstance(sources, Iterable):
        raise _no_source(sources)
    return iter(sources)


def _of_tuple(sources: tuple[str, Any]) -> Iterator[Any]:
    """Decide whether a tuple is one file with its name, or two sources."""
    name, content = sources
    if isinstance(content, str):
        return iter(sources)
    if isinstance(content, os.PathLike) and os.path.exists(name):  # noqa: PTH110  # it may be no path
        raise InvalidRequestError(
            f"{sources!r} could be two files, or one file and its name; pass a list: [path, path] or [(name, path)]"
        )
    return iter((sources,))


def _name_of(file: Any) -> str:
    for name in (getattr(file, "name", None), getattr(file, "filename", None)):
        if isinstance(name, str) and name:
            return name
    raise InvalidRequestError("an open file without a name needs one: pass (name, file)")


def _no_source(source: object) -> InvalidRequestError:
    if isinstance(source, bytes | bytearray | memoryview):
        return InvalidRequestError(
            "bytes need a name: pass (name, bytes), or for a stream (name, aihub_async.ByteStream(open, length))"
        )
    return InvalidRequestError(
        f"sources are paths, (name, content) pairs, open files, or an iterable of them, not {type(source).__name__}"
    )


def _checked(file: SourceFile) -> SourceFile:
    """Add the error of a path object that was made from a URL, because its file cannot be what is meant."""
    path = file.source
    url = folded_url(path)
    if url is None or os.path.exists(path):  # noqa: PTH110  # a Path costs 10 µs
        return file
    error = SourceError(f"{path!r} is no local file; pass a URL as text: {url!r}", name=path)
    return attrs.evolve(file, error=error)


def _is_pair(source: object) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], str)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  # a Path costs 10 µs
    except (OSError, ValueError):
        return False
