"""`aihub upload`."""

from typing import Annotated

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import check_key, open_client
from aihub_async.cli.exits import run
from aihub_async.cli.options import FLAG, INPUT, AnyConnection, Output, Sources
from aihub_async.cli.progress import WorkDisplay
from aihub_async.cli.sending import Selection, Trail, check_selection, checked_reader, send
from aihub_async.models.reprs import counted
from aihub_async.models.uploads import UploadReport


def upload(
    sources: Sources,
    output: Output,
    connection: AnyConnection,
    selection: Selection,
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Concurrent uploads. (default: as many as help)", rich_help_panel=INPUT),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", metavar=FLAG, help="Compare names and sizes with the batch afterwards.", rich_help_panel=INPUT
        ),
    ] = False,
) -> None:
    """Upload files and folders to a batch, many concurrently, and print the batch's id."""
    del output
    check_selection(sources, selection)
    check_key(connection)
    display = WorkDisplay()
    trail = Trail(display, is_lasting=not connection.emulator)

    async def work() -> tuple[int, UploadReport]:
        reader = await checked_reader(sources, selection)
        async with open_client(connection) as client:
            with display:
                return await send(client, reader, selection, trail, concurrency=concurrency, verify=verify)

    batch_id, report = run(work(), interrupted=trail.message)
    terminal.note(
        f"{counted(len(report.files), 'file')}, {report.bytes:,} bytes in {report.duration:.1f} s to batch {batch_id}"
    )
    if terminal.is_json():
        terminal.emit(
            {
                "batch_id": batch_id,
                "files": len(report.files),
                "bytes": report.bytes,
                "seconds": round(report.duration, 3),
            }
        )
    else:
        terminal.write_line(str(batch_id))
