"""`aihub files`: the files of connected drives, not of this machine."""

from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.batches import show_nodes
from aihub_async.cli.connection import call_service, check_key
from aihub_async.cli.exits import confirm, usage
from aihub_async.cli.options import FLAG, Connection, Output, Yes, command, local_path
from aihub_async.cli.output import check_writable
from aihub_async.cli.showing import show_one
from aihub_async.cli.text import plain
from aihub_async.client import AsyncAIHub
from aihub_async.models import FileNode

app = typer.Typer(help="Files of connected drives: list, get, put, delete.", no_args_is_help=True)

RemotePath = Annotated[
    str, typer.Argument(help="Full path, such as '/acme/finance/fs/Instabase Drive/in/a.pdf'.", metavar="PATH")
]


@command(app, "list", example="aihub files list '/acme/finance/fs/Instabase Drive/in'")
def list_files(path: RemotePath, output: Output, connection: Connection) -> None:
    """List a folder. The published API does not specify this listing."""
    del output

    async def work(client: AsyncAIHub) -> list[FileNode]:
        return [node async for node in client.files.iter_folder(path)]

    show_nodes(call_service(connection, work))


@command(app, "info", example="aihub files info '/acme/finance/fs/Instabase Drive/in/a.pdf'")
def info(path: RemotePath, output: Output, connection: Connection) -> None:
    """Show type, size and date of a file or folder."""
    del output
    found = call_service(connection, lambda client: client.files.get_file_metadata(path))
    modified = found.last_modified
    facts: dict[str, Any] = {
        "path": path,
        "type": "folder" if found.is_folder else "file",
        "size": found.size,
        "modified": modified.isoformat() if modified else None,
    }
    show_one(facts, facts)


@command(app, "get", example="aihub files get '/acme/finance/fs/Instabase Drive/out/a.json' .")
def get(
    path: RemotePath,
    output: Output,
    connection: Connection,
    target: Annotated[str, typer.Argument(help="Local file, or folder to put it in.", metavar="TARGET")] = ".",
) -> None:
    """Download a file; a download that was interrupted continues."""
    del output
    local = local_path(target, "TARGET")
    if not local.is_dir():
        check_writable(local, "TARGET")
    saved = call_service(
        connection,
        lambda client: client.files.download(path, local),
        interrupted=lambda: "the same command continues the download",
    )
    size = saved.stat().st_size
    terminal.note(f"{size:,} bytes")
    if terminal.is_json():
        terminal.emit({"path": path, "local": str(saved), "bytes": size})
    else:
        terminal.write_line(plain(str(saved)))


@command(app, "put", example="aihub files put a.pdf '/acme/finance/fs/Instabase Drive/in/a.pdf'")
def put(
    source: Annotated[str, typer.Argument(help="Local file.", metavar="FILE")],
    path: RemotePath,
    output: Output,
    connection: Connection,
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", "-n", metavar=FLAG, help="Fail if there is a file at PATH.")
    ] = False,
) -> None:
    """Upload a file; missing folders are created."""
    del output
    local = local_path(source, "FILE")
    if not local.is_file():
        usage(f"{source}: there is no such file")
    call_service(connection, lambda client: client.files.write(path, local, if_none_match=no_clobber))
    size = local.stat().st_size
    terminal.note(f"{size:,} bytes written to {path}")
    if terminal.is_json():
        terminal.emit({"path": path, "bytes": size})


@command(app, "delete", example="aihub files delete '/acme/finance/fs/Instabase Drive/in/a.pdf' --yes")
def delete(path: RemotePath, output: Output, connection: Connection, yes: Yes = False) -> None:
    """Delete a file, or a folder with all that is in it."""
    del output
    check_key(connection)
    confirm(f"Delete {path} and, if it is a folder, all that is in it?", yes=yes)

    async def work(client: AsyncAIHub) -> str | None:
        job_id = (await client.files.delete(path)).job_id
        if job_id:
            await client.jobs.wait(job_id)
        return job_id

    job_id = call_service(connection, work, interrupted=lambda: "the deletion continues on the server")
    terminal.note(f"{path} is deleted")
    if terminal.is_json():
        terminal.emit({"path": path, "job_id": job_id or None})
