"""Tasks that outlive the request that started them, and blocking work; both end with the emulator."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

logger = logging.getLogger("aihub_async.emulator")


class Background:
    """A set of tasks that are awaited or cancelled together.

    A task group would have to be entered and left by one task; an emulator is often started by one and stopped by
    another (test fixtures).
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task; a failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def idle(self) -> None:
        """Wait until no task is running."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task of the emulator failed", exc_info=error)


class Threads:
    """Runs blocking functions: on worker threads, or inline where a simulation needs one thread and one order."""

    def __init__(self, workers: int, *, enabled: bool) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="aihub-emulator") if enabled else None

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what a blocking function returns."""
        if self._pool is None:
            await asyncio.sleep(0)
            return function(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Release the threads; work that still runs is not awaited."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
