import threading
from collections.abc import Callable, Iterator

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub


@pytest.fixture
def hub() -> Iterator[Emulator]:
    """An emulator in its own thread, with parts of 64 KiB."""
    with Emulator(part_size=64 * 1024, max_file_size=None).in_thread() as emulator:
        yield emulator


@pytest.fixture
def make_client(hub: Emulator) -> Iterator[Callable[..., AIHub]]:
    """Make clients of the emulator, closed after the test."""
    made: list[AIHub] = []

    def make(**options: object) -> AIHub:
        made.append(AIHub(hub.api_key, api_root=hub.api_root, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., AIHub]) -> AIHub:
    return make_client()


@pytest.fixture
def loop_threads() -> Callable[[], list[threading.Thread]]:
    """The loop threads that live now; those of earlier tests have ended."""

    def living() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "aihub_sync"]

    for thread in living():
        thread.join(5)
    return living
