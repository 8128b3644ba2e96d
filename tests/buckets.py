"""An S3 server in a process of its own, and a proxy in front of it that misbehaves."""

import contextlib
import http.client
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

SECRET = "wJalrXUtnFEMI-SECRET"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIA-TEST",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    # The retries under test are not those of botocore, which wait for seconds.
    "AWS_MAX_ATTEMPTS": "1",
}
_HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date", "content-length"}


@contextlib.contextmanager
def moto_server() -> Iterator[int]:
    """Run moto's server; yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@attrs.define
class Fault:
    """What happens to requests whose method and target match: to the first `times` after `skip` others."""

    match: str
    kind: str
    times: int = 1
    skip: int = 0
    action: Callable[[], None] | None = None
    seen: int = 0

    def takes(self, request: str) -> bool:
        if re.search(self.match, request) is None:
            return False
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


@attrs.define
class FaultProxy:
    """An HTTP proxy that passes requests to a server, except for its faults."""

    target: int
    faults: list[Fault] = attrs.field(factory=list)
    requests: list[str] = attrs.field(factory=list)
    page: int | None = None
    """Keys on a page of a list, in place of 1,000."""
    server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, match: str, kind: str, **more: Any) -> Fault:
        fault = Fault(match, kind, **more)
        self.faults.append(fault)
        return fault

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _handle(self) -> None:
        owner = self.owner
        request = f"{self.command} {self.path}"
        owner.requests.append(request)
        fault = next((fault for fault in owner.faults if fault.takes(request)), None)
        if fault is not None and fault.action is not None:
            fault.action()
        kind = "" if fault is None else fault.kind
        size = int(self.headers.get("Content-Length") or 0)
        if kind == "reset while sending":
            self.rfile.read(size // 2)
            self._reset()
            return
        body = self.rfile.read(size)
        if kind in _ANSWERS:
            status, code, message = _ANSWERS[kind]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            self._answer(status, {"Content-Type": "application/xml"}, text, "")
            return
        status, headers, answer = self._pass_on(body)
        self._answer(status, headers, answer, kind)

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path = self.path
        if "list-type=2" in path and self.owner.page is not None:
            path += f"&max-keys={self.owner.page}"
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=60)
        with contextlib.closing(connection):
            connection.request(self.command, path, body, {k: v for k, v in self.headers.items() if k != "Expect"})
            answer = connection.getresponse()
            headers = {key: value for key, value in answer.getheaders() if key.lower() not in _HOP}
            if self.command == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, headers, answer.read()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, kind: str) -> None:
        if kind == "short":
            body = body[: len(body) // 2]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind in {"reset", "truncated"}:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            if kind == "reset":
                self._reset()
        elif kind == "slow":
            for start in range(0, len(body), max(len(body) // 5, 1)):
                self.wfile.write(body[start : start + max(len(body) // 5, 1)])
                time.sleep(0.05)
        else:
            self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - names of http.server


_ANSWERS = {
    "slow down": (503, "SlowDown", "Please reduce your request rate."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "internal": (500, "InternalError", "We encountered an internal error."),
}
