"""The client of a command."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from aihub_async.cli.exits import ending_in_one_line, run, usage
from aihub_async.cli.options import AnyConnection, Connection
from aihub_async.client import AsyncAIHub
from aihub_async.config import as_secret
from aihub_async.profiles import with_profile
from aihub_async.secrecy import SecretValue

T = TypeVar("T")


def arguments_of(connection: Connection) -> SecretValue[dict[str, Any]]:
    """Return the arguments of a client of the service."""
    return SecretValue(
        {
            "api_key": connection.api_key,
            "ib_context": connection.ib_context,
            "api_root": connection.api_root,
            "profile": connection.profile,
        }
    )


@contextlib.asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[AsyncAIHub]:
    """Open the client of a command: of the service, or of an emulator that ends with the command."""
    if not connection.emulator:
        arguments = arguments_of(connection)
        async with AsyncAIHub(
            **arguments.reveal(),
            allow_insecure=connection.allow_insecure,
            max_requests_per_second=connection.max_requests_per_second,
        ) as client:
            yield client
        return
    from aihub_async.emulator import Emulator

    async with Emulator() as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        yield client


def call_service(
    connection: Connection,
    work: Callable[[AsyncAIHub], Awaitable[T]],
    *,
    interrupted: Callable[[], str | None] = lambda: None,
) -> T:
    """Open the client of a command, run its work, and return the result; failures end the command with one line.

    Args:
        connection: how to reach the service.
        work: gets the client.
        interrupted: as for `exits.run`.
    """

    async def session() -> T:
        async with open_client(connection) as client:
            return await work(client)

    check_key(connection)
    return run(session(), interrupted=interrupted)


def check_key(connection: Connection) -> None:
    """End the command if there is no API key, before any other work."""
    if connection.emulator:
        return
    with ending_in_one_line():
        key = SecretValue(with_profile(arguments_of(connection)).reveal().get("api_key"))
        if callable(key.reveal()) or as_secret(key):
            return
    trial = "; or try --emulator, which needs no account" if isinstance(connection, AnyConnection) else ""
    usage(f"no API key: set AIHUB_API_KEY, pass --api-key, or save one with `aihub login`{trial}")
