from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator


@pytest_asyncio.fixture
async def client(hub: Emulator) -> AsyncIterator[AsyncAIHub]:
    """A client of the emulator with short deadlines."""
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root, max_retries=2, reconcile_for=0.2) as client:
        yield client


@pytest.fixture
def make_files(tmp_path: Path) -> Callable[..., Path]:
    """Write `count` small documents into a folder: ``make_files("scans", 10)``; contents differ."""

    def make(folder: str, count: int, *, prefix: str = "doc") -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (path / f"{prefix}-{number:05d}.txt").write_text(f"Invoice number: {number}\nTotal: {number}.50\n")
        return path

    return make
