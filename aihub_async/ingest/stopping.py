"""Stopping a job: waits end immediately, requests in flight are finished."""

import contextlib
from collections.abc import Iterator

import anyio


class StopRequestedError(Exception):
    """The job was stopped while a step was waiting; the step's batch stays as the journal has it."""


class StopRequest:
    """Whether a job was requested to stop, and the waits that end when it is."""

    def __init__(self) -> None:
        self.requested = False
        self._scopes: set[anyio.CancelScope] = set()

    def request(self) -> None:
        """Start nothing more, and end all waits; call it on the event loop's thread."""
        self.requested = True
        for scope in self._scopes:
            scope.cancel()

    @contextlib.contextmanager
    def ending(self) -> Iterator[anyio.CancelScope]:
        """Return a scope that is cancelled when the job is stopped."""
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        try:
            with scope:
                if self.requested:
                    scope.cancel()
                yield scope
        finally:
            self._scopes.discard(scope)

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StopRequestedError: the job is being stopped.
        """
        with self.ending() as scope:
            await anyio.sleep(seconds)
        if scope.cancelled_caught:
            raise StopRequestedError
