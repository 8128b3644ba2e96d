"""Faults that the project once had, put back one at a time: a simulation that does not find them proves nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import attrs

from aihub_async import Pages
from aihub_async.ingest.adoption import Adoption
from aihub_async.ingest.remote import Known, Remote
from aihub_async.ingest.stages.run import BatchStages
from aihub_async.models import Run
from aihub_async.policies import retry
from aihub_async.policies.outage import CircuitBreaker
from aihub_async.policies.retry import RetryQuota, Verdict
from aihub_async.reconcile import once
from aihub_async.transport import transport

Put = Callable[[ExitStack], None]


def _drained_quota(stack: ExitStack) -> None:
    """An outage drains the shared retry quota, and an empty quota fails every call."""

    def take(self: RetryQuota) -> bool:
        self.tokens -= 5
        return True

    def delay(self: Any, call: Any, _outcome: Any, asked: float | None) -> float | None:
        call.retries += 1
        if call.retries > self.settings.max_retries or self.quota.tokens < 5 or not self.quota.take():
            return None
        return float(asked or self._backoff.delay(call.retries, self.clock.random))

    stack.enter_context(mock.patch.object(RetryQuota, "take", take))
    stack.enter_context(mock.patch.object(CircuitBreaker, "open", return_value=None))
    stack.enter_context(mock.patch.object(transport.Transport, "_delay", delay))


def _unreadable_is_resent(stack: ExitStack) -> None:
    """A bulk job starts a run again whose answer could not be read, as soon as one list lacks it."""

    async def look_once(find: Any, _grace: float, patience: Any, _stop: Any) -> Any:
        return await patience.ride_out(find)

    real = BatchStages._once

    async def submit_again(self: BatchStages, do: Any, find: Any) -> Any:
        found = await real(self, do, find)
        return found if found is not None else await do()

    stack.enter_context(mock.patch("aihub_async.ingest.stages.run.look_for", look_once))
    stack.enter_context(mock.patch.object(BatchStages, "_once", submit_again))
    _absent_after_seconds(stack)


def _local_calendar(stack: ExitStack) -> None:
    """After a kill, runs are looked up from a moment that this machine's calendar gives."""
    real = Remote._runs_since

    def runs(self: Remote, _since: int) -> Pages[Run]:
        return real(self, int(time.time()) + 3600 - 60)

    stack.enter_context(mock.patch.object(Remote, "_runs_since", runs))


def _trusted_journal(stack: ExitStack) -> None:
    """An existing journal is trusted: what the server has under its names is not adopted."""

    async def load(_self: Adoption) -> Known:
        return Known()

    stack.enter_context(mock.patch.object(Adoption, "_load", load))


def _resent_503(stack: ExitStack) -> None:
    """A 503 with Retry-After counts as a refusal: a once-only request is sent again without a lookup."""
    real = retry.judge

    def judge(repeat: Any, outcome: Any, **options: Any) -> Verdict:
        return Verdict.RETRY if outcome == 503 else real(repeat, outcome, **options)

    stack.enter_context(mock.patch.object(transport, "judge", judge))


def _absent_after_seconds(stack: ExitStack) -> None:
    """Absence counts as proven after five seconds, whatever the server is still working on."""
    real = once.look_up

    async def look_up(find: Any, policy: Any, **options: Any) -> Any:
        return await real(find, attrs.evolve(policy, reconcile_for=5.0), **options)

    stack.enter_context(mock.patch.object(once, "look_up", look_up))


BROKEN: dict[str, Put] = {
    "drained quota": _drained_quota,
    "unreadable is resent": _unreadable_is_resent,
    "local calendar": _local_calendar,
    "trusted journal": _trusted_journal,
    "resent 503": _resent_503,
    "absent after seconds": _absent_after_seconds,
}
SCENARIO = {
    "drained quota": "uploads",
    "unreadable is resent": "bulk-job",
    "local calendar": "bulk-job",
    "trusted journal": "bulk-job",
    "resent 503": "submissions",
    "absent after seconds": "submissions",
}
"""The scenario that each fault shows in."""


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Put a fault back."""
    with ExitStack() as stack:
        BROKEN[name](stack)
        yield
