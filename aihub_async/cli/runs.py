"""`aihub runs`: runs of apps and deployments."""

import datetime as dt
import re
from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import call_service, check_key
from aihub_async.cli.exits import confirm, usage
from aihub_async.cli.options import FLAG, Connection, Output, Yes, command
from aihub_async.cli.process import ThroughReview, Timeout, results
from aihub_async.cli.progress import WorkDisplay
from aihub_async.cli.showing import cells_of, first, moment, show_list, show_one
from aihub_async.cli.terminal import Column
from aihub_async.client import AsyncAIHub
from aihub_async.models import Run, RunDeletion
from aihub_async.models.runs import RunStatus

app = typer.Typer(help="List runs, wait for them, read their results, delete them.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="Id of the run.", metavar="RUN_ID")]
_COLUMNS = (
    Column("id", "run", width=36),
    Column("status", "status", width=8),
    Column("started", "started (UTC)", keep=1, width=16),
    Column("seconds", "seconds", keep=2, width=7, right=True),
    Column("batch_id", "batch", keep=3, width=5, right=True),
    Column("app_id", "app", keep=5, width=36),
    Column("deployment_id", "deployment", keep=6, width=36),
    Column("msg", "message", keep=4, width=20),
)
_AGO = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@command(app, "list", example="aihub runs list --app Invoices --status FAILED --since 7d")
def list_runs(
    output: Output,
    connection: Connection,
    app_name: Annotated[str | None, typer.Option("--app", metavar="NAME", help="Only runs of this app.")] = None,
    app_id: Annotated[str | None, typer.Option(metavar="ID", help="Only runs of this app.")] = None,
    deployment_id: Annotated[str | None, typer.Option(metavar="ID", help="Only runs of this deployment.")] = None,
    status: Annotated[
        list[RunStatus] | None,
        typer.Option(
            metavar="STATE",
            help=f"Only runs in this state; repeatable: {', '.join(RunStatus)}.",
            case_sensitive=False,
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only runs since then: 30m, 12h, 7d, or a UTC date 2026-11-25.")
    ] = "24h",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Runs at most, newest first.")] = 50,
) -> None:
    """List runs, newest first."""
    del output
    begin = _seconds(since)

    async def work(client: AsyncAIHub) -> list[Run]:
        pages = client.apps.runs.iter(
            app_name=app_name,
            app_id=app_id,
            deployment_id=deployment_id,
            status=[str(state) for state in status] if status else None,
            from_timestamp=begin,
            sort_by="start_timestamp",
            order="DESCENDING",
            page_size=min(limit, 100),
        )
        return await first(pages, limit)

    found = call_service(connection, work)
    show_list(_COLUMNS, found, _row, nothing=f"no runs since {since}; --since 30d looks further back")


def _seconds(text: str) -> int:
    now = dt.datetime.now(dt.UTC)
    ago = _AGO.fullmatch(text)
    try:
        begin = now - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        usage(f"--since {text}: write 30m, 12h, 7d, or a date such as 2026-11-25")
    return int((begin if begin.tzinfo else begin.replace(tzinfo=dt.UTC)).timestamp())


def _row(each: Run) -> dict[str, Any]:
    started, finished = each.started_at, each.finished_at
    return {
        **cells_of(_COLUMNS, each),
        "started": moment(started),
        "seconds": f"{(finished - started).total_seconds():.1f}" if started and finished else None,
    }


def show_run(each: Run) -> None:
    """Print one run."""
    show_one(each.to_dict(), _row(each) | {"tags": each.tags})


@command(app, "show", example="aihub runs show 8b1e42d0-…")
def show(run_id: RunId, output: Output, connection: Connection) -> None:
    """Show the state of a run."""
    del output
    show_run(call_service(connection, lambda client: client.apps.runs.status(run_id)))


@command(app, "wait", example="aihub runs wait 8b1e42d0-… --timeout 3600 && aihub runs results 8b1e42d0-…")
def wait(
    run_id: RunId,
    output: Output,
    connection: Connection,
    timeout: Timeout = None,
    through_review: ThroughReview = False,
) -> None:
    """Wait for the end of a run; the exit code shows how it ended."""
    del output

    async def work(client: AsyncAIHub) -> Run:
        with WorkDisplay() as display:
            return await client.apps.runs.wait(run_id, timeout, on_update=display.run, through_review=through_review)

    show_run(
        call_service(connection, work, interrupted=lambda: f"the run continues: aihub runs wait {run_id}"),
    )


command(app, "results", example="aihub runs results 8b1e42d0-… --out results.csv")(results)


@command(app, "delete", example="aihub runs delete 8b1e42d0-… --keep-input")
def delete(
    run_id: RunId,
    output: Output,
    connection: Connection,
    keep_input: Annotated[
        bool, typer.Option("--keep-input", metavar=FLAG, help="Keep the input: the run's batch.")
    ] = False,
    keep_output: Annotated[bool, typer.Option("--keep-output", metavar=FLAG, help="Keep the output files.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a run, its logs, its output, and by default its input: the whole batch."""
    del output
    check_key(connection)
    batch = "" if keep_input else " and the batch that it processed"
    confirm(f"Delete run {run_id}{batch}?", yes=yes)

    async def work(client: AsyncAIHub) -> RunDeletion:
        deletion = await client.apps.runs.delete(run_id, delete_input=not keep_input, delete_output=not keep_output)
        for job_id in deletion.job_ids:
            await client.jobs.wait(job_id)
        return deletion

    deletion = call_service(connection, work, interrupted=lambda: "the deletion continues on the server")
    terminal.note(f"run {run_id} is deleted")
    if terminal.is_json():
        terminal.emit({"run_id": run_id, "jobs": list(deletion.job_ids)})
