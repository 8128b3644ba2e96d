"""A client of the emulator with a batch, a clock that never waits, and what a test checks afterwards."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.emulator import Emulator


async def _no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def client(hub: Emulator) -> AsyncIterator[AsyncAIHub]:
    clock = Clock(sleep=_no_wait, random=lambda: 0.5)
    async with AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root, clock=clock) as made:
        yield made


@pytest_asyncio.fixture
async def batch(client: AsyncAIHub, hub: Emulator) -> int:
    made = await client.batches.create("uploads")
    hub.requests.clear()
    return int(made.id)


@pytest.fixture
def stored(hub: Emulator, batch: int) -> Callable[[], dict[str, str]]:
    """The batch's files as the emulator holds them: SHA-256 by name."""
    return lambda: {file.name: file.sha256 for file in hub.batch_files(batch)}


@attrs.frozen
class Folder:
    """A folder with files, and what they hold."""

    path: Path

    def add(self, name: str, content: bytes = b"content") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "folder")
    made.path.mkdir()
    return made


@pytest.fixture
def sha256() -> Callable[[bytes], str]:
    return lambda data: hashlib.sha256(data).hexdigest()


@pytest.fixture
def descriptors() -> Callable[[], set[str]]:
    """The files of `folder` that the process has open."""

    def look() -> set[str]:
        found = set()
        for link in Path("/proc/self/fd").iterdir():
            try:
                target = str(link.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("/") and "/folder/" in target:
                found.add(target)
        return found

    return look
