"""Pytest fixtures for tests of code that talks to AI Hub.

`aihub_emulator` is a local AI Hub; `aihub_responses` answers requests of aiohttp without a server, where aioresponses
is installed.

Example:
    >>> def test_pipeline(aihub_emulator):
    ...     run_my_pipeline(aihub_emulator.api_root, aihub_emulator.api_key)
    >>> async def test_one_answer(aihub_responses):
    ...     aihub_responses.get("https://aihub.instabase.com/api/v2/apps/runs/r1", payload={"id": "r1"})
"""

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

if TYPE_CHECKING:
    from aihub_async.emulator.app import Emulator


@pytest.fixture
def aihub_emulator() -> "Iterator[Emulator]":
    """Yield a separate local AI Hub for each test, in a thread: for synchronous and asynchronous tests alike."""
    from aihub_async.emulator.app import Emulator  # noqa: PLC0415 - pytest starts without it

    with Emulator() as hub:
        yield hub


def _has_aioresponses() -> bool:
    if "aioresponses" in sys.modules:
        return sys.modules["aioresponses"] is not None
    return importlib.util.find_spec("aioresponses") is not None


if _has_aioresponses():

    @pytest.fixture
    def aihub_responses() -> Iterator[Any]:
        """Yield an active `aioresponses` that works with current aiohttp.

        aioresponses 0.7 builds responses without the argument `stream_writer`, which aiohttp requires since 3.14, and
        fails with a TypeError. The fixture supplies it. Requests that no registered answer matches raise
        `ClientConnectionError`; none reaches the network.
        """
        import aiohttp  # noqa: PLC0415 - pytest starts without it
        from aioresponses import aioresponses  # noqa: PLC0415 - optional

        patched = mock.patch("aioresponses.core.ClientResponse", _constructible(aiohttp.ClientResponse))
        with patched, aioresponses() as responses:
            yield responses

    def _constructible(base: type[Any]) -> type[Any]:
        """Return a response class that can be built without the arguments that newer versions of aiohttp require."""
        parameters = inspect.signature(base.__init__).parameters
        if "stream_writer" not in parameters:
            return base

        class Response(base):  # type: ignore[misc]  # the class is that of the installed aiohttp
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                kwargs.setdefault("stream_writer", mock.Mock(output_size=0))
                super().__init__(*args, **kwargs)

        return Response
