"""The manners of the v1 API."""

from collections.abc import Awaitable, Callable

from aihub_async.emulator.hub import Hub
from aihub_async.emulator.wire import Answer, ApiError, Call, json_answer

Serve = Callable[[Hub, Call], Awaitable[Answer]]


def v1(serve: Serve) -> Serve:
    """Let errors be answers with status 200 that say so."""

    async def answer(hub: Hub, call: Call) -> Answer:
        try:
            return await serve(hub, call)
        except ApiError as error:
            return json_answer({"status": "ERROR", "msg": error.message})

    return answer
