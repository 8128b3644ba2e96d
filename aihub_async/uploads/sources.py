"""What can be uploaded."""

import os
from typing import BinaryIO

from aihub_async.errors import InvalidRequestError
from aihub_async.transport.body import Body, BytesBody, FileBody

Content = bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO
"""Content of one file: bytes, a path object, or an open binary file."""


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
        return BytesBody(bytes(content))
    if isinstance(content, os.PathLike):
        return FileBody.measure(content)
    read = getattr(content, "read", None)
    data = read() if callable(read) else None
    if not isinstance(data, bytes):
        raise InvalidRequestError(
            f"{name}: pass bytes, a path, or a file opened with 'rb', not {type(content).__name__}"
        )
    return BytesBody(data)
