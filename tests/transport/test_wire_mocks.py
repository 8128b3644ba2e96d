"""Users' tests replace the wire with aioresponses: what they mock must be what is asked."""

from unittest import mock

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses

from aihub_async import AsyncAIHub, errors


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 leaves out an argument that aiohttp asks for since 3.14."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("stream_writer", mock.Mock())
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked():
    with aioresponses() as mocks, mock.patch("aioresponses.core.ClientResponse", MockedResponse):
        yield mocks


async def test_calls_of_all_shapes_can_be_mocked(mocked, fake_clock):
    root = "https://hub.example/api"
    mocked.get(f"{root}/v2/batches/1", payload={"id": 1, "name": "a"})
    mocked.put(f"{root}/v2/batches/1/files/a%20b.txt", status=204)
    mocked.post(f"{root}/v2/apps/runs", callback=lambda *_a, **_k: CallbackResult(payload={"id": "r"}))
    mocked.get(f"{root}/v2/batches/2", status=503)
    mocked.get(f"{root}/v2/batches/2", payload={"id": 2, "name": "b"})
    mocked.get(f"{root}/v2/batches/3", exception=aiohttp.ServerDisconnectedError())
    mocked.get(f"{root}/v2/batches/3", payload={"id": 3, "name": "c"})
    async with AsyncAIHub(api_key="key", api_root=root, clock=fake_clock.clock) as client:
        assert (await client.batches.get(1)).name == "a"
        await client.batches.add_file(1, "a b.txt", b"1")
        assert (await client.apps.runs.create(app_name="a", batch_id=1)).id == "r"
        assert (await client.batches.get(2)).name == "b"
        assert (await client.batches.get(3)).name == "c"
    assert sum(map(len, mocked.requests.values())) == 7


async def test_errors_of_the_library_stay_inside(mocked, fake_clock):
    root = "https://hub.example/api"
    leaky = aiohttp.ClientResponseError(
        aiohttp.RequestInfo(None, "GET", {"Authorization": "Bearer s3cret-key"}, None), (), status=400
    )
    mocked.get(f"{root}/v2/batches/1", exception=leaky, repeat=True)
    async with AsyncAIHub(api_key="s3cret-key", api_root=root, max_retries=1, clock=fake_clock.clock) as client:
        with pytest.raises(errors.ConnectionLostError) as caught:
            await client.batches.get(1)
    assert "s3cret" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__context__ is None
    assert len(caught.value.attempts) == 2
