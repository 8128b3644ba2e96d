"""The state of an upload: a bar in a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from aihub_async.models import Run
from aihub_async.uploads.engine import UploadProgress

_LINE_EVERY = 5.0


class UploadDisplay:
    """Use it as a context manager, and give its methods as `on_progress` and `on_update`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._last_line = time.monotonic()
        self._run_status: str | None = None
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("uploading", total=None, files="")

    def upload(self, progress: UploadProgress) -> None:
        """Show how far the upload is."""
        found = f"{progress.files_done}/{progress.files_found} files"
        failed = f", {progress.files_failed} failed" if progress.files_failed else ""
        if self._live:
            self._bar.update(
                self._task, completed=progress.bytes_done, total=progress.bytes_found, files=found + failed
            )
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._console.print(f"uploaded {found}{failed}, {progress.bytes_done:,} bytes", highlight=False)

    def run(self, run: Run) -> None:
        """Show the state of a run when it changes."""
        if run.status == self._run_status:
            return
        self._run_status = run.status
        if self._live:
            self._bar.update(self._task, description=f"run {run.status}")
        else:
            self._console.print(f"run {run.id}: {run.status}", highlight=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
