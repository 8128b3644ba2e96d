"""What happened to each attempt, for hooks and for `capture_responses()`."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import attrs

from aihub_async.transport.messages import Response


@attrs.frozen
class AttemptEvent:
    """One attempt, given to every hook right after its outcome.

    `duration` and `wait` are seconds; `wait` is what follows before the next attempt, None when there is none.
    `sent` is the size of the request's body in bytes, `received` that of the answer's.
    """

    operation: str
    method: str
    path: str
    number: int
    outcome: str
    status: int | None
    duration: float
    wait: float | None
    sent: int
    received: int


Hook = Callable[[AttemptEvent], None]

_captured: ContextVar[list[Response] | None] = ContextVar("aihub_async_captured", default=None)


@contextlib.contextmanager
def capture_responses() -> Iterator[list[Response]]:
    """Collect the raw answers (status, headers, body) of all calls made inside the `with` block, in order.

    Of a call that took several attempts it is the last answer, also where the call raises because of it.

    Example:
        >>> async def request_id(client, batch_id):
        ...     with capture_responses() as responses:
        ...         await client.batches.get(batch_id)
        ...     return responses[-1].headers.get("X-Request-ID")
    """
    responses: list[Response] = []
    token = _captured.set(responses)
    try:
        yield responses
    finally:
        _captured.reset(token)


def record_response(response: Response) -> None:
    """Pass an answer to the active `capture_responses()` block, if any."""
    captured = _captured.get()
    if captured is not None:
        captured.append(response)
