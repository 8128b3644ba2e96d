"""What an exception of aiohttp means for a request. The exceptions end here: their args hold request headers."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp

from aihub_async.errors import SourceError
from aihub_async.policies.retry import FailureKind
from aihub_async.transport._aiohttp import HEADER_LIMIT
from aihub_async.transport.descriptors import is_out_of_descriptors
from aihub_async.transport.messages import AttemptFailure
from aihub_async.transport.payload import Progress

_PASSING_PROXY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_CLIENT_REFUSED = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    # By this one a server with TLS 1.2 refuses a client without a certificate, or one without a common cipher.
    "HANDSHAKE_FAILURE",
)
_NO_COMMON_VERSION = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW")
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def failed_before_answer(error: Exception, progress: Progress, server: str) -> AttemptFailure:
    """Classify what ended an attempt before the head of an answer; `server` is its host and port."""
    if progress.error is not None:
        return _failed_source(progress.error, begun=progress.begun)
    refused = _refused_tls(error, server)
    if refused is not None:
        return AttemptFailure(FailureKind.CERTIFICATE, refused)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return _no_connection(error, server)
    return _broken_connection(error, progress, server)


def _no_connection(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError, server: str) -> AttemptFailure:
    cause = getattr(error, "os_error", error)
    # A resolver that says "try again later" is a shortage like that of descriptors: all requests slow down and wait.
    later = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    if isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientProxyConnectionError):
        host = f"{error.host}:{error.port}"
        server = host if host == server else f"the proxy {host}"
    message = f"no connection to {server} ({_connect_reason(error, cause)})"
    return AttemptFailure(FailureKind.NOT_SENT, message, overloaded=later or is_out_of_descriptors(cause))


def _broken_connection(error: Exception, progress: Progress, server: str) -> AttemptFailure:
    stale = progress.reused and _is_silent_end(error)
    name = type(error).__name__
    if not progress.begun and progress.size:
        overloaded = is_out_of_descriptors(getattr(error, "os_error", error))
        message = f"nothing was sent to {server} ({name})"
        return AttemptFailure(FailureKind.NOT_SENT, message, overloaded=overloaded, stale=stale)
    if isinstance(error, aiohttp.ClientResponseError):
        return not_http(error.message, name)
    return AttemptFailure(FailureKind.LOST, f"the connection to {server} broke ({name})", stale=stale)


def not_http(message: str, name: str) -> AttemptFailure:
    """Describe an answer that the parser refused. Its message quotes the answer, which may echo a secret."""
    if message.startswith("Got more than"):
        reason = f"a header of the answer is longer than {HEADER_LIMIT // 1024} KB"
    elif message.startswith("Can not decode content-encoding"):
        reason = "the answer has a Content-Encoding that was not requested and cannot be decoded"
    elif "many headers" in message.lower():
        reason = "the answer has too many headers"
    else:
        reason = f"the server's answer is not HTTP ({name})"
    return AttemptFailure(FailureKind.LOST, reason)


def timed_out(seconds: float, progress: Progress, received: int = 0) -> AttemptFailure:
    """Describe an attempt that took longer than its time limit."""
    if progress.error is not None:
        return AttemptFailure(FailureKind.SOURCE, str(progress.error), progress.error)
    if not progress.begun and progress.size:
        return AttemptFailure(FailureKind.NOT_SENT, f"nothing was sent within {seconds:g} s")
    return AttemptFailure(FailureKind.TIMEOUT, f"no complete answer within {seconds:g} s", received=received)


def _failed_source(error: SourceError, *, begun: bool) -> AttemptFailure:
    if is_out_of_descriptors(error.__cause__) and not begun:
        # The connection is closed with this attempt, which leaves its descriptor to the file of another.
        return AttemptFailure(FailureKind.NOT_SENT, str(error), overloaded=True)
    return AttemptFailure(FailureKind.SOURCE, str(error), error)


def _is_silent_end(error: Exception) -> bool:
    """Whether a connection ended before any byte of an answer; of a part of a head aiohttp keeps the message."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return error.message in {None, "Server disconnected"}
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError) -> AttemptFailure:
    message = f"no connection (the proxy answered {error.status})"
    if error.status in _PASSING_PROXY_STATUSES:
        return AttemptFailure(FailureKind.NOT_SENT, message)
    if error.status == 407:
        message += ": it requires credentials, as in proxy='http://user:password@host:port'"
    return AttemptFailure(FailureKind.PROXY, message)


def _refused_tls(error: Exception, server: str) -> str | None:
    """Return why TLS can never be agreed on with this server, or None if that is not the reason."""
    certificate_error: Any = getattr(error, "certificate_error", None)
    for cause in (certificate_error, *_causes(error)):
        if isinstance(cause, ssl.SSLCertVerificationError | ssl.CertificateError):
            reason = str(getattr(cause, "verify_message", "") or type(cause).__name__)
            return f"the TLS certificate of {server} was refused: {reason}"
        reason = _tls_reason(cause)
        if any(alert in reason for alert in _NO_COMMON_VERSION):
            return f"{server} and this client have no TLS version in common ({reason}); see ssl_context="
        if any(alert in reason for alert in _CLIENT_REFUSED) and "ALERT" in reason:
            return (
                f"{server} refused the TLS connection ({reason}): it may require a client certificate; load one into "
                "an ssl.SSLContext and pass ssl_context="
            )
        if any(alert in reason for alert in _NOT_TLS):
            return f"{server} does not speak TLS ({reason}); is the port right, or should api_root be http://?"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "os_error", None)
        if isinstance(inner, BaseException) and inner is not error:
            yield inner
        error = error.__cause__ or error.__context__


def _tls_reason(cause: object) -> str:
    """Return OpenSSL's name of the reason, such as ``TLSV13_ALERT_CERTIFICATE_REQUIRED``; empty if it is not of TLS."""
    # aiohttp's own subclasses of SSLError lack the attribute; their cause has it.
    return str(getattr(cause, "reason", None) or "") if isinstance(cause, ssl.SSLError) else ""


def _connect_reason(error: Exception, cause: object) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "timeout while connecting"
    if isinstance(cause, ssl.SSLError):
        if _tls_reason(cause) == "UNEXPECTED_EOF_WHILE_READING" or isinstance(cause, ssl.SSLEOFError):
            return "the server closed the connection during the TLS handshake"
        return f"TLS: {_tls_reason(cause) or type(cause).__name__}"
    if isinstance(cause, ConnectionResetError) and isinstance(error, aiohttp.ClientConnectorError) and error.ssl:
        return "the connection was closed during the TLS handshake"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(error).__name__
