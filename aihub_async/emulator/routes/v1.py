"""The response envelope of the v1 API."""

from collections.abc import Awaitable, Callable

from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Request, Response, json_response

Serve = Callable[[EmulatorState, Request], Awaitable[Response]]


def v1(serve: Serve) -> Serve:
    """Turn errors into responses with status 200 and `"status": "ERROR"`."""

    async def answer(state: EmulatorState, request: Request) -> Response:
        try:
            return await serve(state, request)
        except ApiError as error:
            return json_response({"status": "ERROR", "msg": error.message})

    return answer
