"""Find batches by name and secrets by alias after an unclear failure of the request that creates them."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TypeVar

import attrs

from aihub_async.clock import Clock
from aihub_async.models import Batch, BatchInfo, ListBatches, ListSecrets
from aihub_async.models.decode import DecodeError, decode
from aihub_async.reconcile.once import NotCreated, Undecidable, UnreadableList, server_time_at
from aihub_async.transport.messages import Response

L = TypeVar("L", ListBatches, ListSecrets)
PageCall = Callable[[int], Awaitable[Response]]

_MAX_PAGES = 1000
_DATE_SECONDS = 2.0
"""The Date header counts whole seconds."""
_MARGIN = 60.0
"""Seconds by which the clocks of the server's machines may disagree."""


@attrs.define
class BatchFinder:
    """Looks up the batch that one request may have created; the API can find it only by its name.

    Attributes:
        page: Requests the page of batches at an offset.
        name: The name of the batch.
        began: When the request was first sent, by the monotonic clock.
        clock: Time.
        unique_name: Nothing else creates batches of this name. Otherwise a batch that appears only after a lookup has
            shown none is not adopted: another program may have created it.
    """

    page: PageCall
    name: str
    began: float
    clock: Clock
    unique_name: bool = False
    _was_absent: bool = attrs.field(default=False, init=False)

    def resent(self) -> None:
        """Forget that lookups have shown no batch: one that appears from now on may be the effect of a new request."""
        self._was_absent = False

    async def __call__(self, *, thorough: bool) -> Batch:  # noqa: ARG002 - a new batch may be on any page
        """Return the batch.

        Raises:
            NotCreated: There is none of this name.
            Undecidable: There are several, or one that may be older or created by another client.
            RequestError: A list was refused.
        """
        found, moment = await self._named()
        try:
            batch_id = _only_new([(batch.id, batch.created_at_ms) for batch in found], moment)
        except NotCreated:
            self._was_absent = True
            raise
        if self._was_absent and not self.unique_name:
            raise Undecidable(
                f"batch {batch_id} of this name has appeared since, and may have been created by another client"
            )
        return Batch(id=batch_id)

    async def _named(self) -> tuple[list[BatchInfo], float | None]:
        """Return the batches of this name, and when the request was first sent by the server's clock."""
        found: dict[int, BatchInfo] = {}
        answer = await self.page(0)
        moment = server_time_at(self.began, answer, self.clock)
        offset = 0
        for _ in range(_MAX_PAGES):
            batches = _decoded(ListBatches, "batches", answer).batches
            if not batches:
                return list(found.values()), moment
            found |= {batch.id: batch for batch in batches if batch.name == self.name}
            offset += len(batches)
            answer = await self.page(offset)
        raise Undecidable("the list of batches has no end")


async def find_batches(batches: AsyncIterable[BatchInfo], prefix: str) -> dict[str, BatchInfo]:
    """Find the batches whose names have a prefix, such as those of a bulk job; return them by name."""
    return {batch.name: batch async for batch in batches if batch.name is not None and batch.name.startswith(prefix)}


@attrs.frozen
class SecretFinder:
    """Looks up the secret that one request may have created; `began` is when it was first sent (monotonic clock)."""

    list_by_alias: Callable[[], Awaitable[Response]]
    alias: str
    began: float
    clock: Clock

    async def __call__(self, *, thorough: bool) -> None:  # noqa: ARG002 - one answer has all secrets
        """Return if there is a secret of this alias that the request has created.

        Raises:
            NotCreated: There is none with this alias.
            Undecidable: There is one that may be older.
            RequestError: The list was refused.
        """
        answer = await self.list_by_alias()
        moment = server_time_at(self.began, answer, self.clock)
        secrets = [secret for secret in _decoded(ListSecrets, "secrets", answer).secrets if secret.alias == self.alias]
        _only_new([(index, secret.created_at) for index, secret in enumerate(secrets)], moment)


def _only_new(found: list[tuple[int, float | None]], moment: float | None) -> int:
    """Return the key of the only item that was created since a moment of the server's clock (Unix seconds)."""
    if not found:
        raise NotCreated
    if moment is None or any(created is None for _, created in found):
        raise Undecidable("the server does not report when the one of this name was created")
    ages = {key: (created or 0) / 1000 - moment for key, created in found}
    recent = [key for key, age in ages.items() if age >= -_MARGIN]
    if not recent:
        raise NotCreated
    if len(recent) > 1:
        raise Undecidable(f"{len(recent)} of this name were created at about this time")
    if ages[recent[0]] < -_DATE_SECONDS:
        raise Undecidable("the one of this name may have been there before")
    return recent[0]


def _decoded(cls: type[L], items: str, answer: Response) -> L:
    """Decode a list; an object without its items, such as a gateway's ``{"error": ...}``, proves no absence."""
    try:
        listed = decode(cls, answer.body)
        is_list = isinstance(listed.raw.get(items), list)
    except DecodeError:
        raise UnreadableList from None
    if not is_list:
        raise UnreadableList
    return listed
