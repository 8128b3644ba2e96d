"""Every operation under every fault, in both clients.

The expected outcome is derived from the repeat class in the table of operations, so a new row is tested without a new
line here. Each case checks the outcome, the requests on the wire and what the server carried out.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio.to_thread
import attrs
import pytest
import pytest_asyncio

from aihub_async import AIHubError, AsyncAIHub, OutcomeUnknownError, RequestError, operations
from aihub_async.clock import Clock
from aihub_async.emulator import Emulator, Fault
from aihub_async.emulator.server import Server
from aihub_async.operations import Operation, Repeat
from aihub_sync import AIHub
from tests.operation_calls import CALLS, World

pytestmark = [
    pytest.mark.filterwarnings("ignore:conversations, chatbots:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*was removed.*:DeprecationWarning"),
]

ROWS = operations.OPERATIONS

FAULTS: dict[str, Fault] = {
    "reset before": Fault(kind="reset-before", times=1),
    "reset after": Fault(kind="reset-after", times=1),
    "reset in the body": Fault(kind="reset-body", times=1),
    "408": Fault(kind="status", status=408, times=1),
    "408 after processing": Fault(kind="status", status=408, handled=True, times=1),
    "429": Fault(kind="status", status=429, times=1),
    "429 with Retry-After": Fault(kind="status", status=429, retry_after=2, times=1),
    "500": Fault(kind="status", status=500, times=1),
    "500 after processing": Fault(kind="status", status=500, handled=True, times=1),
    "502": Fault(kind="status", status=502, times=1),
    "503": Fault(kind="status", status=503, times=1),
    "503 with Retry-After": Fault(kind="status", status=503, retry_after=2, times=1),
    "503 with Retry-After after processing": Fault(kind="status", status=503, retry_after=2, handled=True, times=1),
    "504": Fault(kind="status", status=504, times=1),
    "504 after processing": Fault(kind="status", status=504, handled=True, times=1),
    "truncated": Fault(kind="truncate", times=1),
    "garbled": Fault(kind="garble", times=1),
    "HTML with 200": Fault(kind="html", times=1),
    "HTML with 200 after processing": Fault(kind="html", handled=True, times=1),
    "closed without saying so": Fault(kind="close", times=1),
}
TOO_SLOW = Fault(kind="latency", seconds=0.25, times=1)


class FastClock:
    """Real time in which every sleep takes none."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        self._skipped += max(seconds, 0.0)
        await asyncio.sleep(0)

    def clock(self) -> Clock:
        return Clock(monotonic=self.monotonic, sleep=self.sleep, random=lambda: 0.5)


@attrs.define
class Effects:
    """How often the server carried each operation out."""

    counts: Counter[str] = attrs.field(factory=Counter)


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> Effects:
    """Count what the emulator carries out, regardless of its answer."""
    seen = Effects()
    original = Server._respond

    async def respond(self: Server, http: Any, route: Any, *args: Any, **options: Any) -> Any:
        answer = await original(self, http, route, *args, **options)
        if answer.status < 300:
            seen.counts[route.operation.name] += 1
        return answer

    monkeypatch.setattr(Server, "_respond", respond)
    return seen


class InThread:
    """The sync client with the methods of the async one, each call in a worker thread."""

    def __init__(self, sync: Any, twin: Any) -> None:
        self._sync = sync
        self._twin = twin

    def __getattr__(self, name: str) -> Any:
        value, twin = getattr(self._sync, name), getattr(self._twin, name)
        if not callable(value):
            return InThread(value, twin)
        if not inspect.iscoroutinefunction(twin):
            return lambda *args, **options: InThread(value(*args, **options), twin(*args, **options))

        async def call(*args: Any, **options: Any) -> Any:
            return await anyio.to_thread.run_sync(lambda: value(*args, **options))

        return call


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Emulator]:
    async with Emulator(part_size=1024) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def async_world(hub: Emulator) -> AsyncIterator[World]:
    clock = FastClock().clock()
    async with AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root, clock=clock) as client:
        yield World(client, hub)


@pytest.fixture
def sync_world(hub: Emulator) -> Iterator[World]:
    options: Any = {"api_root": hub.api_root, "clock": FastClock().clock()}
    with AIHub(hub.api_key, **options) as client:
        yield World(InThread(client, AsyncAIHub("key")), hub)  # type: ignore[arg-type]


each_operation = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@each_fault
@each_operation
async def test_async(row: Operation, fault: Fault, async_world: World, effects: Effects) -> None:
    await check(row, fault, async_world, effects)


@each_fault
@each_operation
async def test_sync(row: Operation, fault: Fault, sync_world: World, effects: Effects) -> None:
    await check(row, fault, sync_world, effects)


@each_operation
async def test_too_slow(row: Operation, async_world: World, effects: Effects) -> None:
    impatient = World(async_world.client.with_options(timeout=0.1, max_retries=1), async_world.hub)
    await check(row, TOO_SLOW, impatient, effects, prepare=async_world)


async def check(row: Operation, fault: Fault, world: World, effects: Effects, *, prepare: World | None = None) -> None:
    """Make the call with one fault in its way, and compare what came of it with what its repeat class promises."""
    needs, call = CALLS[row.name]
    made = [] if needs is None else [await getattr(prepare or world, needs)()]
    world.hub.requests.clear()
    effects.counts.clear()
    world.hub.faults.add(attrs.evolve(fault, operation=row.name))
    error = await outcome(call, world, made)
    while prepare and not await arrived(row, world.hub):
        # On a busy machine, the short time may pass before the request leaves.
        error = await outcome(call, world, made)
    assert world.hub.faults.fired() == 1
    # What was on its way when the client stopped waiting arrives before it is counted.
    await asyncio.sleep(fault.seconds if fault.kind == "latency" else 0)
    world.hub.release_runs()
    await world.hub.idle()
    wire, carried_out = world.hub.requests.count(row), effects.counts[row.name]
    if error is None and fault.kind == "html" and row.returns_file:
        # A stored file may be an HTML page: nothing distinguishes it from that of a gateway.
        assert wire == 1
    elif error is None:
        assert carried_out >= 1, "a call succeeded that the server never carried out"
    else:
        assert isinstance(error, RequestError)
        assert error.operation == row.name
        assert 1 <= len(error.attempts) <= wire
    if row.repeat is Repeat.ONCE:
        check_once(row, fault, error, wire, carried_out)
    else:
        check_repeatable(fault, error, wire)


async def arrived(row: Operation, hub: Emulator) -> bool:
    """Return whether a request has reached the server, after time for one that is still on its way."""
    if not hub.requests.count(row):
        await asyncio.sleep(TOO_SLOW.seconds)
    return bool(hub.requests.count(row))


async def outcome(call: Any, world: World, made: list[Any]) -> AIHubError | None:
    try:
        await call(world.client, *made)
    except AIHubError as error:
        return error
    return None


def check_once(row: Operation, fault: Fault, error: AIHubError | None, wire: int, carried_out: int) -> None:
    """Never twice; and what is unclear is either found out or reported as unknown."""
    assert carried_out <= 1, f"{row.name} was carried out {carried_out} times"
    if is_rejected_unprocessed(fault):
        assert error is None
        assert wire == 2
        return
    if error is not None:
        assert isinstance(error, OutcomeUnknownError), error
        assert wire == 1, "the outcome is unknown, and yet it was sent again"


def check_repeatable(fault: Fault, error: AIHubError | None, wire: int) -> None:
    """A passing fault is survived by one more request; a page that is not the API's is an error immediately."""
    if fault.kind == "html":
        # An operation whose success has no body cannot distinguish the page from its own answer.
        assert wire == 1
        return
    assert error is None
    assert wire <= 2


def is_rejected_unprocessed(fault: Fault) -> bool:
    """Whether the server reported that it did nothing and that the request may be repeated."""
    return fault.kind == "status" and fault.status == 429
