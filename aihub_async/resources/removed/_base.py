"""Operations that were removed from the service: they work on servers that still have them."""

import warnings
from collections.abc import Mapping
from typing import Any

from aihub_async.errors import GoneError, NotFoundError
from aihub_async.operations import Operation
from aihub_async.resources._base import CommaList, Resource, build_request
from aihub_async.transport.body import Body
from aihub_async.transport.messages import Response
from aihub_async.transport.transport import Transport
from aihub_async.types import Id, QueryValue
from aihub_async.waiting.scheduler import Scheduler

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
