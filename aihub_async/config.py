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

# Servers read a header as Latin-1 or as UTF-8; only ASCII arrives as what it was.
_HEADER_TEXT = re.compile(r"[\x20-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# They tell where a request ends.
_FRAMING = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
# Without what URL parsers disagree about.
_ROOT = re.compile(r"[^\s\\\x00-\x1f\x7f]+")
_WHAT_IS_WRONG = (
    "is empty or has characters that an HTTP header cannot carry (line breaks, control characters, or letters outside "
    "ASCII); was it pasted with a line break?"
)


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
class ClientConfig:
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
    reconcile_for: float | None = None
    """Seconds for which lookups go on after an unclear once-only request; None means `timeout`."""
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

    @property
    def lookup_seconds(self) -> float:
        """Seconds for which lookups must find nothing before a once-only request counts as not carried out."""
        return self.timeout if self.reconcile_for is None else self.reconcile_for

    def evolve(self, **changes: Any) -> "ClientConfig":
        """The same settings with some changed; None means unchanged, values are checked as at construction."""
        given = {name: value for name, value in changes.items() if value is not None}
        if "ib_context" in given:
            given["ib_context"] = header_text("ib_context", given["ib_context"])
        if "headers" in given:
            given["headers"] = {**self.headers, **checked_headers(given["headers"])}
        return _checked_numbers(attrs.evolve(self, **given))


def make_settings(
    api_key: str | Secret | None,
    ib_context: str | None,
    api_root: str | None,
    *,
    allow_insecure: bool = False,
    **options: Any,
) -> ClientConfig:
    """Gather and check the settings of a client.

    Raises:
        ConfigurationError: something is missing or cannot be used; the message names it and says what to do.
    """
    # Wrapped at once, so that no traceback with locals shows the key.
    api_key = as_secret(api_key)
    _check_key(api_key)
    context = ib_context if ib_context is not None else os.environ.get("AIHUB_IB_CONTEXT")
    root = api_root or os.environ.get("AIHUB_API_ROOT") or DEFAULT_API_ROOT
    given = {name: value for name, value in options.items() if value is not None}
    given["headers"] = checked_headers(given.get("headers", {}))
    return _checked_numbers(
        ClientConfig(
            api_key=api_key,
            ib_context=header_text("ib_context", context) if context else None,
            api_root=_checked_root(root, allow_insecure=allow_insecure),
            **given,
        )
    )


def header_text(label: str, value: str) -> str:
    """Check that a text can travel in a header; the message never quotes it."""
    if not _matches(_HEADER_TEXT, value):
        raise ConfigurationError(f"{label} {_WHAT_IS_WRONG}")
    return value


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Check names and values of headers; the message never quotes a value."""
    for name in headers:
        if not _matches(_HEADER_NAME, name):
            raise ConfigurationError(f"{name!r} cannot be the name of a header")
        if name.lower() in _FRAMING:
            raise ConfigurationError(f"the header {name} is the client's own business")
    return {name: header_text(f"header {name}", value) for name, value in headers.items()}


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def as_secret(key: object) -> Secret:
    """Wrap a key; None is looked up in the environment, and what is no text becomes an empty secret."""
    if isinstance(key, Secret):
        return key
    found = os.environ.get("AIHUB_API_KEY", "") if key is None else key
    return Secret(found.strip(" ") if isinstance(found, str) else "")


def _check_key(key: Secret) -> None:
    # It looks at the key without a local variable: this frame is part of the traceback.
    if not key.reveal():
        raise ConfigurationError("no API key: pass api_key=…, a str, or set AIHUB_API_KEY")
    if not _HEADER_TEXT.fullmatch(key.reveal()):
        raise ConfigurationError(f"api_key {_WHAT_IS_WRONG}")


def _checked_root(root: str, *, allow_insecure: bool) -> str:
    if not _matches(_ROOT, root):
        raise ConfigurationError(f"api_root {root!r} must not have spaces, backslashes or control characters")
    try:
        parts = urlsplit(root)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("api_root is not a URL; it looks like https://my-org.instabase.com/api") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("api_root must not hold a user name or password; pass api_key=… instead")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"api_root {root!r} is not a URL such as https://my-org.instabase.com/api")
    if "?" in root or "#" in root:
        raise ConfigurationError(f"api_root {root!r} must not have a query or a fragment")
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


def _checked_numbers(settings: ClientConfig) -> ClientConfig:
    for name in ("timeout", "deadline", "connect_timeout", "max_retry_after", "min_throughput"):
        value = getattr(settings, name)
        if value is not None and not (_is_number(value) and value > 0):
            raise ConfigurationError(f"{name} must be a number greater than 0, not {value!r}")
    lookup = settings.reconcile_for
    if lookup is not None and not (_is_number(lookup) and 0 <= lookup < float("inf")):
        raise ConfigurationError(f"reconcile_for must be a finite number of seconds, 0 or more, not {lookup!r}")
    for name, least in _COUNTS.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name} must be a whole number, {least} or more, not {value!r}")
    return settings


_COUNTS = {"max_retries": 0, "max_connections": 1, "max_bytes_in_flight": 1, "max_response_bytes": 1}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """The TLS settings that all clients share unless told otherwise; loading the certificates takes about 20 ms."""
    return ssl.create_default_context()
