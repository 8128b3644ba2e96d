"""`aihub ingest` and its subcommands; what they do is in `ingest_job`, loaded when it is used."""

from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from typer.core import TyperGroup

from aihub_async.cli.connection import check_key
from aihub_async.cli.exits import ending_in_one_line, usage
from aihub_async.cli.options import FLAG, INPUT, OUTPUT, RUN, AnyConnection, Output, check_existence, command

JOURNAL = "Journal"


class _RunByDefault(TyperGroup):
    """A group that takes `aihub ingest SOURCE` for `aihub ingest run SOURCE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command in front where it is left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Run any number of files through an app as one resumable job. `aihub ingest SOURCE` is short for "
    "`aihub ingest run SOURCE`.",
)

Sources = Annotated[list[str] | None, typer.Argument(help="A folder, or files.", show_default=False, metavar="SOURCE")]


@attrs.frozen
class Job:
    """What a job is; the same options resume it."""

    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", show_default=False, help="Folder of the results.", rich_help_panel=OUTPUT
        ),
    ] = None
    app_name: Annotated[
        str | None, typer.Option("--app", metavar="NAME", help="The app to run.", rich_help_panel=RUN)
    ] = None
    app_id: Annotated[str | None, typer.Option(metavar="ID", help="The app to run.", rich_help_panel=RUN)] = None
    deployment_id: Annotated[
        str | None, typer.Option("--deployment-id", metavar="ID", help="The deployment to run.", rich_help_panel=RUN)
    ] = None
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Owner of the app, such as instabase.", rich_help_panel=RUN)
    ] = None
    version: Annotated[str | None, typer.Option(metavar="V", help="Version of the app.", rich_help_panel=RUN)] = None
    workspace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Workspace of the batches and of the output.", rich_help_panel=RUN),
    ] = None
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files that match; repeatable.", rich_help_panel=INPUT),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="No files or folders that match; repeatable.", rich_help_panel=INPUT),
    ] = None
    all_types: Annotated[
        bool, typer.Option("--all-types", metavar=FLAG, help="Send files of every type.", rich_help_panel=INPUT)
    ] = False
    group: Annotated[
        str | None,
        typer.Option(
            metavar="folder",
            help="One run for each subfolder of the source, such as a case, with everything below it.",
            rich_help_panel=INPUT,
        ),
    ] = None
    max_files: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Stop before more files are sent in all.", rich_help_panel=RUN),
    ] = None
    max_pages: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Stop before more pages are sent in all.", rich_help_panel=RUN),
    ] = None
    max_runs_total: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Stop before more runs are started in all.", rich_help_panel=RUN),
    ] = None
    on_review: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="When a run stops for a review: skip (a later call collects it), wait, or export what there is.",
            rich_help_panel=RUN,
        ),
    ] = "skip"
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            max=1.0,
            help="List documents with a field below this confidence in review.jsonl.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="List documents without this field in review.jsonl; repeatable.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    batch_files: Annotated[
        int, typer.Option(metavar="N", help="Files of a run.", min=1, max=1000, rich_help_panel=INPUT)
    ] = 1000
    max_runs: Annotated[
        int, typer.Option(metavar="N", help="Maximum number of runs in flight.", min=1, rich_help_panel=RUN)
    ] = 8
    outage_patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Seconds to wait for a server that does not answer.", min=0, rich_help_panel=RUN
        ),
    ] = 1800.0
    format: Annotated[
        str, typer.Option(metavar="FORMAT", help="jsonl, csv, parquet or xlsx.", rich_help_panel=OUTPUT)
    ] = "jsonl"
    rows: Annotated[
        str, typer.Option(metavar="WHAT", help="One row per document or per field.", rich_help_panel=OUTPUT)
    ] = "document"
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", metavar=FLAG, help="One row per document and one column per field.", rich_help_panel=OUTPUT
        ),
    ] = False
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="WORD",
            show_default=False,
            help="What else to have for each field: error, confidence, ocr, valid, alerts, page, boxes or edits; "
            "repeatable.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    raw: Annotated[
        bool, typer.Option("--raw", metavar=FLAG, help="Keep the server's result pages too.", rich_help_panel=OUTPUT)
    ] = False
    keep_formulas: Annotated[
        bool,
        typer.Option(
            "--keep-formulas",
            metavar=FLAG,
            help="Leave texts in CSV that a spreadsheet would run (=…) as they are.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The job's record; .aihub/job.db in the results by default.", rich_help_panel=JOURNAL
        ),
    ] = None

    def arguments(self, sources: list[str] | None) -> dict[str, Any]:
        """Return the arguments of `client.ingest`; end the command if some are missing."""
        if not sources:
            usage("pass a SOURCE: a folder, or files")
        if self.out is None:
            usage("pass --out, the folder of the results")
        if sum(value is not None for value in (self.app_name, self.app_id, self.deployment_id)) != 1:
            usage("pass one of --app, --app-id and --deployment-id")
        check_existence(sources)
        given = attrs.asdict(self)
        given["send_all_types"] = given.pop("all_types")
        given["formulas"] = given.pop("keep_formulas")
        given["columns"] = "wide" if given.pop("wide") else None
        given["add"] = given["add"] or ()
        confidence, required = given.pop("min_confidence"), given.pop("require")
        if confidence is not None or required:
            from aihub_async.results.gates import Gate

            given["gate"] = Gate(confidence=confidence, required=required or ())
        return given | {"sources": sources[0] if len(sources) == 1 else sources}


@attrs.frozen
class Engine:
    """Where a job runs, and what it leaves next to the results."""

    engine: Annotated[
        str, typer.Option(metavar="NAME", help="local, or dask for many processes or machines.", rich_help_panel=RUN)
    ] = "local"
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Scheduler of a running Dask cluster, tcp://…; a local cluster is started without it.",
            rich_help_panel=RUN,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page about the job at its end.", rich_help_panel=OUTPUT),
    ] = None

    def made(self) -> Any:
        """Return the engine, None for this process; end the command if it cannot be used."""
        if self.engine not in {"local", "dask"}:
            usage(f"--engine is local or dask, not {self.engine}")
        if self.engine == "local":
            return usage("--scheduler needs --engine dask") if self.scheduler is not None else None
        from aihub_async.ingest.engines import dask_engine

        with ending_in_one_line():
            return dask_engine(self.scheduler)


@command(app, example="aihub ingest run archive/ --app Invoices --out results/   (again to resume)")
def run(output: Output, connection: AnyConnection, job: Job, engine: Engine, sources: Sources = None) -> None:
    """Run a job, or the rest of it: the same command again resumes it after any interruption."""
    from aihub_async.cli.ingest_job import run_job

    del output
    arguments, place = job.arguments(sources), engine.made()
    check_key(connection)
    run_job(arguments, connection, place, engine.report, retry_failed=False)


@command(app, "retry-failed", example="aihub ingest retry-failed archive/ --app Invoices --out results/")
def retry_failed(output: Output, connection: AnyConnection, job: Job, engine: Engine, sources: Sources = None) -> None:
    """Send the files again that failed before, in new batches, and do the rest of the job."""
    from aihub_async.cli.ingest_job import run_job

    del output
    arguments, place = job.arguments(sources), engine.made()
    check_key(connection)
    run_job(arguments, connection, place, engine.report, retry_failed=True)


@command(app, example="aihub ingest plan archive/ --app Invoices --out results/")
def plan(
    output: Output,
    connection: AnyConnection,
    job: Job,
    sources: Sources = None,
    quick: Annotated[
        bool, typer.Option("--quick", metavar=FLAG, help="Do not read files to count pages and equal contents.")
    ] = False,
) -> None:
    """Read the source and print what a run would do; nothing is sent."""
    from aihub_async.cli.ingest_job import plan_job

    del output
    plan_job(job.arguments(sources), connection, quick=quick)


@command(app, example="aihub ingest status results/")
def status(
    output: Output,
    job: Annotated[Path, typer.Argument(help="The results folder of a job, or its journal.", metavar="FOLDER")],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an HTML page about the job.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Print the status of a job, also while another process works on it."""
    from aihub_async.cli.ingest_job import show_status

    del output
    show_status(job, report)


@command(app, example="aihub ingest rebuild archive/ --app Invoices --out results/")
def rebuild(
    output: Output,
    connection: AnyConnection,
    job: Job,
    sources: Sources = None,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--job", metavar="ID", help="The job's id, where the results folder does not name it.",
            rich_help_panel=JOURNAL,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Recreate a lost journal from the names and tags on the server and from the results folder."""
    from aihub_async.cli.ingest_job import rebuild_job

    del output
    arguments = job.arguments(sources)
    check_key(connection)
    rebuild_job(arguments, connection, job_id)


def watch(
    output: Output,
    connection: AnyConnection,
    job: Job,
    inbox: Annotated[str, typer.Argument(help="The folder to watch.", metavar="INBOX")],
    settle: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="A file counts when it has not changed for so long.")
    ] = 5.0,
    batch_after: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Send a batch that is not full after so long.")
    ] = 60.0,
    move: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Move files here when their results are written.")
    ] = None,
) -> None:
    """Send files as they arrive in a folder, until Ctrl-C or SIGTERM; the same command resumes it."""
    from aihub_async.cli.ingest_job import watch_folder

    del output
    arguments = job.arguments([inbox])
    check_key(connection)
    watch_folder(arguments, connection, settle=settle, batch_after=batch_after, move=move)
