"""The steps of `client.process()`: check, upload, run, wait, read the results."""

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError, NotFoundError, StatusError
from aihub_async.limits import MAX_FILES_PER_RUN
from aihub_async.models import Run, RunSettings, settings_dict
from aihub_async.models.uploads import UploadReport
from aihub_async.resources._base import as_batch_id, exactly_one, json_body
from aihub_async.resources.apps import Apps
from aihub_async.resources.batches import Batches, check_batch_name
from aihub_async.secrecy import SecretValue
from aihub_async.types import Id
from aihub_async.uploads.checking import check_sources
from aihub_async.uploads.engine import OnProgress
from aihub_async.uploads.sources import Naming, SourceReader, Sources
from aihub_async.uploads.walking import PathFilter
from aihub_async.waiting.handles import RunHandle

if TYPE_CHECKING:
    from aihub_async.results.processed import Processed

_ADVICE = "a run takes no more; client.ingest() takes any number and splits them into runs"


@attrs.frozen(kw_only=True)
class RunOptions:
    """What to run, and how; see `apps.runs.create()`."""

    app_name: str | None
    app_id: str | None
    deployment_id: str | None
    owner: str | None
    version: str | None
    output_workspace: str | None
    output_dir: str | None
    settings: RunSettings | None
    dedupe: bool

    def check(self) -> None:
        """Check all that needs no request.

        Raises:
            InvalidRequestError: not exactly one app or deployment, or something that cannot be sent.
        """
        exactly_one(app_name=self.app_name, app_id=self.app_id, deployment_id=self.deployment_id)
        if self.deployment_id is not None:
            ops.RUN_DEPLOYMENT.url_path(deployment_id=self.deployment_id)
            if self.owner is not None:
                raise InvalidRequestError("owner is for apps; a deployment has its own")
        json_body(SecretValue(settings_dict(self.settings)))


@attrs.frozen(kw_only=True)
class UploadChoices:
    """What to upload, and to which batch; see `batches.upload()`."""

    sources: Sources | None
    batch_id: Id | None
    batch_name: str | None
    workspace: str | None
    naming: Naming
    include: str | Sequence[str] | None
    exclude: str | Sequence[str] | None

    async def checked(self) -> SourceReader | None:
        """Return the files, checked before anything is sent; None for a batch that has its files.

        Raises:
            InvalidRequestError: both or none of sources and batch, no files, too many, or an unusable name.
            UploadError: some files cannot be read, or would get the same name.
        """
        if (self.sources is None) == (self.batch_id is None):
            raise InvalidRequestError("pass sources to upload, or the batch_id of a batch that has its files")
        if self.batch_id is not None:
            as_batch_id(self.batch_id)
            self._refuse_idle()
        if self.batch_name is not None:
            check_batch_name(self.batch_name)
        if self.sources is None:
            return None
        reader = SourceReader(self.sources, self.naming, PathFilter(self.include, self.exclude))
        await check_sources(reader, most=MAX_FILES_PER_RUN, advice=_ADVICE)
        return reader

    def _refuse_idle(self) -> None:
        names = ("batch_name", "workspace", "naming", "include", "exclude")
        idle = [name for name in names if getattr(self, name) is not None]
        if idle:
            raise InvalidRequestError(f"{' and '.join(idle)} cannot change the batch {self.batch_id}, which exists")


async def process_run(
    batches: Batches,
    apps: Apps,
    choices: UploadChoices,
    options: RunOptions,
    *,
    timeout: float | None,
    through_review: bool,
    on_progress: OnProgress | None,
    on_update: Callable[[Run], None] | None,
    details: Mapping[str, bool],
) -> "Processed":
    """Check, upload, run, wait and read the results; see `AsyncAIHub.process`."""
    options.check()
    reader = await choices.checked()
    batch_id, upload = choices.batch_id, None
    if reader is not None:
        await check_app(apps, app_name=options.app_name, app_id=options.app_id, deployment_id=options.deployment_id)
        batch_id, upload = await _upload(batches, choices, reader, on_progress)
    handle = await _submit(apps, batch_id, options)
    run = await handle.wait(timeout, on_update=on_update, through_review=through_review)
    from aihub_async.results.processed import Processed  # noqa: PLC0415 - needed only now

    results = await apps.runs.collect_results(run.id, **details)
    return Processed(run, None if batch_id is None else as_batch_id(batch_id), results.files, upload, results.case_info)


async def check_app(
    apps: Apps, *, app_name: str | None = None, app_id: str | None = None, deployment_id: str | None = None
) -> None:
    """Query the API for runs of the app: where it answers 404, nothing needs to be uploaded.

    Raises:
        NotFoundError: there is no such app or deployment.
    """
    try:
        await apps.runs.list(app_name=app_name, app_id=app_id, deployment_id=deployment_id, limit=1)
    except NotFoundError:
        raise
    except StatusError:
        # A key that cannot list runs may still start them; any other problem shows when the batch is created.
        return


async def _upload(
    batches: Batches, choices: UploadChoices, reader: SourceReader, on_progress: OnProgress | None
) -> tuple[int, UploadReport]:
    name = choices.batch_name or new_batch_name()
    batch = await batches.create(name, choices.workspace, unique_name=choices.batch_name is None)
    batch_id = as_batch_id(batch.id)
    return batch_id, await batches.upload(batch_id, reader, on_progress=on_progress)


async def _submit(apps: Apps, batch_id: Id | None, options: RunOptions) -> RunHandle:
    common: dict[str, Any] = {
        "batch_id": batch_id,
        "version": options.version,
        "output_workspace": options.output_workspace,
        "output_dir": options.output_dir,
        "settings": options.settings,
        "dedupe": options.dedupe,
    }
    if options.deployment_id is not None:
        return await apps.deployments.runs.submit(options.deployment_id, **common)
    return await apps.runs.submit(app_name=options.app_name, app_id=options.app_id, owner=options.owner, **common)


def new_batch_name() -> str:
    """Return a name that contains the time and is unique."""
    return f"aihub-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
