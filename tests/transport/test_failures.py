"""What an exception of aiohttp means: the cases that a real server produces only by chance."""

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from aihub_async.errors import SourceError
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.failures import failed_before_answer, not_http, timed_out
from aihub_async.transport.payload import Progress

SERVER = "hub.example:443"
KEY = ConnectionKey("hub.example", 443, True, True, None, None, None)


def progress(*, begun: bool = False, error: SourceError | None = None) -> Progress:
    made = Progress()
    made.begun, made.error = begun, error
    return made


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Got more than 65536 bytes when reading: b'secret'", "a header of the answer is longer than"),
        ("Can not decode content-encoding: br", "a Content-Encoding that was not requested"),
        ("Too many headers received", "too many headers"),
        ("Bad status line 'secret'", "is not HTTP (ClientResponseError)"),
    ],
)
def test_an_answer_that_the_parser_refuses(message: str, reason: str) -> None:
    failure = not_http(message, "ClientResponseError")
    assert failure.failure is FailureKind.LOST
    assert reason in failure.message
    assert "secret" not in failure.message


def test_an_attempt_that_took_too_long() -> None:
    assert timed_out(5, progress(begun=True), 7).failure is FailureKind.TIMEOUT
    assert timed_out(5, progress(begun=True), 7).received == 7
    # Nothing has left: a once-only request may be sent again.
    assert timed_out(5, progress()).failure is FailureKind.NOT_SENT
    wrong = SourceError("a.pdf cannot be read")
    failure = timed_out(5, progress(begun=True, error=wrong))
    assert (failure.failure, failure.error) == (FailureKind.SOURCE, wrong)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (aiohttp.ConnectionTimeoutError(), "timeout while connecting"),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLEOFError(8, "EOF")), "during the TLS handshake"),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "odd")), "TLS: SSLError"),
        (aiohttp.ClientConnectorError(KEY, ConnectionResetError(104, "reset")), "during the TLS handshake"),
        (aiohttp.ClientConnectorError(KEY, OSError(113, "No route to host")), "No route to host"),
        (aiohttp.ClientConnectorError(KEY, OSError()), "ClientConnectorError"),
    ],
    ids=["timeout", "eof", "tls", "reset", "route", "nameless"],
)
def test_no_connection_was_made(error: Exception, reason: str) -> None:
    failure = failed_before_answer(error, progress(), SERVER)
    assert failure.failure is FailureKind.NOT_SENT
    assert f"no connection to {SERVER} (" in failure.message
    assert reason in failure.message
    assert not failure.overloaded


def test_a_connection_that_breaks_before_and_after_the_first_byte() -> None:
    assert failed_before_answer(ConnectionResetError(), progress(), SERVER).failure is FailureKind.NOT_SENT
    assert failed_before_answer(ConnectionResetError(), progress(begun=True), SERVER).failure is FailureKind.LOST
