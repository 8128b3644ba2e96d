"""An event loop whose time jumps over every wait, and a server as a function: hours of an outage in milliseconds."""

import asyncio
import contextlib
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from aihub_async.clock import Clock
from aihub_async.config import ClientConfig
from aihub_async.transport.messages import AttemptFailure, Request, Response


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Does not wait for the timeout of a `select`: it moves the time of the loop instead."""

    moved = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.moved += timeout
        return ready


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine in virtual time."""
    selector = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.moved  # type: ignore[method-assign]
    with contextlib.closing(loop):
        return loop.run_until_complete(main())


def loop_clock(random: Callable[[], float]) -> Clock:
    """The clock of the running loop."""
    return Clock(monotonic=asyncio.get_running_loop().time, random=random)


@attrs.define
class FakeWire:
    """Answers every attempt after `latency` seconds with what `answer` returns for it."""

    answer: Callable[[Request, float], Response | AttemptFailure]
    latency: float = 0.02
    sent: list[tuple[float, Request]] = attrs.field(factory=list)
    timeouts: list[float] = attrs.field(factory=list)
    in_flight: int = 0
    most: int = 0

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), request))
        self.timeouts.append(seconds)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        return self.answer(request, loop.time())

    def derive(self, settings: ClientConfig) -> "FakeWire":
        return self

    async def aclose(self) -> None:
        pass

    def counts(self) -> Counter[str]:
        return Counter(request.operation.name for _, request in self.sent)


def response(status: int, body: bytes = b"{}", **headers: str) -> Response:
    return Response(status, "Whatever", {name.replace("_", "-"): value for name, value in headers.items()}, body)
