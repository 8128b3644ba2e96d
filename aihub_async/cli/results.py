"""`aihub view`, `schema`, `compare` and `score`: commands that use the results of runs."""

import enum
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import check_key, open_client
from aihub_async.cli.exits import ending_in_one_line, run, usage
from aihub_async.cli.options import FLAG, Connection, Output, local_path
from aihub_async.cli.output import check_writable, shortened
from aihub_async.cli.terminal import Column
from aihub_async.models.reprs import counted

if TYPE_CHECKING:
    from aihub_async.results.comparing import Comparison, Score
    from aihub_async.results.processed import Processed
    from aihub_async.results.view.page import ViewSize

RunId = Annotated[str, typer.Argument(help="Id of the run.", metavar="RUN_ID")]

_DIFFERENCES = (
    Column("file", "file", width=12),
    Column("document", "doc", keep=1, width=3, right=True),
    Column("field", "field", width=14),
    Column("kind", "what", keep=2, width=10),
    Column("left", "first run", width=14),
    Column("right", "second run", width=14),
)
_SCORES = (
    Column("field", "field", width=14),
    Column("expected", "expected", keep=2, width=8, right=True),
    Column("found", "found", keep=3, width=6, right=True),
    Column("precision", "precision", width=9, right=True),
    Column("recall", "recall", width=9, right=True),
    Column("normalized_precision", "norm. prec.", keep=4, width=9, right=True),
    Column("normalized_recall", "norm. recall", keep=4, width=9, right=True),
)


class Style(enum.StrEnum):
    """The kinds of classes that `aihub schema` prints."""

    attrs = "attrs"
    dataclass = "dataclass"
    pydantic = "pydantic"
    msgspec = "msgspec"


def view(
    run_id: RunId,
    output: Output,
    connection: Connection,
    source: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where the original files are; without it, values alone.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="The page. (default: aihub-RUN_ID.html)")
    ] = None,
    show: Annotated[bool, typer.Option("--open", metavar=FLAG, help="Open the page in the browser.")] = False,
    max_pages: Annotated[int, typer.Option(metavar="N", min=1, help="Pages to show at most.")] = 500,
) -> None:
    """Write a page with the documents as pictures and a box around each value.

    The page is one HTML file that makes no requests. Pictures need the extra `view`.
    """
    del output
    folder = None if source is None else local_path(source, "--source")
    if folder is not None and not folder.exists():
        usage(f"--source {source}: there is no such file or folder")
    target = local_path(out, "--out") if out is not None else Path(_safe_name(run_id))
    check_writable(target, "--out")
    check_key(connection)
    processed = run(_load(connection, run_id, everything=True))

    def say(size: "ViewSize") -> None:
        terminal.note(f"{target}: {size}")

    with ending_in_one_line():
        processed.view(target, source=folder, max_pages=max_pages, on_size=say)
        if terminal.is_json():
            terminal.emit({"out": str(target), "bytes": target.stat().st_size})
        else:
            terminal.write_line(str(target))
        if show:
            webbrowser.open(target.absolute().as_uri())


def schema(
    run_id: RunId,
    output: Output,
    connection: Connection,
    style: Annotated[Style, typer.Option(help="The kind of class.", case_sensitive=False)] = Style.attrs,
) -> None:
    """Print a Python class made from the results of a run, for `processed.bind()`."""
    del output
    check_key(connection)
    processed = run(_load(connection, run_id))
    with ending_in_one_line():
        code = processed.schema(style.value)
        if terminal.is_json():
            terminal.emit({"style": style.value, "code": code})
        else:
            terminal.write_line(code.rstrip("\n"))


def compare_runs(
    run_a: Annotated[str, typer.Argument(help="Id of the first run.", metavar="RUN_A")],
    run_b: Annotated[str, typer.Argument(help="Id of the second run.", metavar="RUN_B")],
    output: Output,
    connection: Connection,
) -> None:
    """List the fields in which two runs differ, by document."""
    from aihub_async.results.comparing import compare

    del output
    check_key(connection)

    async def work() -> "Comparison":
        async with open_client(connection) as client:
            first = await client.apps.runs.processed(run_a)
            second = await client.apps.runs.processed(run_b)
        return compare(first.files, second.files)

    found = run(work())
    if terminal.is_json():
        terminal.emit(found.to_dict())
        return
    rows = list(found.table())
    shown = rows if not terminal.out.is_terminal else [_shortened(row, "left", "right") for row in rows]
    terminal.print_rows(_DIFFERENCES, shown)
    terminal.note(
        f"{counted(len(found.differences), 'difference')}; {counted(found.documents, 'document')} and "
        f"{counted(found.fields, 'field')} compared"
    )


def score_run(
    run_id: RunId,
    truth: Annotated[
        str,
        typer.Argument(
            help="CSV file with a column `file`, and one per field; or with the columns file, field and value.",
            metavar="TRUTH.csv",
        ),
    ],
    output: Output,
    connection: Connection,
) -> None:
    """Compare the results of a run with the truth: precision and recall by field."""
    from aihub_async.results.comparing import read_truth, score

    del output
    path = local_path(truth, "TRUTH.csv")
    check_key(connection)
    with ending_in_one_line():
        rows = read_truth(path)
    processed = run(_load(connection, run_id))
    with ending_in_one_line():
        found = score(processed.files, rows)
    if terminal.is_json():
        terminal.emit(found.to_dict())
        return
    terminal.print_rows(_SCORES, [_percentages(row) for row in found.table()])
    _note_files(found)


def _note_files(found: "Score") -> None:
    if found.missing_files:
        terminal.warn(f"the run has no document of {len(found.missing_files):,} files: {_some(found.missing_files)}")
    if found.unscored_files:
        terminal.note(f"not in the truth: {_some(found.unscored_files)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


async def _load(connection: Connection, run_id: str, *, everything: bool = False) -> "Processed":
    async with open_client(connection) as client:
        return await client.apps.runs.processed(
            run_id,
            include_source_info=everything,
            include_review_results=everything,
            include_validation_results=everything,
        )


def _safe_name(run_id: str) -> str:
    """Return a name for the page in the current folder; what an id may hold must not lead elsewhere."""
    plain = "".join(char if char.isalnum() or char in "-_" else "_" for char in run_id)
    return f"aihub-{plain[:80]}.html"


def _shortened(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return row | {name: shortened(row[name]) for name in names}


def _percentages(row: dict[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.1%}" if isinstance(value, float) else value for name, value in row.items()}
