"""Settings of a client: what they are, and where each comes from.

An argument wins over the environment (`AIHUB_API_KEY`, `AIHUB_IB_CONTEXT`, `AIHUB_API_ROOT`), which wins over the
profile (`aihub_async.profiles`), which wins over the default. Settings are frozen; two clients never share any.
"""

import functools
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.profiles import ENVIRONMENT, with_profile
from aihub_async.proxy import checked_proxy, environment_proxy, is_loopback, refuse_cleartext
from aihub_async.secrecy import SecretURL, SecretValue, public_url

DEFAULT_API_ROOT = "https://aihub.instabase.com/api"
KIB = 1024
API_VERSIONS = ("2024",)

# Servers read a header as Latin-1 or as UTF-8; only ASCII arrives as what it was.
_HEADER_TEXT = re.compile(r"[\x20-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# They delimit the parts of a request.
_FRAMING = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
# Without what URL parsers disagree about.
_ROOT = re.compile(r"[^\s\\\x00-\x1f\x7f]+")
_WHAT_IS_WRONG = (
    "is empty or has characters that an HTTP header cannot carry (line breaks, control characters, or letters outside "
    "ASCII); was it pasted with a line break?"
)
_EXAMPLE_ROOT = "expected something like https://my-org.instabase.com/api"


KeySource: TypeAlias = Callable[[], str | Awaitable[str]]
"""A function, or coroutine function, that returns the API key."""


@attrs.frozen(kw_only=True)
class ClientConfig:
    """All settings of a client. All times are seconds, all sizes bytes."""

    api_key: SecretValue[str]
    """Empty where `key_source` is set."""
    key_source: SecretValue[KeySource] | None = None
    ib_context: str | None = None
    api_root: str = DEFAULT_API_ROOT
    timeout: float = 60.0
    """One attempt may take this long, plus the time its bytes take at `min_throughput`."""
    deadline: float | None = 300.0
    """One call with all its attempts and waits may take this long, plus the time its bytes take at `min_throughput`."""
    connect_timeout: float = 10.0
    max_retries: int = 4
    """Further attempts after the first; those of an outage, which wait until the server answers again, do not count."""
    max_retry_after: float = 60.0
    """A longer Retry-After is shortened to this."""
    reconcile_for: float | None = None
    """Seconds of lookups after an unclear once-only request; None means `timeout`."""
    max_concurrent_requests: int = 64
    """Requests in flight at a time; a few more are kept for polls and cancels."""
    max_requests_per_second: float | None = None
    """Requests per second, attempts counted singly; None for no limit."""
    max_bytes_in_flight: int = 64 * KIB * KIB
    min_throughput: float = 32.0 * KIB
    max_response_bytes: int = 256 * KIB * KIB
    """Largest answer that is held in memory, after decompression."""
    headers: SecretValue[Mapping[str, str]] = attrs.field(factory=lambda: SecretValue({}))
    """Sent with every request."""
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    proxy: SecretURL | None = None
    trust_env: bool = False
    api_version: str | None = None
    """``"2024"`` for servers of that time, which name some parameters differently; None for current ones."""

    @property
    def lookup_seconds(self) -> float:
        """Seconds for which lookups must find nothing before a once-only request counts as not carried out."""
        return self.timeout if self.reconcile_for is None else self.reconcile_for

    def evolve(self, **changes: Any) -> "ClientConfig":
        """Return the settings with some changed; None means unchanged, values are checked as at construction."""
        given = {name: value for name, value in changes.items() if value is not None}
        if "ib_context" in given:
            given["ib_context"] = header_text("ib_context", SecretValue(given["ib_context"]))
        if "headers" in given:
            more = checked_headers(SecretValue(given.pop("headers")))
            given["headers"] = SecretValue({**self.headers.reveal(), **more.reveal()})
        return _checked_values(attrs.evolve(self, **given))


def make_settings(arguments: SecretValue[dict[str, Any]], *, allow_insecure: bool = False) -> ClientConfig:
    """Gather and check the settings of a client.

    Args:
        arguments: fields of `ClientConfig` in their plain forms, where None means the default. They are wrapped because
            this frame and those below it are part of a traceback.
        allow_insecure: allow an ``http://`` root that is not on this machine, or that is reached through a proxy.

    Raises:
        ConfigurationError: something is missing or cannot be used; the message names it and says what to do.
    """
    arguments = with_profile(arguments)
    allow_insecure = allow_insecure or is_insecure_allowed(arguments)
    source = _key_source(arguments)
    key = SecretValue("") if source is not None else as_secret(SecretValue(arguments.reveal().get("api_key")))
    if source is None:
        _check_key(key)
    context = SecretValue(_given_or_environment(arguments, "ib_context", "AIHUB_IB_CONTEXT"))
    root = SecretValue(_given_or_environment(arguments, "api_root", "AIHUB_API_ROOT") or DEFAULT_API_ROOT)
    checked: dict[str, Any] = {
        "api_key": key,
        "key_source": source,
        "ib_context": header_text("ib_context", context) if context else None,
        "api_root": _checked_root(root, allow_insecure=allow_insecure),
        "headers": checked_headers(SecretValue(arguments.reveal().get("headers") or {})),
    }
    checked["proxy"] = _checked_proxy(arguments, checked["api_root"], allow_insecure=allow_insecure)
    plain = {name: value for name, value in arguments.reveal().items() if value is not None and name not in checked}
    plain.pop("allow_insecure", None)
    return _checked_values(ClientConfig(**checked, **plain))


def _key_source(arguments: SecretValue[dict[str, Any]]) -> SecretValue[KeySource] | None:
    return SecretValue(arguments.reveal()["api_key"]) if callable(arguments.reveal().get("api_key")) else None


def is_insecure_allowed(arguments: SecretValue[dict[str, Any]]) -> bool:
    """Return whether the profile or the environment allows an ``http://`` root on another host."""
    value = arguments.reveal().get("allow_insecure") or os.environ.get(ENVIRONMENT["allow_insecure"], "")
    return value is True or str(value).strip().lower() in {"1", "true", "yes", "on"}


def _given_or_environment(arguments: SecretValue[dict[str, Any]], name: str, variable: str) -> Any:
    if arguments.reveal().get(name) is None:
        return os.environ.get(variable)
    return arguments.reveal()[name]


def _checked_proxy(arguments: SecretValue[dict[str, Any]], api_root: str, *, allow_insecure: bool) -> SecretURL | None:
    proxy = None
    if arguments.reveal().get("proxy"):
        proxy = checked_proxy(SecretValue(str(arguments.reveal()["proxy"])))
    elif arguments.reveal().get("trust_env"):
        proxy = environment_proxy(api_root)
    if proxy is not None and not allow_insecure:
        refuse_cleartext(api_root, proxy)
    return proxy


def header_text(label: str, value: SecretValue[Any]) -> str:
    """Check that a text can travel in a header; the message never quotes it."""
    if not _matches(_HEADER_TEXT, value.reveal()):
        raise ConfigurationError(f"{label} {_WHAT_IS_WRONG}")
    return str(value.reveal())


def checked_headers(headers: SecretValue[Mapping[str, str]]) -> SecretValue[Mapping[str, str]]:
    """Check names and values of headers; the message never quotes a value."""
    for name in headers.reveal():
        if not _matches(_HEADER_NAME, name):
            raise ConfigurationError(f"{name!r} cannot be the name of a header")
        if name.lower() in _FRAMING:
            raise ConfigurationError(f"the header {name} cannot be set: the client sets it itself")
        header_text(f"header {name}", SecretValue(headers.reveal()[name]))
    return SecretValue(dict(headers.reveal()))


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def as_secret(key: SecretValue[Any]) -> SecretValue[str]:
    """Return the API key; None is looked up in the environment, and what is no text becomes empty."""
    if key.reveal() is None:
        key = SecretValue(os.environ.get("AIHUB_API_KEY", ""))
    return SecretValue(key.reveal().strip(" ") if isinstance(key.reveal(), str) else "")


def _check_key(key: SecretValue[str]) -> None:
    if not key:
        raise ConfigurationError(
            "no API key: pass api_key=…, a str or a function that returns it, set AIHUB_API_KEY, or name a profile"
        )
    if not _matches(_HEADER_TEXT, key.reveal()):
        raise ConfigurationError(f"api_key {_WHAT_IS_WRONG}")


def _checked_root(root: SecretValue[Any], *, allow_insecure: bool) -> str:
    """Check an `api_root`. It may hold a user name, a password or a token, so that it is not quoted before that."""
    if not _matches(_ROOT, root.reveal()):
        raise ConfigurationError("api_root must be a URL without spaces, backslashes or control characters")
    shown = public_url(root.reveal())
    scheme, host, has_userinfo = _root_parts(root)
    if has_userinfo:
        raise ConfigurationError("api_root must not hold a user name or password; pass api_key=… instead")
    if scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"api_root {shown!r} is not a URL of a web server; {_EXAMPLE_ROOT}")
    if "?" in root.reveal() or "#" in root.reveal():
        raise ConfigurationError(f"api_root {shown!r} must not have a query or a fragment")
    if scheme == "http" and not allow_insecure and not is_loopback(host):
        raise ConfigurationError(
            f"api_root {shown!r} would send the API key unencrypted; use https://, or pass allow_insecure=True"
        )
    return str(root.reveal()).rstrip("/")


def _root_parts(root: SecretValue[str]) -> tuple[str, str | None, bool]:
    """Return scheme, host and whether there is a user name or password; no scheme if it is no URL."""
    try:
        parts = urlsplit(root.reveal())
        _ = parts.port
    except ValueError:
        return "", None, False
    return parts.scheme, parts.hostname, parts.username is not None or parts.password is not None


def _checked_values(settings: ClientConfig) -> ClientConfig:
    for name in (
        "timeout",
        "deadline",
        "connect_timeout",
        "max_retry_after",
        "min_throughput",
        "max_requests_per_second",
    ):
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
    if settings.api_version is not None and settings.api_version not in API_VERSIONS:
        raise ConfigurationError(f"api_version must be {' or '.join(map(repr, API_VERSIONS))} or left out")
    return settings


_COUNTS = {"max_retries": 0, "max_concurrent_requests": 1, "max_bytes_in_flight": 1, "max_response_bytes": 1}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """Return the TLS settings that all clients share by default; loading the certificates takes about 20 ms."""
    return ssl.create_default_context()
