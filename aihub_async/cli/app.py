"""The commands of `aihub`."""

import os
import sys
from typing import Annotated

import typer

from aihub_async._version import __version__
from aihub_async.cli import batches, files, ingest, runs, terminal, webhook
from aihub_async.cli.account import login, whoami
from aihub_async.cli.demo import demo
from aihub_async.cli.doctor import doctor
from aihub_async.cli.exits import MEANINGS, ExitCode, ending_in_one_line, fail, is_usage_error
from aihub_async.cli.options import FLAG, command
from aihub_async.cli.process import process, results
from aihub_async.cli.record import record
from aihub_async.cli.results import compare_runs, schema, score_run, view
from aihub_async.cli.serve import serve
from aihub_async.cli.upload import upload

_HELP = "Instabase AI Hub from the command line: documents in, extracted fields out."
_EXIT_CODES = "\n\n".join(["Exit codes:", *(f"  {int(code):>3}  {meaning}" for code, meaning in MEANINGS.items())])

DOCUMENTS = "Documents"
SERVICE = "The service"
LOCAL = "On this machine"

app = typer.Typer(
    name="aihub",
    help=_HELP,
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Settings that `aihub login` saved. (env: AIHUB_PROFILE)")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", metavar=FLAG, callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run a command."""
    del version
    if profile is not None:
        os.environ["AIHUB_PROFILE"] = profile


command(app, panel=DOCUMENTS, example="aihub process invoices/ --app Invoices --out results.csv")(process)
command(app, panel=DOCUMENTS, example="aihub upload scans/ --batch-name march --include '*.pdf'")(upload)
command(app, panel=DOCUMENTS, example="aihub results 8b1e42d0-… --out results.xlsx")(results)
command(app, panel=DOCUMENTS, example="aihub view 8b1e42d0-… --source scans/ --open")(view)
command(app, panel=DOCUMENTS, example="aihub schema 8b1e42d0-… --style pydantic")(schema)
command(app, "compare", panel=DOCUMENTS, example="aihub compare 8b1e42d0-… c07d5a11-…")(compare_runs)
command(app, "score", panel=DOCUMENTS, example="aihub score 8b1e42d0-… truth.csv --json")(score_run)
app.add_typer(ingest.app, name="ingest", rich_help_panel=DOCUMENTS)
command(app, panel=DOCUMENTS, example="aihub watch inbox/ --deployment-id 8f2c… --out results/ --move done/")(
    ingest.watch
)

command(app, panel=SERVICE, example="aihub whoami --profile eu")(whoami)
command(app, panel=SERVICE, example="aihub login --profile eu --api-root https://eu.example.com/api")(login)
command(app, panel=SERVICE, example="aihub doctor --bundle support.zip")(doctor)
app.add_typer(runs.app, name="runs", rich_help_panel=SERVICE)
app.add_typer(batches.app, name="batches", rich_help_panel=SERVICE)
app.add_typer(files.app, name="files", rich_help_panel=SERVICE)

command(app, panel=LOCAL, example="aihub demo   (needs no account and no network)")(demo)
command(app, panel=LOCAL, example="aihub serve --port 8080 --data ./hub --scenario outage.toml")(serve)
command(app, panel=LOCAL, example="aihub record 8b1e42d0-… --to fixtures/")(record)
app.add_typer(webhook.app, name="webhook", rich_help_panel=LOCAL)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    terminal.replace_unencodable()
    code: object = None
    try:
        with terminal.logging_restored(), ending_in_one_line():
            # Also for arguments that the parser refuses, before any command has its options.
            terminal.set_up(json="--json" in words, quiet=False)
            try:
                code = app(words, standalone_mode=False, prog_name="aihub")
            except typer.Abort:
                raise KeyboardInterrupt from None
            except Exception as error:
                if not is_usage_error(error):
                    raise
                _refuse(error)
    except typer.Exit as ended:
        return ended.exit_code
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _refuse(error: Exception) -> None:
    """End because the parser refused an argument; a command without arguments shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]  # of all errors of the parser
        raise typer.Exit(int(ExitCode.USAGE))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "aihub"
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]  # likewise
    fail(f"{message} (see {path} --help)", code=ExitCode.USAGE, kind="UsageError")
