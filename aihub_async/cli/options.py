"""Options that commands share, and how a command with such options is registered.

A parameter of a command whose type is an attrs class becomes the options of that class: connection and output are
described once, and every command has them.
"""

import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import attrs
import typer

from aihub_async import paths
from aihub_async.cli import terminal
from aihub_async.cli.narrow import Command
from aihub_async.errors import InvalidRequestError

C = TypeVar("C", bound=Callable[..., None])

CONNECTION = "Connection"
OUTPUT = "Output"
INPUT = "Input"
RUN = "Run"
"""Titles of the groups of options in --help."""
FLAG = ""
"""The metavar of options without a value."""

ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", help="API token. (env: AIHUB_API_KEY)", rich_help_panel=CONNECTION),
]
IbContext = Annotated[
    str | None,
    typer.Option(
        "--ib-context", metavar="ID", help="Organization id. (env: AIHUB_IB_CONTEXT)", rich_help_panel=CONNECTION
    ),
]
ApiRoot = Annotated[
    str | None,
    typer.Option(
        "--api-root",
        metavar="URL",
        help="Root URL of the API. (env: AIHUB_API_ROOT; default: https://aihub.instabase.com/api)",
        rich_help_panel=CONNECTION,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Settings that `aihub login` saved. (env: AIHUB_PROFILE)",
        rich_help_panel=CONNECTION,
    ),
]
AllowInsecure = Annotated[
    bool,
    typer.Option(
        "--allow-insecure",
        metavar=FLAG,
        help="Allow an http:// root on another host, such as a container. (env: AIHUB_ALLOW_INSECURE=1)",
        rich_help_panel=CONNECTION,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--max-requests-per-second",
        metavar="N",
        min=0.001,
        help="Maximum number of requests per second.",
        rich_help_panel=CONNECTION,
    ),
]
UseEmulator = Annotated[
    bool,
    typer.Option(
        "--emulator",
        metavar=FLAG,
        help="Work on a local emulator that ends with the command.",
        rich_help_panel=CONNECTION,
    ),
]
Sources = Annotated[list[str], typer.Argument(help="Files and folders.", show_default=False, metavar="SOURCE")]
Yes = Annotated[bool, typer.Option("--yes", "-y", metavar=FLAG, help="Skip the confirmation prompt.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write one row per field to a .jsonl, .csv, .parquet or .xlsx file; - is TSV on standard output.",
        rich_help_panel=OUTPUT,
    ),
]


@attrs.frozen
class Shape:
    """What the rows of an output file are."""

    wide: Annotated[
        bool,
        typer.Option(
            "--wide",
            metavar=FLAG,
            help="With --out FILE: one row per document and one column per field.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="WORD",
            show_default=False,
            help="With --wide, a further column per field: error, confidence, ocr, valid, alerts, page, boxes or "
            "edits; repeatable.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    keep_formulas: Annotated[
        bool,
        typer.Option(
            "--keep-formulas",
            metavar=FLAG,
            help="Leave texts in CSV that a spreadsheet would run (=…) as they are.",
            rich_help_panel=OUTPUT,
        ),
    ] = False


@attrs.frozen
class Connection:
    """How to reach the service."""

    api_key: ApiKey = attrs.field(default=None, repr=False)
    ib_context: IbContext = None
    api_root: ApiRoot = None
    profile: Profile = None
    allow_insecure: AllowInsecure = False
    max_requests_per_second: Rate = None

    emulator = False


@attrs.frozen
class AnyConnection(Connection):
    """How to reach the service, or an emulator of the command's own."""

    emulator: UseEmulator = False


@attrs.frozen
class Output:
    """What a command prints; making one puts it into force."""

    json: Annotated[
        bool,
        typer.Option(
            "--json", metavar=FLAG, help="Print one JSON document on standard output.", rich_help_panel=OUTPUT
        ),
    ] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            metavar=FLAG,
            help="Log retries; -vv logs every request.",
            rich_help_panel=OUTPUT,
        ),
    ] = 0
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar=FLAG, help="Print results and errors only.", rich_help_panel=OUTPUT)
    ] = False

    def __attrs_post_init__(self) -> None:
        terminal.set_up(json=self.json, quiet=self.quiet, verbose=self.verbose)


def command(app: typer.Typer, name: str | None = None, *, example: str, panel: str | None = None) -> Callable[[C], C]:
    """Register a command; parameters of a shared class become the options of that class.

    Args:
        app: the group that the command belongs to.
        name: its name; that of the function by default.
        example: a complete command line for its --help.
        panel: the group of commands that it is listed in.
    """

    def register(function: C) -> C:
        epilog = f"Example: {example}"
        app.command(name, cls=Command, epilog=epilog, rich_help_panel=panel)(with_shared_options(function))
        return function

    return register


def with_shared_options(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function in whose signature each shared class is replaced by its options."""
    signature = inspect.signature(function, eval_str=True)
    shared = {p.name: p.annotation for p in signature.parameters.values() if attrs.has(p.annotation)}
    groups = {name: _options_of(group) for name, group in shared.items()}

    def call(**values: Any) -> None:
        made = {
            name: shared[name](**{option.name: values.pop(option.name) for option in options})
            for name, options in groups.items()
        }
        function(**values, **made)

    parameters = [
        option
        for p in signature.parameters.values()
        for option in groups.get(p.name, [p.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
    ]
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _options_of(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    fields: tuple[Any, ...] = attrs.fields(group)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields
    ]


def local_path(text: str, option: str) -> Path:
    """Return the path of a file on this machine; end the command if it is a URL."""
    from aihub_async.cli.exits import usage

    if "\0" in text:
        usage(f"{option} {text}: a path cannot hold a null character")
    try:
        return paths.local_path(text, option)
    except InvalidRequestError as error:
        usage(str(error))


def check_existence(sources: Iterable[str]) -> None:
    """End the command if a source is missing; whether a URL leads somewhere is found out when it is read."""
    from aihub_async.cli.exits import usage

    for source in sources:
        if not paths.is_url(source) and not os.path.lexists(source):
            usage(f"{source}: there is no such file or folder")


def truthy(variable: str) -> bool:
    """Return whether an environment variable is set to 1, true, yes or on."""
    return os.environ.get(variable, "").strip().lower() in {"1", "true", "yes", "on"}
