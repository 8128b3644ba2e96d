"""`client.flows`: flow binaries, by the deprecated Flow Binary API."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_JOB_ID_LENGTH, MAX_SYNC_FILES
from aihub_async.models import (
    FlowJobAnswer,
    FlowSettings,
    LegacyJob,
    LegacyResults,
    flow_settings_dict,
)
from aihub_async.models.raw import DecodeError, parse
from aihub_async.reconcile.jobs import JobFinder
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.resources._base import given, read_answer
from aihub_async.resources._run_settings import with_webhook
from aihub_async.resources.named_files import NamedFiles, inline_files
from aihub_async.resources.v1._base import LegacyResource
from aihub_async.resources.v1.handles import LegacyJobHandle, LegacyRunHandle
from aihub_async.resources.v1.jobs import FlowJobs
from aihub_async.resources.v1.legacy import Legacy
from aihub_async.secrecy import SecretValue
from aihub_async.transport.transport import Transport
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver


_REQUIRED = {
    "Single Flow": ("flow_file",),
    "Metaflow": ("flows_dir", "metaflow_file", "classifier_file"),
    "Flows": ("flows_dir",),
}


class Flows(LegacyResource):
    """Compile and run flows."""

    def __init__(
        self,
        transport: Transport,
        scheduler: Scheduler,
        legacy: Legacy,
        webhooks: "WebhookReceiver | None" = None,
    ) -> None:
        super().__init__(transport)
        self.jobs = FlowJobs(transport, scheduler)
        self._legacy = legacy
        self._webhooks = webhooks

    async def compile(
        self,
        flow_project_root: str,
        binary_type: str = "Single Flow",
        *,
        flow_file: str | None = None,
        flows_dir: str | None = None,
        metaflow_file: str | None = None,
        classifier_file: str | None = None,
        predefined_binary_path: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> LegacyJobHandle:
        """Compile a flow to a binary that can be run.

        Args:
            flow_project_root: the longest path common to the flows and their root folders.
            binary_type: ``"Single Flow"`` (needs `flow_file`), ``"Metaflow"`` (needs `flows_dir`, `metaflow_file` and
                `classifier_file`) or ``"Flows"`` (needs `flows_dir`).
            flow_file: the flow, below `flow_project_root`.
            flows_dir: the folder of the flows, below `flow_project_root`.
            metaflow_file: the ``.ibmetaflow`` file, below `flow_project_root`.
            classifier_file: the ``.ibclassifier`` file, below `flow_project_root`.
            predefined_binary_path: where the binary goes; ``<flow_project_root>/build/bin/`` by default.
            settings: further settings, sent as they are.

        Returns:
            A handle; its `wait()` waits for the end.

        Raises:
            InvalidRequestError: a setting that this type needs is missing, or one is given that it does not have.
            LegacyAPIError: the server refused it.
            OutcomeUnknownError: the connection broke and the job may or may not have started.

        Example:
            >>> async def compiled(client):
            ...     job = await client.flows.compile("org/ws/fs/Drive/project", flow_file="main.ibflow")
            ...     return await job.wait(timeout=600)
        """
        own = given(
            flow_file=flow_file, flows_dir=flows_dir, metaflow_file=metaflow_file, classifier_file=classifier_file
        )
        _check_settings(binary_type, own)
        body = given(
            flow_project_root=flow_project_root,
            binary_type=binary_type,
            predefined_binary_path=predefined_binary_path,
            settings={**own, **(settings or {})},
        )
        job = await self._call(LegacyJob, ops.COMPILE_FLOW, json=body)
        return LegacyJobHandle(job.job_id, self.jobs)

    async def run(
        self,
        binary_path: str,
        input_dir: str,
        output_dir: str | None = None,
        job_id: str | None = None,
        settings: FlowSettings | Mapping[str, Any] | None = None,
    ) -> LegacyRunHandle:
        """Start a run of a flow binary and return immediately.

        The job id is chosen here, so that a run whose start is unclear is looked up and never started twice.

        Args:
            binary_path: of the ``.ibflowbin`` file.
            input_dir: the folder to process.
            output_dir: ``<input_dir>/../out/`` by default.
            job_id: at most 50 characters; a UUID by default.
            settings: a `FlowSettings`, or a dict in which `modify_output_schema` may be a dict too; its
                `webhook_config` is by default the client's receiver of webhooks, if it has one.

        Returns:
            A handle; its `wait()` waits for the end.

        Raises:
            InvalidRequestError: the job id is too long, or a setting is out of its range.
            LegacyAPIError: the server refused it.
            OutcomeUnknownError: the connection broke, and the server has no such job (yet); `reconcile()` looks
                again.

        Example:
            >>> async def records(client, binary, folder):
            ...     run = await client.flows.run(binary, folder, settings=FlowSettings(priority=5))
            ...     return [record.values async for record in run.iter_results()]
        """
        # They may hold passwords, and this frame is part of a traceback.
        concealed = SecretValue(settings)
        del settings
        job_id = str(uuid.uuid4()) if job_id is None else _checked_job_id(job_id)
        fields = given(binary_path=binary_path, input_dir=input_dir, output_dir=output_dir, job_id=job_id)
        plain = SecretValue(with_webhook(flow_settings_dict(concealed), self._webhooks))
        body = SecretValue({**fields, "settings": plain.reveal()} if plain else fields)
        finder = JobFinder(self.jobs.status, job_id)

        async def send() -> LegacyRunHandle:
            job = (await self._call(FlowJobAnswer, ops.RUN_FLOW, json=body)).data
            return LegacyRunHandle(job.job_id, self.jobs, self._legacy.results, job.output_folder)

        async def find(*, thorough: bool) -> LegacyRunHandle:
            found = await finder(thorough=thorough)
            return LegacyRunHandle(found, self.jobs, self._legacy.results)

        return await send_once(send, find, OncePolicy.of(self._transport.settings, self._transport.clock))

    async def run_sync(self, binary_path: str, files: NamedFiles, result_format: str = "json") -> LegacyResults:
        """Run a flow binary on a few files in memory and wait for the results.

        The server takes at most 60 seconds for it and cannot stop at a checkpoint.

        Args:
            binary_path: of the ``.ibflowbin`` file.
            files: at most 5: contents by name, or a list of local paths and of pairs of name and content. A content is
                bytes, a `pathlib.Path` or an open binary file.
            result_format: ``"json"``, or ``"csv"`` for the text in `csv` of the answer; the form of the server's CSV
                is not documented.

        Raises:
            InvalidRequestError: no files, more than 5, or too large ones.
            SourceError: a file cannot be read.
            LegacyAPIError: the server refused it.
            OutcomeUnknownError: the connection broke and the run may or may not have been carried out.

        Example:
            >>> async def total(client, binary):
            ...     results = await client.flows.run_sync(binary, {"a.txt": b"Total: 7"})
            ...     return results.records[0].values["Total"]
        """
        if result_format not in {"json", "csv"}:
            raise InvalidRequestError(f"result_format is 'json' or 'csv', not {result_format!r}")
        body = {
            "binary_path": binary_path,
            "options": {"result_format": result_format},
            "files": await inline_files(files, most=MAX_SYNC_FILES),
        }
        request, response = await self._ask(ops.RUN_FLOW_SYNC, json=body)
        if result_format == "csv" and (text := _csv(response.body)) is not None:
            return LegacyResults(binary_path=binary_path, csv=text)
        return read_answer(self._transport, LegacyResults, request, response)


def _csv(body: bytes) -> str | None:
    """Return the answer's text; None if it is a JSON object, which may hold the CSV in an undocumented form."""
    text = body.decode("utf-8", "replace")
    try:
        answer = parse(body)
    except DecodeError:
        return text
    if isinstance(answer, dict):
        return None
    return answer if isinstance(answer, str) else text


def _check_settings(binary_type: str, settings: Mapping[str, str]) -> None:
    if binary_type not in _REQUIRED:
        raise InvalidRequestError(f"binary_type is {', '.join(map(repr, _REQUIRED))}, not {binary_type!r}")
    required = _REQUIRED[binary_type]
    if missing := [name for name in required if name not in settings]:
        raise InvalidRequestError(f"a {binary_type!r} binary needs {', '.join(missing)}")
    if foreign := sorted(settings.keys() - set(required)):
        raise InvalidRequestError(f"a {binary_type!r} binary has no {', '.join(foreign)}")


def _checked_job_id(job_id: str) -> str:
    if not 1 <= len(job_id) <= MAX_JOB_ID_LENGTH:
        raise InvalidRequestError(f"a job id has 1 to {MAX_JOB_ID_LENGTH} characters, not {len(job_id)}")
    return job_id
