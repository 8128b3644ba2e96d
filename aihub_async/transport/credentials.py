"""API keys that rotate: a function returns the key, and is called again once when the server refuses it."""

import asyncio
import inspect

import attrs
from anyio import to_thread

from aihub_async.config import KeySource, header_text
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request


class Credentials:
    """The current API key of a client and of those derived from it.

    The function is called before the first request, and again when the server answers 401 to the key that it returned.
    Concurrent requests share one call. A plain function runs in a thread, so that it may block.
    """

    def __init__(self, source: SecretValue[KeySource]) -> None:
        self._source = source
        self._key: SecretValue[str] | None = None
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def sign(self, request: Request) -> Request:
        """Return the request with the current key."""
        return _signed(request, await self._current())

    async def renew(self, request: Request) -> Request | None:
        """Return a request that was refused with a newer key; None if there is no other."""
        used = request.key
        async with self._turn():
            if self._key == used:
                self._key = await self._ask()
            key = self._key
        return None if key is None or key == used else _signed(request, key)

    async def _current(self) -> SecretValue[str]:
        if self._key is None:
            async with self._turn():
                if self._key is None:
                    self._key = await self._ask()
        return self._key

    def _turn(self) -> asyncio.Lock:
        """Return the lock for the running event loop: a client may be used by several, one after the other."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    async def _ask(self) -> SecretValue[str]:
        source = self._source.reveal()
        if inspect.iscoroutinefunction(source):
            found = SecretValue(await source())
        else:
            found = SecretValue(await to_thread.run_sync(source))
        if inspect.isawaitable(found.reveal()):
            # Type checkers do not follow `isawaitable` through a call, and a local variable would show the key.
            found = SecretValue(await found.reveal())  # pyright: ignore[reportGeneralTypeIssues]
        header_text("the API key that the function given as api_key returned", found)
        return SecretValue(found.reveal())  # pyright: ignore[reportReturnType]


def _signed(request: Request, key: SecretValue[str]) -> Request:
    headers = {} if request.headers is None else request.headers.reveal()
    return attrs.evolve(
        request,
        headers=SecretValue({**headers, "Authorization": f"Bearer {key.reveal()}"}),
        secrets=SecretValue((*request.secrets.reveal(), key.reveal())),
        key=key,
    )
