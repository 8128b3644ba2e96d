"""The client of a command."""

import contextlib
import os
import time
from collections.abc import AsyncIterator

from aihub_async.cli import terminal
from aihub_async.cli.exits import usage
from aihub_async.cli.options import AnyConnection, Connection
from aihub_async.client import AsyncAIHub
from aihub_async.transport.events import AttemptEvent

_SILENT_SECONDS = 5.0
"""Retries are not mentioned before they have lasted this long."""
_NOTICE_EVERY = 15.0


class RetryNotice:
    """Say on standard error that the server does not answer, once retries last; a hook of the client."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def __call__(self, event: AttemptEvent) -> None:
        """Take note of an attempt."""
        now = time.monotonic()
        if event.wait is None:
            self._since = None
            return
        self._since = self._since if self._since is not None else now - event.duration
        lasted = now + event.wait - self._since
        if lasted < _SILENT_SECONDS or now - self._last < _NOTICE_EVERY:
            return
        self._last = now
        terminal.warn(
            f"{event.operation} fails ({event.outcome}); retrying: attempt {event.number}, next in {event.wait:.0f} s"
        )


@contextlib.asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[AsyncAIHub]:
    """Open the client of a command: of the service, or of an emulator that ends with the command."""
    hooks = (RetryNotice(),)
    if not connection.emulator:
        async with AsyncAIHub(
            connection.api_key,
            connection.ib_context,
            connection.api_root,
            allow_insecure=connection.allow_insecure,
            hooks=hooks,
        ) as client:
            yield client
        return
    from aihub_async.emulator import Emulator

    async with Emulator() as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root, hooks=hooks) as client:
        yield client


def check_key(connection: Connection) -> None:
    """End the command if there is no API key, before any other work."""
    if connection.emulator or connection.api_key or os.environ.get("AIHUB_API_KEY"):
        return
    trial = "; or try --emulator, which needs no account" if isinstance(connection, AnyConnection) else ""
    usage(f"no API key: set AIHUB_API_KEY, pass --api-key, or save one with `aihub login`{trial}")
