"""Finding batches and secrets again after an unclear failure of the request that creates them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aihub_async.clock import Clock
from aihub_async.models import Batch, BatchInfo, ListBatches, ListSecrets
from aihub_async.models.decode import DecodeError, decode
from aihub_async.reconcile.once import Inconclusive, NotCreated, server_time_of
from aihub_async.transport.messages import Response

T = TypeVar("T")

_MOST_PAGES = 100
_DATE_SECONDS = 2.0
"""The Date header counts whole seconds."""
_MARGIN = 60.0
"""Seconds that the server's clocks may disagree among each other."""


async def find_batch(
    page: Callable[[int], Awaitable[Response]],
    name: str,
    began: float,
    clock: Clock,
    *,
    thorough: bool,  # noqa: ARG001 - a new batch may stand on any page
) -> Batch:
    """The batch that was created under this name since a moment of the monotonic clock.

    Names need not be unique: another batch of this name from the same minute makes it undecided.

    Raises:
        AbsentError: there is none of this name.
        UndecidedError: there are several, or one that may be older.
    """
    offset = 0
    found: dict[int, BatchInfo] = {}
    moment: float | None = None
    for number in range(_MOST_PAGES):
        answer = await page(offset)
        if number == 0:
            moment = server_time_of(began, answer, clock)
        batches = _read(ListBatches, answer).batches
        if not batches:
            return Batch(id=_only_new([(batch.id, batch.created_at_ms) for batch in found.values()], moment))
        found |= {batch.id: batch for batch in batches if batch.name == name}
        offset += len(batches)
    raise Inconclusive


def find_secret(answer: Response, alias: str, began: float, clock: Clock) -> None:
    """Make sure that a secret was created since a moment of the monotonic clock.

    Raises:
        AbsentError: there is none with this alias.
        UndecidedError: there is one that may be older.
    """
    moment = server_time_of(began, answer, clock)
    secrets = [secret for secret in _read(ListSecrets, answer).secrets if secret.alias == alias]
    _only_new([(index, secret.created_at) for index, secret in enumerate(secrets)], moment)


def _only_new(found: list[tuple[int, float | None]], moment: float | None) -> int:
    if not found:
        raise NotCreated
    if moment is None or any(created is None for _, created in found):
        raise Inconclusive
    ages = {key: (created or 0) / 1000 - moment for key, created in found}
    recent = [key for key, age in ages.items() if age >= -_MARGIN]
    if not recent:
        raise NotCreated
    if len(recent) > 1 or ages[recent[0]] < -_DATE_SECONDS:
        raise Inconclusive
    return recent[0]


def _read(cls: type[T], answer: Response) -> T:
    try:
        return decode(cls, answer.body)
    except DecodeError:
        raise Inconclusive from None
