# Written by `python -m aihub_sync._generate` from aihub_async/resources/v1/flows.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.v1.flows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub_sync._facade import Facade
from aihub_sync._generated.v1_handles import LegacyJobHandle, LegacyRunHandle
from aihub_sync._generated.v1_jobs import FlowJobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub_async.models import FlowSettings, LegacyResults
    from aihub_async.resources.named_files import NamedFiles
    from aihub_async.resources.v1 import flows
    from aihub_sync._facade import Lease


class Flows(Facade):
    """Compile and run flows."""

    _async: flows.Flows
    jobs: FlowJobs
    """Jobs of flows: what `client.legacy.jobs` has, and four operations of which only the names are published."""

    def _bind(self, wrapped: flows.Flows, lease: Lease) -> None:
        super()._bind(wrapped, lease)
        self.jobs = FlowJobs(wrapped.jobs, lease)

    def compile(
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
            >>> def compiled(client):
            ...     job = client.flows.compile("org/ws/fs/Drive/project", flow_file="main.ibflow")
            ...     return job.wait(timeout=600)
        """
        try:
            found = self._lease.run(
                self._async.compile(
                    flow_project_root,
                    binary_type,
                    flow_file=flow_file,
                    flows_dir=flows_dir,
                    metaflow_file=metaflow_file,
                    classifier_file=classifier_file,
                    predefined_binary_path=predefined_binary_path,
                    settings=settings,
                )
            )
            return LegacyJobHandle(found, self._lease)
        finally:
            del settings

    def run(
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
            >>> def records(client, binary, folder):
            ...     run = client.flows.run(binary, folder, settings=FlowSettings(priority=5))
            ...     return [record.values for record in run.iter_results()]
        """
        try:
            found = self._lease.run(self._async.run(binary_path, input_dir, output_dir, job_id, settings))
            return LegacyRunHandle(found, self._lease)
        finally:
            del settings

    def run_sync(self, binary_path: str, files: NamedFiles, result_format: str = "json") -> LegacyResults:
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
            >>> def total(client, binary):
            ...     results = client.flows.run_sync(binary, {"a.txt": b"Total: 7"})
            ...     return results.records[0].values["Total"]
        """
        return self._lease.run(self._async.run_sync(binary_path, files, result_format))
