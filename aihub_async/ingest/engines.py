"""Running a job on more than one machine, with an engine that exists.

An engine gets a function and shards, calls the function once for each shard somewhere, and yields the results as they
arrive. It must call it again elsewhere when a worker is lost: a shard resumes where it was. Dask is built in; Ray, a
pool of processes or a job queue need no more than this:

    class ProcessEngine:
        async def map(self, work, shards):
            with ProcessPoolExecutor() as pool:
                for shard in shards:
                    yield shard, await asyncio.wrap_future(pool.submit(work, shard))
"""

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.ingest.progress import IngestStatus
from aihub_async.ingest.shards import Shard

Work = Callable[[Shard], IngestStatus]


class Engine(Protocol):
    """Calls a function for every shard, each at least once, in whatever order and place."""

    def map(self, work: Work, shards: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        """Results as they come.

        Raises:
            Exception: what `work` raised, when trying again elsewhere did not help.
        """
        ...


@attrs.frozen
class DaskEngine:
    """Shards as tasks of a Dask cluster. The workers need this package, the same paths, and AIHUB_API_KEY."""

    scheduler: str
    retries: int = 2

    async def map(self, work: Work, shards: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        """Results as they come; Dask starts the shard of a lost worker again on another."""
        distributed = _load()
        async with distributed.Client(self.scheduler, asynchronous=True, set_as_default=False) as client:
            futures = client.map(work, list(shards), pure=False, retries=self.retries)
            places = dict(zip((future.key for future in futures), shards, strict=True))
            async for future in distributed.as_completed(futures, loop=client.loop):
                yield places[future.key], await future.result()


def dask_engine(scheduler: str) -> DaskEngine:
    """An engine on a running Dask scheduler, such as ``"tcp://10.0.0.5:8786"``.

    Raises:
        ConfigurationError: Dask is not installed.
    """
    _load()
    return DaskEngine(scheduler)


def _load() -> Any:
    """The extra, of which only a part is typed."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigurationError("the engine needs Dask: pip install 'aihub-async[dask]'") from error
