"""The commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

from aihub_async._version import __version__
from aihub_async.cli.common import ApiKey, ApiRoot, IbContext, Sources, UseEmulator
from aihub_async.cli.ingest import ingest

app = typer.Typer(
    name="aihub",
    help="Instabase AI Hub from the command line: documents in, extracted fields out.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write one row per field to a .jsonl or .csv file.")]
AppName = Annotated[str | None, typer.Option("--app", help="Name of the app to run.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Instabase AI Hub from the command line: documents in, extracted fields out."""


@app.command(epilog="Example: [bold]aihub demo[/]   (needs no account and no network)")
def demo(
    folder: Annotated[Path, typer.Option(help="Where the sample documents go.")] = Path("aihub-demo"),
) -> None:
    """Write a few real documents, process them on a local emulator, and show what was found."""
    from aihub_async.cli.demo import demo as command

    command(folder)


@app.command(epilog="Example: [bold]aihub process invoices/ a.pdf --app Invoices --out results.jsonl[/]")
def process(
    sources: Sources,
    app_name: AppName = None,
    app_id: Annotated[str | None, typer.Option(help="Id of the app to run.")] = None,
    deployment_id: Annotated[str | None, typer.Option(help="Id of the deployment to run.")] = None,
    owner: Annotated[str | None, typer.Option(help="Owner of the app, such as instabase.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Workspace of the new batch.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the run; no limit by default.")] = None,
    out: Out = None,
    emulator: UseEmulator = False,
    api_key: ApiKey = None,
    ib_context: IbContext = None,
    api_root: ApiRoot = None,
) -> None:
    """Upload files and folders, run an app on them, wait, and show the extracted fields."""
    from aihub_async.cli.process import process as command

    command(
        sources,
        app_name=app_name,
        app_id=app_id,
        deployment_id=deployment_id,
        owner=owner,
        workspace=workspace,
        timeout=timeout,
        target=out,
        connection=(api_key, ib_context, api_root, emulator),
    )


@app.command(epilog="Example: [bold]aihub upload scans/ --batch-name march --include '*.pdf'[/]")
def upload(
    sources: Sources,
    batch_id: Annotated[int | None, typer.Option(help="Upload to this batch instead of a new one.")] = None,
    batch_name: Annotated[str | None, typer.Option(help="Name of the new batch.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Workspace of the new batch.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only files in folders that match; repeatable.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files in folders that match; repeatable.")] = None,
    relative: Annotated[bool, typer.Option(help="Name files by their path below the folder.")] = False,
    concurrency: Annotated[int | None, typer.Option(help="Uploads at once.", min=1)] = None,
    verify: Annotated[bool, typer.Option(help="Compare names and sizes with the batch afterwards.")] = False,
    emulator: UseEmulator = False,
    api_key: ApiKey = None,
    ib_context: IbContext = None,
    api_root: ApiRoot = None,
) -> None:
    """Upload files and folders to a batch, many at once, and print the batch's id."""
    from aihub_async.cli.upload import upload as command

    command(
        sources,
        batch_id=batch_id,
        batch_name=batch_name,
        workspace=workspace,
        include=include,
        exclude=exclude,
        relative=relative,
        concurrency=concurrency,
        verify=verify,
        connection=(api_key, ib_context, api_root, emulator),
    )


@app.command(epilog="Example: [bold]aihub serve --port 8080 --data ./hub[/]")
def serve(
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Annotated[Path | None, typer.Option(help="Keep state here; it is forgotten at the end by default.")] = None,
    api_key: Annotated[str, typer.Option(help="The token that is let in.")] = "emulator-key",
    run_seconds: Annotated[float, typer.Option(help="Least duration of a run.", min=0)] = 0.0,
) -> None:
    """Run a local AI Hub for tests and trials; prints its api_root once it answers."""
    from aihub_async.cli.serve import serve as command

    command(host=host, port=port, data=data, api_key=api_key, run_seconds=run_seconds)


@app.command(epilog="Example: [bold]aihub results 8b1e… --out results.csv[/]")
def results(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")],
    out: Out = None,
    api_key: ApiKey = None,
    ib_context: IbContext = None,
    api_root: ApiRoot = None,
) -> None:
    """Wait for a run that was started elsewhere, and show its extracted fields."""
    from aihub_async.cli.process import results as command

    command(run_id, target=out, connection=(api_key, ib_context, api_root, False))


app.command(epilog="Example: [bold]aihub ingest archive/ --app Invoices --out results/[/]   (again to resume)")(ingest)

webhook = typer.Typer(help="Look at webhooks.", no_args_is_help=True)
app.add_typer(webhook, name="webhook")


@webhook.command(epilog="Example: [bold]aihub webhook listen --port 8090[/]   (then start a run with that URL)")
def listen(
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    answer: Annotated[int, typer.Option(help="Status to answer with, to see what is sent again.")] = 200,
) -> None:
    """Print every delivery that arrives: its headers, with secrets hidden, and its body."""
    from aihub_async.cli.webhook import listen as command

    command(host=host, port=port, answer=answer)
