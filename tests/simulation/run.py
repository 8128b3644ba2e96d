"""Run one seed."""

import logging
import os
import random
import tempfile
import warnings
from pathlib import Path

import attrs

from tests.simulation.loop import run
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import make_world

_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""In memory where there is such a folder: a seed writes to disk durably hundreds of times."""

LIMIT = 48 * 3600.0
"""Virtual seconds after which somebody is considered to wait forever."""


@attrs.define
class Story:
    """What happened with a seed; `error` is None when every promise was kept."""

    seed: int
    scenario: str
    log: list[str] = attrs.field(factory=list)
    error: BaseException | None = None
    fingerprint: str = ""


def simulate(seed: int, scenario: str | None = None) -> Story:
    """Run one seed; the seed alone decides everything, the scenario too unless one is named."""
    names = sorted(SCENARIOS)
    story = Story(seed, scenario or names[seed % len(names)])

    async def live(folder: Path) -> None:
        async with make_world(seed, folder) as world:
            story.log = world.log
            await SCENARIOS[story.scenario](world)
        story.fingerprint = world.network.fingerprint

    watch = _Watch()
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=_FOLDER) as folder, warnings.catch_warnings(), watch:
        warnings.simplefilter("error")
        try:
            random.seed(seed)
            run(live(Path(folder)), limit=LIMIT)
        # Whatever it is, it belongs to this seed.
        except Exception as error:  # noqa: BLE001
            story.error = error
    story.error = story.error or watch.error
    return story


class _Watch(logging.Handler):
    """Takes what is only logged: errors of background tasks, and of callbacks of the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self.error = self.error or AssertionError(f"logged: {record.getMessage()}: {cause!r}")

    def __enter__(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)

    def __exit__(self, *_: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)


_LOGGERS = ("aihub_async", "asyncio")
