"""The text of e-mails: the main headers, the body, and the messages that they forward."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message

from aihub_async.emulator.reading.html import html_text
from aihub_async.emulator.reading.text import UnreadableFileError, decode

_HEADERS = ("From", "To", "Cc", "Subject", "Date")
_FORWARDED = "---------- Forwarded message ----------"


class _Lenient(policy.Compat32):
    """Keeps malformed headers as they are, on some of which the newer policies raise, and reads their 8-bit text."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - of the base class
        """Return a header; its 8-bit characters are decoded as those of a body without a charset."""
        return decode(value.replace("\0", "").encode("utf-8", "surrogateescape"))


def email_text(content: bytes) -> str:
    """Return an e-mail as text, a header per line, then the body.

    Raises:
        UnreadableFileError: it has no headers.
    """
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    message = message_from_bytes(content, policy=_Lenient())
    if not message.keys():
        raise UnreadableFileError("The file is not an e-mail.")
    return "\n".join(_message(message))


def _message(message: Message) -> list[str]:
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    names = list(_attachments(message))
    if names:
        lines.append("Attachments: " + ", ".join(names))
    return [*lines, "", *_body(message)]


def _body(part: Message) -> list[str]:
    """Return the text of a part: of alternatives the best, of everything else all that is text."""
    kind = part.get_content_type()
    if kind == "message/rfc822" or (kind.startswith("message/") and part.is_multipart()):
        return [line for inner in _children(part) for line in [_FORWARDED, *_message(inner)]]
    if kind == "multipart/alternative":
        return _best(part)
    if part.is_multipart():
        return [line for child in _children(part) for line in _body(child)]
    if part.get_content_disposition() == "attachment" or part.get_content_maintype() not in {"text", "multipart"}:
        return []
    content = part.get_payload(decode=True)
    raw = content if isinstance(content, bytes) else b""
    if kind == "text/html":
        return [html_text(raw) if part.get_content_charset() is None else html_text(_text(part, raw).encode())]
    return [_text(part, raw)]


def _best(part: Message) -> list[str]:
    """Return the plain text, or the HTML where the plain text is blank."""
    children = sorted(_children(part), key=lambda child: child.get_content_type() != "text/plain")
    bodies = (_body(child) for child in children)
    return next((body for body in bodies if "".join(body).strip()), [])


def _text(part: Message, raw: bytes) -> str:
    return decode(raw, part.get_content_charset()).replace("\r\n", "\n")


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _attachments(part: Message) -> Iterator[str]:
    for child in _children(part):
        if child.get_content_disposition() == "attachment" and child.get_content_maintype() != "message":
            yield _header_text(child.get_filename() or "unnamed")
        elif child.get_content_maintype() == "multipart":
            yield from _attachments(child)


def _header(message: Message, name: str) -> str:
    value = message[name]
    return "" if value is None else _header_text(str(value))


def _header_text(value: str) -> str:
    try:
        pieces = decode_header(value)
    except ValueError:
        return " ".join(value.split())
    words = (piece if isinstance(piece, str) else decode(piece, charset) for piece, charset in pieces)
    return " ".join("".join(words).split())
