"""What may be kept of an answer: no secret, in any form in which the server repeats it."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping

from aihub_async.config import ClientConfig
from aihub_async.models.files import Headers
from aihub_async.models.raw import DecodeError, parse
from aihub_async.secrecy import SecretValue

_REQUEST_IDS = frozenset({"x-request-id", "request-id", "x-correlation-id", "x-trace-id"})
_KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "content-range", "date", "location", "retry-after", "server"} | _REQUEST_IDS
)
_KEPT_BODY = 4096
_KEPT_MESSAGE = 2048
_LONGEST_READ = 64 * 1024
_SECRET_HEADER = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MASK = "***"
_SHORTEST = 4
"""Shorter secrets are not searched for: they would occur in every text."""
_SURELY_NO_WORD = 12


class Redactor:
    """Removes secrets from texts, also where they are encoded as base64, for a URL, or in JSON or HTML.

    Holds the API key, and the values of those extra headers whose names mark them as secret.
    """

    def __init__(self, settings: ClientConfig, more: SecretValue[tuple[str, ...]] | None = None) -> None:
        self._settings = settings
        longest, pattern = _pattern(settings, more)
        self._longest = longest
        self._pattern = SecretValue(pattern)

    def also(self, secrets: SecretValue[tuple[str, ...]]) -> "Redactor":
        """Return a redactor with additional secrets."""
        return Redactor(self._settings, secrets) if secrets else self

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        return self._pattern.reveal().sub(_MASK, text)

    def line(self, text: str) -> str:
        """Return the text without secrets and control characters, which could forge log lines or control a terminal.

        A lone surrogate becomes its escape: it could not be printed.
        """
        return _CONTROL.sub(" ", self.text(text)).encode("utf-8", "backslashreplace").decode()

    def beginning(self, body: bytes) -> bytes:
        """Return the first bytes of a body without secrets, not even a part of one at the cut."""
        if not body:
            return body
        text = self.text(body[:_LONGEST_READ].decode("utf-8", "replace"))
        if len(body) > _LONGEST_READ:
            text = text[: -self._longest]
        return text[:_KEPT_BODY].encode()


def _pattern(settings: ClientConfig, more: SecretValue[tuple[str, ...]] | None) -> tuple[int, re.Pattern[str]]:
    """Return the length of the longest form of a secret, and a pattern of all forms."""
    secrets = [settings.api_key.reveal(), *_header_secrets(settings.headers.reveal())]
    secrets += _proxy_secrets(settings) + list(more.reveal() if more is not None else ())
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST]
    forms = {form for secret in secrets for form in _forms(secret)}
    if not forms:
        return 0, re.compile(r"(?!)")
    longest_first = sorted(forms, key=len, reverse=True)
    short = {secret for secret in secrets if len(secret) < _SURELY_NO_WORD}
    whole = "|".join(_as_word(form) if form in short else re.escape(form) for form in longest_first)
    return len(longest_first[0]), re.compile(whole, re.IGNORECASE)


def _as_word(secret: str) -> str:
    """Match a short secret only as a whole word: a key such as ``test`` would turn parts of words into ``***``."""
    return rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])"


def _proxy_secrets(settings: ClientConfig) -> list[str]:
    if settings.proxy is None:
        return []
    password = urllib.parse.urlsplit(settings.proxy.reveal()).password
    return [] if password is None else [password, urllib.parse.unquote(password)]


def kept_headers(headers: Mapping[str, str], redact: Redactor) -> Headers:
    """Return the headers that may be kept, without secrets."""
    return Headers({name: redact.line(value) for name, value in headers.items() if name.lower() in _KEPT_HEADERS})


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the server's id of a request, if it sent one."""
    return next((value for name, value in headers.items() if name.lower() in _REQUEST_IDS), None)


def redirect_host(headers: Mapping[str, str]) -> str | None:
    """Return the host that a redirect leads to; not its path and query, which may hold a token."""
    try:
        return urllib.parse.urlsplit(headers.get("Location", "")).hostname
    except ValueError:
        return None


def server_message(body: bytes, redact: Redactor) -> str | None:
    """Return the message of an error answer, in the form of the v2 API or of the v1 API."""
    if len(body) > _LONGEST_READ:
        return None
    try:
        answer = parse(body)
    except DecodeError:
        return None
    if not isinstance(answer, dict):
        return None
    message = answer.get("message") or answer.get("msg")
    return redact.line(message)[:_KEPT_MESSAGE] if isinstance(message, str) and message else None


def _header_secrets(headers: Mapping[str, str]) -> Iterable[str]:
    for name, value in headers.items():
        if _SECRET_HEADER.search(name):
            yield value
            yield value.rpartition(" ")[2]


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    encoded = set()
    for shift in range(3):
        # Base64 of a text that contains the secret at any offset: the middle characters depend on the secret only.
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        encoded.add(whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])
    encoded |= {form.replace("+", "-").replace("/", "_") for form in encoded}
    quoted = {urllib.parse.quote(raw, safe=safe) for safe in ("", "/")} | {urllib.parse.quote_plus(raw)}
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_json |= {form.replace("/", "\\/") for form in in_json}
    return {secret, html.escape(secret)} | quoted | in_json | {form for form in encoded if len(form) >= 6}
