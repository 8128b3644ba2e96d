"""A bus between processes over Redis (extra ``redis``)."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import anyio
from anyio.abc import TaskStatus

from aihub_async.clock import Clock
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
_RENEWALS = 3
"""A claim is renewed after this part of its lease, so that one or two failed renewals do not lose it."""
_DONE = "done"

# Atomic, because a claim that has expired may belong to another process by now. One that is gone without an owner, as
# after a restart of Redis, is taken again.
_RENEW = """
local owner = redis.call("get", KEYS[1])
if owner and owner ~= ARGV[1] then
    return 0
end
redis.call("set", KEYS[1], ARGV[1], "px", ARGV[2])
return 1
"""
_RELEASE = """
if redis.call("get", KEYS[1]) == ARGV[1] then
    redis.call("del", KEYS[1])
end
return 1
"""


class RedisBus:
    """Deliveries reach the process that waits, even if another process received them.

    While Redis is not available, waits of the receiving process are still woken, deliveries are answered 503 so that
    the server repeats them, and polling finds the rest.

    Args:
        url: Such as ``redis://localhost:6379/0``.
        prefix: Of channel and keys; processes with the same prefix belong together.
        remember: Seconds for which deliveries that came before their wait are remembered.
        remember_events: Seconds for which handled events are remembered.
        lease: Seconds after which an event whose process has vanished may be handled again. It is renewed while the
            handlers run. A handler that blocks the event loop prevents that, and must end within the lease.
        max_hold: Seconds for which the lease of a running handler is renewed at most. An event whose handler hangs is
            then handled again by the process that receives the next delivery.
        max_connections: Connections of this process at most; further commands wait for a free one.
        clock: Time and sleep, for tests.

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
        max_hold: float = 86_400,
        max_connections: int = 32,
        clock: Clock | None = None,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._remember = int(remember * 1000)
        self._remember_events = int(remember_events * 1000)
        self._lease = lease
        self._max_hold = max_hold
        self._clock = clock or Clock()
        # The values by which the claims of this process are recognized.
        self._claims: dict[str, str] = {}
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
                self._claims[event] = mine
                return Claim.NEW
            return Claim.DONE if text == _DONE else Claim.BUSY

        return await self._retried(take, _CLAIM_SECONDS)

    async def hold(self, event: str) -> None:
        """Renew the lease of a claim of this process until cancelled, for `max_hold` seconds at most.

        While Redis is not available, the renewal is tried again for as long as the handler runs.
        """
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        key, mine = self._event_key(event), self._claims[event]
        pause = self._lease / _RENEWALS

        async def renew() -> bool:
            return bool(await self._connection().eval(_RENEW, 1, key, mine, int(self._lease * 1000)))

        ends = self._clock.monotonic() + self._max_hold
        while (left := ends - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(pause, left))
            try:
                if not await self._retried(renew, pause):
                    logger.warning("the claim of %s was lost: another process handles it, too", event)
                    return
            except (RedisError, OSError) as error:
                logger.warning("the claim of %s cannot be renewed (%s); retrying", event, type(error).__name__)
        logger.warning("a handler of %s has run for %g s: its claim is not renewed any longer", event, self._max_hold)

    async def settle(self, event: str, *, done: bool) -> None:
        """End a claim; while Redis is not available, retry for as long as the lease holds, at most 20 seconds.

        Raises:
            redis.RedisError: It could not be recorded.
        """
        key, mine = self._event_key(event), self._claims.pop(event, "")

        async def record() -> None:
            if done:
                await self._connection().set(key, _DONE, px=self._remember_events)
            else:
                await self._connection().eval(_RELEASE, 1, key, mine)

        await self._retried(record, min(self._lease, _SETTLE_SECONDS))

    async def _retried(self, command: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run a command again after errors of the connection, for so many seconds."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, loaded when used

        ends = self._clock.monotonic() + seconds
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                with anyio.fail_after(min(_COMMAND_SECONDS, seconds)):
                    return await command()
            except (RedisError, OSError):
                if self._clock.monotonic() + pause >= ends:
                    raise
            await self._clock.sleep(pause)
            pause = min(_LONGEST_RETRY_SECONDS, 2 * pause)

    async def aclose(self) -> None:
        """Close the connections; those of an event loop that has ended are closed already."""
        redis, self._redis = self._redis, None
        if redis is not None and self._loop is asyncio.get_running_loop():
            await redis.aclose()
