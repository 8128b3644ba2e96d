"""Waiting for what has no list: jobs of the v1 API, conversations and queries."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs

from aihub_async.transport.messages import Response

S = TypeVar("S")


@attrs.frozen
class StateSource(Generic[S]):
    """One kind of thing that is asked for one by one; see `waiting.sources.Source`.

    `noun` is what one is called, `line` the method that waits for it, `word` the word for a state, `published` the
    words that are known, and `ended` those after which nothing changes.
    """

    transport: object
    noun: str
    line: str
    fetch_one: Callable[[str], Awaitable[S]] = attrs.field(eq=False)
    word: Callable[[S], str | None] = attrs.field(eq=False)
    published: frozenset[str] = attrs.field(eq=False)
    ended: frozenset[str] = attrs.field(eq=False)
    supports_list: bool = attrs.field(default=False, eq=False)

    async def fetch(self, id: str) -> S:
        """Ask for one."""
        return await self.fetch_one(id)

    async def page(self, since: int | None, limit: int, offset: int, *, newest_first: bool = False) -> Response:
        """Never called: `supports_list` is False."""
        raise NotImplementedError

    def status(self, state: S) -> str | None:
        """The word for a state."""
        return self.word(state)

    def is_known_status(self, status: str | None) -> bool:
        """Whether the word is a published one."""
        return status in self.published

    def observed_duration(self, state: S) -> tuple[str, float | None] | None:
        """All count as one kind, and do not tell how long they took."""
        return (self.noun, None) if self.word(state) in self.ended else None

    def duration_key(self, state: S) -> str | None:  # noqa: ARG002 - all are of one kind
        """All take about as long."""
        return self.noun

    def describe(self, id: str) -> tuple[str, str]:
        """How to speak of it."""
        return f"{self.noun} {id}", f"{self.line}({id!r})"
