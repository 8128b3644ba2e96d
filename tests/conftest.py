from collections.abc import AsyncIterator

import pytest_asyncio

from aihub_async.emulator import Emulator


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Emulator]:
    """An emulator in the test's own event loop, with parts of 1 KiB."""
    async with Emulator(part_size=1024) as emulator:
        yield emulator
