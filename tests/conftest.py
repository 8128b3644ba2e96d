import faulthandler
import logging
import os
import signal
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

FORKED_SECONDS = 60


def _end_a_hanging_child() -> None:
    """Let a test's forked child that hangs print where it hangs and end, since its parent waits for it without a limit.

    An alarm, not `faulthandler.dump_traceback_later`: in the child, that waits forever for the watchdog thread that
    pytest started in the parent.
    """
    if "PYTEST_CURRENT_TEST" in os.environ:
        signal.alarm(FORKED_SECONDS)
        faulthandler.register(signal.SIGALRM, file=2, all_threads=True, chain=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_a_hanging_child)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in a process per core; a selection of files, a debugger or ``-n 0`` keep it in this one.

    Not by ``addopts``, which would start the processes for one file too, and be an error without pytest-xdist.
    """
    option = config.option
    whole = config.args_source is config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    watched = option.usepdb or option.trace or option.collectonly or option.capture == "no"
    if whole and not watched and config.pluginmanager.hasplugin("xdist") and option.numprocesses is None:
        option.numprocesses = min(max(os.cpu_count() or 1, 2), 4)
        option.dist = "worksteal"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Exempt the slow tests from `faulthandler_timeout`, which ends the session."""
    if item.get_closest_marker("slow"):
        faulthandler.cancel_dump_traceback_later()


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
