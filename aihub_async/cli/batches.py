"""`aihub batches`: batches of files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import call_service, check_key
from aihub_async.cli.exits import confirm, usage
from aihub_async.cli.options import Connection, Output, Yes, command
from aihub_async.cli.showing import cells_of, first, moment, show_list, show_one
from aihub_async.cli.terminal import Column
from aihub_async.client import AsyncAIHub
from aihub_async.limits import MAX_NAME_LENGTH
from aihub_async.models import BatchInfo, FileNode

app = typer.Typer(help="List, create and delete batches, and see their files.", no_args_is_help=True)

BatchId = Annotated[int, typer.Argument(help="Id of the batch.", metavar="BATCH_ID", min=1)]
Workspace = Annotated[str | None, typer.Option(metavar="NAME", help="Workspace. (default: your own)")]

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

    async def work(client: AsyncAIHub) -> list[BatchInfo]:
        return await first(client.batches.iter(workspace, username, page_size=min(limit, 100)), limit)

    show_list(_COLUMNS, call_service(connection, work), _row, nothing="no batches")


def _row(each: BatchInfo) -> dict[str, Any]:
    return cells_of(_COLUMNS, each) | {"created": moment((each.created_at_ms or 0) / 1000)}


@command(app, "show", example="aihub batches show 4711")
def show(batch_id: BatchId, output: Output, connection: Connection) -> None:
    """Show a batch as the server reports it."""
    del output
    found = call_service(connection, lambda client: client.batches.get(batch_id))
    more = {"drive": found.mount_point, "path": found.path_suffix, "workspace owner": found.repo_owner}
    show_one(found.to_dict(), _row(found) | more)


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
    batch_id = call_service(connection, lambda client: client.batches.create(name, workspace)).id
    if terminal.is_json():
        terminal.emit({"batch_id": batch_id, "name": name})
    else:
        terminal.write_line(str(batch_id))


@command(app, "files", example="aihub batches files 4711")
def files(batch_id: BatchId, output: Output, connection: Connection) -> None:
    """List the files of a batch."""
    del output

    async def work(client: AsyncAIHub) -> list[FileNode]:
        return [node async for node in client.batches.iter_files(batch_id)]

    show_nodes(call_service(connection, work))


def show_nodes(nodes: list[FileNode]) -> None:
    """Print files and folders."""
    show_list(_FILE_COLUMNS, nodes, _node_row, nothing="no files")


def _node_row(node: FileNode) -> dict[str, Any]:
    data = node.metadata
    is_folder = data is not None and data.node_type == "folder"
    return {
        "name": (node.name or Path(node.full_path or "").name) + ("/" if is_folder else ""),
        "size": None if data is None or is_folder else data.size,
        "modified": None if data is None else moment(data.modified_timestamp),
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

    async def work(client: AsyncAIHub) -> str | None:
        job_id = (await client.batches.delete_file(batch_id, name)).job_id
        if job_id:
            await client.jobs.wait(job_id)
        return job_id

    _conclude(
        call_service(connection, work), f"{name!r} is removed from batch {batch_id}", batch_id=batch_id, file=name
    )


@command(app, "delete", example="aihub batches delete 4711 --yes")
def delete(batch_id: BatchId, output: Output, connection: Connection, yes: Yes = False) -> None:
    """Delete a batch with all its files."""
    del output
    check_key(connection)
    confirm(f"Delete batch {batch_id} with all its files?", yes=yes)

    async def work(client: AsyncAIHub) -> str:
        job_id = (await client.batches.delete(batch_id)).job_id
        await client.jobs.wait(job_id)
        return job_id

    _conclude(call_service(connection, work), f"batch {batch_id} is deleted", batch_id=batch_id)


def _conclude(job_id: str | None, message: str, **facts: object) -> None:
    terminal.note(message)
    if terminal.is_json():
        terminal.emit({**facts, "job_id": job_id or None})
