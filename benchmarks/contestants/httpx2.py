"""httpx2's async client, alone and with the aiohttp backend that openai's SDK brings: `gather` and a semaphore."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2

from benchmarks.contestants.bare import HEADERS
from benchmarks.contestants.job import BATCH, WINDOW, Job


async def own_pool(job: Job) -> Callable[[], Awaitable[None]]:
    """Use httpx2's own connection pool."""
    return _put_all(job, httpx2.AsyncClient(headers=HEADERS, **_options(job)))


async def openai_aiohttp(job: Job) -> Callable[[], Awaitable[None]]:
    """Use openai's `DefaultAioHttpClient`, as openai recommends for many concurrent requests."""
    from openai import DefaultAioHttpClient

    return _put_all(job, DefaultAioHttpClient(headers=HEADERS, **_options(job)))


def _options(job: Job) -> dict[str, object]:
    context: ssl.SSLContext | None = job.ssl_context()
    window = job.concurrency or WINDOW
    limits = httpx2.Limits(max_connections=window, max_keepalive_connections=window)
    return {"limits": limits, "timeout": 60, "trust_env": False, **({} if context is None else {"verify": context})}


def _put_all(job: Job, client: httpx2.AsyncClient) -> Callable[[], Awaitable[None]]:
    semaphore = asyncio.Semaphore(job.concurrency or WINDOW)

    async def put(path: Path) -> None:
        async with semaphore:
            answer = await client.put(f"{job.root}/v2/batches/{BATCH}/files/{path.name}", content=path.read_bytes())
            answer.raise_for_status()

    async def put_all() -> None:
        async with client:
            await asyncio.gather(*(put(path) for path in job.folder.iterdir()))

    return put_all
