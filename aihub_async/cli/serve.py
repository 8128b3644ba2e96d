"""`aihub serve`."""

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.exits import ending_in_one_line, fail, usage
from aihub_async.cli.options import Output, local_path

if TYPE_CHECKING:
    from aihub_async.emulator import Emulator

_DEFAULT_KEY = "emulator-key"
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not bound to


def serve(
    output: Output,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    data: Annotated[
        str | None, typer.Option(help="Keep the state in this folder. (default: forget it)", metavar="FOLDER")
    ] = None,
    serve_key: Annotated[
        str, typer.Option("--api-key", help="The token that is accepted.", metavar="KEY")
    ] = _DEFAULT_KEY,
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", help="Serve a Python function as an app of its name; repeatable.", metavar="MODULE:FUNC"),
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="Faults and settings, from a TOML file.", metavar="FILE")] = None,
    load: Annotated[
        str | None, typer.Option(help="Serve the runs that `aihub record` saved in this folder.", metavar="FOLDER")
    ] = None,
    run_seconds: Annotated[float | None, typer.Option(help="Least duration of a run. (default: 0)", min=0)] = None,
) -> None:
    """Run a local AI Hub until Ctrl-C, and print how to reach it."""
    del output
    from aihub_async.emulator import Emulator

    folder = None if data is None else local_path(data, "--data")
    recordings = None if load is None else local_path(load, "--load")
    if not serve_key:
        usage("--api-key is empty")
    functions = dict(map(_load_app, apps or ()))
    settings: dict[str, Any] = {} if run_seconds is None else {"run_seconds": run_seconds}
    with ending_in_one_line():
        try:
            hub = Emulator(host=host, port=port, data_dir=folder, api_key=serve_key, scenario=scenario, **settings)
        except ValueError as error:
            usage(f"--scenario {scenario}: {error}" if scenario else str(error))
        for name, function in functions.items():
            hub.app(name)(function)
        if host in _EVERYWHERE and serve_key == _DEFAULT_KEY:
            terminal.warn(
                "every machine that reaches this one may use the server, because its key is the well-known default; "
                "choose one with --api-key"
            )
        try:
            if recordings is not None:
                hub.load(recordings)
            hub.run_forever(lambda hub: _announce(hub, host, keeps=folder is not None))
        except ValueError as error:
            usage(f"--load {load}: {error}")
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror or error}")


def _load_app(text: str) -> tuple[str, Any]:
    module_name, separator, name = text.partition(":")
    if not separator or not module_name or not name:
        usage(f"--app {text}: write MODULE:FUNC, such as --app extract:invoices")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    try:
        module = importlib.import_module(module_name)
    # Any exception of the user's module during its import is the user's to fix.
    except Exception as error:  # noqa: BLE001 - see above
        usage(f"--app {text}: importing {module_name} failed: {type(error).__name__}: {error}")
    function = getattr(module, name, None)
    if not callable(function):
        usage(f"--app {text}: {module_name} has no function {name}")
    return name, function


def reachable_root(api_root: str, host: str) -> str:
    """Return the root for clients on this machine: an address that means "every address" is not one to connect to."""
    if host not in _EVERYWHERE:
        return api_root
    return api_root.replace("[::]", "127.0.0.1").replace("//0.0.0.0:", "//127.0.0.1:").replace("//:", "//127.0.0.1:")


def _announce(hub: "Emulator", host: str, *, keeps: bool) -> None:
    root = reachable_root(hub.api_root, host)
    if terminal.is_json():
        terminal.emit_line({"api_root": root, "api_key": hub.api_key})
        return
    terminal.write_line(f"export AIHUB_API_ROOT={shlex.quote(root)}")
    terminal.write_line(f"export AIHUB_API_KEY={shlex.quote(hub.api_key)}")
    if host in _EVERYWHERE:
        terminal.note(
            "from a container or another machine, use this machine's address, and allow http:// there: "
            "AIHUB_ALLOW_INSECURE=1, or --allow-insecure"
        )
    kept = "kept" if keeps else "forgotten at the end"
    terminal.note(f"apps: {', '.join(hub.app_names)}   state: {kept}   Ctrl-C stops")
