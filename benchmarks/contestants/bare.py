"""aiohttp as most programs use it: `gather`, a semaphore, and bodies as bytes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from benchmarks.contestants.job import BATCH, PARTS_IN_FLIGHT, WINDOW, Job

HEADERS = {"Authorization": "Bearer benchmark", "IB-Context": "benchmark"}


async def aiohttp_gather(job: Job) -> Callable[[], Awaitable[None]]:
    """Read each file whole when its turn comes, and put it."""
    context = job.ssl_context()
    semaphore = asyncio.Semaphore(PARTS_IN_FLIGHT if job.large else job.concurrency or WINDOW)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=context if context is not None else True)
        return aiohttp.ClientSession(headers=HEADERS, connector=connector)

    async def put(client: aiohttp.ClientSession, path: Path) -> None:
        async with semaphore:
            url = f"{job.root}/v2/batches/{BATCH}/files/{path.name}"
            async with client.put(url, data=path.read_bytes()) as answer:
                answer.raise_for_status()
                await answer.read()

    async def put_all() -> None:
        async with session() as client:
            await asyncio.gather(*(put(client, path) for path in job.folder.iterdir()))

    async def put_part(
        client: aiohttp.ClientSession, url: str, path: Path, offset: int, size: int
    ) -> dict[str, object]:
        async with semaphore:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
            async with client.put(url, data=data) as answer:
                answer.raise_for_status()
                part: dict[str, object] = await answer.json()
                return part

    async def put_large() -> None:
        (path,) = job.files
        size = path.stat().st_size
        async with session() as client:
            url = f"{job.root}/v2/batches/multipart-upload"
            started = {"batch_id": BATCH, "filename": path.name, "file_size": size}
            async with client.post(url, json=started) as answer:
                opened = await answer.json()
            step = opened["part_size"]
            url = f"{url}/sessions/{opened['session_id']}"
            parts = await asyncio.gather(
                *(
                    put_part(client, f"{url}/parts/{number}", path, offset, step)
                    for number, offset in enumerate(range(0, size, step), 1)
                )
            )
            async with client.post(url, json={"action": "commit", "parts": parts}) as answer:
                answer.raise_for_status()

    return put_large if job.large else put_all
