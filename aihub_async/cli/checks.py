"""The checks of `aihub doctor`: each returns what it found and what to do about it."""

import asyncio
import contextlib
import datetime as dt
import os
import platform
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import attrs

from aihub_async.client import AsyncAIHub
from aihub_async.clock import http_date
from aihub_async.config import ClientConfig, default_ssl_context
from aihub_async.errors import AIHubError, AuthenticationError, ForbiddenError, StatusError
from aihub_async.transport.events import capture_responses

OK, INFO, WARNING, FAILURE = "ok", "info", "warning", "failure"

_SECONDS = 10.0
"""Longest duration of one check of the network."""
_EXPIRES_SOON = 14
"""Days before the end of a certificate that are worth a warning."""
_CLOCK_SECONDS = 60.0
_LEAST_DESCRIPTORS = 256
_LEAST_DISK = 1 << 30
_PACKAGES = ("aihub-async", "aiohttp", "anyio", "attrs", "cattrs", "msgspec")
_EXTRAS = ("pypdf", "pyarrow", "pandas", "polars", "xlsxwriter", "pypdfium2", "redis", "dask", "fsspec", "uvloop")
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@attrs.frozen
class Finding:
    """The result of one check; `advice` is what to do, if anything."""

    name: str
    status: str
    detail: str
    advice: str | None = None


def versions() -> Finding:
    """Name the versions that take part."""
    found = [f"{name} {_version(name)}" for name in _PACKAGES]
    system = f"{platform.system()} {platform.release()}"
    return Finding("versions", OK, f"Python {platform.python_version()} on {system}; " + ", ".join(found))


def extras() -> Finding:
    """Name the optional packages that are installed."""
    found = {name: _version(name) for name in _EXTRAS}
    there = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    absent = ", ".join(name for name, version in found.items() if version is None)
    detail = f"installed: {there or 'none'}" + (f"; not installed: {absent}" if absent else "")
    if found["uvloop"] is None and sys.platform != "win32":
        return Finding(
            "extras", INFO, detail, "uvloop makes many small uploads faster: pip install 'aihub-async[speed]'"
        )
    return Finding("extras", OK, detail)


def _version(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def descriptors() -> Finding:
    """Check how many files the process may open."""
    try:
        import resource
    except ModuleNotFoundError:
        return Finding("open files", INFO, "this system has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST_DESCRIPTORS:
        advice = f"raise it: ulimit -n 4096 (this system allows {hard}); uploads wait for free descriptors otherwise"
        return Finding("open files", WARNING, f"at most {soft} open files and connections", advice)
    return Finding("open files", OK, f"at most {'unlimited' if soft == resource.RLIM_INFINITY else soft}")


def disk() -> Finding:
    """Check the free space of this folder and of the one for temporary files."""
    free = {folder: shutil.disk_usage(folder).free for folder in {os.curdir, tempfile.gettempdir()}}
    detail = ", ".join(f"{size / 1e9:,.1f} GB free in {folder}" for folder, size in sorted(free.items()))
    if min(free.values()) < _LEAST_DISK:
        return Finding("disk", WARNING, detail, "journals, results and downloads need room: free some, or use another")
    return Finding("disk", OK, detail)


def proxies(settings: ClientConfig) -> Finding:
    """Check which proxy is used, and whether the environment names one that is not."""
    named = [name for name in _PROXY_VARIABLES if os.environ.get(name)]
    if settings.proxy is not None:
        return Finding("proxy", OK, f"requests go through {settings.proxy}")
    if named and not settings.trust_env:
        advice = "if the service is only reached through it, pass trust_env=True or proxy=, or set it in the profile"
        return Finding("proxy", WARNING, f"none is used, although {named[0]} is set", advice)
    return Finding("proxy", OK, "none")


async def network(settings: ClientConfig) -> AsyncIterator[Finding]:
    """Check name, connection and TLS, one after the other; those after a failure are left out."""
    parts = urlsplit(settings.api_root)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if settings.proxy is not None:
        yield Finding("network", INFO, "not checked one by one, because the proxy connects to the service")
        return
    found = await _resolve(host, port)
    yield found
    if found.status == FAILURE:
        return
    found = await _connect(host, port)
    yield found
    if found.status == FAILURE:
        return
    if parts.scheme == "https":
        yield await _handshake(host, port, settings.ssl_context or default_ssl_context())
    else:
        local = host in {"localhost", "127.0.0.1", "::1"}
        advice = None if local else "the API key and the documents can be read on the way; use https://"
        yield Finding("TLS", INFO if local else WARNING, "none: the root is http://", advice)


async def _resolve(host: str, port: int) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        advice = "check the host name in the root, the DNS settings of this machine, and whether a VPN is needed"
        return Finding("DNS", FAILURE, f"{host} has no address: {_reason(error)}", advice)
    addresses = ", ".join(dict.fromkeys(str(address[4][0]) for address in found))
    return Finding("DNS", OK, f"{host} is {addresses} ({_milliseconds(began)})")


async def _connect(host: str, port: int) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        advice = "a firewall may block it, or a proxy may be needed: proxy=, or trust_env=True with HTTPS_PROXY"
        return Finding("TCP", FAILURE, f"no connection to {host}:{port}: {_reason(error)}", advice)
    await _close(writer)
    return Finding("TCP", OK, f"{host}:{port} accepts connections ({_milliseconds(began)})")


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        advice = (
            "a proxy that inspects TLS, or a private authority? Pass its certificate with SSL_CERT_FILE=ca.pem or "
            "ssl_context="
        )
        return Finding("TLS", FAILURE, f"the certificate is refused: {error.verify_message}", advice)
    except (OSError, TimeoutError) as error:
        return Finding("TLS", FAILURE, f"no TLS with {host}:{port}: {_reason(error)}", "is this an https:// server?")
    stream = writer.get_extra_info("ssl_object")
    certificate: dict[str, Any] = stream.getpeercert() or {}
    version = stream.version()
    await _close(writer)
    issuer = dict(pair[0] for pair in certificate.get("issuer", ()))
    ends = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), dt.UTC)
    days = (ends - dt.datetime.now(dt.UTC)).days
    detail = f"{version}, issued by {issuer.get('organizationName') or issuer.get('commonName')}, valid for {days} days"
    if days < _EXPIRES_SOON:
        return Finding("TLS", WARNING, detail, "the certificate expires soon: inform the operator of the service")
    return Finding("TLS", OK, f"{detail} ({_milliseconds(began)})")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    # A peer that resets the connection at its end has answered all the same.
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def service(client: AsyncAIHub) -> AsyncIterator[Finding]:
    """Check the authorization with one request, and this machine's clock with its answer."""
    began = time.monotonic()
    with capture_responses() as responses:
        try:
            await client.batches.list(limit=1)
        except (AuthenticationError, ForbiddenError) as error:
            yield Finding("authorization", FAILURE, str(error), _advice_on_access(client))
        except AIHubError as error:
            advice = "is the root right? It ends in /api" if isinstance(error, StatusError) else None
            yield Finding("authorization", FAILURE, str(error), advice)
        else:
            yield Finding("authorization", OK, f"the service accepts the key ({_milliseconds(began)})")
    now = dt.datetime.now(dt.UTC)
    if responses:
        yield _clock(responses[-1].headers.get("Date"), now)


def _advice_on_access(client: AsyncAIHub) -> str:
    context = "" if client.settings.ib_context else ", and set the IB-Context: the organization id"
    return f"make a new key in the settings of AI Hub, check that it belongs to this root{context}"


def _clock(date: str | None, now: dt.datetime) -> Finding:
    theirs = http_date(date or "")
    if theirs is None:
        return Finding("clock", INFO, "the answer has no Date header")
    ahead = (now - theirs).total_seconds()
    if abs(ahead) > _CLOCK_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        detail = f"this machine is {abs(ahead):,.0f} s {side} the service"
        return Finding("clock", WARNING, detail, "set the clock (NTP): certificates and `--since` depend on it")
    return Finding("clock", OK, f"within {_CLOCK_SECONDS:.0f} s of the service")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS:.0f} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _milliseconds(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
