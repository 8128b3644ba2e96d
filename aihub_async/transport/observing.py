"""Hooks around whole calls, runs and batches: what telemetry is built on."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs

from aihub_async.config import checked_headers
from aihub_async.errors import Attempt
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request, Response

T = TypeVar("T")

logger = logging.getLogger("aihub_async")


@attrs.frozen
class CallStart:
    """A call that is about to be made, with all its attempts.

    Attributes:
        operation: Name of the operation, such as ``getBatch``.
        method: HTTP method.
        template: Path below `api_root` with the names of its parameters, such as ``/v2/batches/{batch_id}``.
        path: The path itself, percent-encoded; it may hold names of files.
        api_root: Root of the API.
        sent: Size of the request's body in bytes.
        headers: Headers that a hook adds here are sent with every attempt.
    """

    operation: str
    method: str
    template: str
    path: str
    api_root: str
    sent: int
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class CallEnd:
    """How a call ended.

    Attributes:
        duration: Seconds from start to end: attempts, queues and pauses.
        queued: Seconds of these in which the call waited for its turn.
        attempts: All attempts, with their times since the start.
        status: HTTP status of the last answer; None if there was none.
        received: Size of the last answer's body in bytes.
        error: What the call raised, if it did.
    """

    duration: float
    queued: float
    attempts: tuple[Attempt, ...]
    status: int | None
    received: int
    error: BaseException | None


CallEnded = Callable[[CallEnd], None]
ActivityEnded = Callable[[Mapping[str, Any], BaseException | None], None]


class Telemetry:
    """Observes a client; every method does nothing until a subclass overrides it.

    The client calls these methods on its event loop (`measured` also on other threads), so they must not block. What
    they raise is logged, and changes nothing for the caller.

    Example:
        >>> class Slow(Telemetry):
        ...     def call_started(self, call):
        ...         return lambda end: print(call.operation, end.duration) if end.duration > 1 else None
    """

    def call_started(self, call: CallStart) -> CallEnded | None:  # noqa: ARG002 - for subclasses
        """Observe the start of a call; what this returns is called at its end, in the same task."""
        return None

    def activity_started(self, name: str, facts: Mapping[str, Any]) -> ActivityEnded | None:  # noqa: ARG002
        """Observe the start of something longer: ``"run"``, or ``"ingest"`` for one batch of a bulk job.

        What this returns is called at its end, maybe in another task, with further facts and the error if it failed.
        """
        return None

    def measured(self, name: str, value: float, facts: Mapping[str, Any]) -> None:
        """Take a measurement.

        The names are ``"wait"`` (seconds of a wait for a run), ``"webhook.delivery"`` and ``"webhook.miss"`` (1 for
        each delivery that arrived, and for each end of a run that polling found first) and ``"journal.commit"`` (1 for
        each).
        """


def guard(call: Callable[[], T]) -> T | None:
    """Call a method of telemetry; log what it raises, because an observer's fault must not lose an answer."""
    try:
        return call()
    except Exception:
        logger.exception("telemetry raised; the call continues")
        return None


def start_activity(telemetry: Telemetry | None, name: str, **facts: Any) -> ActivityEnded:
    """Begin to observe an activity; return what ends it, which does nothing when it is called again."""
    ended = None if telemetry is None else guard(lambda: telemetry.activity_started(name, facts))

    def end(facts: Mapping[str, Any], error: BaseException | None) -> None:
        nonlocal ended
        call, ended = ended, None
        if call is not None:
            guard(lambda: call(facts, error))

    return end


def measure(telemetry: Telemetry | None, name: str, value: float = 1, **facts: Any) -> None:
    """Pass a measurement on."""
    if telemetry is not None:
        guard(lambda: telemetry.measured(name, value, facts))


class ObservedCall:
    """One call under observation: its request with the headers that hooks add, and its end."""

    def __init__(self, telemetry: Telemetry, request: Request, api_root: str) -> None:
        start = CallStart(
            operation=request.operation.name,
            method=request.operation.method,
            template=request.operation.path,
            path=request.path,
            api_root=api_root,
            sent=request.body.length if request.body is not None else 0,
        )
        self._ended = guard(lambda: telemetry.call_started(start))
        more = guard(lambda: checked_headers(SecretValue(start.headers))) if start.headers else None
        if more is not None:
            given = {} if request.headers is None else request.headers.reveal()
            request = attrs.evolve(request, headers=SecretValue({**more.reveal(), **given}))
        self.request = request

    async def run(self, send: Awaitable[Response], end: Callable[[BaseException | None], CallEnd]) -> Response:
        """Await the answer, and report the end in any case."""
        error: BaseException | None = None
        try:
            return await send
        except BaseException as raised:
            error = raised
            raise
        finally:
            ended = self._ended
            if ended is not None:
                result = end(error)
                guard(lambda: ended(result))
            # A traceback holds this frame: without this they would keep each other alive.
            del error
