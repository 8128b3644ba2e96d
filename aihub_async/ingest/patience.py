"""Outages of the server: a job waits them out instead of stopping."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from aihub_async import errors
from aihub_async.ingest.progress import Progress
from aihub_async.ingest.stopping import StopRequest

T = TypeVar("T")

logger = logging.getLogger("aihub_async")

STOPPING = (
    errors.AuthenticationError,
    errors.ForbiddenError,
    errors.CertificateError,
    errors.RedirectError,
    errors.ClosedClientError,
    errors.ConfigurationError,
    errors.SourceAccessError,
)
"""Errors that every request would meet until a person fixes the cause: the job stops, and can be resumed."""

_OUTAGE = (
    errors.ConnectError,
    errors.ConnectionLostError,
    errors.RequestTimeoutError,
    errors.RateLimitedError,
    errors.ServerError,
    errors.ProtocolError,
    errors.SourceUnavailableError,
)
_PASSING = frozenset({408, 425})
"""Statuses without an error class of their own that a later request may not meet."""
_NO_OUTAGE = (errors.CertificateError, errors.RedirectError, errors.ResponseTooLargeError, errors.PaginationError)

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0


def is_outage(error: BaseException | None) -> bool:
    """Return whether an error means that the server (or that of the sources) does not work at the moment."""
    if isinstance(error, errors.StatusError) and error.status in _PASSING:
        return True
    return isinstance(error, _OUTAGE) and not isinstance(error, _NO_OUTAGE) and not is_unreadable(error)


def is_unreadable(error: BaseException | None) -> bool:
    """Return whether the server answered with data that cannot be read, as opposed to a gateway's HTML page."""
    if isinstance(error, errors.PaginationError | errors.ResponseTooLargeError):
        return True
    if not isinstance(error, errors.ProtocolError) or isinstance(error, errors.RedirectError):
        return False
    kind = next((value for name, value in error.headers.items() if name.lower() == "content-type"), "")
    return "json" in kind.lower()


class Patience:
    """Repeats steps through outages shorter than a limit.

    Args:
        limit: seconds of failures in a row after which a step's error is raised.
        stop: ends the waits.
        progress: counts the repetitions, and shows the outage.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        limit: float,
        stop: StopRequest,
        progress: Progress,
        monotonic: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.limit = limit
        self._stop = stop
        self._progress = progress
        self._monotonic = monotonic

    async def ride_out(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run a step, again after each failure that is an outage; the client's own retries are inside each try.

        Raises:
            StopRequestedError: the job is being stopped.
            AIHubError: the outage lasts longer than the limit, or the error is of another kind.
        """
        began = self._monotonic()
        failures = 0
        while True:
            try:
                result = await step()
            except errors.AIHubError as error:
                if not is_outage(error):
                    raise
                await self.wait(error, began, failures)
                failures += 1
            else:
                self.ended()
                return result

    async def wait(self, error: errors.AIHubError, began: float, failures: int) -> None:
        """Wait before the next try; raise the error when the outage has lasted too long.

        Args:
            error: the failure.
            began: when the step was tried first, in seconds of the monotonic clock.
            failures: earlier failures of the step.
        """
        now = self._monotonic()
        left = began + self.limit - now
        if left <= 0:
            raise error
        if self._progress.outage_since is None:
            logger.warning("%s; the job waits up to %.0f s for the server", error, self.limit)
            self._progress.outage_since = now
        self._progress.retried(1)
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(failures, 10))
        await self._stop.sleep(min(delay * random.uniform(0.5, 1.0), left))

    def ended(self) -> None:
        """Record that the server answers."""
        if self._progress.outage_since is not None:
            logger.warning("the server answers again")
            self._progress.outage_since = None

    def now(self) -> float:
        """Return the monotonic clock, in seconds."""
        return self._monotonic()
