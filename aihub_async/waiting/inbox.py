"""Count the deliveries of webhooks, and those that were missed, for telemetry."""

from collections.abc import Callable, Iterable

from anyio.abc import TaskStatus

from aihub_async.transport.observing import Telemetry, measure
from aihub_async.waiting.scheduler import Inbox


class ObservedInbox:
    """Passes everything on to another inbox, and counts it."""

    def __init__(self, inbox: Inbox, telemetry: Telemetry) -> None:
        self._inbox = inbox
        self._telemetry = telemetry

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with the id of every delivery, until cancelled."""

        def delivered(run_id: str) -> None:
            measure(self._telemetry, "webhook.delivery")
            wake(run_id)

        await self._inbox.listen(delivered, task_status=task_status)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were delivered lately."""
        return await self._inbox.recently_delivered(ids)

    def ended_undelivered(self) -> None:
        """Note that polling has found the end of a run whose webhook has not arrived."""
        measure(self._telemetry, "webhook.miss")
        self._inbox.ended_undelivered()


def observed(inbox: Inbox | None, telemetry: Telemetry | None) -> Inbox | None:
    """Return an inbox that is counted if there is telemetry."""
    return inbox if inbox is None or telemetry is None else ObservedInbox(inbox, telemetry)
