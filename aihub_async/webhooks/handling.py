"""Call the handlers of ended runs, once for each run and status."""

import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

import anyio

from aihub_async.models import Run
from aihub_async.webhooks.bus import Bus, Claim

logger = logging.getLogger("aihub_async")

RunHandler = Callable[[Run], Awaitable[None] | None]
_MAX_REMEMBERED = 10_000


class Remembered:
    """The last 10,000 keys that were added."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, key: Hashable) -> None:
        """Remember a key, and forget the oldest if there are too many."""
        self._keys[key] = None
        if len(self._keys) > _MAX_REMEMBERED:
            self._keys.popitem(last=False)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys


class Handlers:
    """The handlers of one receiver. What they have handled is known here, too, in case the bus cannot record it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._handlers: list[RunHandler] = []
        self._handled = Remembered()
        self._running: set[str] = set()

    def add(self, handler: RunHandler) -> None:
        """Call a function with every run that has ended or waits for review."""
        self._handlers.append(handler)

    def __bool__(self) -> bool:
        return bool(self._handlers)

    async def handle(self, run: Run) -> int:
        """Call all handlers unless the run has been handled in this status; return the HTTP status to answer with.

        200 handled, 500 a handler failed, 503 it is being handled, here or elsewhere, or the bus is not available.
        """
        event = f"{run.id}:{run.status}"
        if event in self._handled:
            return 200
        if event in self._running:
            # Whatever the bus has recorded: a claim can be lost while its handler still runs.
            return 503
        self._running.add(event)
        try:
            return await self._claim_and_call(run, event)
        finally:
            self._running.discard(event)

    async def _claim_and_call(self, run: Run, event: str) -> int:
        try:
            claim = await self._bus.claim(event)
        except Exception as error:  # noqa: BLE001 - the bus may raise any exception
            logger.warning("run %s cannot be claimed on the bus (%s); the server repeats it", run.id, _name(error))
            return 503
        if claim is not Claim.NEW:
            return 200 if claim is Claim.DONE else 503
        done = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hold, event, run.id)
                done = await self._call_all(run)
                tasks.cancel_scope.cancel()
            if done:
                self._handled.add(event)
        finally:
            await self._settle(event, run.id, done=done)
        return 200 if done else 500

    async def _hold(self, event: str, run_id: str) -> None:
        """Keep the claim while the handlers run; they continue if that fails."""
        try:
            await self._bus.hold(event)
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning(
                "the claim of run %s cannot be kept on the bus (%s): a repeated delivery may run its handlers twice",
                run_id,
                _name(error),
            )

    async def _call_all(self, run: Run) -> bool:
        try:
            for handler in self._handlers:
                result = handler(run)
                if inspect.isawaitable(result):
                    await result
        except Exception:  # a handler may raise anything; the server repeats the delivery
            logger.exception("a handler of run %s failed; the server repeats the delivery", run.id)
            return False
        return True

    async def _settle(self, event: str, run_id: str, *, done: bool) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._bus.settle(event, done=done)
            except Exception as error:  # noqa: BLE001 - as above; the handlers have already run
                what = "was handled, but that" if done else "was not handled, and that"
                logger.warning("run %s %s cannot be recorded on the bus (%s)", run_id, what, _name(error))


def _name(error: Exception) -> str:
    return type(error).__name__
