"""Ending what waits when its client is closed."""

import asyncio
from collections.abc import Awaitable, Callable

from aihub_async.errors import ClosedClientError
from aihub_async.loops import running_loop
from aihub_async.operations import Operation, Repeat


class Guarded:
    """A task that closing the client ends."""

    __slots__ = ("cancelling", "ended", "task")

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self.task = task
        self.cancelling = task.cancelling()
        self.ended = False


class Closing:
    """Ends the calls of a client and their sleeps when the client is closed.

    A call may wait for its turn, for the end of an outage, or for its next attempt, in the worst case until its
    deadline of minutes. `close` cancels the tasks that are inside `enter` and `leave`, and their own frames turn the
    cancellation into `ClosedClientError`, as a timeout does.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.closed = False
        self._sleep = sleep
        self._guarded: set[Guarded] = set()

    def enter(self) -> Guarded:
        """Guard the running task until `leave`.

        Raises:
            ClosedClientError: The client is closed.
            ConfigurationError: No asyncio event loop is running.
        """
        if self.closed:
            raise ClosedClientError("the client is closed; make a new one")
        task = asyncio.current_task(running_loop())
        if task is None:
            raise RuntimeError("only a task can be guarded")
        guarded = Guarded(task)
        self._guarded.add(guarded)
        return guarded

    def leave(self, guarded: Guarded) -> None:
        """End the guard."""
        self._guarded.discard(guarded)

    def explains(self, guarded: Guarded) -> bool:
        """Return whether a cancellation came from `close` alone, and if so, undo it.

        Guards can be nested: the innermost takes it.
        """
        if not guarded.ended:
            return False
        for other in self._guarded:
            if other.task is guarded.task:
                other.ended = False
        return guarded.task.uncancel() <= guarded.cancelling

    async def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            ClosedClientError: The client was closed meanwhile.
        """
        guarded = self.enter()
        try:
            await self._sleep(seconds)
        except asyncio.CancelledError:
            if self.explains(guarded):
                raise ClosedClientError("the client was closed while a call waited") from None
            raise
        finally:
            self.leave(guarded)

    def close(self) -> None:
        """End all guarded tasks of the running event loop, except the one that closes."""
        self.closed = True
        loop = running_loop()
        current = asyncio.current_task(loop)
        tasks = set()
        for guarded in self._guarded:
            if guarded.task is not current and guarded.task.get_loop() is loop:
                guarded.ended = True
                tasks.add(guarded.task)
        for task in tasks:
            task.cancel()


def closed_during(operation: Operation) -> ClosedClientError:
    """Return the error of a call that closing its client has ended."""
    unclear = "; it may or may not have been carried out" if operation.repeat is Repeat.ONCE else ""
    return ClosedClientError(f"the client was closed during {operation.name}{unclear}")
