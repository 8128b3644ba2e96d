"""`aihub record`."""

from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import check_key, open_client
from aihub_async.cli.exits import ending_in_one_line, run
from aihub_async.cli.options import FLAG, Connection, Output, local_path
from aihub_async.models.reprs import counted


def record(
    run_id: Annotated[str, typer.Argument(help="Id of the run.", metavar="RUN_ID")],
    output: Output,
    connection: Connection,
    to: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of the recordings.")] = "fixtures",
    fakes: Annotated[
        bool, typer.Option("--fakes", metavar=FLAG, help="Replace values and file names by fakes of the same shape.")
    ] = False,
) -> None:
    """Save a run and its results, so that the emulator serves them again.

    User ids, e-mail addresses, organizations and workspaces are replaced; the values of fields are kept unless --fakes
    is given. `hub.load(FOLDER)` and `aihub serve --load FOLDER` serve the recording.
    """
    del output
    from aihub_async.emulator import save_recording

    folder = local_path(to, "--to")
    check_key(connection)

    async def fetch() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with open_client(connection) as client:
            status = await client.apps.runs.status(run_id)
            pages: list[dict[str, Any]] = []
            offset = 0
            while True:
                page = await client.apps.runs.results(run_id, offset, True, True, True, True)
                pages.append(page.raw)
                offset += len(page.files)
                if not page.has_more or not page.files:
                    return status.raw, pages

    found, pages = run(fetch())
    with ending_in_one_line():
        target = save_recording(folder, found, pages, fakes=fakes)
        files = sum(len(page.get("files") or ()) for page in pages)
        if terminal.is_json():
            terminal.emit({"out": str(target), "files": files})
        else:
            terminal.write_line(str(target))
            terminal.note(f"{counted(files, 'file')}; serve them with: aihub serve --load {to}")
