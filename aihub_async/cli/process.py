"""`aihub process`, and `aihub results`."""

from typing import TYPE_CHECKING, Annotated

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import check_key, open_client
from aihub_async.cli.exits import ending_in_one_line, run, usage
from aihub_async.cli.options import FLAG, RUN, AnyConnection, Connection, Out, Output, Shape
from aihub_async.cli.output import check_shape, check_target, present
from aihub_async.cli.progress import WorkDisplay
from aihub_async.cli.sending import Selection, Trail, check_selection, checked_reader, send
from aihub_async.limits import MAX_FILES_PER_RUN
from aihub_async.models.reprs import counted
from aihub_async.process_run import check_app

if TYPE_CHECKING:
    from aihub_async.results.processed import Processed

Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Wait for the run this long at most; it continues in any case. (default: no limit)",
        rich_help_panel=RUN,
    ),
]
ThroughReview = Annotated[
    bool,
    typer.Option(
        "--through-review", metavar=FLAG, help="Wait until a human review has ended, too.", rich_help_panel=RUN
    ),
]


def process(
    selection: Selection,
    output: Output,
    shape: Shape,
    connection: AnyConnection,
    sources: Annotated[
        list[str] | None, typer.Argument(help="Files and folders.", show_default=False, metavar="SOURCE")
    ] = None,
    app_name: Annotated[
        str | None, typer.Option("--app", metavar="NAME", help="Name of the app to run.", rich_help_panel=RUN)
    ] = None,
    app_id: Annotated[str | None, typer.Option(metavar="ID", help="Id of the app to run.", rich_help_panel=RUN)] = None,
    deployment_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Id of the deployment to run.", rich_help_panel=RUN)
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Owner of the app, such as instabase. (default: you)", rich_help_panel=RUN),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Version of the app. (default: the latest in production)", rich_help_panel=RUN
        ),
    ] = None,
    timeout: Timeout = None,
    through_review: ThroughReview = False,
    out: Out = None,
) -> None:
    """Upload files and folders, run an app on them, wait, and show the extracted fields.

    At most 1,000 files; `aihub ingest` takes any number.
    """
    del output
    paths = sources or []
    chosen = {"--app": app_name, "--app-id": app_id, "--deployment-id": deployment_id}
    _check_one_app(chosen)
    if owner is not None and deployment_id is not None:
        usage("--owner is for apps; a deployment has its own")
    check_selection(paths, selection)
    check_target(out)
    request = check_shape(shape, out).request
    check_key(connection)
    display = WorkDisplay()
    trail = Trail(display, is_lasting=not connection.emulator)

    async def work() -> "Processed":
        reader = await checked_reader(paths, selection, most=MAX_FILES_PER_RUN) if paths else None
        async with open_client(connection) as client:
            with display:
                batch_id = selection.batch_id
                if reader is not None:
                    await check_app(client.apps, app_name=app_name, app_id=app_id, deployment_id=deployment_id)
                    batch_id, _ = await send(client, reader, selection, trail)
                trail.batch_id = batch_id
                return await client.process(
                    batch_id=batch_id,
                    app_name=app_name,
                    app_id=app_id,
                    deployment_id=deployment_id,
                    owner=owner,
                    version=version,
                    timeout=timeout,
                    through_review=through_review,
                    on_update=display.run,
                    **request,
                )

    processed = run(work(), interrupted=trail.message)
    terminal.note(
        f"run {processed.run.id}: {processed.run.status}, batch {processed.batch_id}, "
        f"{counted(len(processed.files), 'file')}"
    )
    with ending_in_one_line():
        present(processed, out, shape)


def _check_one_app(options: dict[str, str | None]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if not given:
        usage(f"name the app to run: {' or '.join(options)}")
    if len(given) > 1:
        usage(f"pass only one of {' and '.join(given)}")
    if not options[given[0]]:
        usage(f"{given[0]} is empty")


def results(
    run_id: Annotated[str, typer.Argument(help="Id of the run.", metavar="RUN_ID")],
    output: Output,
    shape: Shape,
    connection: Connection,
    timeout: Timeout = None,
    through_review: ThroughReview = False,
    out: Out = None,
) -> None:
    """Wait for a run that was started elsewhere, and show its extracted fields."""
    del output
    check_target(out)
    request = check_shape(shape, out).request
    check_key(connection)

    async def work() -> "Processed":
        async with open_client(connection) as client:
            with WorkDisplay() as display:
                await client.apps.runs.wait(run_id, timeout, on_update=display.run, through_review=through_review)
            return await client.apps.runs.processed(run_id, **request)

    processed = run(work(), interrupted=lambda: f"the run continues; its results: aihub results {run_id}")
    with ending_in_one_line():
        present(processed, out, shape)
