"""The worker that carries runs out: reads the files on threads, keeps what the app finds, ends the run."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from aihub_async.emulator.apps import App, Apps, Document, extracted_documents
from aihub_async.emulator.background import Background, Threads
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Row
from aihub_async.emulator.extraction import UnreadableFileError, read_document
from aihub_async.emulator.flow_outputs import write_flow_outputs
from aihub_async.emulator.results import failed_entry, file_entry
from aihub_async.emulator.runs import Runs, run_settings
from aihub_async.emulator.samples import pdf_bytes
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.webhooks import Webhooks

logger = logging.getLogger("aihub_async.emulator")

MAX_POST_PROCESS_PAGES = 100
"""Documents of this many pages or more get no post-process PDF."""

_PAGE = 200  # input files fetched from the database at a time
_ENDINGS = {
    "COMPLETE": "Run completed.",
    "FAILED": "The app failed.",
    "STOPPED_AT_CHECKPOINT": "A validation error has paused the run for human review.",
}


@attrs.frozen
class _Input:
    position: int
    path: str
    name: str
    local_path: str
    pdf_path: str


class Worker:
    """Carries out runs, several files at a time."""

    def __init__(
        self,
        runs: Runs,
        drive: Drive,
        apps: Apps,
        webhooks: Webhooks,
        background: Background,
        threads: Threads,
        settings: EmulatorSettings,
    ) -> None:
        self._runs = runs
        self._drive = drive
        self._apps = apps
        self._webhooks = webhooks
        self._background = background
        self._settings = settings
        self._threads = threads
        self._active: dict[str, asyncio.Task[None]] = {}
        self.released = asyncio.Event()
        self.released.set()

    def start(self, run_id: str) -> None:
        """Start a run."""
        task = self._background.spawn(self._carry_out(run_id))
        self._active[run_id] = task
        task.add_done_callback(lambda _: self._forget(run_id, task))

    def _forget(self, run_id: str, task: asyncio.Task[None]) -> None:
        # A run that was paused and resumed has a new task before the old one is done.
        if self._active.get(run_id) is task:
            del self._active[run_id]

    def resume(self) -> None:
        """Restart the runs that the last stop interrupted."""
        for run_id in self._runs.unfinished():
            self.start(run_id)

    async def wait(self, run_id: str) -> None:
        """Wait until a run is no longer RUNNING and its webhook is settled."""
        task = self._active.get(run_id)
        if task is not None:
            await asyncio.wait({task})
        await self._webhooks.settled(run_id)

    def cancel(self, run_id: str) -> None:
        """End a run as CANCELLED; one that has ended already stays as it is."""
        if self._runs.get(run_id)["status"] not in {"RUNNING", "PAUSED", "STOPPED_AT_CHECKPOINT"}:
            return
        task = self._active.get(run_id)
        if task is not None:
            task.cancel()
        self._end(run_id, "CANCELLED", "The run was cancelled.")

    def pause(self, run_id: str) -> None:
        """Hold a run that is RUNNING; `restart` continues it."""
        task = self._active.get(run_id)
        if task is not None:
            task.cancel()
        self._runs.set_status(run_id, "PAUSED")

    def restart(self, run_id: str) -> None:
        """Start a paused or finished run again; its results replace those it had."""
        self._runs.set_status(run_id, "RUNNING")
        self.start(run_id)

    def announce(self, run_id: str) -> None:
        """Send the webhook of a run that has ended."""
        run = self._runs.get(run_id)
        deployment = self._apps.deployment(run["deployment_id"])
        target = run_settings(run).get("webhook_config") or (deployment.webhook if deployment else None)
        if isinstance(target, Mapping):
            self._webhooks.send(run, target)

    async def _carry_out(self, run_id: str) -> None:
        run, clock = self._runs.get(run_id), self._settings.clock
        app = self._apps.get(run["app_name"])
        if app is None:
            self._end(run_id, "FAILED", f"The app {run['app_name']!r} is no longer registered.")
            return
        seconds = self._settings.run_seconds if app.run_seconds is None else app.run_seconds
        earliest_end = clock.time_ns() + int(seconds * NANOSECONDS)
        count = await self._process_all(run, app)
        if (left := earliest_end - clock.time_ns()) > 0:
            await clock.sleep(left / NANOSECONDS)
        await self.released.wait()
        if count == 0:
            self._end(run_id, "FAILED", "The input has no files.")
            return
        self._end(run_id, app.outcome, _ENDINGS[app.outcome])

    def _end(self, run_id: str, status: str, message: str) -> None:
        self._runs.finish(run_id, status, message)
        run = self._runs.get(run_id)
        if status == "COMPLETE" and run["binary_path"] is not None:
            write_flow_outputs(self._drive, run)
        if status != "STOPPED_AT_CHECKPOINT":
            self.announce(run_id)

    async def _process_all(self, run: Row, app: App) -> int:
        settings, inputs = run_settings(run), self._inputs(run)
        processed = 0

        async def work() -> None:
            nonlocal processed
            for item in inputs:
                processed += 1
                entry, pdf = await self._threads.run(_process, app, item, settings)
                if pdf:
                    self._drive.put(item.pdf_path, *self._drive.blobs.save(pdf))
                self._runs.add_result(run["id"], item.position, entry)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.workers):
                group.create_task(work())
        return processed

    def _inputs(self, run: Row) -> Iterator[_Input]:
        prefix = f"{run['input_dir']}/"
        position, after = 0, ""
        while nodes := self._drive.walk(run["input_dir"], after=after, limit=_PAGE):
            for node in nodes:
                name = node.path[len(prefix) :]
                pdf_path = f"{run['output_dir']}/post_processed/{name}.pdf"
                yield _Input(position, node.path, name, self._drive.blobs.path(node.blob), pdf_path)
                position += 1
            after = nodes[-1].path


def _process(app: App, item: _Input, settings: Mapping[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    input_path = f"/{item.path}"
    try:
        document = read_document(item.local_path, item.name, settings)
        found = extracted_documents(app, document)
    except UnreadableFileError as error:
        return failed_entry(item.name, input_path, str(error)), None
    except FileNotFoundError:
        return failed_entry(item.name, input_path, "The file was deleted before it was processed."), None
    # An app is the user's code: whatever it raises concerns this one file, and the run goes on.
    except Exception as error:
        logger.warning("app %r failed on %r", app.name, item.name, exc_info=error)
        return failed_entry(item.name, input_path, f"{type(error).__name__}: {error}"), None
    pdf = _post_process(document, settings)
    return file_entry(document, found, input_path, f"/{item.pdf_path}" if pdf else None), pdf


def _post_process(document: Document, settings: Mapping[str, Any]) -> bytes | None:
    runtime = settings.get("runtime_config")
    payload = isinstance(runtime, Mapping) and runtime.get("generate_post_process_pdf") is True
    if not payload or len(document.pages) >= MAX_POST_PROCESS_PAGES:
        return None
    if document.name.lower().endswith(".pdf"):
        return document.content
    return pdf_bytes([page.text.splitlines() for page in document.pages])
