"""What the commands of `aihub ingest` do."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aihub_async.cli import terminal
from aihub_async.cli.connection import open_client
from aihub_async.cli.exits import ExitCode, end_partial, fail, run
from aihub_async.cli.options import AnyConnection
from aihub_async.ingest import engines
from aihub_async.ingest.cloud import split_out
from aihub_async.ingest.folder import ResultsFolder, default_journal, journal_of
from aihub_async.ingest.job import IngestJob
from aihub_async.ingest.progress import IngestStatus, read_status
from aihub_async.models.reprs import counted

_LINE_EVERY = 10.0
_BAR_WIDTH = 32
_STOPPING = (
    "stopping: files that are being sent arrive, results that are being written are written; runs continue on the "
    "server (Ctrl-C again: stop now)"
)


class JobDisplay:
    """The status of a job: a live table in a terminal, a line every 10 s elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        shown = console.is_terminal and not terminal.is_quiet()
        self._live = Live(console=console, transient=True, auto_refresh=False) if shown else None
        self._last_line = time.monotonic()

    def show(self, status: IngestStatus) -> None:
        """Show a new status."""
        if self._live is not None:
            self._live.update(_view(status), refresh=True)
        elif not terminal.is_quiet() and time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._console.print(f"{status.stage}: {status}", highlight=False, soft_wrap=True, markup=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _view(status: IngestStatus) -> Group:
    table = Table.grid(padding=(0, 2))
    stage = status.stage
    if status.outage is not None:
        stage += f", which has not answered for {status.outage:.0f} s"
    table.add_row("stage", stage, "")
    so_far = "" if status.scanned else " so far"
    table.add_row("done", _bar(status, status.done + status.failed), f"{status.done:,} of {status.files:,}{so_far}")
    sizes = f"{status.uploaded:,} files, {status.uploaded_bytes / 1e6:,.1f} MB"
    table.add_row("uploaded", _bar(status, status.uploaded), sizes)
    rates = f"{status.files_per_second or 0:,.1f} files/s, {(status.bytes_per_second or 0) / 1e6:,.2f} MB/s"
    table.add_row("upload rate", rates, f"{status.retries:,} retries")
    table.add_row("batches", ", ".join(f"{count} {name}" for name, count in status.batches.items()), "")
    table.add_row("failed", f"{status.failed:,} failed, {status.refused:,} refused", "")
    left = "unknown" if status.remaining is None else time.strftime("%H:%M:%S", time.gmtime(status.remaining))
    table.add_row("time left", left, Text("Ctrl-C: finish the requests in flight; twice: stop now", "dim"))
    return Group(table, *(Text(line, "yellow") for line in status.attention))


def _bar(status: IngestStatus, completed: int) -> ProgressBar:
    return ProgressBar(total=max(status.files, 1), completed=completed, width=_BAR_WIDTH)


def run_job(
    arguments: dict[str, Any],
    connection: AnyConnection,
    engine: engines.Engine | None,
    report: Path | None,
    *,
    retry_failed: bool,
) -> None:
    """Run a job, show its progress, and report at its end what to do next."""
    interrupted = False

    async def work() -> IngestStatus:
        nonlocal interrupted
        async with open_client(connection) as client:
            with JobDisplay(terminal.err) as display:
                job = client.ingest(**arguments, on_progress=display.show)
                with _interruptible(job) as signals:
                    status = await job.run(retry_failed=retry_failed, engine=engine)
                interrupted = bool(signals)
                return status

    try:
        status = run(work(), interrupted=lambda: "run the same command again to resume the job")
    finally:
        folder, _ = split_out(arguments["out"])
        journal = Path(arguments["journal"] or default_journal(folder))
        if report is not None and journal.exists():
            _write_report(journal, report)
    _conclude(status, ResultsFolder(folder, arguments["format"]), str(arguments["out"]), interrupted=interrupted)


def watch_folder(
    arguments: dict[str, Any], connection: AnyConnection, *, settle: float, batch_after: float, move: Path | None
) -> None:
    """Watch a folder until a signal; this is the ordinary end, with exit code 0."""

    async def work() -> IngestStatus:
        async with open_client(connection) as client:
            with JobDisplay(terminal.err) as display:
                job = client.ingest(**arguments, on_progress=display.show)
                with _interruptible(job):
                    return await job.watch(settle=settle, batch_after=batch_after, move=move)

    _print_status(run(work(), interrupted=lambda: "run the same command again to resume"))
    terminal.note("stopped watching; run the same command again to resume")


def plan_job(arguments: dict[str, Any], connection: AnyConnection, *, quick: bool) -> None:
    """Print what a job would do."""
    # A plan sends nothing, so that no key is needed for it.
    connection = attrs.evolve(connection, api_key=connection.api_key or "not used")

    async def work() -> Any:
        async with open_client(connection) as client:
            return await client.ingest(**arguments).plan(contents=not quick, pages=not quick)

    plan = run(work())
    if terminal.is_json():
        terminal.emit(attrs.asdict(plan))
        return
    terminal.out.print(str(plan), highlight=False, soft_wrap=True)


def show_status(job: Path, report: Path | None) -> None:
    """Print the status of a job."""

    async def work() -> IngestStatus:
        return await asyncio.to_thread(read_status, journal_of(job))

    status = run(work())
    _print_status(status)
    if report is not None:
        _write_report(journal_of(job), report)


def rebuild_job(arguments: dict[str, Any], connection: AnyConnection, job_id: str | None) -> None:
    """Recreate a lost journal."""

    async def work() -> IngestStatus:
        async with open_client(connection) as client:
            return await client.ingest(**arguments).rebuild(job_id)

    _print_status(run(work()))
    terminal.note("the journal is recreated; run the job with `aihub ingest run` and the same options")


def _write_report(journal: Path, target: Path) -> None:
    from aihub_async.ingest.report import write_report

    async def work() -> None:
        await asyncio.to_thread(write_report, journal, target)

    run(work())
    terminal.note(f"report: {target}")


def _print_status(status: IngestStatus) -> None:
    if terminal.is_json():
        terminal.emit(attrs.asdict(status) | {"complete": status.complete, "stage": status.stage})
        return
    terminal.out.print(str(status), highlight=False, soft_wrap=True)
    for line in status.attention:
        terminal.note(line)


def _conclude(status: IngestStatus, folder: ResultsFolder, out: str, *, interrupted: bool) -> None:
    _print_status(status)
    if status.failed or status.refused:
        terminal.note(f"the files without results are listed in {folder.failures}")
    if status.complete:
        if not status.files and not status.refused:
            terminal.warn("the sources hold no files")
        if status.failed:
            end_partial(f"{counted(status.failed, 'file')} failed; aihub ingest retry-failed sends again what failed")
        terminal.note(f"complete; results: {out}")
        return
    if interrupted:
        fail("stopped; run the same command again to resume the job", code=ExitCode.INTERRUPTED)
    fail("not complete: run the same command again to continue", code=ExitCode.UNFINISHED)


@contextlib.contextmanager
def _interruptible(job: IngestJob) -> Iterator[list[int]]:
    """Let the first Ctrl-C finish the requests in flight and the second end the job now; it can be resumed after both.

    The list has the signals that arrived.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    arrived: list[int] = []

    def interrupt(number: int) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            terminal.err.print(_STOPPING, highlight=False)
            job.stop()
        elif task is not None:
            task.cancel()

    signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, interrupt, number)
    except NotImplementedError:
        # This system's event loop has no signal handlers: Ctrl-C ends the job now.
        signals = ()
    try:
        yield arrived
    except asyncio.CancelledError:
        if len(arrived) < 2:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
