"""What the commands share: options of the client, running a coroutine, showing errors."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from aihub_async.client import AsyncAIHub
from aihub_async.errors import AIHubError, RunError, UploadError, WaitTimeoutError

T = TypeVar("T")

out = Console()
"""For results; redirecting it keeps them clean."""
err = Console(stderr=True)
"""For progress and errors."""

ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="AIHUB_API_KEY", show_envvar=True, help="API token.", show_default=False),
]
IbContext = Annotated[
    str | None, typer.Option("--ib-context", envvar="AIHUB_IB_CONTEXT", show_envvar=True, help="Organization id.")
]
ApiRoot = Annotated[
    str | None,
    typer.Option("--api-root", envvar="AIHUB_API_ROOT", show_envvar=True, help="Root URL of the API."),
]
UseEmulator = Annotated[
    bool, typer.Option("--emulator", help="Work on a local emulator that lives as long as the command.")
]
Sources = Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)]


@contextlib.asynccontextmanager
async def open_client(
    api_key: str | None, ib_context: str | None, api_root: str | None, *, emulator: bool = False
) -> AsyncIterator[AsyncAIHub]:
    """A client for a command: of the service, or of an emulator of its own."""
    if not emulator:
        async with AsyncAIHub(api_key, ib_context, api_root) as client:
            yield client
        return
    from aihub_async.emulator import Emulator

    async with Emulator() as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        yield client


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; Ctrl-C and our errors end it with one line instead of a traceback."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        fail("interrupted", code=130)
    except UploadError as error:
        for record in error.report.failed:
            err.print(f"[red]failed[/] {record.name}: {record.error}", highlight=False)
        fail(str(error))
    except (AIHubError, WaitTimeoutError, OSError) as error:
        fail(_explain(error))


def _explain(error: Exception) -> str:
    if os.environ.get("AIHUB_TRACEBACK"):
        raise error
    if isinstance(error, RunError):
        return f"{error} (run {error.run.id})"
    return str(error)


def fail(message: str, *, code: int = 1) -> NoReturn:
    """End the command with a message."""
    err.print(f"[bold red]aihub:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)
