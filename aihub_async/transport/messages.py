"""Requests and responses as values."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import attrs

from aihub_async.config import ClientConfig
from aihub_async.errors import Attempt
from aihub_async.models.raw import parse
from aihub_async.operations import Lane, Operation
from aihub_async.policies.retry import FailureKind
from aihub_async.secrecy import SecretValue
from aihub_async.transport.body import Body

_NO_SECRETS: SecretValue[tuple[str, ...]] = SecretValue(())


class Sink(Protocol):
    """Takes an answer's body as it arrives, instead of holding it in memory.

    It is called again at every attempt, so that a broken download continues where it stopped.
    """

    def request_headers(self) -> Mapping[str, str]:
        """Return headers of the next attempt, such as Range."""
        ...

    def begin(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Check the head of the answer; a returned text is the reason to refuse it."""
        ...

    def write(self, chunk: bytes) -> str | None:
        """Take the next bytes; a returned text is the reason to refuse them.

        Raises:
            OSError: they cannot be stored.
        """
        ...


@attrs.frozen
class Request:
    """One call: what is sent, in every attempt.

    `path` and `query` are percent-encoded; `path` begins with a slash and is relative to `api_root`. `secrets` are
    texts that must not appear in an error. `unclear` means that an earlier call may have carried out the same once-only
    request: then a 429 is not simply retried. `fresh` requires a new connection instead of a kept one. `key` is the API
    key in the headers, where it is one that can change.
    """

    operation: Operation
    path: str
    query: str = ""
    headers: SecretValue[Mapping[str, str]] | None = None
    body: Body | None = None
    sink: Sink | None = None
    secrets: SecretValue[tuple[str, ...]] = _NO_SECRETS
    unclear: bool = False
    fresh: bool = False

    @property
    def lane(self) -> Lane:
        """Which queue it waits in."""
        return self.operation.lane

    key: SecretValue[str] | None = None


@attrs.frozen
class Response:
    """An answer: `status`, `headers` (case-insensitive), and the whole `body` (empty when it went to a sink).

    `received` is the size of the body in bytes, after decompression; `attempts` are the attempts of the call.
    """

    status: int
    reason: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    received: int = 0
    attempts: tuple[Attempt, ...] = ()
    settled: bool = False
    """True when this is a 404 that an earlier, unclear attempt of a deletion explains."""

    def json(self) -> Any:
        """Read the body as JSON, as far as Python's `json` can.

        Raises:
            ValueError: the body is not JSON, or is nested too deeply.
        """
        try:
            return parse(self.body)
        except ValueError as error:
            raise ValueError(f"the answer is not JSON: {error}") from None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


def accepted(response: Response, attempts: Sequence[Attempt]) -> Response:
    """Return an answer as the accepted one of a call."""
    # Not attrs.evolve: every small upload passes here, and that takes several times as long.
    return Response(
        response.status,
        response.reason,
        response.headers,
        response.body,
        response.received,
        attempts=tuple(attempts),
        settled=response.status == 404,
    )


class Wire(Protocol):
    """Makes single attempts; `transport.http` has the one that speaks HTTP."""

    async def attempt(self, request: Request, seconds: float) -> "Response | AttemptFailure":
        """Send a request once, within so many seconds; never raises for what the network or the server did."""
        ...

    def derive(self, settings: ClientConfig) -> Self:
        """Return a wire with other settings on the same connections."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


@attrs.frozen
class AttemptFailure:
    """An attempt without a usable answer.

    `overloaded` means that this machine ran out of descriptors, `stale` that a kept connection was closed before any
    byte of an answer arrived; `received` is the number of bytes of a body that broke off.
    """

    failure: FailureKind
    message: str
    error: Exception | None = None
    overloaded: bool = False
    received: int = 0
    stale: bool = False
