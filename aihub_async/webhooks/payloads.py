"""Read deliveries: the service's own format, Azure Event Grid and CloudEvents, and the handshakes of the latter two.

The service posts ``{"status": "OK", "job_id": ...}``. Through Azure Event Grid the same object arrives as the `data` of
events, in an array of Event Grid's schema or as CloudEvents 1.0 (one, an array, or with its attributes in headers).
Sources: the service's webhook documentation; Microsoft's "Endpoint validation with Event Grid event schema"; the
CloudEvents 1.0 HTTP binding and its abuse protection.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from aihub_async.models.raw import DecodeError, parse

RunIdExtractor = Callable[[Any], str | Iterable[str] | None]
"""Gets the decoded JSON of a delivery and returns the ids of the runs that it is about."""

_KEYS = ("job_id", "run_id")
_MAX_ID_LENGTH = 255
_MAX_EVENTS = 1000
_VALIDATION_TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent"
# No control characters: the origin is repeated in a header of the answer.
_ORIGIN = re.compile(r"[\w.:*/-]{1,255}", re.ASCII)
_RATE = re.compile(r"[0-9]{1,9}|\*")


@attrs.frozen
class WebhookResponse:
    """The HTTP response to a delivery: its status, body and further headers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)


class NotADeliveryError(ValueError):
    """The body is not JSON, or names no run."""


def decoded(body: bytes) -> Any:
    """Decode the JSON of a delivery.

    Raises:
        NotADeliveryError: It is not JSON, or is nested too deeply.
    """
    try:
        return parse(body)
    except DecodeError:
        raise NotADeliveryError("the body is not JSON") from None


def run_ids(payload: Any, extract: RunIdExtractor | None = None) -> list[str]:
    """Return the ids of the runs that a delivery is about, each once.

    Raises:
        NotADeliveryError: It names none, or one that cannot be an id.
    """
    found = [_id_in(event) for event in _events(payload)] if extract is None else _extracted(payload, extract)
    if not found or len(found) > _MAX_EVENTS:
        raise NotADeliveryError("the delivery names no run, or too many")
    if not all(_is_id(run_id) for run_id in found):
        raise NotADeliveryError("the delivery names a run by something that cannot be an id")
    return [str(run_id) for run_id in dict.fromkeys(found)]


def validation_code(payload: Any) -> str | None:
    """Return the code by which Event Grid verifies that this endpoint accepts its events; None for other events."""
    for event in _events(payload):
        if isinstance(event, dict) and event.get("eventType") == _VALIDATION_TYPE:
            code = _data_of(event).get("validationCode")
            return code if _is_id(code) else None
    return None


def allowed_origin(headers: Mapping[str, str]) -> WebhookResponse | None:
    """Return the response to the OPTIONS request with which a CloudEvents sender asks for permission to deliver."""
    given = {name.lower(): value for name, value in headers.items()}
    origin, rate = given.get("webhook-request-origin", ""), given.get("webhook-request-rate", "")
    if not _ORIGIN.fullmatch(origin):
        return None
    allowed = {"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": origin}
    if _RATE.fullmatch(rate):
        allowed["WebHook-Allowed-Rate"] = rate
    return WebhookResponse(200, headers=allowed)


def _extracted(payload: Any, extract: RunIdExtractor) -> list[Any]:
    found = extract(payload)
    if found is None:
        return []
    return [found] if isinstance(found, str) else list(found)


def _events(payload: Any) -> list[Any]:
    return payload if isinstance(payload, list) else [payload]


def _id_in(event: Any) -> object:
    """Return what names the run: a key of the event itself, or of its data."""
    if not isinstance(event, dict):
        return None
    for holder in (event, _data_of(event)):
        for key in _KEYS:
            if key in holder:
                return holder[key]
    return None


def _data_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an event: an object, JSON in a string, or base64 of JSON (CloudEvents)."""
    data: Any = event.get("data")
    try:
        if data is None and isinstance(event.get("data_base64"), str):
            data = decoded(base64.b64decode(event["data_base64"], validate=True))
        elif isinstance(data, str):
            data = decoded(data.encode())
    except (NotADeliveryError, binascii.Error, UnicodeEncodeError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_id(found: object) -> bool:
    if not isinstance(found, str) or not 0 < len(found) <= _MAX_ID_LENGTH or not found.isprintable():
        return False
    # A dot segment would address another resource.
    return found not in {".", ".."} and not set(found) & set(" /?#%\\")
