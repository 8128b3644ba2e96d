"""`client.apps`: apps and their deployments."""

from typing import TYPE_CHECKING

from aihub_async.resources.deployments import Deployments
from aihub_async.resources.runs import Runs
from aihub_async.transport.transport import Transport
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver


class Apps:
    """Apps: `runs` starts and reads runs of apps, `deployments` those of deployments."""

    def __init__(self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None" = None) -> None:
        self.runs = Runs(transport, scheduler, webhooks)
        self.deployments = Deployments(transport, scheduler, webhooks)
