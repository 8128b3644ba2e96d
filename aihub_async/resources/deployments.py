"""`client.apps.deployments`: runs of deployments."""

from typing import TYPE_CHECKING

from aihub_async import operations as ops
from aihub_async.models import GivenRunSettings, Run, conceal_settings
from aihub_async.resources._base import as_batch_id, exactly_one, given
from aihub_async.resources._run_submission import RunRequest
from aihub_async.resources.runs import AnyRuns
from aihub_async.transport.transport import Transport
from aihub_async.types import Id
from aihub_async.waiting.handles import RunHandle
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver


class DeploymentRuns(AnyRuns):
    """Runs of deployments; status, results, list and delete are those of `client.apps.runs`."""

    async def create(
        self,
        deployment_id: str,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        manual_upstream_integration: bool | None = None,
        from_timestamp: int | None = None,
        to_timestamp: int | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: GivenRunSettings | None = None,
        *,
        dedupe: bool = True,
    ) -> Run:
        """Start a run of a deployment and return immediately.

        Args:
            deployment_id: from the deployment's URL.
            batch_id: the batch to process; this, `input_dir` or `manual_upstream_integration`.
            input_dir: a folder on a drive.
            manual_upstream_integration: take the input from the deployment's own integration.
            from_timestamp: for a mailbox integration, the earliest mail, Unix **milliseconds**.
            to_timestamp: for a mailbox integration, the latest mail, Unix **milliseconds**.
            version: the latest production version by default.
            output_workspace: not in the published specification since March 2025, but sent when given.
            output_dir: where results go; wins over the deployment's workspace.
            settings: as for `client.apps.runs.create()`.
            dedupe: as for `client.apps.runs.create()`.

        Raises:
            InvalidRequestError: not exactly one input.
            OutcomeUnknownError: the connection broke, and it could not be determined whether the run has started.
        """
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        prepared = self._prepare(
            *(deployment_id, batch_id, input_dir, manual_upstream_integration, from_timestamp, to_timestamp),
            *(version, output_workspace, output_dir, settings),
            dedupe=dedupe,
        )
        return (await self._starter.start(prepared)).run

    async def submit(
        self,
        deployment_id: str,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        manual_upstream_integration: bool | None = None,
        from_timestamp: int | None = None,
        to_timestamp: int | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: GivenRunSettings | None = None,
        *,
        dedupe: bool = True,
    ) -> RunHandle:
        """Start a run of a deployment and return a handle; `create()` and `Runs.submit()` describe the arguments."""
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        prepared = self._prepare(
            *(deployment_id, batch_id, input_dir, manual_upstream_integration, from_timestamp, to_timestamp),
            *(version, output_workspace, output_dir, settings),
            dedupe=dedupe,
        )
        return await self._submit(prepared)

    def _prepare(
        self,
        deployment_id: str,
        batch_id: Id | None,
        input_dir: str | None,
        manual_upstream_integration: bool | None,
        from_timestamp: int | None,
        to_timestamp: int | None,
        version: str | None,
        output_workspace: str | None,
        output_dir: str | None,
        settings: GivenRunSettings | None,
        *,
        dedupe: bool,
    ) -> RunRequest:
        upstream = manual_upstream_integration or None
        exactly_one(batch_id=batch_id, input_dir=input_dir, manual_upstream_integration=upstream)
        body = given(
            batch_id=None if batch_id is None else as_batch_id(batch_id),
            input_dir=input_dir,
            manual_upstream_integration=manual_upstream_integration,
            from_timestamp=from_timestamp,
            to_timestamp=to_timestamp,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
        )
        path = {"deployment_id": deployment_id}
        return self._starter.prepare(ops.RUN_DEPLOYMENT, path, body, settings, dedupe=dedupe)


class Deployments:
    """Deployments: `runs` starts and reads their runs."""

    def __init__(self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None" = None) -> None:
        self.runs = DeploymentRuns(transport, scheduler, webhooks)
