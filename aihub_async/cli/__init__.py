"""The `aihub` command."""

import sys


def main() -> None:
    """Run the command; the entry point of the installed script."""
    try:
        from aihub_async.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(
            f"aihub: the command line needs {error.name}; install it with: pip install 'aihub-async[cli,emulator]'"
        )
    sys.exit(run())
