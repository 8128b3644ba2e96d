"""From sources to a batch: what `aihub process` and `aihub upload` have in common."""

import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal

import attrs
import typer

from aihub_async.cli import terminal
from aihub_async.cli.exits import in_options, list_failed_files, usage
from aihub_async.cli.options import FLAG, INPUT, check_existence
from aihub_async.cli.progress import WorkDisplay
from aihub_async.client import AsyncAIHub
from aihub_async.errors import InvalidRequestError, UploadError
from aihub_async.limits import MAX_NAME_LENGTH
from aihub_async.models.reprs import counted
from aihub_async.models.uploads import UploadReport
from aihub_async.process_run import new_batch_name
from aihub_async.uploads.checking import check_sources
from aihub_async.uploads.remote import RemoteFile
from aihub_async.uploads.sources import NamedRemote, SourceReader
from aihub_async.uploads.walking import PathFilter

_BATCHES_LOOKED_THROUGH = 1000
"""Batches that are searched for one of the same name."""
_SHOWN_FILES = 3
"""Files that were left out and are named."""
_SECRET_OPTIONS = ("--api-key",)


@attrs.frozen
class Selection:
    """Which files of the sources are sent, under which names, and to which batch."""

    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files of folders that match; repeatable.", rich_help_panel=INPUT),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="No files of folders that match; repeatable.", rich_help_panel=INPUT),
    ] = None
    relative: Annotated[
        bool,
        typer.Option(
            "--relative",
            metavar=FLAG,
            help="Name files by their path below the folder, joined by __.",
            rich_help_panel=INPUT,
        ),
    ] = False
    batch_id: Annotated[
        int | None,
        typer.Option(
            "--batch-id", "--batch", metavar="ID", min=1, help="Use this batch, not a new one.", rich_help_panel=INPUT
        ),
    ] = None
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            metavar=FLAG,
            help="With --batch-id: leave out files that it has, with the same name and size.",
            rich_help_panel=INPUT,
        ),
    ] = False
    batch_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the new batch. (default: one with the date)", rich_help_panel=INPUT),
    ] = None
    workspace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Workspace of the new batch. (default: your own)", rich_help_panel=INPUT),
    ] = None

    @property
    def naming(self) -> Literal["relative"] | None:
        """What the library calls the rule for names."""
        return "relative" if self.relative else None


@attrs.define
class Trail:
    """What a command has created so far, for the message after Ctrl-C."""

    display: WorkDisplay
    is_lasting: bool = True
    """False on an emulator that ends with the command."""
    batch_id: int | None = None

    def message(self) -> str | None:
        """Return the ids, and the command that continues the work."""
        if not self.is_lasting or self.batch_id is None:
            return None
        if (run := self.display.run_id) is not None:
            return f"run {run} of batch {self.batch_id} continues; its results: aihub results {run}"
        again = repeated_command("--batch-id", str(self.batch_id), "--skip-existing")
        sent = counted(self.display.files_sent, "file")
        return f"batch {self.batch_id} has {sent} of this command; to continue: {again}"


def repeated_command(*more: str) -> str:
    """Return the command line of this process with more options, without secrets, ready to paste."""
    words: list[str] = []
    arguments = iter(sys.argv[1:])
    for word in arguments:
        name = word.partition("=")[0]
        if name in _SECRET_OPTIONS:
            if name == word:
                next(arguments, None)
        elif name not in more:
            words.append(word)
        elif name == word and not name.startswith("--skip"):
            next(arguments, None)
    return shlex.join(["aihub", *words, *more])


async def checked_reader(sources: Sequence[str], selection: Selection, *, most: int = sys.maxsize) -> SourceReader:
    """Return the files of the sources; end the command if they cannot make a batch, before anything is sent."""
    check_existence(sources)
    reader = SourceReader(sources, selection.naming, PathFilter(selection.include, selection.exclude))
    try:
        await _check(reader, selection, most)
    except BaseException:
        await reader.aclose()
        raise
    if reader.skipped:
        skipped = counted(len(reader.skipped), "file")
        terminal.note(f"left out {skipped} of the operating system: {', '.join(reader.skipped[:_SHOWN_FILES])}")
    return reader


async def _check(reader: SourceReader, selection: Selection, most: int) -> None:
    try:
        await check_sources(reader, most=most, advice="`aihub ingest` takes any number and splits them into runs")
    except InvalidRequestError as error:
        patterns = "; --include and --exclude leave out the others" if selection.include or selection.exclude else ""
        usage(f"{in_options(str(error))}{patterns}")
    except UploadError as error:
        list_failed_files(error)
        usage(f"nothing was sent: {in_options(str(error))}")


async def send(
    client: AsyncAIHub,
    reader: SourceReader,
    selection: Selection,
    trail: Trail,
    *,
    concurrency: int | None = None,
    verify: bool = False,
) -> tuple[int, UploadReport]:
    """Upload files to a batch; return its id and the report."""
    batch_id = selection.batch_id
    if batch_id is None:
        await _warn_of_same_name(client, selection)
        name = selection.batch_name or new_batch_name()
        batch_id = (await client.batches.create(name, selection.workspace)).id
    else:
        await client.batches.get(batch_id)
    trail.batch_id = batch_id

    files = SourceReader(_without_existing(client, batch_id, reader)) if selection.skip_existing else reader
    report = await client.batches.upload(
        batch_id, files, max_concurrency=concurrency, verify=verify, on_progress=trail.display.upload
    )
    return batch_id, report


async def _without_existing(client: AsyncAIHub, batch_id: int, reader: SourceReader) -> AsyncIterator[NamedRemote]:
    sizes = {node.name: node.metadata.size async for node in client.batches.iter_files(batch_id) if node.metadata}
    skipped = 0
    while (file := await reader.next()) is not None:
        if file.name in sizes and sizes[file.name] == (await file.body()).length:
            skipped += 1
            continue
        # Without the content of a local file, which the upload opens by itself.
        yield file.name, file.content if isinstance(file.content, RemoteFile) else file.source
    if skipped:
        terminal.note(f"{counted(skipped, 'file')} of these were in batch {batch_id} already")


async def _warn_of_same_name(client: AsyncAIHub, selection: Selection) -> None:
    if selection.batch_name is None:
        return
    seen = 0
    async for batch in client.batches.iter(selection.workspace):
        seen += 1
        if batch.name == selection.batch_name:
            terminal.warn(
                f"batch {batch.id} has the name {batch.name!r} too, and a new one is created; "
                f"to add to it: --batch-id {batch.id} --skip-existing"
            )
            return
        if seen >= _BATCHES_LOOKED_THROUGH:
            return


def check_selection(sources: Sequence[str], selection: Selection) -> None:
    """End the command if its arguments contradict each other."""
    if not sources and selection.batch_id is None:
        usage("name files or folders to send")
    if selection.skip_existing and selection.batch_id is None:
        usage("--skip-existing needs --batch-id, the batch that has files")
    if selection.batch_name is not None and selection.batch_id is not None:
        usage("pass --batch-id or --batch-name, not both")
    if selection.batch_name is not None and not 1 <= len(selection.batch_name) <= MAX_NAME_LENGTH:
        usage(f"--batch-name has 1 to {MAX_NAME_LENGTH} characters, not {len(selection.batch_name)}")
