"""`aihub whoami` and `aihub login`: which service, which key, from where."""

import getpass
import os
import sys
from typing import Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.connection import arguments_of, call_service, check_key
from aihub_async.cli.exits import ending_in_one_line, run, usage
from aihub_async.cli.options import FLAG, AllowInsecure, ApiRoot, Connection, IbContext, Output
from aihub_async.client import AsyncAIHub
from aihub_async.config import DEFAULT_API_ROOT, ClientConfig, make_settings
from aihub_async.errors import AuthenticationError, ForbiddenError, StatusError
from aihub_async.profiles import DEFAULT_PROFILE, ENVIRONMENT, chosen_profile, command_source, origin, save_profile
from aihub_async.secrecy import SecretValue

NO_CONTEXT = "none: the units of your community account are used, not those of an organization; set --ib-context"
_SHOWN = ("api_root", "api_key", "ib_context")


def settings_with_origins(connection: Connection) -> tuple[ClientConfig, dict[str, str]]:
    """Return the settings of the client that a command would use, and where root, key and context come from."""
    arguments = arguments_of(connection)
    settings = make_settings(arguments, allow_insecure=connection.allow_insecure)
    return settings, {name: origin(arguments, name) for name in _SHOWN}


def whoami(output: Output, connection: Connection) -> None:
    """Show which service is used with which key and context, and whether the key is accepted.

    The API has no operation that names the user of a key.
    """
    del output
    check_key(connection)
    with ending_in_one_line():
        settings, origins = settings_with_origins(connection)

    profile = chosen_profile(arguments_of(connection))
    facts: dict[str, Any] = {
        "api_root": settings.api_root,
        "api_root_from": origins["api_root"],
        "api_key_from": origins["api_key"],
        "ib_context": settings.ib_context,
        "ib_context_from": origins["ib_context"],
        "profile": profile,
    }
    if not terminal.is_json():
        shown = {name: f"{facts[name]}  ({origins[name]})" for name in ("api_root", "ib_context") if facts[name]}
        terminal.print_facts(
            {
                "root": shown["api_root"],
                "context": shown.get("ib_context", NO_CONTEXT),
                "key": f"from {origins['api_key']}",
                "profile": profile,
            }
        )
    call_service(connection, lambda client: client.batches.list(limit=1))
    if terminal.is_json():
        terminal.emit({**facts, "accepted": True})
    else:
        terminal.print_facts({"access": "the key is accepted"})


def login(
    output: Output,
    name: Annotated[
        str, typer.Option("--profile", metavar="NAME", help="Name of the profile.", envvar="AIHUB_PROFILE")
    ] = DEFAULT_PROFILE,
    api_root: ApiRoot = None,
    ib_context: IbContext = None,
    allow_insecure: AllowInsecure = False,
    key_command: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Save a command that prints the key, such as 'pass show aihub'."),
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", metavar=FLAG, help="Save the settings without trying them.")
    ] = False,
) -> None:
    """Save how to reach the service, as a profile that only you can read.

    Prompts for the key without showing it, or takes the first line of standard input. The profile `default` is used
    wherever there is no other key; others with --profile or AIHUB_PROFILE.
    """
    del output
    values: dict[str, Any] = {
        # The key must not go to another service than the one that the environment names.
        "api_root": api_root or _ask("Root URL of the API", _environment("api_root") or DEFAULT_API_ROOT),
        "ib_context": (
            ib_context if ib_context is not None else _ask("Organization id (IB-Context)", _environment("ib_context"))
        ),
    }
    if allow_insecure:
        values["allow_insecure"] = True
    values["api_key_command" if key_command is not None else "api_key"] = key_command or _ask_key()
    saved = SecretValue({name: value for name, value in values.items() if value not in {"", None}})
    del values
    with ending_in_one_line():
        _refuse_unusable(saved)
    if not no_check:
        run(_try(saved))
    with ending_in_one_line():
        path = save_profile(name, saved)
    terminal.note(f"profile {name} is saved in {path}")
    if terminal.is_json():
        terminal.emit({"profile": name, "path": str(path), "checked": not no_check})


def _environment(name: str) -> str:
    return os.environ.get(ENVIRONMENT[name], "")


def _ask(question: str, default: str) -> str:
    if not terminal.is_interactive():
        return default
    terminal.err.print(f"{question} [{default or 'none'}]: ", end="")
    return sys.stdin.readline().strip() or default


def _ask_key() -> str:
    if terminal.is_interactive():
        return getpass.getpass("API key (not shown): ", stream=sys.stderr).strip()
    key = sys.stdin.readline().strip()
    if not key:
        usage("no API key: pass it on standard input, or use --key-command")
    return key


def _arguments(saved: SecretValue[dict[str, Any]]) -> SecretValue[dict[str, Any]]:
    """Return the arguments of a client with settings that are to be saved."""
    values = {
        name: value for name, value in saved.reveal().items() if name not in {"api_key_command", "allow_insecure"}
    }
    if "api_key_command" in saved.reveal():
        values["api_key"] = command_source(saved.reveal()["api_key_command"])
    return SecretValue(values)


def _refuse_unusable(saved: SecretValue[dict[str, Any]]) -> None:
    make_settings(_arguments(saved), allow_insecure=bool(saved.reveal().get("allow_insecure")))


async def _try(saved: SecretValue[dict[str, Any]]) -> None:
    async with AsyncAIHub(
        **_arguments(saved).reveal(), allow_insecure=bool(saved.reveal().get("allow_insecure"))
    ) as client:
        try:
            await client.batches.list(limit=1)
        except (AuthenticationError, ForbiddenError):
            raise
        except StatusError as error:
            terminal.warn(f"the service answered, but not as expected: {error}")
