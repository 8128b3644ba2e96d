"""Time limits of many short tasks with one timer."""

import asyncio


class Limit:
    """The time limit of one task."""

    __slots__ = ("expired", "task", "when")

    def __init__(self, task: "asyncio.Task[object]", when: float) -> None:
        self.task = task
        self.when = when
        self.expired = False

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self.when += seconds


class Deadlines:
    """Cancels tasks whose deadline has passed.

    A separate timer for each attempt costs an upload of a small file a tenth of its time. Nearly all attempts end
    in time, so here a limit is an entry in a set, and one timer waits for the earliest that is left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._limits: set[Limit] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> Limit:
        """Cancel the running task after `seconds` unless `stop` comes first; `expired` is then why."""
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("only a task can have a time limit")
        limit = Limit(task, self.loop.time() + seconds)
        self._limits.add(limit)
        if self._timer is None or limit.when < self._timer.when():
            self._arm(limit.when)
        return limit

    def stop(self, limit: Limit) -> None:
        """End the time limit of a task."""
        self._limits.discard(limit)

    def close(self) -> None:
        """Let the timer go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        self.close()
        if when != float("inf"):
            self._timer = self.loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self.loop.time()
        for limit in [limit for limit in self._limits if limit.when <= now]:
            self._limits.discard(limit)
            limit.expired = True
            limit.task.cancel()
        if self._limits:
            self._arm(min(limit.when for limit in self._limits))
