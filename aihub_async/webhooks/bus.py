"""The bus by which deliveries reach the process that waits, in one process or between several."""

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

import anyio
from anyio.abc import TaskStatus


class Claim(enum.Enum):
    """The result of claiming an event: `NEW` it is yours, `BUSY` another handler has it, `DONE` it has been handled."""

    NEW = "new"
    BUSY = "busy"
    DONE = "done"


class Bus(Protocol):
    """Notifies all processes of deliveries, and remembers for a while what was delivered and handled."""

    async def publish(self, run_id: str) -> None:
        """Notify everybody who listens, and remember the id for those who start to wait later."""
        ...

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with each id that is published, until cancelled; reports started once nothing is missed."""
        ...

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were published lately."""
        ...

    async def claim(self, event: str) -> Claim:
        """Claim an event; `NEW` must be followed by `settle`."""
        ...

    async def hold(self, event: str) -> None:
        """Keep the claim of this process from expiring, until cancelled or until it cannot be kept any longer."""
        ...

    async def settle(self, event: str, *, done: bool) -> None:
        """End a claim: the event is done, or to be handled again."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class LocalBus:
    """The bus of a single process.

    Args:
        remember: How many of the last ids and events are remembered.
    """

    def __init__(self, remember: int = 10_000) -> None:
        self._remember = remember
        self._listeners: list[Callable[[str], None]] = []
        self._delivered: OrderedDict[str, None] = OrderedDict()
        self._events: OrderedDict[str, bool] = OrderedDict()

    async def publish(self, run_id: str) -> None:
        """Notify everybody who listens."""
        self._delivered[run_id] = None
        self._delivered.move_to_end(run_id)
        if len(self._delivered) > self._remember:
            self._delivered.popitem(last=False)
        for wake in list(self._listeners):
            wake(run_id)

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with each id that is published, until cancelled."""
        self._listeners.append(wake)
        try:
            task_status.started()
            await anyio.sleep_forever()
        finally:
            self._listeners.remove(wake)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were published lately."""
        return {run_id for run_id in ids if run_id in self._delivered}

    async def claim(self, event: str) -> Claim:
        """Claim an event."""
        state = self._events.get(event)
        if state is not None:
            return Claim.DONE if state else Claim.BUSY
        self._events[event] = False
        if len(self._events) > self._remember:
            self._events.popitem(last=False)
        return Claim.NEW

    async def hold(self, event: str) -> None:  # noqa: ARG002 - part of the protocol
        """Wait until cancelled: the claims of a single process do not expire."""
        await anyio.sleep_forever()

    async def settle(self, event: str, *, done: bool) -> None:
        """End a claim."""
        if done:
            self._events[event] = True
        else:
            self._events.pop(event, None)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""
