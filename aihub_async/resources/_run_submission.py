"""Start runs: once each, tagged so that lookups find them, and with a webhook if there is a receiver."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from aihub_async import operations as ops
from aihub_async.models import GivenRunSettings, Run, conceal_settings, settings_dict
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.reconcile.runs import RunFinder, RunLookup, with_tag
from aihub_async.resources._base import build_request, read_answer
from aihub_async.resources._run_settings import secrets_in, with_webhook
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request
from aihub_async.transport.observing import start_activity
from aihub_async.transport.transport import Transport
from aihub_async.types import Id
from aihub_async.waiting.handles import SubmittedRun
from aihub_async.waiting.pollables import RunPollable

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver


@attrs.frozen
class RunRequest:
    """A request that starts a run. Lookups find the run by `tag`; `expects_webhook`: a webhook reports its end."""

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
        settings: GivenRunSettings | None,
        *,
        dedupe: bool,
    ) -> RunRequest:
        """Build the request.

        Raises:
            InvalidRequestError: It cannot be sent.
        """
        settings = conceal_settings(settings)
        given = settings_dict(settings)
        plain = with_webhook(given, self._webhooks)
        expects_webhook = plain is not given
        tag = None
        if dedupe:
            tags, tag = with_tag(list(plain.get("tags") or ()))
            if tag is not None:
                plain["tags"] = tags
        whole = SecretValue({**body, "settings": plain} if plain or settings is not None else body)
        secrets = SecretValue(secrets_in(plain))
        # This frame is part of a traceback, which shows no secret.
        del given, plain
        request = build_request(operation, path, json=whole, secrets=secrets)
        return RunRequest(request, tag, expects_webhook, body.get("batch_id"), body.get("input_dir"))

    async def submit(self, prepared: RunRequest) -> SubmittedRun:
        """Send a request once, and let telemetry observe the run from here to its end.

        Raises:
            OutcomeUnknownError: The run may or may not have started.
        """
        telemetry = self._transport.telemetry
        if telemetry is None:
            return await self.start(prepared)
        ended = start_activity(telemetry, "run", operation=prepared.request.operation.name)
        try:
            return attrs.evolve(await self.start(prepared), ended=ended)
        except BaseException as error:
            ended({}, error)
            raise

    async def start(self, prepared: RunRequest) -> SubmittedRun:
        """Send a request once.

        Raises:
            OutcomeUnknownError: The run may or may not have started.
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
