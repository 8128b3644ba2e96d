"""`aihub webhook listen`."""

import asyncio
import datetime as dt
import json
import signal
from typing import TYPE_CHECKING

from aihub_async.cli.common import err, fail, out

if TYPE_CHECKING:
    from aiohttp import web

_HIDDEN = ("secret", "token", "authorization", "key", "cookie", "signature")
_MAX_BODY = 1 << 20


def listen(*, host: str, port: int, answer: int) -> None:
    """Print deliveries until Ctrl-C."""
    try:
        asyncio.run(_serve(host, port, answer))
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror or error}")


async def _serve(host: str, port: int, answer: int) -> None:
    from aiohttp import web

    async def take(request: web.Request) -> web.Response:
        _print(request, await request.read())
        return web.Response(status=answer)

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        out.print(f"http://{host}:{runner.addresses[0][1]}/", highlight=False)
        out.file.flush()
        err.print("Ctrl-C stops", highlight=False)
        await _interrupted()
    finally:
        await runner.cleanup()


async def _interrupted() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _print(request: "web.Request", body: bytes) -> None:
    out.print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {request.method} {request.path}", highlight=False, markup=False)
    for name, value in request.headers.items():
        shown = "***" if any(word in name.lower() for word in _HIDDEN) else value
        out.print(f"  {name}: {shown}", highlight=False, markup=False, soft_wrap=True)
    try:
        text = json.dumps(json.loads(body), indent=2)
    except ValueError:
        text = body.decode("utf-8", "replace")
    out.print(text, highlight=False, markup=False, soft_wrap=True)
    out.file.flush()
