"""Upload many sources through `iter_upload`, and look at memory on the way."""

import asyncio
import json
import sys
from collections.abc import Iterator

from aihub_async import AsyncAIHub
from benchmarks.contestants.job import BATCH
from benchmarks.contestants.run import cpu, resident

_CONTENT = bytes(20_000)


def sources(count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield f"file-{number:07}.pdf", _CONTENT


async def main(root: str, count: int) -> None:
    async with AsyncAIHub(api_key="benchmark", ib_context="benchmark", api_root=root) as client:
        done, early, began = 0, 0, cpu()
        async with client.batches.iter_upload(BATCH, sources(count), max_concurrency=32) as uploads:
            async for record in uploads:
                if record.error is not None:
                    raise record.error
                done += 1
                if done == 1_000:
                    early = resident()
        print(json.dumps({"cpu": cpu() - began, "early": early, "late": resident(), "files": done}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
