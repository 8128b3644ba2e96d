"""A pytest fixture for tests of code that talks to AI Hub.

Example:
    >>> def test_pipeline(aihub_emulator):
    ...     run_my_pipeline(aihub_emulator.api_root, aihub_emulator.api_key)
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aihub_async.emulator.app import Emulator


@pytest.fixture
def aihub_emulator() -> "Iterator[Emulator]":
    """A local AI Hub of its own for each test, in a thread: for synchronous and asynchronous tests alike."""
    from aihub_async.emulator.app import Emulator  # noqa: PLC0415 - pytest starts without it

    with Emulator().in_thread() as hub:
        yield hub
