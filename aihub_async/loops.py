"""The event loop that everything here runs on."""

import asyncio

from aihub_async.errors import ConfigurationError


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running asyncio loop.

    Raises:
        ConfigurationError: there is none, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigurationError(
        "aihub_async needs asyncio, and no asyncio event loop is running here; under trio use aihub_sync in a thread: "
        "trio.to_thread.run_sync(...)"
    )
