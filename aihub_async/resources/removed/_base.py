"""Operations that were removed from the service: they work on servers that still have them."""

import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aihub_async.errors import GoneError, NotFoundError
from aihub_async.models import QueryStatus
from aihub_async.operations import Operation
from aihub_async.resources._base import CommaList, Resource, build_request
from aihub_async.transport.body import Body
from aihub_async.transport.messages import Response
from aihub_async.transport.transport import Transport
from aihub_async.types import Id, QueryValue
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.pollables import StatePollable
from aihub_async.waiting.scheduler import Scheduler

S = TypeVar("S")

NOTICE = "conversations, chatbots and their queries left AI Hub in February 2026"


class RemovedResource(Resource):
    """Warns at its first call that its operations were removed, and explains it in the error if the server has none."""

    def __init__(self, transport: Transport, scheduler: Scheduler) -> None:
        super().__init__(transport)
        self._scheduler = scheduler
        self._warned = False

    async def _ask(
        self,
        operation: Operation,
        *,
        query: Mapping[str, QueryValue | CommaList] | None = None,
        json: Any = None,
        body: Body | None = None,
        **path: Id,
    ) -> Response:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{NOTICE}; servers without them answer 404", DeprecationWarning, stacklevel=3)
        try:
            return await self._transport.send(build_request(operation, path, query=query, json=json, body=body))
        except (NotFoundError, GoneError) as error:
            raise type(error)(f"{error.args[0]} ({NOTICE})", error.details) from None

    async def _wait(
        self,
        id: str,
        what: tuple[str, str],
        fetch: Callable[[str], Awaitable[S]],
        status_of: Callable[[S], str | None],
        has_ended: Callable[[S], bool],
        timeout: float | None,
    ) -> S:
        """Poll until `has_ended`; `what` is the noun for messages, and the call that continues the wait."""
        known, ended = frozenset(QueryStatus), frozenset({QueryStatus.COMPLETE, QueryStatus.FAILED})
        pollable = StatePollable(self._transport, *what, fetch, status_of=status_of, known=known, ended=ended)
        return await self._scheduler.wait(pollable, id, has_ended, WaitOptions(timeout=timeout))
