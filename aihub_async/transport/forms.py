"""`multipart/form-data` bodies: files are read in chunks, and again at every attempt."""

import uuid
from collections.abc import Iterable, Mapping

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.transport.body import Body, Write, read_chunks

_END = b"\r\n"


@attrs.frozen
class FormPart:
    """One value of a form; `filename` makes it a file."""

    name: str
    body: Body
    filename: str | None = None

    def head(self) -> bytes:
        """Return the lines before the content."""
        disposition = f'form-data; name="{_quoted(self.name)}"'
        if self.filename is None:
            return f"Content-Disposition: {disposition}\r\n\r\n".encode()
        disposition += f'; filename="{_quoted(self.filename)}"'
        return f"Content-Disposition: {disposition}\r\nContent-Type: {self.body.content_type}\r\n\r\n".encode()


@attrs.frozen
class FormBody:
    """A form of known length; memory stays flat however large its files are.

    Example:
        >>> from aihub_async.transport.body import BytesBody
        >>> FormBody((FormPart("name", BytesBody(b"march")),), boundary="b").length
        66
    """

    parts: tuple[FormPart, ...]
    boundary: str = attrs.field(factory=lambda: uuid.uuid4().hex)

    @property
    def content_type(self) -> str:
        """The Content-Type header, with the boundary."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int:
        """Size in bytes."""
        return sum(len(self._open(part)) + part.body.length + len(_END) for part in self.parts) + len(self._close)

    @property
    def held(self) -> int:
        """What its largest part holds: they are sent one after the other."""
        return max((part.body.held for part in self.parts), default=0)

    async def read_all(self) -> bytes:
        """Return the whole form, for one that fits into memory.

        Raises:
            SourceError: a file cannot be read, or changed since it was measured.
        """
        return await read_chunks(self)

    async def write_to(self, write: Write) -> None:
        """Write all parts.

        Raises:
            SourceError: a file cannot be read, or changed since it was measured.
        """
        for part in self.parts:
            await write(self._open(part))
            await part.body.write_to(write)
            await write(_END)
        await write(self._close)

    def _open(self, part: FormPart) -> bytes:
        return b"--" + self.boundary.encode() + _END + part.head()

    @property
    def _close(self) -> bytes:
        return b"--" + self.boundary.encode() + b"--" + _END


def form(values: Mapping[str, Body], files: Iterable[tuple[str, Body]]) -> FormBody:
    """Return a form of named values, and of files that all have the name `files`.

    Raises:
        InvalidRequestError: a file name has a line break or NUL in it, or is not valid Unicode.
    """
    parts = [FormPart(name, body) for name, body in values.items()]
    return FormBody((*parts, *(FormPart("files", body, _checked(name)) for name, body in files)))


def _checked(filename: str) -> str:
    if not filename or any(character in filename for character in "\r\n\0"):
        raise InvalidRequestError(f"file name {filename!r} is empty or has a line break or NUL in it; rename it")
    try:
        filename.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(f"file name {filename!r} is not valid Unicode; rename it") from None
    return filename


def _quoted(text: str) -> str:
    """Escape a name as browsers do: a quotation mark would end it."""
    return text.replace('"', "%22")
