"""This SDK."""

from collections.abc import Awaitable, Callable

from aihub_async import AsyncAIHub
from benchmarks.contestants.job import BATCH, Job


async def upload(job: Job) -> Callable[[], Awaitable[None]]:
    """`batches.upload` of the folder, or `add_large_file`; its checks, retries and deadlines are on."""
    client = AsyncAIHub(api_key="benchmark", ib_context="benchmark", api_root=job.root, ssl_context=job.ssl_context())

    async def put_all() -> None:
        await client.batches.upload(BATCH, job.folder, max_concurrency=job.concurrency)
        await client.aclose()

    async def put_large() -> None:
        (path,) = job.files
        await client.batches.add_large_file(BATCH, path.name, path)
        await client.aclose()

    return put_large if job.large else put_all
