"""`aihub webhook listen`."""

import asyncio
import contextlib
import datetime as dt
import json
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aihub_async.cli import terminal
from aihub_async.cli.exits import ending_in_one_line, fail
from aihub_async.cli.options import Output, command
from aihub_async.cli.text import json_text, plain, plain_block

if TYPE_CHECKING:
    from aiohttp import web

app = typer.Typer(help="See what webhooks deliver.", no_args_is_help=True)

_HIDDEN = ("secret", "token", "authorization", "key", "cookie", "signature")
_MAX_BODY = 1 << 20
"""Bytes; a larger delivery is answered 413."""
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not bound to


@command(app, example="aihub webhook listen --port 8090   (then start a run with the URL that it prints)")
def listen(
    output: Output,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    answer: Annotated[
        int, typer.Option(help="Status to answer with, to see what is sent again.", min=200, max=599)
    ] = 200,
) -> None:
    """Print every delivery that arrives, until Ctrl-C: its headers, with secrets hidden, and its body."""
    del output
    if host in _EVERYWHERE:
        terminal.warn("every machine that reaches this one can send deliveries, and nothing checks who sent them")
    with ending_in_one_line():
        try:
            asyncio.run(_serve(host, port, answer))
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror or error}")


async def _serve(host: str, port: int, answer: int) -> None:
    from aiohttp import web

    async def take(request: web.Request) -> web.Response:
        _print(request, await request.read())
        return web.Response(status=answer)

    server = web.Application(client_max_size=_MAX_BODY)
    server.router.add_route("*", r"/{path:[\s\S]*}", take)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{runner.addresses[0][1]}/"
        if terminal.is_json():
            terminal.emit_line({"url": url})
        else:
            terminal.write_line(url)
        terminal.note("Ctrl-C stops")
        await _interrupted()
    finally:
        await runner.cleanup()


async def _interrupted() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Windows has no such handlers: there Ctrl-C cancels this coroutine.
    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _print(request: "web.Request", body: bytes) -> None:
    headers = {name: "***" if _is_secret(name) else value for name, value in request.headers.items()}
    now = dt.datetime.now(dt.UTC)
    if terminal.is_json():
        content = _parsed(body)
        text = None if content is not None else body.decode("utf-8", "replace")
        delivery = {"time": now.isoformat(), "method": request.method, "path": request.path, "headers": headers}
        terminal.emit_line({**delivery, "json": content, "text": text})
        return
    terminal.write_line(f"{now:%H:%M:%S} {plain(request.method)} {plain(request.path)}")
    terminal.write_lines(f"  {plain(name)}: {plain(value)}" for name, value in headers.items())
    terminal.write_line(_readable(body))


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _HIDDEN)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    # What a peer sends may be nested deeper than Python's parser goes.
    except (ValueError, RecursionError):
        return None


def _readable(body: bytes) -> str:
    content = _parsed(body)
    if content is not None:
        with contextlib.suppress(RecursionError):
            return json_text(content, indent=2)
    return plain_block(body.decode("utf-8", "replace"))
