"""What all calls that start a run do with its settings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver


def with_webhook(settings: dict[str, Any], webhooks: "WebhookReceiver | None") -> dict[str, Any]:
    """Return settings that name the client's receiver; the same object if there is none or they name another one."""
    if webhooks is None or "webhook_config" in settings:
        return settings
    return {**settings, "webhook_config": webhooks.config()}


def secrets_in(settings: object) -> tuple[str, ...]:
    """Return PDF passwords and values of webhook headers, which no error may show even if a server echoes them."""
    found = (
        _values_at(settings, "runtime_config", "instabase", "pdf", "passwords"),
        _values_at(settings, "webhook_config", "headers"),
    )
    return tuple(value for values in found for value in values if isinstance(value, str))


def _values_at(settings: object, *keys: str) -> Sequence[object]:
    for key in keys:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return tuple(settings.values()) if isinstance(settings, Mapping) else ()
