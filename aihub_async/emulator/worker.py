"""The worker that carries runs out: processes the files on threads, keeps the results, ends the run."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from aihub_async.emulator.apps import App, Apps
from aihub_async.emulator.background import Background, Threads
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Row
from aihub_async.emulator.flow_outputs import FlowOutputs
from aihub_async.emulator.packets import run_documents
from aihub_async.emulator.process import InputFile, ProcessedFile, process_file
from aihub_async.emulator.reading import is_image
from aihub_async.emulator.results import is_blocked
from aihub_async.emulator.runs import Runs, run_settings
from aihub_async.emulator.secret_store import SecretStore
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.slots import PrioritySlots
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.usage import Usage
from aihub_async.emulator.webhooks import Webhooks

logger = logging.getLogger("aihub_async.emulator")

_PAGE = 200  # input files fetched from the database at a time
_ENDINGS = {
    "COMPLETE": "Run completed.",
    "FAILED": "The app failed.",
    "STOPPED_AT_CHECKPOINT": "A validation error has paused the run for human review.",
}


@attrs.frozen
class Email:
    """A notification of the end of a flow run (`settings.notification_emails`)."""

    address: str
    run_id: str
    status: str


class _StepTimeoutError(Exception):
    """A step of a flow took longer than its `step_timeout`."""


@attrs.frozen
class _Job:
    """What the processing of each file of a run needs."""

    run: Row
    app: App
    settings: Mapping[str, Any]
    secrets: Mapping[str, str]

    @property
    def priority(self) -> int:
        return int(self.settings.get("priority", 0))

    @property
    def step_timeout(self) -> float | None:
        """Seconds; 0 leaves the choice to the platform, which here sets no limit, and -1 sets none."""
        seconds = self.settings.get("step_timeout", 0)
        return None if seconds <= 0 else seconds


class Worker:
    """Carries out runs, several files at a time; runs of a higher priority first."""

    def __init__(
        self,
        runs: Runs,
        drive: Drive,
        apps: Apps,
        webhooks: Webhooks,
        secrets: SecretStore,
        usage: Usage,
        background: Background,
        threads: Threads,
        settings: EmulatorSettings,
    ) -> None:
        self._runs = runs
        self._drive = drive
        self._apps = apps
        self._webhooks = webhooks
        self._secrets = secrets
        self._usage = usage
        self._background = background
        self._threads = threads
        self._settings = settings
        self._slots = PrioritySlots(settings.workers)
        self._active: dict[str, asyncio.Task[None]] = {}
        self.emails: list[Email] = []
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
            self._usage.reset(run_id)
            self.start(run_id)

    async def wait(self, run_id: str) -> None:
        """Wait until a run is no longer RUNNING and its webhook is acknowledged or abandoned."""
        task = self._active.get(run_id)
        if task is not None:
            await asyncio.wait({task})
        await self._webhooks.settled(run_id)

    def cancel(self, run_id: str) -> None:
        """End a run as CANCELLED; one that has ended already stays as it is."""
        if self._runs.get(run_id)["status"] not in {"RUNNING", "PAUSED", "STOPPED_AT_CHECKPOINT"}:
            return
        self._stop(run_id)
        self._end(run_id, "CANCELLED", "The run was cancelled.")

    def pause(self, run_id: str) -> None:
        """Hold a run that is RUNNING; `restart` continues it."""
        self._stop(run_id)
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
        for address in run_settings(run).get("notification_emails") or ():
            self.emails.append(Email(address, run_id, run["status"]))

    def _stop(self, run_id: str) -> None:
        task = self._active.get(run_id)
        if task is not None:
            task.cancel()

    async def _carry_out(self, run_id: str) -> None:
        run, clock = self._runs.get(run_id), self._settings.clock
        app = self._apps.by_id(run["app_id"], run["app_version"])
        if app is None:
            self._end(run_id, "FAILED", f"The app {run['app_name']!r} is no longer registered.")
            return
        seconds = self._settings.run_seconds if app.run_seconds is None else app.run_seconds
        earliest_end = clock.time_ns() + int(seconds * NANOSECONDS)
        status, message = await self._process(run, app)
        if (left := earliest_end - clock.time_ns()) > 0:
            await clock.sleep(left / NANOSECONDS)
        await self.released.wait()
        self._end(run_id, status, message)

    def _end(self, run_id: str, status: str, message: str) -> None:
        self._runs.finish(run_id, status, message)
        run = self._runs.get(run_id)
        if run["binary_path"] is not None:
            FlowOutputs(self._drive, run, self._settings).finish(status, message)
        if status != "STOPPED_AT_CHECKPOINT":
            self.announce(run_id)

    async def _process(self, run: Row, app: App) -> tuple[str, str]:
        """Process all files; return how the run ends and why."""
        settings = run_settings(run)
        job = _Job(run, app, settings, self._secrets.values(run["context"], settings))
        blocked, count, late = False, 0, False
        try:
            blocked, count = await self._process_files(job)
        except* _StepTimeoutError:
            late = True
        if late:
            return "FAILED", f"A step took longer than step_timeout, {job.step_timeout} seconds."
        if not count:
            return "FAILED", "The input has no files."
        if app.packet is not None:
            documents = run_documents(self._runs.entries(run["id"]))
            try:
                fields = await self._threads.run(lambda make: [field.view() for field in make(documents)], app.packet)
            # The function is the user's code: any exception fails the run.
            except Exception as error:
                logger.warning("the packet function of app %r failed", app.name, exc_info=error)
                return "FAILED", f"The packet function failed: {type(error).__name__}: {error}"
            self._runs.set_case_info(run["id"], fields)
            blocked = blocked or any(field["validations"]["failures"] for field in fields if app.packet_blocks)
        status = "STOPPED_AT_CHECKPOINT" if blocked and app.outcome == "COMPLETE" else app.outcome
        return status, _ENDINGS[status]

    async def _process_files(self, job: _Job) -> tuple[bool, int]:
        """Return whether a validation blocks the run, and the number of files."""
        inputs, blocked, count = self._inputs(job.run), False, 0

        async def work() -> None:
            nonlocal blocked, count
            async with self._slots.take(job.priority) as slot:
                for position, file in inputs:
                    count += 1
                    done = await self._in_time(job, file)
                    self._keep(job, position, file, done)
                    blocked = blocked or is_blocked(done.entry)
                    await slot.renew()

        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.workers):
                group.create_task(work())
        return blocked, count

    async def _in_time(self, job: _Job, file: InputFile) -> ProcessedFile:
        work = asyncio.ensure_future(self._threads.run(process_file, [job.app], file, job.settings, job.secrets))
        if job.step_timeout is None:
            return await work
        # Of the emulator's clock, so that a test needs not wait.
        timer = asyncio.ensure_future(self._settings.clock.sleep(job.step_timeout))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise _StepTimeoutError
            return work.result()
        finally:
            timer.cancel()
            work.cancel()

    def _keep(self, job: _Job, position: int, file: InputFile, done: ProcessedFile) -> None:
        for path, pdf in done.pdfs.items():
            self._drive.put(path, *self._drive.blobs.save(pdf))
        self._runs.add_result(job.run["id"], position, done.entry)
        self._usage.add(job.run["id"], job.run["context"], done.units)
        if job.run["binary_path"] is not None:
            FlowOutputs(self._drive, job.run, self._settings).add(file.name, done)

    def _inputs(self, run: Row) -> Iterator[tuple[int, InputFile]]:
        folder = run["input_dir"]
        window = {"since_ns": run["input_since_ns"], "as_of_ns": run["input_until_ns"]}
        position, after = 0, ""
        while nodes := self._drive.walk(folder, after=after, limit=_PAGE, **window):
            for node in nodes:
                # Neither an output folder inside the input folder nor the text file of an image is an input.
                if node.path.startswith(f"{run['output_dir']}/") or self._is_sidecar(node.path):
                    continue
                name = node.path[len(folder) + 1 :]
                yield (
                    position,
                    InputFile(
                        name=name,
                        path=f"/{node.path}",
                        local_path=self._drive.blobs.path(node.blob),
                        pdf_paths=_pdf_paths(run["output_dir"], name),
                        sidecar_path=self._sidecar(f"{node.path}.txt"),
                    ),
                )
                position += 1
            after = nodes[-1].path

    def _is_sidecar(self, path: str) -> bool:
        owner = path.removesuffix(".txt")
        return owner != path and is_image(owner) and self._drive.find(owner) is not None

    def _sidecar(self, path: str) -> str | None:
        node = self._drive.find(path)
        return None if node is None else self._drive.blobs.path(node.blob)


def _pdf_paths(output_dir: str, name: str) -> Callable[[int], str]:
    def path(number: int) -> str:
        suffix = "" if number == 1 else f"_{number}"
        return f"{output_dir}/post_processed/{name}{suffix}.pdf"

    return path
