"""Starting runs: once each, tagged so that they are found again, and with a webhook if there is a receiver."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from aihub_async import operations as ops
from aihub_async.models import Run, RunSettings, conceal_settings, settings_dict
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.reconcile.runs import RunFinder, RunLookup, with_tag
from aihub_async.resources._base import Id, build_request, read_answer
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request
from aihub_async.transport.transport import Transport
from aihub_async.waiting.handles import SubmittedRun
from aihub_async.waiting.pollables import RunPollable

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver

Settings = RunSettings | Mapping[str, Any]


@attrs.frozen
class RunRequest:
    """A request that starts a run; `tag` finds the run again, `expects_webhook`: a webhook reports its end."""

    request: Request
    tag: str | None
    expects_webhook: bool
    batch_id: int | None
    input_dir: str | None


class Starter:
    """Starts runs for the resources of one client."""

    def __init__(self, transport: Transport, runs: RunPollable, webhooks: "WebhookReceiver | None") -> None:
        self._transport = transport
        self._webhooks = webhooks
        self._finder = RunFinder(runs, transport.clock)

    def prepare(
        self,
        operation: ops.Operation,
        path: Mapping[str, Id],
        body: Mapping[str, Any],
        settings: Settings | None,
        *,
        dedupe: bool,
    ) -> RunRequest:
        """Put the request together.

        Raises:
            InvalidRequestError: it cannot be sent.
        """
        settings = conceal_settings(settings)
        plain = settings_dict(settings)
        expects_webhook = self._webhooks is not None and "webhook_config" not in plain
        if self._webhooks is not None and expects_webhook:
            plain["webhook_config"] = self._webhooks.config()
        tag = None
        if dedupe:
            tags, tag = with_tag(list(plain.get("tags") or ()))
            if tag is not None:
                plain["tags"] = tags
        whole = SecretValue({**body, "settings": plain} if plain or settings is not None else body)
        secrets = SecretValue(_secrets_in(plain))
        # This frame is part of a traceback, which shows no secret.
        del plain
        request = build_request(operation, path, json=whole, secrets=secrets)
        return RunRequest(request, tag, expects_webhook, body.get("batch_id"), body.get("input_dir"))

    async def start(self, prepared: RunRequest) -> SubmittedRun:
        """Send it, once.

        Raises:
            OutcomeUnknownError: it may or may not have been started.
        """
        clock = self._transport.clock
        began = clock.monotonic()
        send = functools.partial(self._send, prepared.request)
        if prepared.tag is None:
            run = await send()
        else:
            lookup = RunLookup(prepared.tag, began, prepared.batch_id, prepared.input_dir)
            find = functools.partial(self._finder.find, lookup)
            run = await send_once(send, find, OncePolicy.of(self._transport.settings, clock))
        return SubmittedRun(run, clock.monotonic(), prepared.expects_webhook)

    async def _send(self, request: Request) -> Run:
        return read_answer(self._transport, Run, request, await self._transport.send(request))


def _secrets_in(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """PDF passwords and webhook headers, so that a server that echoes them does not put them into an error."""
    found = (
        _values_at(settings, "runtime_config", "instabase", "pdf", "passwords"),
        _values_at(settings, "webhook_config", "headers"),
    )
    return tuple(value for values in found for value in values if isinstance(value, str))


def _values_at(settings: object, *keys: str) -> Sequence[object]:
    for key in keys:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return tuple(settings.values()) if isinstance(settings, Mapping) else ()
