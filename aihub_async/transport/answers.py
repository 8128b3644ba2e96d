"""Reading the body of an answer: within a limit of bytes and of time, into memory or into a sink."""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
from aiohttp import hdrs

from aihub_async.config import ClientConfig
from aihub_async.policies.retry import FailureKind
from aihub_async.transport._aiohttp import ParserError
from aihub_async.transport.messages import AttemptFailure, Request, Response, Sink

ERROR_BODY = 64 * 1024
"""Bytes of an error answer that are read; the rest adds nothing, and may be endless."""
_GZIP = 16 + zlib.MAX_WBITS
_READ = 256 * 1024


async def read_answer(
    head: tuple[int, str, Mapping[str, str]],
    content: aiohttp.StreamReader,
    request: Request,
    settings: ClientConfig,
    extend: Callable[[float], None],
) -> Response | AttemptFailure:
    """Read the body of an answer.

    Args:
        head: status, reason and headers.
        content: the body, decompressed where aiohttp supports the encoding.
        request: what is answered.
        settings: the client's settings.
        extend: called with seconds by which to extend the attempt's time limit: a long answer gets the time of its
            bytes.
    """
    status, reason, headers = head
    success = status < 300
    sink = request.sink if success else None
    limit = settings.max_response_bytes if success else ERROR_BODY
    if sink is not None and (refusal := sink.begin(status, headers)) is not None:
        return AttemptFailure(FailureKind.PROTOCOL, refusal)
    chunks: list[bytes] = []
    received = 0
    try:
        async for chunk in _decoded(content, headers):
            if received:
                # The first chunk, all of a small answer, is within the timeout of the attempt.
                extend(len(chunk) / settings.min_throughput)
            received += len(chunk)
            if sink is not None:
                if (failed := _pass_on(sink, chunk, received)) is not None:
                    return failed
                continue
            chunks.append(chunk)
            if received > limit:
                if success:
                    message = f"the answer is larger than max_response_bytes ({limit})"
                    return AttemptFailure(FailureKind.TOO_LARGE, message, received=received)
                break
    except (aiohttp.ClientError, ParserError, OSError, zlib.error) as error:
        # The status of an error answer is sufficient, even if its body is incomplete.
        if success:
            message = f"the answer broke off ({type(error).__name__})"
            return AttemptFailure(FailureKind.TRUNCATED, message, received=received)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Response(status, reason, headers, body, received)


def _decoded(content: aiohttp.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    # The old name of gzip (RFC 9110, 8.4.1.3), which aiohttp passes on as it is.
    if headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() == "x-gzip":
        return _gunzipped(content)
    return content.iter_any()


async def _gunzipped(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    decoder, within = zlib.decompressobj(_GZIP), False
    async for data in content.iter_any():
        rest = data
        while rest:
            chunk = decoder.decompress(rest, _READ)
            within = not decoder.eof
            if decoder.eof:
                # What follows is another member of the same file.
                rest, decoder = decoder.unused_data, zlib.decompressobj(_GZIP)
            else:
                rest = decoder.unconsumed_tail
            if chunk:
                yield chunk
    if within:
        raise zlib.error("the compressed body ends too early")


def _pass_on(sink: Sink, chunk: bytes, received: int) -> AttemptFailure | None:
    try:
        refusal = sink.write(chunk)
    except OSError as error:
        message = f"cannot store the answer: {error.strerror}"
        return AttemptFailure(FailureKind.SOURCE, message, error, received=received)
    return None if refusal is None else AttemptFailure(FailureKind.PROTOCOL, refusal, received=received)
