"""Request bodies as aiohttp takes them."""

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from aihub_async.errors import SourceChangedError, SourceError
from aihub_async.transport._aiohttp import is_open
from aihub_async.transport.body import JSON_TYPE, Body


class Progress:
    """How far an attempt came; what an error means depends on it.

    `begun` says that bytes of the request may have left, `error` what was wrong with its body, and `reused` that it was
    sent on a kept connection. `size` is what there is to send: a request without a body has its head.
    """

    size = 1

    def __init__(self) -> None:
        self.begun = False
        self.error: SourceError | None = None
        self.reused = False


class BodyPayload(aiohttp.Payload):
    """Hands a `Body` to aiohttp, counts its bytes and records in `progress` how far it came."""

    _autoclose = True

    def __init__(self, body: Body, progress: Progress) -> None:
        # Payload.__init__ builds a header map that a request body never uses; this costs a tenth of a small upload.
        self._body = body
        self._size = body.length
        self._headers = _CONTENT_HEADERS.get(body.content_type) or CIMultiDict({hdrs.CONTENT_TYPE: body.content_type})
        self._progress = progress
        progress.size = body.length
        self._sent = 0

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Never used: a body may be larger than memory."""
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002  # aiohttp's signature
        """Write the body; its length is already known to the server."""
        progress = self._progress

        async def write(chunk: bytes | memoryview) -> None:
            # aiohttp sends the headers together with the first chunk: until then nothing has left.
            progress.begun = progress.begun or is_open(writer)
            self._sent += len(chunk)
            await writer.write(chunk)

        try:
            await self._body.write_to(write)
        except SourceError as error:
            progress.error = error
            raise
        if self._sent != self._body.length:
            progress.error = SourceChangedError(f"{self._sent} of {self._body.length} bytes could be read")
            raise progress.error


_CONTENT_HEADERS = {
    content_type: CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    for content_type in (JSON_TYPE, "application/octet-stream")
}
