"""API keys that rotate: a function returns the key, and is called again once when the server refuses it."""

import asyncio
import traceback

import anyio
import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import AuthenticationError, ConfigurationError
from aihub_sync import AIHub

GOOD = "emulator-key"
OLD = "an-old-key-that-was-valid"


class Keys:
    """Returns keys one after the other, and the last one from then on."""

    def __init__(self, *keys: object, wait: float = 0.0) -> None:
        self.keys = list(keys)
        self.calls = 0
        self.wait = wait

    def plain(self) -> object:
        self.calls += 1
        return self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]

    async def coroutine(self) -> object:
        await anyio.sleep(self.wait)
        return self.plain()

    def awaitable(self) -> object:
        return self.coroutine()


@pytest.mark.parametrize("kind", ["plain", "coroutine", "awaitable"])
async def test_every_kind_of_function_gives_the_key(hub: Emulator, kind: str) -> None:
    keys = Keys(GOOD)
    async with AsyncAIHub(getattr(keys, kind), api_root=hub.api_root) as client:
        assert keys.calls == 0
        batch = await client.batches.create("a")
        await client.batches.add_file(batch.id, "a.txt", b"a")
        await client.batches.list()
    assert keys.calls == 1


async def test_a_refused_key_is_asked_for_again_once(hub: Emulator) -> None:
    keys = Keys(OLD, GOOD)
    async with AsyncAIHub(keys.plain, api_root=hub.api_root) as client:
        batch = await client.batches.create("once")
        await client.batches.list()
    assert keys.calls == 2
    assert hub.requests.count("createBatch") == 2
    assert batch.id == 1


async def test_concurrent_calls_share_one_renewal(hub: Emulator) -> None:
    keys = Keys(OLD, GOOD, "must not be asked for", wait=0.01)
    async with AsyncAIHub(keys.coroutine, api_root=hub.api_root) as client:
        await asyncio.gather(*(client.batches.list() for _ in range(20)))
        derived = client.with_options(timeout=5)
        await derived.batches.list()
    assert keys.calls == 2


async def test_a_key_that_stays_refused_is_an_error_after_one_renewal(hub: Emulator) -> None:
    keys = Keys(OLD, "another-key-that-is-refused")
    async with AsyncAIHub(keys.plain, api_root=hub.api_root) as client:
        with pytest.raises(AuthenticationError):
            await client.batches.list()
    assert keys.calls == 2
    assert hub.requests.count("listBatches") == 2


async def test_the_same_key_again_is_not_tried_again(hub: Emulator) -> None:
    keys = Keys(OLD)
    async with AsyncAIHub(keys.plain, api_root=hub.api_root) as client:
        with pytest.raises(AuthenticationError):
            await client.batches.list()
    assert hub.requests.count("listBatches") == 1


async def test_a_renewed_key_survives_other_faults(hub: Emulator) -> None:
    hub.faults.add(Fault(kind="status", status=503, operation="listBatches", times=1))
    keys = Keys(OLD, GOOD)
    async with AsyncAIHub(keys.plain, api_root=hub.api_root) as client:
        await client.batches.list()
    assert (keys.calls, hub.requests.count("listBatches")) == (2, 3)


@pytest.mark.parametrize("bad", [None, "", 7, b"bytes", "two\nlines"])
async def test_what_is_no_key_is_refused_before_anything_is_sent(hub: Emulator, bad: object) -> None:
    async with AsyncAIHub(Keys(bad).plain, api_root=hub.api_root) as client:
        with pytest.raises(ConfigurationError, match="function given as api_key"):
            await client.batches.list()
    assert hub.requests.total == 0


async def test_no_error_or_repr_shows_a_key(hub: Emulator) -> None:
    hub.faults.add(Fault(kind="echo-authorization", operation="listBatches"))
    async with AsyncAIHub(Keys(GOOD).plain, api_root=hub.api_root) as client:
        with pytest.raises(Exception) as caught:
            await client.batches.list()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        texts = "".join(shown.format()) + repr(client) + repr(client.settings) + str(vars(caught.value))
    assert GOOD not in texts


def test_the_sync_client_and_several_event_loops(hub_in_thread: Emulator) -> None:
    keys = Keys(OLD, GOOD)
    with AIHub(keys.plain, api_root=hub_in_thread.api_root) as client:
        client.batches.list()
    shared = AsyncAIHub(Keys(GOOD).coroutine, api_root=hub_in_thread.api_root)

    async def several() -> None:
        await asyncio.gather(*(shared.batches.list() for _ in range(5)))

    for _ in range(2):
        asyncio.run(several())
    asyncio.run(shared.aclose())


@pytest.fixture
def hub_in_thread():
    with Emulator() as hub:
        yield hub
