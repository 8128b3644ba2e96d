import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import attrs
import pytest_asyncio
from aiohttp import web
from yarl import URL

from aihub_async.emulator import Emulator


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        assert set(self.json) == {"message"}
        return self.json["message"]


@attrs.frozen
class Api:
    """Plain requests to an emulator: `path` goes over the wire as it is."""

    session: aiohttp.ClientSession
    hub: Emulator

    async def __call__(self, method: str, path: str, **options: Any) -> Reply:
        url = URL(self.hub.api_root + path, encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def batch(self, files: Mapping[str, bytes] | None = None) -> int:
        batch_id = (await self("POST", "/v2/batches", json={"name": "a batch"})).json["id"]
        for name, content in (files or {}).items():
            assert (await self("PUT", f"/v2/batches/{batch_id}/files/{name}", data=content)).status == 204
        return batch_id

    async def run(self, files: Mapping[str, bytes], *, app: str = "key-values", **wanted: Any) -> str:
        """Start a run on a new batch and wait until nothing is in progress; return the run id."""
        body = {"app_name": app, "batch_id": await self.batch(files), **wanted}
        started = await self("POST", "/v2/apps/runs", json=body)
        assert started.status == 200, started.body
        await self.hub.idle()
        return started.json["id"]

    async def results(self, run_id: str, query: str = "") -> dict[str, Any]:
        return (await self("GET", f"/v2/apps/runs/{run_id}/results{query}")).json


Connect = Callable[[Emulator], Awaitable[Api]]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes an `Api` for an emulator that the test starts itself."""
    sessions: list[aiohttp.ClientSession] = []

    async def open_session(emulator: Emulator) -> Api:
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        sessions.append(aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()))
        return Api(sessions[-1], emulator)

    yield open_session
    for session in sessions:
        await session.close()


@pytest_asyncio.fixture
async def api(hub: Emulator, connect: Connect) -> Api:
    return await connect(hub)


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest_asyncio.fixture
async def listen() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Return a function that serves a handler on loopback until the end of the test, and returns its URL."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler) -> str:
            runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}/hook"

        yield start
