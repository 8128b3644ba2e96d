"""`aihub batches`: batches of files."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import check_key, open_client
from aihub_async.cli.exits import confirm, run, usage
from aihub_async.cli.options import FLAG, Connection, Output, command
from aihub_async.cli.terminal import Column
from aihub_async.limits import MAX_NAME_LENGTH
from aihub_async.models import BatchInfo, FileNode

app = typer.Typer(help="List, create and delete batches, and see their files.", no_args_is_help=True)

BatchId = Annotated[int, typer.Argument(help="Id of the batch.", metavar="BATCH_ID", min=1)]
Workspace = Annotated[str | None, typer.Option(metavar="NAME", help="Workspace. (default: your own)")]
Yes = Annotated[bool, typer.Option("--yes", "-y", metavar=FLAG, help="Skip the confirmation prompt.")]

_COLUMNS = (
    Column("id", "batch", width=5, right=True),
    Column("name", "name", width=30),
    Column("created", "created (UTC)", keep=1, width=16),
    Column("workspace", "workspace", keep=2, width=18),
    Column("batch_owner", "owner", keep=3, width=18),
)
_FILE_COLUMNS = (
    Column("name", "name", width=24),
    Column("size", "bytes", width=10, right=True),
    Column("modified", "modified (UTC)", keep=1, width=16),
)


@command(app, "list", example="aihub batches list --workspace finance")
def list_batches(
    output: Output,
    connection: Connection,
    workspace: Annotated[str | None, typer.Option(metavar="NAME", help="Only batches of this workspace.")] = None,
    username: Annotated[
        str | None, typer.Option(metavar="ID", help="Only batches of this user id, such as jane.doe_acme.com.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Batches at most.")] = 50,
) -> None:
    """List batches, in the order of the server."""
    del output
    check_key(connection)

    async def work() -> list[BatchInfo]:
        found: list[BatchInfo] = []
        async with open_client(connection) as client:
            async for each in client.batches.iter(workspace, username, page_size=min(limit, 100)):
                found.append(each)
                if len(found) == limit:
                    break
        return found

    found = run(work())
    if terminal.is_json():
        terminal.emit([each.to_dict() for each in found])
        return
    terminal.print_rows(_COLUMNS, [_row(each) for each in found])
    if not found:
        terminal.note("no batches")


def _row(each: BatchInfo) -> dict[str, Any]:
    row = {column.key: getattr(each, column.key, None) for column in _COLUMNS}
    return row | {"created": _moment((each.created_at_ms or 0) / 1000)}


def _moment(seconds: float | None) -> str | None:
    if not seconds:
        return None
    try:
        return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return None


@command(app, "show", example="aihub batches show 4711")
def show(batch_id: BatchId, output: Output, connection: Connection) -> None:
    """Show a batch as the server reports it."""
    del output
    check_key(connection)

    async def work() -> BatchInfo:
        async with open_client(connection) as client:
            return await client.batches.get(batch_id)

    found = run(work())
    if terminal.is_json():
        terminal.emit(found.to_dict())
    else:
        terminal.print_facts(
            _row(found) | {"drive": found.mount_point, "path": found.path_suffix, "workspace owner": found.repo_owner}
        )


@command(app, "create", example="aihub batches create march --workspace finance")
def create(
    name: Annotated[str, typer.Argument(help="Name of the batch, 1 to 255 characters.", metavar="NAME")],
    output: Output,
    connection: Connection,
    workspace: Workspace = None,
) -> None:
    """Create an empty batch, and print its id."""
    del output
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        usage(f"a batch name has 1 to {MAX_NAME_LENGTH} characters, not {len(name)}")
    check_key(connection)

    async def work() -> int:
        async with open_client(connection) as client:
            return (await client.batches.create(name, workspace)).id

    batch_id = run(work())
    if terminal.is_json():
        terminal.emit({"batch_id": batch_id, "name": name})
    else:
        terminal.write_line(str(batch_id))


@command(app, "files", example="aihub batches files 4711")
def files(batch_id: BatchId, output: Output, connection: Connection) -> None:
    """List the files of a batch."""
    del output
    check_key(connection)

    async def work() -> list[FileNode]:
        async with open_client(connection) as client:
            return [node async for node in client.batches.iter_files(batch_id)]

    show_nodes(run(work()))


def show_nodes(nodes: list[FileNode]) -> None:
    """Print files and folders."""
    if terminal.is_json():
        terminal.emit([node.to_dict() for node in nodes])
        return
    terminal.print_rows(_FILE_COLUMNS, [_node_row(node) for node in nodes])
    if not nodes:
        terminal.note("no files")


def _node_row(node: FileNode) -> dict[str, Any]:
    data = node.metadata
    is_folder = data is not None and data.node_type == "folder"
    return {
        "name": (node.name or Path(node.full_path or "").name) + ("/" if is_folder else ""),
        "size": None if data is None or is_folder else data.size,
        "modified": None if data is None else _moment(data.modified_timestamp),
    }


@command(app, "remove-file", example="aihub batches remove-file 4711 draft.pdf --yes")
def remove_file(
    batch_id: BatchId,
    name: Annotated[str, typer.Argument(help="Name of the file in the batch.", metavar="NAME")],
    output: Output,
    connection: Connection,
    yes: Yes = False,
) -> None:
    """Remove one file from a batch."""
    del output
    check_key(connection)
    confirm(f"Remove {name!r} from batch {batch_id}?", yes=yes)

    async def work() -> str | None:
        async with open_client(connection) as client:
            job_id = (await client.batches.delete_file(batch_id, name)).job_id
            if job_id:
                await client.jobs.wait(job_id)
            return job_id

    _conclude(run(work()), f"{name!r} is removed from batch {batch_id}", batch_id=batch_id, file=name)


@command(app, "delete", example="aihub batches delete 4711 --yes")
def delete(batch_id: BatchId, output: Output, connection: Connection, yes: Yes = False) -> None:
    """Delete a batch with all its files."""
    del output
    check_key(connection)
    confirm(f"Delete batch {batch_id} with all its files?", yes=yes)

    async def work() -> str:
        async with open_client(connection) as client:
            job_id = (await client.batches.delete(batch_id)).job_id
            await client.jobs.wait(job_id)
            return job_id

    _conclude(run(work()), f"batch {batch_id} is deleted", batch_id=batch_id)


def _conclude(job_id: str | None, message: str, **facts: object) -> None:
    terminal.note(message)
    if terminal.is_json():
        terminal.emit({**facts, "job_id": job_id or None})
