"""`aihub ingest` and its options; what it does is in `ingest_job`, loaded when it is used."""

from pathlib import Path
from typing import Annotated

import typer

from aihub_async.cli.connection import check_key
from aihub_async.cli.exits import usage
from aihub_async.cli.options import AnyConnection, Output


def ingest(
    output: Output,
    connection: AnyConnection,
    sources: Annotated[list[Path], typer.Argument(help="A folder or files; or `status JOURNAL`.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results.")] = None,
    app_name: Annotated[str | None, typer.Option("--app", help="Name of the app to run.")] = None,
    app_id: Annotated[str | None, typer.Option(help="Id of the app to run.")] = None,
    owner: Annotated[str | None, typer.Option(help="Owner of the app, such as instabase.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the app.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Workspace of the batches and of the output.")] = None,
    journal: Annotated[Path | None, typer.Option(help="The job's record; job.db in the results by default.")] = None,
    format: Annotated[str, typer.Option(help="jsonl, csv or parquet.")] = "jsonl",
    rows: Annotated[str, typer.Option(help="One row per document or per field.")] = "document",
    raw: Annotated[bool, typer.Option(help="Keep the server's result pages too.")] = False,
    all_types: Annotated[bool, typer.Option(help="Send files of every type.")] = False,
    max_runs: Annotated[int, typer.Option(help="Runs in flight at once.", min=1)] = 8,
    batch_files: Annotated[int, typer.Option(help="Files of a run.", min=1, max=1000)] = 1000,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and send nothing.")] = False,
    retry_failed: Annotated[bool, typer.Option(help="Send the files again that failed before.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page about the job at its end.")] = None,
    engine: Annotated[str, typer.Option(help="local, or dask for many machines.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of the engine's scheduler, tcp://…")] = None,
) -> None:
    """Bring any number of files through an app as one job; the same command again resumes it."""
    from aihub_async.cli.ingest_job import run_job, show_status

    del output
    if str(sources[0]) == "status" and len(sources) == 2 and not sources[0].exists():
        show_status(sources[1])
        return
    if out is None:
        usage("give --out, the folder of the results")
    check_key(connection)
    run_job(
        {
            "sources": sources[0] if len(sources) == 1 else sources,
            "app_name": app_name,
            "app_id": app_id,
            "out": out,
            "journal": journal,
            "owner": owner,
            "version": version,
            "workspace": workspace,
            "format": format,
            "rows": rows,
            "raw": raw,
            "send_all_types": all_types,
            "batch_files": batch_files,
            "max_runs": max_runs,
        },
        plan=plan,
        retry_failed=retry_failed,
        report=report,
        engine=engine,
        scheduler=scheduler,
        connection=connection,
    )
