"""Connections as they are: closed without a word, refused by TLS, named in errors; headers of every length."""

import asyncio
import contextlib
import gzip
import logging
import socket
import ssl
import subprocess
import threading
from unittest import mock

import aiohttp
import pytest

from aihub_async import AsyncAIHub, errors
from aihub_async.transport import _aiohttp

OK = b"HTTP/1.1 200 Whatever\r\nContent-Length: 20\r\n\r\n" + b'{"id":1, "name":"a"}'
STORED = b"HTTP/1.1 204 Whatever\r\n\r\n"
BATCH = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"id": 1}'


def then_close(data):
    """Answer, and close the connection a moment later without having said so."""

    async def script(exchange):
        await exchange.send(data)
        asyncio.get_running_loop().call_later(0.002, exchange.writer.close)

    return script


def dead_when_used(data):
    """Answer; whatever comes next on this connection is not answered: it is closed."""

    async def script(exchange):
        served = exchange.writer.__dict__.setdefault("served", 0)
        exchange.writer.served = served + 1
        if served:
            exchange.writer.close()
        else:
            await exchange.send(data)

    return script


async def test_kept_connections_that_the_server_closed_cost_nothing(server, make_client, fake_clock):
    events = []
    client = make_client(max_retries=0, hooks=[events.append])
    server.says(dead_when_used(OK))
    for _ in range(5):
        assert (await client.batches.get(1)).id == 1
    # A new connection is used once and then closed, so that every second call finds no kept one.
    assert [event.outcome for event in events] == ["200", "lost", "200", "200", "lost", "200", "200"]
    assert (client._transport.quota.tokens, fake_clock.slept) == (500, [])
    # Each attempt that reached the server is counted.
    assert len(server.seen) == 7
    assert server.connections == 5


async def test_uploads_to_a_server_that_closes_every_connection(server, make_client):
    client = make_client(max_retries=0)
    server.says(then_close(STORED))
    report = await client.batches.upload(1, ((f"{n}.txt", b"x") for n in range(200)), on_error="collect")
    assert report.failed == []
    assert client._transport.governor.limit.current >= 8


async def test_a_dead_kept_connection_leaves_a_once_only_request_unclear(server, client, wire):
    """The server may have read it before it closed."""
    server.says(OK, wire.hang_up)
    await client.batches.get(1)
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await wire.once(client)
    assert caught.value.cause == "lost"
    assert len(server.seen) == 2


async def test_a_new_connection_that_dies_counts(server, make_client, wire):
    client = make_client(max_retries=1)
    server.says(wire.hang_up)
    with pytest.raises(errors.ConnectionLostError) as caught:
        await client.batches.get(1)
    assert len(caught.value.attempts) == len(server.seen) == 2


async def test_a_connector_of_the_user_gets_three_free_attempts(server, make_client):
    connector = aiohttp.TCPConnector()
    client = make_client(max_retries=0, connector=connector)
    server.says(dead_when_used(OK))
    await client.batches.get(1)
    assert (await client.batches.get(1)).id == 1
    await connector.close()


async def test_errors_name_host_and_port(server, make_client, wire):
    server.says(wire.hang_up)
    client = make_client(max_retries=0)
    where = rf"127\.0\.0\.1:{server.port}"
    with pytest.raises(errors.ConnectionLostError, match=where):
        await client.batches.get(1)
    with pytest.raises(errors.ConnectionLostError, match=where):
        await client.batches.add_file(1, "a.txt", b"1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        client = make_client(max_retries=0, api_root=f"http://127.0.0.1:{port}/api")
        with pytest.raises(errors.ConnectError, match=rf"no connection to 127\.0\.0\.1:{port}"):
            await client.batches.get(1)
        proxied = make_client(max_retries=0, api_root="https://hub.example/api", proxy=f"u:S3CRET@127.0.0.1:{port}")
        with pytest.raises(errors.ConnectError, match=rf"no connection to the proxy 127\.0\.0\.1:{port}") as caught:
            await proxied.batches.get(1)
        assert "S3CRET" not in str(caught.value)
    unknown = make_client(max_retries=0, api_root="https://hub.example/api", proxy="proxy.invalid:3128")
    with pytest.raises(errors.ConnectError, match=r"no connection to the proxy proxy\.invalid:3128"):
        await unknown.batches.get(1)
    unknown = make_client(max_retries=0, api_root="https://hub.invalid/api")
    with pytest.raises(errors.ConnectError, match=r"no connection to hub\.invalid:443"):
        await unknown.batches.get(1)


async def test_an_encoding_that_was_not_requested_is_named(server, make_client, wire):
    server.says(wire.answer(200, b"\x0b\x02\x80{}\x03", Content_Encoding="br"))
    for call in (lambda client: client.batches.get(1), lambda client: client.batches.add_file(1, "a.txt", b"1")):
        with pytest.raises(errors.ConnectionLostError, match="a Content-Encoding that was not requested"):
            await call(make_client(max_retries=0))


@pytest.mark.parametrize("status", [403, 407])
async def test_a_proxy_that_refuses_is_asked_once(server, make_client, wire, status):
    server.says(wire.answer(status))
    client = make_client(api_root="https://hub.example/api", proxy=server.root)
    with pytest.raises(errors.ConnectError, match=f"proxy answered {status}") as caught:
        await client.batches.create("x")
    assert ("requires credentials" in str(caught.value)) is (status == 407)
    assert len(server.seen) == 1


async def test_a_proxy_with_a_passing_trouble_is_asked_again(server, make_client, wire):
    server.says(wire.answer(503))
    client = make_client(api_root="https://hub.example/api", proxy=server.root, max_retries=2)
    with pytest.raises(errors.ConnectError, match="proxy answered 503"):
        await client.batches.create("x")
    assert len(server.seen) == 3


@pytest.mark.parametrize("size", [9_000, 20_000, 60_000])
async def test_long_headers_are_read(server, client, wire, size):
    server.says(wire.answer(200, {"id": 1, "name": "a"}, Set_Cookie="sso=" + "x" * size))
    assert (await client.batches.get(1)).id == 1
    assert (await client.batches.create("a")).id == 1
    assert len(server.seen) == 2


async def test_a_header_that_is_too_long_is_named(server, make_client, wire):
    server.says(wire.answer(200, {"id": 1}, Set_Cookie="sso=" + "S3CRET" * 20_000))
    client = make_client(max_retries=0)
    with pytest.raises(errors.ConnectionLostError, match="a header of the answer is longer than 64 KB") as caught:
        await client.batches.get(1)
    assert "S3CRET" not in f"{caught.value!r}"
    with pytest.raises(errors.OutcomeUnknownError, match="longer than 64 KB"):
        await wire.once(client)
    assert len(server.seen) == 2


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZIP"])
async def test_gzip_by_its_old_name(server, client, wire, encoding):
    body = gzip.compress(b'{"id":1,') + gzip.compress(b'"name":"a"}') if encoding != "gzip" else None
    body = body or gzip.compress(b'{"id":1,"name":"a"}')
    server.says(wire.answer(200, body, Content_Encoding=encoding))
    assert (await client.batches.get(1)).name == "a"
    assert (await client.batches.create("a")).id == 1


async def test_a_bomb_and_a_cut_in_x_gzip(server, make_client, wire):
    client = make_client(max_retries=0, max_response_bytes=100_000)
    server.says(wire.answer(200, gzip.compress(b" " * 10_000_000), Content_Encoding="x-gzip"))
    with pytest.raises(errors.ResponseTooLargeError):
        await client.batches.get(1)
    server.says(wire.answer(200, gzip.compress(b'{"id":1,"name":"a"}')[:-9], Content_Encoding="x-gzip"))
    with pytest.raises(errors.ConnectionLostError, match="broke off"):
        await client.batches.get(1)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_cancellation_shows_no_frame_of_aiohttp(server, make_client, wire, method):
    """Its locals hold the Authorization header, and tools such as rich print them."""
    server.says(wire.silence)
    client = make_client(max_retries=0)
    task = asyncio.ensure_future(client.batches.get(1) if method == "GET" else client.batches.add_file(1, "a", b"1"))
    while not server.seen:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    frames = [frame for frame, _ in _walk(caught.value) if "/aiohttp/" in frame.f_code.co_filename]
    assert frames == []


def _walk(error):
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


# TLS


@pytest.fixture(scope="session")
def client_certificate(tmp_path_factory):
    both = tmp_path_factory.mktemp("client-tls") / "both.pem"
    key, cert = both.with_name("key.pem"), both.with_name("cert.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=client"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def tls_context(certificate, version=None, require=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if require is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(require)
    return context


class BlockingServer:
    """Serves each connection in a thread: unlike asyncio's, its TLS sends the alert before it closes."""

    def __init__(self, serve):
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.connections = self.requests = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def root(self):
        return f"https://127.0.0.1:{self.port}/api"

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), connection:
                self._serve(self, connection)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


def over_tls(context):
    def serve(server, connection):
        tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
        except ssl.SSLError:
            # Closed with unread bytes, the socket would be reset, and the alert lost.
            socket.socket.shutdown(tls, socket.SHUT_WR)
            while socket.socket.recv(tls, 65536):
                pass
            tls.close()
            return
        with tls:
            head = b""
            while b"\r\n\r\n" not in head and (data := tls.recv(65536)):
                head += data
            if head:
                server.requests += 1
                tls.sendall(OK)

    return serve


@pytest.fixture
def blocking():
    servers = []

    def make(serve):
        servers.append(BlockingServer(serve))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("call", ["get", "once", "put"])
async def test_a_server_that_requires_a_client_certificate(
    blocking, make_client, certificate, client_certificate, fake_clock, wire, version, call
):
    tls = blocking(over_tls(tls_context(certificate, version, client_certificate)))
    trusting = ssl.create_default_context(cafile=certificate)
    client = make_client(api_root=tls.root, ssl_context=trusting)
    calls = {
        "get": lambda: client.batches.get(1),
        "once": lambda: wire.once(client),
        "put": lambda: client.batches.add_file(1, "a.txt", b"1"),
    }
    with pytest.raises(errors.CertificateError, match="ssl_context=") as caught:
        await calls[call]()
    assert "client certificate" in str(caught.value)
    assert (len(caught.value.attempts), tls.connections, tls.requests) == (1, 1, 0)
    assert fake_clock.slept == []
    trusting.load_cert_chain(client_certificate)
    assert (await make_client(api_root=tls.root, ssl_context=trusting).batches.get(1)).id == 1


async def test_no_common_tls_version(blocking, make_client, certificate, fake_clock):
    tls = blocking(over_tls(tls_context(certificate, ssl.TLSVersion.TLSv1_3)))
    old = ssl.create_default_context(cafile=certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client = make_client(api_root=tls.root, ssl_context=old)
    with pytest.raises(errors.CertificateError, match="no TLS version in common"):
        await client.batches.create("x")
    assert (tls.connections, fake_clock.slept) == (1, [])


async def test_a_server_without_tls(blocking, make_client, fake_clock):
    plain = blocking(lambda _, connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    client = make_client(api_root=plain.root)
    with pytest.raises(errors.CertificateError, match="does not speak TLS"):
        await client.batches.get(1)
    assert (plain.connections, fake_clock.slept) == (1, [])


async def test_a_handshake_that_is_closed_keeps_its_reason(blocking, make_client):
    closing = blocking(lambda _, connection: connection.recv(1))
    client = make_client(api_root=closing.root, max_retries=2)
    with pytest.raises(errors.ConnectError, match="during the TLS handshake"):
        await client.batches.get(1)
    assert closing.connections == 3


# aiohttp's non-public parts


@pytest.mark.parametrize("target", ["_request", "request"])
async def test_a_mock_that_stands_before_the_first_client_sees_every_request(server, target):
    """Also small bodies, which otherwise do not pass through ClientSession."""
    seen = []

    async def fake(self, method, url, **options):
        seen.append(method)
        raise aiohttp.ClientConnectionError("mocked")

    with mock.patch.object(aiohttp.ClientSession, target, fake):
        async with AsyncAIHub("key", api_root=server.root, max_retries=0) as client:
            for call in (client.batches.list, lambda: client.batches.add_file(1, "a", b"1")):
                with pytest.raises(errors.RequestError):
                    await call()
    assert seen == ["GET", "PUT"]
    assert server.seen == []


async def test_a_wrapped_method_is_recognized(server):
    original, seen = aiohttp.ClientSession._request, []

    async def wrapper(self, method, url, **options):
        seen.append(method)
        return await original(self, method, url, **options)

    wrapper.__qualname__, wrapper.__module__ = original.__qualname__, original.__module__
    server.says(STORED)
    with mock.patch.object(aiohttp.ClientSession, "_request", wrapper):
        async with AsyncAIHub("key", api_root=server.root) as client:
            await client.batches.add_file(1, "a", b"1")
    assert seen == ["PUT"]
    assert len(server.seen) == 1


def test_this_aiohttp_has_all_parts():
    assert _aiohttp.missing_parts() == []


@pytest.mark.parametrize(
    ("owner", "name", "missing"),
    [
        (aiohttp.ClientSession, "trace_configs", "ClientSession.trace_configs"),
        (aiohttp.client_proto.ResponseHandler, "force_close", "ResponseHandler.force_close"),
        (aiohttp.client_proto.ResponseHandler, "set_response_params", "set_response_params"),
        (aiohttp.connector.Connection, "release", "Connection.release"),
        (aiohttp.client_proto.BaseProtocol, "_parser", "ResponseHandler._parser"),
        (aiohttp.BaseConnector, "_get", "BaseConnector._get"),
        (aiohttp.ClientRequest, "connection_key", "ClientRequest.connection_key"),
    ],
)
async def test_a_missing_part_turns_the_direct_way_off(server, monkeypatch, caplog, owner, name, missing):
    monkeypatch.delattr(owner, name)
    assert _aiohttp.missing_parts() == [missing]
    monkeypatch.undo()
    monkeypatch.setattr(_aiohttp, "missing_parts", lambda: [missing])
    _aiohttp.direct_is_possible.cache_clear()
    try:
        server.says(STORED)
        with caplog.at_level(logging.WARNING):
            async with AsyncAIHub("key", api_root=server.root) as client:
                await client.batches.add_file(1, "a", b"1")
                await client.batches.add_file(1, "b", b"1")
        assert caplog.text.count(missing) == 1
        assert [seen.body for seen in server.seen] == [b"1", b"1"]
    finally:
        _aiohttp.direct_is_possible.cache_clear()


def test_a_changed_signature_turns_the_direct_way_off(monkeypatch):
    async def connect(self, request):
        raise AssertionError

    monkeypatch.setattr(aiohttp.BaseConnector, "connect", connect)
    assert _aiohttp.missing_parts() == [
        "BaseConnector.connect(req=)",
        "BaseConnector.connect(timeout=)",
        "BaseConnector.connect(traces=)",
    ]


async def test_a_connector_with_a_connect_of_its_own_sees_every_request(server):
    class Counting(aiohttp.TCPConnector):
        count = 0

        async def connect(self, req, traces, timeout):
            self.count += 1
            return await super().connect(req, traces, timeout)

    server.says(STORED, STORED, STORED)
    async with Counting() as connector, AsyncAIHub("key", api_root=server.root, connector=connector) as client:
        for name in ("a", "b", "c"):
            await client.batches.add_file(1, name, b"1")
        assert connector.count == 3


async def test_kept_connections_of_small_uploads_are_used_again(server):
    server.says(STORED, STORED, STORED)
    async with AsyncAIHub("key", api_root=server.root) as client:
        for name in ("a", "b", "c"):
            await client.batches.add_file(1, name, b"1")
    assert len(server.seen) == 3
    assert server.connections == 1


async def test_small_uploads_and_other_requests_take_turns_on_one_connection(server):
    server.says(STORED, BATCH, STORED, STORED, BATCH, STORED)
    async with AsyncAIHub("key", api_root=server.root) as client:
        await client.batches.add_file(1, "a", b"1")
        assert (await client.batches.get(1)).id == 1
        await client.batches.add_file(1, "b", b"2")
        await client.batches.add_file(1, "c", b"3")
        assert (await client.batches.get(1)).id == 1
        await client.batches.add_file(1, "d", b"4")
    assert [seen.body for seen in server.seen if seen.body] == [b"1", b"2", b"3", b"4"]
    assert server.connections == 1
