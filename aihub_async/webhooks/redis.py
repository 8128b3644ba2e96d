"""A bus between processes over Redis (extra ``redis``)."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
from anyio.abc import TaskStatus

from aihub_async.webhooks.bus import Claim, LocalBus

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("aihub_async")

_RECONNECT = 1.0
_BUSY, _DONE = b"busy", b"done"


class RedisBus:
    """Deliveries reach the process that waits, whichever received them.

    While Redis is out of order, waits of the receiving process are still woken, deliveries are answered 503 so that
    the server repeats them, and polling finds the rest.

    Args:
        url: such as ``redis://localhost:6379/0``.
        prefix: of channel and keys; processes with the same prefix belong together.
        remember: seconds for which deliveries that came before their wait are remembered.
        remember_events: seconds for which handled events are remembered.
        lease: seconds after which an event whose handler vanished may be handled again.

    Example:
        >>> receiver = WebhookReceiver("https://me.example/hooks/aihub", bus=RedisBus("redis://localhost"))
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "aihub-sdk",
        remember: float = 3600,
        remember_events: float = 86_400,
        lease: float = 300,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._remember = int(remember * 1000)
        self._remember_events = int(remember_events * 1000)
        self._lease = int(lease * 1000)
        self._local = LocalBus()
        self._name = uuid4().hex
        self._redis: Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _connection(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._redis is None or self._loop is not loop:
            from redis.asyncio import Redis  # noqa: PLC0415 - an extra, loaded when used

            # Connections belong to their event loop.
            self._redis, self._loop = Redis.from_url(self._url, socket_connect_timeout=5), loop
        return self._redis

    def _heard_key(self, run_id: str) -> str:
        return f"{self._prefix}:heard:{run_id}"

    def _event_key(self, event: str) -> str:
        return f"{self._prefix}:event:{event}"

    async def publish(self, run_id: str) -> None:
        """Tell everybody who listens, this process first.

        Raises:
            redis.RedisError: the others could not be told.
        """
        await self._local.publish(run_id)
        async with self._connection().pipeline(transaction=False) as pipeline:
            pipeline.set(self._heard_key(run_id), 1, px=self._remember)
            pipeline.publish(self._prefix, f"{self._name} {run_id}")
            await pipeline.execute()

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with each id that is published, until cancelled; a lost connection is made anew."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda task_status: self._local.listen(wake, task_status=task_status))
            started = False
            while True:
                try:
                    async with contextlib.aclosing(self._connection().pubsub()) as subscription:
                        await subscription.subscribe(self._prefix)
                        async for message in subscription.listen():
                            if message["type"] == "subscribe" and not started:
                                task_status.started()
                                started = True
                            if message["type"] == "message":
                                self._hear(message["data"], wake)
                except (RedisError, OSError) as error:
                    logger.warning("the webhook bus is out of order (%s); polling goes on", type(error).__name__)
                if not started:
                    task_status.started()
                    started = True
                await anyio.sleep(_RECONNECT)

    def _hear(self, data: bytes, wake: Callable[[str], None]) -> None:
        sender, _, run_id = data.decode("utf-8", "replace").partition(" ")
        if run_id and sender != self._name:
            wake(run_id)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that were published lately, by any process."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        wanted = list(ids)
        found = await self._local.recently_delivered(wanted)
        try:
            values = await self._connection().mget([self._heard_key(run_id) for run_id in wanted])
        except (RedisError, OSError):
            return found
        return found | {run_id for run_id, value in zip(wanted, values, strict=True) if value is not None}

    async def claim(self, event: str) -> Claim:
        """Ask to handle an event, among all processes.

        Raises:
            redis.RedisError: nobody can tell.
        """
        before = await self._connection().set(self._event_key(event), _BUSY, nx=True, get=True, px=self._lease)
        if before is None:
            return Claim.NEW
        return Claim.DONE if before == _DONE else Claim.BUSY

    async def settle(self, event: str, *, done: bool) -> None:
        """End a claim.

        Raises:
            redis.RedisError: it could not be recorded.
        """
        if done:
            await self._connection().set(self._event_key(event), _DONE, px=self._remember_events)
        else:
            await self._connection().delete(self._event_key(event))

    async def aclose(self) -> None:
        """Close the connections."""
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()
