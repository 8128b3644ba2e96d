import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from aihub_async.emulator import Emulator

# The profiles of whoever runs the tests are none of their business.
os.environ["AIHUB_PROFILES_FILE"] = os.path.join(os.sep, "nonexistent", "profiles.toml")  # noqa: PTH118

# Tests share code as `tests.…`. Last in the path: the installed packages are tested, not those of the checkout.
sys.path.append(str(Path(__file__).parent.parent))


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Emulator]:
    """An emulator in the test's own event loop, with parts of 1 KiB."""
    async with Emulator(part_size=1024) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _logging_is_left_alone() -> Iterator[None]:
    """Find tests after which logging differs: a handler that stays is written to by all tests that follow."""
    logger = logging.getLogger("aihub_async")
    before = (logger.level, list(logger.handlers))
    yield
    assert (logger.level, logger.handlers) == before
