"""A bus between processes over Redis (extra ``redis``)."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import anyio
from anyio.abc import TaskStatus

from aihub_async.webhooks.bus import Claim, LocalBus

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("aihub_async")
T = TypeVar("T")

_RECONNECT_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 10.0
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
_SETTLE_SECONDS = 20.0
"""A server that waits for the response to its delivery has timed out after this long."""
_CLAIM_SECONDS = 5.0
_DONE = "done"


class RedisBus:
    """Deliveries reach the process that waits, even if another process received them.

    While Redis is not available, waits of the receiving process are still woken, deliveries are answered 503 so that
    the server repeats them, and polling finds the rest.

    Args:
        url: Such as ``redis://localhost:6379/0``.
        prefix: Of channel and keys; processes with the same prefix belong together.
        remember: Seconds for which deliveries that came before their wait are remembered.
        remember_events: Seconds for which handled events are remembered.
        lease: Seconds after which an event whose handler has vanished may be handled again; longer than handlers take.
        max_connections: Connections of this process at most; further commands wait for a free one.

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
        max_connections: int = 32,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._remember = int(remember * 1000)
        self._remember_events = int(remember_events * 1000)
        self._lease = lease
        self._max_connections = max_connections
        self._local = LocalBus()
        self._name = uuid4().hex
        self._redis: Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _connection(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._redis is None or self._loop is not loop:
            from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - an extra, loaded when used

            # The ordinary pool raises when more commands run concurrently than it has connections.
            pool = BlockingConnectionPool.from_url(
                self._url,
                max_connections=self._max_connections,
                timeout=_COMMAND_SECONDS,
                socket_connect_timeout=_CONNECT_SECONDS,
            )
            # Connections belong to their event loop.
            self._redis, self._loop = Redis.from_pool(pool), loop
        return self._redis

    def _delivered_key(self, run_id: str) -> str:
        return f"{self._prefix}:delivered:{run_id}"

    def _event_key(self, event: str) -> str:
        return f"{self._prefix}:event:{event}"

    async def publish(self, run_id: str) -> None:
        """Wake everybody who listens, this process first.

        Raises:
            redis.RedisError: The other processes could not be reached.
        """
        await self._local.publish(run_id)
        with anyio.fail_after(_COMMAND_SECONDS):
            async with self._connection().pipeline(transaction=False) as pipeline:
                pipeline.set(self._delivered_key(run_id), 1, px=self._remember)
                pipeline.publish(self._prefix, f"{self._name} {run_id}")
                await pipeline.execute()

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with each id that is published, until cancelled; reconnect when the connection is lost."""
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
                                self._receive(message["data"], wake)
                except (RedisError, OSError) as error:
                    logger.warning("the webhook bus is not available (%s); polling continues", type(error).__name__)
                if not started:
                    task_status.started()
                    started = True
                await anyio.sleep(_RECONNECT_SECONDS)

    def _receive(self, data: bytes, wake: Callable[[str], None]) -> None:
        sender, _, run_id = data.decode("utf-8", "replace").partition(" ")
        if run_id and sender != self._name:
            wake(run_id)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were published lately, by any process."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        wanted = list(ids)
        found = await self._local.recently_delivered(wanted)
        try:
            with anyio.fail_after(_COMMAND_SECONDS):
                values = await self._connection().mget([self._delivered_key(run_id) for run_id in wanted])
        except (RedisError, OSError):
            return found
        return found | {run_id for run_id, value in zip(wanted, values, strict=True) if value is not None}

    async def claim(self, event: str) -> Claim:
        """Claim an event, among all processes.

        Raises:
            redis.RedisError: Redis is not available.
        """
        key, mine = self._event_key(event), f"busy {uuid4().hex}"

        async def take() -> Claim:
            before = await self._connection().set(key, mine, nx=True, get=True, px=int(self._lease * 1000))
            text = before.decode() if isinstance(before, bytes) else before
            # Our own value: an earlier try took it, and its answer was lost.
            if text is None or text == mine:
                return Claim.NEW
            return Claim.DONE if text == _DONE else Claim.BUSY

        return await self._retried(take, _CLAIM_SECONDS)

    async def settle(self, event: str, *, done: bool) -> None:
        """End a claim; while Redis is not available, retry for as long as the lease holds, at most 20 seconds.

        Raises:
            redis.RedisError: It could not be recorded.
        """
        key = self._event_key(event)

        async def record() -> None:
            if done:
                await self._connection().set(key, _DONE, px=self._remember_events)
            else:
                await self._connection().delete(key)

        await self._retried(record, min(self._lease, _SETTLE_SECONDS))

    async def _retried(self, command: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run a command again after errors of the connection, for so many seconds."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        ends = time.monotonic() + seconds
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                with anyio.fail_after(_COMMAND_SECONDS):
                    return await command()
            except (RedisError, OSError):
                if time.monotonic() + pause >= ends:
                    raise
            await anyio.sleep(pause)
            pause = min(_LONGEST_RETRY_SECONDS, 2 * pause)

    async def aclose(self) -> None:
        """Close the connections; those of an event loop that has ended are closed already."""
        redis, self._redis = self._redis, None
        if redis is not None and self._loop is asyncio.get_running_loop():
            await redis.aclose()
