"""Settings of a client: what they are, and where each comes from.

An argument wins over the environment (`AIHUB_API_KEY`, `AIHUB_IB_CONTEXT`, `AIHUB_API_ROOT`), which wins over the
default. Settings are frozen; two clients never share any.
"""

import functools
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from aihub_async.errors import ConfigurationError

DEFAULT_API_ROOT = "https://aihub.instabase.com/api"
KIB = 1024

# Header values travel as Latin-1; everything else would be dropped or mangled on the way.
_HEADER_TEXT = re.compile(r"[\x20-\x7e\xa0-\xff]+")


@attrs.frozen(repr=False)
class Secret:
    """Text that never shows itself; `reveal()` gives it."""

    _value: str

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret cannot be pickled; pass it to the other process in another way")


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that a client was told. All times are seconds, all sizes bytes."""

    api_key: Secret
    ib_context: str | None = None
    api_root: str = DEFAULT_API_ROOT
    timeout: float = 60.0
    """One attempt may take this long, plus the time its bytes take at `min_throughput`."""
    deadline: float | None = 300.0
    """One call with all its attempts and waits may take this long, plus the time its bytes take at `min_throughput`."""
    connect_timeout: float = 10.0
    max_retries: int = 4
    max_retry_after: float = 60.0
    """A longer Retry-After is shortened to this."""
    max_connections: int = 64
    """Requests in flight at once; a few more are kept for polls and cancels."""
    max_bytes_in_flight: int = 64 * KIB * KIB
    min_throughput: float = 32.0 * KIB
    max_response_bytes: int = 256 * KIB * KIB
    """Largest answer that is held in memory, after decompression."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)
    trust_env: bool = False

    def evolve(self, **changes: Any) -> "Settings":
        """The same settings with some changed; None means unchanged, values are checked as at construction."""
        given = {name: value for name, value in changes.items() if value is not None}
        if "ib_context" in given:
            given["ib_context"] = header_text("ib_context", given["ib_context"])
        if "headers" in given:
            given["headers"] = {**self.headers, **_checked_headers(given["headers"])}
        return _checked_numbers(attrs.evolve(self, **given))


def make_settings(
    api_key: str | Secret | None,
    ib_context: str | None,
    api_root: str | None,
    *,
    allow_insecure: bool = False,
    environ: Mapping[str, str] = os.environ,
    **options: Any,
) -> Settings:
    """Gather and check the settings of a client.

    Raises:
        ConfigurationError: something is missing or cannot be used; the message names it and says what to do.
    """
    key = api_key if api_key is not None else environ.get("AIHUB_API_KEY")
    if not key:
        raise ConfigurationError("no API key: pass api_key=… or set AIHUB_API_KEY")
    context = ib_context if ib_context is not None else environ.get("AIHUB_IB_CONTEXT")
    root = api_root or environ.get("AIHUB_API_ROOT") or DEFAULT_API_ROOT
    given = {name: value for name, value in options.items() if value is not None}
    given["headers"] = _checked_headers(given.get("headers", {}))
    return _checked_numbers(
        Settings(
            api_key=_checked_key(key),
            ib_context=header_text("ib_context", context) if context else None,
            api_root=_checked_root(root, allow_insecure=allow_insecure),
            **given,
        )
    )


def header_text(label: str, value: str) -> str:
    """Check that a text can travel in a header; the message never quotes it."""
    if not _HEADER_TEXT.fullmatch(value):
        raise ConfigurationError(
            f"{label} is empty or has characters that an HTTP header cannot carry (line breaks, control characters, "
            "or letters outside Latin-1); was it pasted with a line break?"
        )
    return value


def _checked_key(key: str | Secret) -> Secret:
    secret = key if isinstance(key, Secret) else Secret(key.strip(" "))
    del key
    # A helper that raises would keep the key among the locals of its frame.
    if not _HEADER_TEXT.fullmatch(secret.reveal()):
        raise ConfigurationError(
            "api_key is empty or has characters that an HTTP header cannot carry (line breaks, control characters, or "
            "letters outside Latin-1); was it pasted with a line break?"
        )
    return secret


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {header_text("a header name", name): header_text(f"header {name}", value) for name, value in headers.items()}


def _checked_root(root: str, *, allow_insecure: bool) -> str:
    try:
        parts = urlsplit(root)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("api_root is not a URL; it looks like https://my-org.instabase.com/api") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("api_root must not hold a user name or password; pass api_key=… instead")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"api_root {root!r} is not a URL such as https://my-org.instabase.com/api")
    if parts.query or parts.fragment or re.search(r"\s", root):
        raise ConfigurationError(f"api_root {root!r} must not have a query, a fragment or spaces")
    if parts.scheme == "http" and not allow_insecure and not _is_loopback(host):
        raise ConfigurationError(
            f"api_root {root!r} would send the API key unencrypted; use https://, or pass allow_insecure=True"
        )
    return root.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_numbers(settings: Settings) -> Settings:
    positive = {
        "timeout": settings.timeout,
        "connect_timeout": settings.connect_timeout,
        "max_connections": settings.max_connections,
        "max_bytes_in_flight": settings.max_bytes_in_flight,
        "min_throughput": settings.min_throughput,
        "max_response_bytes": settings.max_response_bytes,
        "deadline": settings.deadline if settings.deadline is not None else 1,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ConfigurationError(f"{name} must be greater than 0, not {value!r}")
    if settings.max_retries < 0:
        raise ConfigurationError(f"max_retries must be 0 or more, not {settings.max_retries!r}")
    return settings


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """The TLS settings that all clients share unless told otherwise; loading the certificates takes about 20 ms."""
    return ssl.create_default_context()
