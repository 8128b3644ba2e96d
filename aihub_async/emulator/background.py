"""Tasks that outlive the request that started them, and end with the emulator."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("aihub_async.emulator")


class Background:
    """A set of tasks that are waited for or cancelled together.

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
        """Wait until nothing is running."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def cancel(self) -> None:
        """Cancel everything and wait for the end of it."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task of the emulator failed", exc_info=error)
