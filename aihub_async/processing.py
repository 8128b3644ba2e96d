"""`client.process()`: documents in, extracted fields out, in one call."""

import datetime as dt
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_FILES_PER_RUN
from aihub_async.models import Run, RunSettings
from aihub_async.results.processed import Processed

if TYPE_CHECKING:
    from aihub_async.client import AsyncAIHub
    from aihub_async.models.uploads import UploadReport
    from aihub_async.uploads.engine import UploadProgress
    from aihub_async.uploads.sources import Sources
    from aihub_async.waiting.handles import RunHandle


async def process(
    client: "AsyncAIHub",
    sources: "Sources | None",
    *,
    app_name: str | None,
    app_id: str | None,
    deployment_id: str | None,
    batch_id: int | str | None,
    batch_name: str | None,
    workspace: str | None,
    owner: str | None,
    version: str | None,
    output_workspace: str | None,
    output_dir: str | None,
    settings: RunSettings | Mapping[str, Any] | None,
    timeout: float | None,
    through_review: bool,
    on_progress: "Callable[[UploadProgress], None] | None",
    on_update: Callable[[Run], None] | None,
    include: Mapping[str, bool],
) -> Processed:
    """See `AsyncAIHub.process`."""
    if sum(value is not None for value in (app_name, app_id, deployment_id)) != 1:
        raise InvalidRequestError("give one of app_name, app_id and deployment_id")
    if (sources is None) == (batch_id is None):
        raise InvalidRequestError("give sources to upload, or the batch_id of a batch that has its files")
    upload = None
    if sources is not None:
        name = batch_name or new_batch_name()
        batch_id = (await client.batches.create(name, workspace, unique_name=batch_name is None)).id
        upload = await client.batches.upload(batch_id, sources, on_progress=on_progress)
        _check_count(upload, batch_id)
    handle: RunHandle
    if deployment_id is not None:
        handle = await client.apps.deployments.runs.submit(
            deployment_id,
            batch_id=batch_id,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
            settings=settings,
        )
    else:
        handle = await client.apps.runs.submit(
            app_name=app_name,
            app_id=app_id,
            batch_id=batch_id,
            owner=owner,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
            settings=settings,
        )
    run = await handle.wait(timeout, on_update=on_update, through_review=through_review)
    results = await client.apps.runs.collect_results(run.id, **include)
    return Processed(run, None if batch_id is None else int(batch_id), results.files, upload, results.case_info)


def new_batch_name() -> str:
    """A name that says when, and that nobody else has."""
    return f"aihub-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _check_count(upload: "UploadReport", batch_id: int | str) -> None:
    count = len(upload.records)
    if count == 0:
        raise InvalidRequestError(f"nothing to process: the sources hold no files (batch {batch_id} was created)")
    if count > MAX_FILES_PER_RUN:
        raise InvalidRequestError(
            f"{count} files, but a run takes {MAX_FILES_PER_RUN}; use client.ingest(), which splits them "
            f"(batch {batch_id} has them all)"
        )
