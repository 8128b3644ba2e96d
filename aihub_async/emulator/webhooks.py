"""The sending side of webhooks: a POST when a run ends, repeated until acknowledged, and ways to deliver it wrongly."""

import asyncio
import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs
import msgspec

from aihub_async.emulator.background import Background
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Row
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.wire import ApiError

EVENT_GRID = "event_grid"
"""Format of a webhook target whose notifications are Azure Event Grid events, sent after its validation handshake."""

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LARGEST_ANSWER = 65_536  # bytes


@attrs.frozen(kw_only=True)
class WebhookPlan:
    """How notifications are delivered wrongly.

    `lost`: never sent. `fail_first`: this many attempts vanish before the first real one. `late`: seconds of delay.
    `duplicates`: extra copies after the acknowledged one. `early`: delivered before the response to the request that
    started the run. `reorder`: this many notifications are held back, then sent newest first.
    """

    lost: bool = False
    fail_first: int = 0
    late: float = 0.0
    duplicates: int = 0
    early: bool = False
    reorder: int = 0


@attrs.frozen
class Delivery:
    """One attempt to deliver. `attempt` counts from 1; `status` is None if there was no response."""

    run_id: str
    attempt: int
    status: int | None


class Webhooks:
    """Sends notifications, to this machine only."""

    def __init__(self, background: Background, settings: EmulatorSettings) -> None:
        self.plan = WebhookPlan()
        self.deliveries: list[Delivery] = []
        self._background = background
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._validated: set[str] = set()
        self._held: list[tuple[dict[str, Any], Mapping[str, Any]]] = []

    def send(self, run: Row, target: Mapping[str, Any]) -> None:
        """Send the notification of the end of a run."""
        payload = _payload(run)
        if self.plan.lost:
            return
        if not self.plan.reorder:
            self._spawn(run["id"], self._deliver(payload, target))
            return
        self._held.append((payload, target))
        if len(self._held) >= self.plan.reorder:
            held, self._held = self._held, []
            self._spawn(run["id"], self._deliver_all(held[::-1]))

    async def settled(self, run_id: str) -> None:
        """Wait until a run's notification is acknowledged or abandoned."""
        task = self._under_way.get(run_id)
        if task is not None:
            await asyncio.wait({task})

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _spawn(self, run_id: str, work: Any) -> None:
        task = self._background.spawn(work)
        self._under_way[run_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(run_id, None))

    async def _deliver_all(self, held: list[tuple[dict[str, Any], Mapping[str, Any]]]) -> None:
        for payload, target in held:
            await self._deliver(payload, target)

    async def _deliver(self, payload: dict[str, Any], target: Mapping[str, Any]) -> None:
        plan = self.plan
        if plan.late:
            await self._settings.clock.sleep(plan.late)
        for attempt, delay in enumerate(self._settings.webhook_delays, 1):
            if delay:
                await self._settings.clock.sleep(delay)
            status = None if attempt <= plan.fail_first else await self._post(payload, target)
            self.deliveries.append(Delivery(payload["job_id"], attempt, status))
            if status is not None and 200 <= status < 300:
                break
        else:
            return
        for _ in range(plan.duplicates):
            status = await self._post(payload, target)
            self.deliveries.append(Delivery(payload["job_id"], attempt, status))

    async def _post(self, payload: Mapping[str, Any], target: Mapping[str, Any]) -> int | None:
        if target.get("format") != EVENT_GRID:
            status, _ = await self._send(payload, target, {})
            return status
        if not await self._is_validated(target):
            return None
        event = self._event("AIHub.RunFinished", f"runs/{payload['job_id']}", payload)
        status, _ = await self._send([event], target, {"aeg-event-type": "Notification"})
        return status

    async def _is_validated(self, target: Mapping[str, Any]) -> bool:
        """Return whether an Event Grid endpoint has answered the validation handshake."""
        url = target["url"]
        # A transport of a test's own returns a status only: there is no answer to validate.
        if url not in self._validated and self._settings.post_webhook is None:
            code = self._settings.new_id()
            event = self._event("Microsoft.EventGrid.SubscriptionValidationEvent", "", {"validationCode": code})
            status, answer = await self._send([event], target, {"aeg-event-type": "SubscriptionValidation"})
            if status == 200 and answer == {"validationResponse": code}:
                self._validated.add(url)
        return url in self._validated or self._settings.post_webhook is not None

    def _event(self, kind: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": self._settings.new_id(),
            "topic": "/aihub/emulator",
            "subject": subject,
            "eventType": kind,
            "eventTime": datetime.fromtimestamp(self._settings.clock.time_ns() / NANOSECONDS, UTC).isoformat(),
            "data": data,
            "dataVersion": "1.0",
            "metadataVersion": "1",
        }

    async def _send(self, body: Any, target: Mapping[str, Any], extra: Mapping[str, str]) -> tuple[int | None, Any]:
        """Return the status, None if there was no answer, and the JSON of the answer."""
        headers = {**(target.get("headers") or {}), **extra}
        if self._settings.post_webhook is not None:
            return await self._settings.post_webhook(target["url"], body, headers), None
        session = self._session
        if session is None:
            self._session = session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with session.post(target["url"], json=body, headers=headers, allow_redirects=False) as response:
                return response.status, await _json_of(response)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None, None


async def _json_of(response: aiohttp.ClientResponse) -> Any:
    try:
        return msgspec.json.decode(await response.content.read(_LARGEST_ANSWER))
    except msgspec.DecodeError:
        return None


def check_target(target: Any) -> None:
    """Refuse a webhook configuration that the emulator cannot or must not serve.

    Raises:
        ApiError: 400, malformed or not on this machine.
    """
    if target is None:
        return
    url = target.get("url") if isinstance(target, Mapping) else None
    if not isinstance(url, str) or not _are_headers(target.get("headers") or {}):
        raise ApiError(400, "webhook_config is an object with a url and, optionally, headers of strings.")
    if target.get("format", "json") not in {"json", EVENT_GRID}:
        raise ApiError(400, f"webhook_config.format is json or {EVENT_GRID}.")
    if not _is_local(url):
        raise ApiError(400, "The emulator sends webhooks to this machine only (localhost, 127.0.0.1, ::1).")


def _are_headers(headers: Any) -> bool:
    if not isinstance(headers, Mapping):
        return False
    return all(isinstance(text, str) and text.isprintable() for pair in headers.items() for text in pair)


def _is_local(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return local and parts.scheme in {"http", "https"}


def _payload(run: Row) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "status": "OK" if run["status"] == "COMPLETE" else "ERROR",
        "job_id": run["id"],
        "input_dir": f"/{run['input_dir']}/",
        "output": f"/{run['output_dir']}",
    }
    if run["binary_path"] is not None:
        payload["binary_path"] = f"/{run['binary_path']}"
    if payload["status"] == "ERROR":
        payload["msg"] = run["msg"]
    return payload
