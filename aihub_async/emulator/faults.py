"""Faults: what goes wrong, for which requests, when, and how often."""

import difflib
import random
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

import attrs

from aihub_async.emulator.clock import NANOSECONDS, EmulatorClock
from aihub_async.operations import OPERATIONS, Operation

Kind = Literal[
    "latency",
    "status",
    "reset-before",
    "reset-after",
    "reset-body",
    "truncate",
    "garble",
    "html",
    "drip",
    "close",
    "refuse",
    "lag",
    "unknown-fields",
    "unknown-enum",
    "nulls",
    "gzip-bomb",
    "echo-authorization",
    "redirect",
    "headers",
    "header-flood",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind of fault."""

_NAMES = frozenset(operation.name for operation in OPERATIONS)
_SECONDS = {"close": 0.0, "lag": 2.0}
_BYTES = {"header-flood": 9000}


def _seconds(fault: Any) -> float:
    return _SECONDS.get(fault.kind, 0.05)


def _bytes(fault: Any) -> int:
    return _BYTES.get(fault.kind, 16)


def _name(operation: str | Operation | None) -> str | None:
    return operation.name if isinstance(operation, Operation) else operation


def _known_operation(_: Any, __: Any, name: str | None) -> None:
    if name is None or name in _NAMES:
        return
    nearest = difflib.get_close_matches(name, _NAMES, 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"operation {name!r} is not a name of the operations table{hint}")


def _at_least_zero(_: Any, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    if value is not None and not value >= 0:
        raise ValueError(f"{attribute.name} must be at least 0, not {value!r}")


@attrs.frozen(kw_only=True)
class Fault:
    """One way to misbehave, and when.

    Which requests: `operation` (a row or name of the operations table), `method`, `path` (a regular expression searched
    in the raw path). Which of those: skip the first `skip`, then at most `times` (None: all), each with `probability`.
    When: from `after` seconds after the fault was added (or the emulator started), for `lasting` seconds (None: until
    `clear`).

    Kinds, and the attributes they use:
        latency: Wait `seconds` before the request is handled.
        status: Answer `status` with `message` and `retry_after` (seconds, or any text such as an HTTP date).
        reset-before, reset-after: Reset the connection before the request is handled, or after, without an answer.
        reset-body, truncate: Break off in the middle of the response body, by a reset or an orderly close.
        garble: Send a malformed status line.
        html: Answer a login page with status 200, as a gateway does.
        drip: Send the response `bytes` at a time, `seconds` apart.
        close: Answer, then close the connection after `seconds` (0) without a `Connection: close` header, as some
            load balancers do.
        refuse: Refuse new connections and reset the open ones. Only `after` and `lasting` apply: it concerns the
            server, not single requests.
        lag: Serve the lists of batches, files, runs and secrets as they were `seconds` (2) ago.
        unknown-fields, unknown-enum, nulls: JSON that a strict reader refuses; ids stay.
        gzip-bomb: `bytes` of zeros, compressed.
        echo-authorization: An error message that repeats the token.
        redirect: `status` (307 unless it is 3xx) to `location`.
        headers: Add `extra_headers` to the ordinary response.
        header-flood: Add a `Set-Cookie` header of `bytes` (9,000) to the ordinary response.

    Before or after processing: "status", "html", "gzip-bomb", "echo-authorization", "redirect" and "reset-before" take
    the place of handling the request. With `handled` it is carried out first; with `handled_after` it is carried out
    that many seconds after the client got its answer, like a backend that continues after its gateway has timed out.

    Example:
        >>> hub.faults.add(Fault(kind="status", status=429, retry_after=1, operation="addFileToBatch", times=3))
        >>> hub.faults.add(Fault(kind="reset-before", operation="runApp", handled_after=6.0))
        >>> hub.faults.add(Fault(kind="status", status=503, after=10, lasting=30))
    """

    kind: Kind = attrs.field(validator=attrs.validators.in_(KINDS))
    operation: str | None = attrs.field(default=None, converter=_name, validator=_known_operation)
    method: str | None = None
    path: str | None = None
    skip: int = attrs.field(default=0, validator=_at_least_zero)
    times: int | None = attrs.field(default=None, validator=_at_least_zero)
    probability: float = attrs.field(default=1.0, validator=[_at_least_zero, attrs.validators.le(1.0)])
    after: float = attrs.field(default=0.0, validator=_at_least_zero)
    lasting: float | None = attrs.field(default=None, validator=_at_least_zero)
    seconds: float = attrs.field(default=attrs.Factory(_seconds, takes_self=True), validator=_at_least_zero)
    status: int = attrs.field(default=503, validator=[attrs.validators.ge(200), attrs.validators.le(599)])
    message: str = "The service is not available."
    retry_after: float | str | None = None
    location: str = "https://elsewhere.example/api/"
    bytes: int = attrs.field(default=attrs.Factory(_bytes, takes_self=True), validator=attrs.validators.ge(1))
    extra_headers: tuple[tuple[str, str], ...] = ()
    handled: bool = False
    handled_after: float | None = attrs.field(default=None, validator=_at_least_zero)


@attrs.define
class _Armed:
    fault: Fault
    added: float  # seconds of the emulator's clock
    seen: int = 0
    fired: int = 0

    def in_window(self, now: float) -> bool:
        start = self.added + self.fault.after
        return now >= start and (self.fault.lasting is None or now < start + self.fault.lasting)

    def boundaries(self) -> tuple[float, ...]:
        start = self.added + self.fault.after
        return (start,) if self.fault.lasting is None else (start, start + self.fault.lasting)


class Faults:
    """The faults in force.

    Args:
        seed: Seed of the generator behind `Fault.probability`, so that a test is the same each time.
        generator: Take random numbers from here instead.
        clock: The clock of `Fault.after` and `Fault.lasting`.
    """

    def __init__(
        self, seed: int = 0, *, generator: random.Random | None = None, clock: EmulatorClock | None = None
    ) -> None:
        self._armed: list[_Armed] = []
        self._random = generator or random.Random(seed)
        self._clock = clock or EmulatorClock()
        self._on_change: Callable[[], None] | None = None

    def add(self, *faults: Fault) -> None:
        """Put faults in force, from the next request on."""
        now = self._now()
        self._armed = [*self._armed, *(_Armed(fault, now) for fault in faults)]
        self._changed()

    def clear(self) -> None:
        """Remove all faults."""
        self._armed = []
        self._changed()

    def fired(self, kind: Kind | None = None) -> int:
        """Return how many requests the faults in force, or those of one kind, have struck."""
        return sum(armed.fired for armed in self._armed if kind in {None, armed.fault.kind})

    def take(self, operation: str, method: str, path: str) -> list[Fault]:
        """Return the faults that strike a request."""
        return [armed.fault for armed in self._armed if self._strikes(armed, operation, method, path)]

    @property
    def refusing(self) -> bool:
        """Whether connections are refused now."""
        now = self._now()
        return any(armed.in_window(now) for armed in self._refusals())

    def until_refusal_changes(self) -> float | None:
        """Return the seconds until `refusing` may change by itself, or None."""
        now = self._now()
        times = [time for armed in self._refusals() for time in armed.boundaries() if time > now]
        return min(times) - now if times else None

    def begin(self, on_change: Callable[[], None]) -> None:
        """Start the windows of the faults added so far, and call `on_change` after each later change."""
        now = self._now()
        self._armed = [attrs.evolve(armed, added=now) for armed in self._armed]
        self._on_change = on_change

    def end(self) -> None:
        """Stop calling `on_change`."""
        self._on_change = None

    def _now(self) -> float:
        return self._clock.now_ns() / NANOSECONDS

    def _refusals(self) -> list[_Armed]:
        return [armed for armed in self._armed if armed.fault.kind == "refuse"]

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()

    def _strikes(self, armed: _Armed, operation: str, method: str, path: str) -> bool:
        fault = armed.fault
        if fault.kind == "refuse" or fault.operation not in {None, operation} or fault.method not in {None, method}:
            return False
        if fault.path is not None and not re.search(fault.path, path):
            return False
        if not armed.in_window(self._now()):
            return False
        armed.seen += 1
        if armed.seen <= fault.skip or (fault.times is not None and armed.fired >= fault.times):
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        armed.fired += 1
        return True
