"""Files that a call sends itself, rather than through a batch."""

import base64
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_FILE_BYTES, MAX_REQUEST_BYTES
from aihub_async.transport.body import ContentBody
from aihub_async.uploads.contents import Content, to_body

NamedFiles = Mapping[str, Content] | Iterable[str | os.PathLike[str] | tuple[str, Content]]
"""Files by name, or a list of local paths and of pairs of name and content. A str in a list is a local path."""


async def named_bodies(files: NamedFiles) -> list[tuple[str, ContentBody]]:
    """Return name and body of each file, measured but not read.

    Raises:
        InvalidRequestError: not files, one of them above 50 MB, or all together above 100 MB.
        SourceError: a file cannot be read.
    """
    if isinstance(files, str | bytes | os.PathLike):
        raise InvalidRequestError("pass a list of files, or a dict of contents by name")
    # A mapping matches both halves of the union, which type checkers cannot distinguish.
    items: Iterable[Any] = files.items() if isinstance(files, Mapping) else files
    bodies = [(name, await to_body(content, name)) for name, content in map(_pair, items)]
    for name, body in bodies:
        if body.length > MAX_FILE_BYTES:
            raise InvalidRequestError(f"{name} has {body.length} bytes; the API takes {MAX_FILE_BYTES} per file")
    total = sum(body.length for _, body in bodies)
    if total > MAX_REQUEST_BYTES:
        raise InvalidRequestError(f"the files have {total} bytes together; one request takes {MAX_REQUEST_BYTES}")
    return bodies


def _pair(item: Any) -> tuple[str, Content]:
    if isinstance(item, str | os.PathLike):
        path = Path(item)
        return path.name, path
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return item[0], item[1]
    raise InvalidRequestError(
        f"a file is a path or a pair of name and content, not {type(item).__name__}; bytes and streams need a name"
    )


async def inline_files(files: NamedFiles, *, most: int | None = None) -> list[dict[str, str]]:
    """Return files as v1 takes them inside JSON: base64 of their content.

    Raises:
        InvalidRequestError: none, more than `most`, or too large ones (see `named_bodies`).
        SourceError: a file cannot be read.
    """
    bodies = await named_bodies(files)
    if not bodies:
        raise InvalidRequestError("there are no files")
    if most is not None and len(bodies) > most:
        raise InvalidRequestError(f"{len(bodies)} files; a request that runs in memory takes {most}, use run() instead")
    return [
        {"file_name": name, "file_content": base64.b64encode(await body.read_all()).decode()} for name, body in bodies
    ]
