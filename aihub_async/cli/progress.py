"""The state of an upload and of a run: live in a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from aihub_async.cli import terminal
from aihub_async.cli.text import plain
from aihub_async.models import Run
from aihub_async.uploads.engine import UploadProgress

_LINE_EVERY = 5.0
_BAR_WIDTH = 24


class WorkDisplay:
    """Shows uploads and runs; use it as a context manager, and its methods as `on_progress` and `on_update`."""

    def __init__(self) -> None:
        is_shown = terminal.err.is_terminal and not terminal.is_quiet()
        self._last_line = time.monotonic()
        self._began = time.monotonic()
        self._upload = UploadProgress()
        self._run: Run | None = None
        self._run_began = 0.0
        self._spinner = Spinner("line")
        # The elapsed time changes without an event, so the display requests its content.
        self._live = Live(console=terminal.err, transient=True, get_renderable=self._draw) if is_shown else None

    @property
    def files_sent(self) -> int:
        """Files that have been uploaded."""
        return self._upload.files_done

    @property
    def run_id(self) -> str | None:
        """The id of the run, once there is one."""
        return None if self._run is None else self._run.id

    def upload(self, progress: UploadProgress) -> None:
        """Show how far the upload is."""
        self._upload = progress
        if self._live is None and time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            terminal.note(f"uploaded {_counts(progress)}, {progress.bytes_done:,} bytes")

    def run(self, run: Run) -> None:
        """Show the state of a run when it changes; the command reports how it ended."""
        before, self._run = self._run, run
        if before is None:
            self._run_began = time.monotonic()
        if self._live is None and not run.is_terminal and (before is None or before.status != run.status):
            terminal.note(f"run {run.id}: {run.status}")

    def _draw(self) -> Table:
        line = Table.grid(padding=(0, 1))
        if self._run is not None:
            elapsed = _clock(time.monotonic() - self._run_began)
            line.add_row(self._spinner, Text(plain(f"run {self._run.id} {self._run.status} {elapsed}")))
            return line
        state = self._upload
        seconds = time.monotonic() - self._began
        if not state.files_found:
            line.add_row(self._spinner, Text("looking for files"))
            return line
        bar = ProgressBar(total=max(state.bytes_found, 1), completed=state.bytes_done, width=_BAR_WIDTH)
        rate = state.bytes_done / max(seconds, 1e-9) / 1e6
        line.add_row("uploading", bar, f"{_counts(state)}  {rate:.1f} MB/s  {_clock(seconds)}")
        return line

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _counts(progress: UploadProgress) -> str:
    failed = f", {progress.files_failed} failed" if progress.files_failed else ""
    return f"{progress.files_done}/{progress.files_found} files{failed}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
