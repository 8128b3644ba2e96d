"""Under trio there is one clear error, and no coroutine that was never awaited."""

import gc
import warnings

import pytest

from aihub_async import AsyncAIHub
from aihub_async.errors import ConfigurationError

trio = pytest.importorskip("trio")


async def enter(client):
    async with client:
        pass


async def iterate(client):
    async for _ in client.batches.iter():
        pass


async def iterate_upload(client):
    async for _ in client.batches.iter_upload(1, [("a.txt", b"x")]):
        pass


async def await_handle(client):
    return await client.apps.runs.handle("run")


CALLS = {
    "async with": enter,
    "one request": lambda client: client.batches.list(),
    "a once-only request": lambda client: client.batches.create("x"),
    "pages": iterate,
    "upload": lambda client: client.batches.upload(1, [("a.txt", b"x")]),
    "upload of a folder": lambda client: client.batches.upload(1, "."),
    "outcomes": iterate_upload,
    "process": lambda client: client.process([("a.txt", b"x")], app_name="x"),
    "wait": lambda client: client.apps.runs.wait("run"),
    "handle": await_handle,
    "close": lambda client: client.aclose(),
}


@pytest.mark.parametrize("name", CALLS)
def test_trio_gets_one_clear_error(name):
    async def main():
        await CALLS[name](AsyncAIHub("key", api_root="http://127.0.0.1:1/api"))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ConfigurationError, match="aihub_async needs asyncio"):
            trio.run(main)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
