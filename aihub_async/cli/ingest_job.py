"""What `aihub ingest` does."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from aihub_async.cli.connection import open_client
from aihub_async.cli.exits import fail, run, usage
from aihub_async.cli.options import AnyConnection
from aihub_async.cli.terminal import err, out
from aihub_async.ingest.engines import Engine, dask_engine
from aihub_async.ingest.folder import ResultsFolder, default_journal
from aihub_async.ingest.job import IngestJob
from aihub_async.ingest.progress import IngestStatus, read_status

_LINE_EVERY = 5.0


class JobDisplay:
    """How far a job is: a live table in a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._last_line = time.monotonic()

    def show(self, status: IngestStatus) -> None:
        """Take a new state."""
        if self._live is not None:
            self._live.update(_view(status), refresh=True)
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._console.print(str(status), highlight=False, soft_wrap=True)

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
    bar = ProgressBar(total=max(status.files, 1), completed=status.done + status.failed, width=40)
    table.add_row("done", bar, f"{status.done:,} of {status.files:,}{'' if status.scanned else ' so far'}")
    uploaded = ProgressBar(total=max(status.files, 1), completed=status.uploaded, width=40)
    table.add_row("uploaded", uploaded, f"{status.uploaded:,} files, {status.uploaded_bytes / 1e6:,.1f} MB")
    rates = f"{status.files_per_second or 0:,.1f} files/s, {(status.bytes_per_second or 0) / 1e6:,.2f} MB/s"
    table.add_row("rate", rates, f"{status.retries:,} retries")
    table.add_row("batches", ", ".join(f"{count} {name}" for name, count in status.batches.items()), "")
    table.add_row("failed", f"{status.failed:,} failed, {status.refused:,} refused", "")
    left = "unknown" if status.remaining is None else time.strftime("%H:%M:%S", time.gmtime(status.remaining))
    table.add_row("time left", left, "[dim]Ctrl-C: finish what is in flight; twice: stop now[/]")
    return Group(table)


def run_job(
    options: dict[str, Any],
    *,
    plan: bool,
    retry_failed: bool,
    report: Path | None,
    engine: str,
    scheduler: str | None,
    connection: AnyConnection,
) -> None:
    """Plan or run a job, show how far it is, and say at its end what there is to know."""
    chosen = _engine(engine, scheduler)

    async def work() -> IngestStatus | None:
        async with open_client(connection) as client:
            with JobDisplay(err) as display:
                job = client.ingest(**options, on_progress=display.show)
                if plan:
                    out.print(str(await job.plan()), highlight=False, soft_wrap=True)
                    return None
                with _interruptible(job):
                    return await job.run(retry_failed=retry_failed, engine=chosen)

    try:
        status = run(work())
    finally:
        journal = options["journal"] or default_journal(options["out"])
        if report is not None and journal.exists():
            _report(journal, report)
    if status is not None:
        _conclude(status, ResultsFolder(options["out"], options["format"]))


def show_status(journal: Path) -> None:
    """Print how far a job is, also while another process works on it."""

    async def work() -> IngestStatus:
        return await asyncio.to_thread(read_status, journal)

    out.print(str(run(work())), highlight=False, soft_wrap=True)


def _engine(name: str, scheduler: str | None) -> Engine | None:
    if name == "local":
        return None
    if name != "dask":
        usage(f"--engine is local or dask, not {name}")
    if scheduler is None:
        usage("--engine dask needs --scheduler tcp://…")
    return dask_engine(scheduler)


def _report(journal: Path, target: Path) -> None:
    from aihub_async.ingest.report import write_report

    write_report(journal, target)
    err.print(f"report: {target}", highlight=False, soft_wrap=True)


def _conclude(status: IngestStatus, folder: ResultsFolder) -> None:
    out.print(str(status), highlight=False, soft_wrap=True)
    if status.failed or status.refused:
        err.print(f"the files without results are listed in {folder.failures}", highlight=False, soft_wrap=True)
    if not status.complete:
        fail("not complete: run the same command again to go on")


@contextlib.contextmanager
def _interruptible(job: IngestJob) -> Iterator[None]:
    """The first Ctrl-C lets the job finish what is in flight, the second ends it now; it can be resumed after both."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked = 0

    def interrupt() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            err.print("stopping: finishing what is in flight (Ctrl-C again: stop now)", highlight=False)
            job.stop()
        elif task is not None:
            task.cancel()

    signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, interrupt)
    except NotImplementedError:
        # This system's event loop has no signal handlers: Ctrl-C stops at once.
        signals = ()
    try:
        yield
    except asyncio.CancelledError:
        if asked < 2:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
