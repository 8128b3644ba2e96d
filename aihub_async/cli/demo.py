"""`aihub demo`: the main jobs on a local emulator, with a fault that is survived and a job that is resumed."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from aihub_async.cli import terminal
from aihub_async.cli.exits import run, usage
from aihub_async.cli.options import Output, local_path
from aihub_async.cli.output import check_writable, print_table
from aihub_async.client import AsyncAIHub
from aihub_async.transport.events import AttemptEvent

if TYPE_CHECKING:
    from aihub_async.emulator import Emulator
    from aihub_async.ingest.progress import IngestStatus
    from aihub_async.results.processed import Processed

APP = "key-values"
SCRIPT = """\
from aihub_async.emulator import Emulator
from aihub_sync import AIHub

with Emulator() as hub, AIHub(hub.api_key, api_root=hub.api_root) as client:
    for row in client.process("{folder}/", app_name="key-values").rows():
        print(row.file, row.field, row.value, sep="\\t")
"""
_SHOWN_FIELDS = 2
"""Fields of each document that the table shows: the whole demo is to fit on one screen."""


@attrs.frozen
class _Resumed:
    """A bulk job that was stopped and run again."""

    before: "IngestStatus"
    after: "IngestStatus"
    sent: int
    """Files that went over the wire, in both runs of the job together."""


def demo(
    output: Output,
    folder: Annotated[
        str, typer.Option(help="Where the sample documents are written.", metavar="FOLDER")
    ] = "aihub-demo",
) -> None:
    """Write a few real documents, process them on a local emulator, and show what was found."""
    del output
    from aihub_async.emulator import write_samples

    began = time.monotonic()
    target = local_path(folder, "--folder")
    check_writable(target / "sample", "--folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        paths = write_samples(target)
    except OSError as error:
        usage(f"--folder {folder}: {error.strerror or error}")
    processed, faults, resumed = run(_work(paths))
    seconds = time.monotonic() - began
    if terminal.is_json():
        terminal.emit(
            {
                "folder": str(target),
                "files": len(processed.files),
                "fields": [row._asdict() for row in processed.rows()],
                "faults_survived": faults,
                "resumed": {"done_before": resumed.before.done, "done": resumed.after.done, "sent": resumed.sent},
                "seconds": round(seconds, 3),
            }
        )
        return
    _tell(target, processed, faults, resumed, seconds)


async def _work(paths: Sequence[Path]) -> "tuple[Processed, int, _Resumed]":
    from aihub_async.emulator import Emulator, Fault

    watch = _Watch()
    faults = [
        Fault(kind="status", status=503, operation="addFileToBatch", times=1),
        Fault(kind="truncate", operation="getRunResults", times=1),
    ]
    async with Emulator(faults=faults) as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root, hooks=[watch]) as client:
        processed = await client.process(paths, app_name=APP, include_confidence_scores=True)
        return processed, watch.repeated, await _resume(client, hub, paths, watch)


class _Watch:
    """A hook of the client: counts repeated requests, and calls a function when results arrive."""

    def __init__(self) -> None:
        self.repeated = 0
        self.on_results: Callable[[], None] | None = None

    def __call__(self, event: AttemptEvent) -> None:
        self.repeated += event.wait is not None
        if event.operation == "getRunResults" and self.on_results is not None:
            self.on_results()


async def _resume(client: AsyncAIHub, hub: "Emulator", paths: Sequence[Path], watch: _Watch) -> _Resumed:
    """Stop a bulk job when its first results arrive, and run it again."""
    sent_before = _sent(hub)
    with TemporaryDirectory(prefix="aihub-demo-") as results:
        start = functools.partial(
            client.ingest, paths, app_name=APP, out=results, batch_files=2, max_runs=1, in_flight_grace=0.1
        )
        job = start()
        watch.on_results = job.stop
        before = await job.run()
        watch.on_results = None
        after = await start().run()
    return _Resumed(before, after, _sent(hub) - sent_before)


def _sent(hub: "Emulator") -> int:
    return sum(
        request.operation == "addFileToBatch" and (request.status or 0) == 204 for request in hub.requests.records
    )


def _tell(folder: Path, processed: "Processed", faults: int, resumed: _Resumed, seconds: float) -> None:
    rows = list(processed.rows())
    per_document: dict[tuple[str, int], int] = {}
    shown = []
    for row in rows:
        key = (row.file, row.document)
        per_document[key] = per_document.get(key, 0) + 1
        if per_document[key] <= _SHOWN_FIELDS and row.document == 0:
            shown.append(row)
    terminal.note(f"{len(processed.files)} documents in {folder}/, a local AI Hub, and the app {APP}:")
    print_table(shown, title=f"Extracted fields ({len(shown)} of {len(rows)})")
    terminal.note(f"{faults} requests failed on purpose (a 503, a truncated answer) and were repeated.")
    terminal.note(
        f"A bulk job was stopped after {resumed.before.done} of {resumed.after.files} files, and run again: "
        f"{resumed.after.done} done, {resumed.sent} sent."
    )
    terminal.note("\nThe same in Python:\n")
    for line in SCRIPT.format(folder=folder.as_posix()).splitlines():
        terminal.write_line(line)
    terminal.note(f"\n{len(processed.files)} documents and {len(rows)} fields in {seconds:.1f} s. Next:\n")
    terminal.note(f"  aihub process {folder} --emulator --app {APP} -o fields.csv")
    terminal.note("  aihub serve            # a local AI Hub for your own tests")
    terminal.note("  aihub login            # with an account")
