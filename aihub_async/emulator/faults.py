"""Faults: what goes wrong, for which requests, and how often."""

import random
import re
from typing import Literal, get_args

import attrs

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
    "unknown-fields",
    "unknown-enum",
    "nulls",
    "gzip-bomb",
    "echo-authorization",
    "redirect",
    "headers",
]


@attrs.frozen(kw_only=True)
class Fault:
    """One way to misbehave, and when.

    Which requests: `operation` (name in the operations table), `method`, `path` (a regular expression searched in the
    raw path). Which of those: `skip` the first so many, then at most `times` (None: all), each with `probability`.

    Kinds, and the attributes they use:
        latency: wait `seconds` before the request is handled.
        status: answer `status` with `message` and `retry_after` (seconds, or any text such as an HTTP date).
        reset-before, reset-after: reset the connection unhandled, or once handled but unanswered.
        reset-body, truncate: break off in the middle of the answer's body, by a reset or a regular end.
        garble: a status line that is none. html: a login page with status 200.
        drip: `bytes` at a time, `seconds` apart.
        unknown-fields, unknown-enum, nulls: JSON that a strict reader refuses; ids stay.
        gzip-bomb: `bytes` of zeros, compressed. echo-authorization: an error that repeats the token.
        redirect: `status` 307 to `location`. headers: `extra_headers` on the ordinary answer, such as Set-Cookie.

    With `handled` the request is carried out before "status", "html", "gzip-bomb", "echo-authorization" or "redirect"
    takes the place of its answer.

    Example:
        >>> hub.faults.add(Fault(kind="status", status=429, retry_after=1, operation="addFileToBatch", times=3))
    """

    kind: Kind = attrs.field(validator=attrs.validators.in_(get_args(Kind)))
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    skip: int = 0
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.05
    status: int = 503
    message: str = "The service is not available."
    retry_after: float | str | None = None
    location: str = "https://elsewhere.example/api/"
    bytes: int = 16
    extra_headers: tuple[tuple[str, str], ...] = ()
    handled: bool = False


@attrs.define
class _Armed:
    fault: Fault
    seen: int = 0
    fired: int = 0


class Faults:
    """The faults in force.

    Args:
        seed: of the generator behind `Fault.probability`, so that a test is the same each time.
    """

    def __init__(self, seed: int = 0) -> None:
        self._armed: list[_Armed] = []
        self._random = random.Random(seed)

    def add(self, *faults: Fault) -> None:
        """Put faults in force, from the next request on."""
        self._armed = [*self._armed, *(_Armed(fault) for fault in faults)]

    def clear(self) -> None:
        """Behave again."""
        self._armed = []

    def fired(self, kind: Kind | None = None) -> int:
        """How many times the faults in force, or those of one kind, have struck."""
        return sum(armed.fired for armed in self._armed if kind in {None, armed.fault.kind})

    def take(self, operation: str, method: str, path: str) -> list[Fault]:
        """The faults that strike a request."""
        return [armed.fault for armed in self._armed if self._strikes(armed, operation, method, path)]

    def _strikes(self, armed: _Armed, operation: str, method: str, path: str) -> bool:
        fault = armed.fault
        if fault.operation not in {None, operation} or fault.method not in {None, method}:
            return False
        if fault.path is not None and not re.search(fault.path, path):
            return False
        armed.seen += 1
        if armed.seen <= fault.skip or (fault.times is not None and armed.fired >= fault.times):
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        armed.fired += 1
        return True
