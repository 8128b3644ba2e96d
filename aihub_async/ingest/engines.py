"""Running a job on more than one machine, with an engine that exists.

An engine gets a function and shards, calls the function once for each shard somewhere, and yields the results as they
arrive. It must call it again elsewhere when a worker is lost: a shard resumes where it was. Dask is built in; Ray, a
pool of processes or a job queue need no more than this:

    class ProcessEngine:
        async def map(self, work, shards):
            with ProcessPoolExecutor() as pool:
                for shard in shards:
                    yield shard, await asyncio.wrap_future(pool.submit(work, shard))

Ray runs tasks again that a lost node had, so that its engine is as short (the job's `run(engine=RayEngine())`):

    class RayEngine:
        async def map(self, work, shards):
            remote = ray.remote(max_retries=3)(work)
            waiting = {remote.remote(shard): shard for shard in shards}
            while waiting:
                (done, *_), _ = await asyncio.to_thread(ray.wait, list(waiting))
                yield waiting.pop(done), await asyncio.to_thread(ray.get, done)
"""

import asyncio
import concurrent.futures
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import attrs

from aihub_async._version import __version__
from aihub_async.errors import ConfigurationError, IngestError
from aihub_async.ingest.progress import IngestStatus
from aihub_async.ingest.shards import Shard

logger = logging.getLogger("aihub_async")

Work = Callable[[Shard], IngestStatus]

_QUIET_SECONDS = 2.0
"""Seconds without a worker until that is logged."""

_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
"""What Dask raises when it loses the scheduler, depending on its version."""


class Engine(Protocol):
    """Calls a function for every shard, each at least once, in any order and place."""

    def map(self, work: Work, shards: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        """Yield the results as they arrive.

        Raises:
            Exception: what `work` raised, when trying again elsewhere did not help.
        """
        ...


@attrs.frozen
class DaskEngine:
    """Shards as tasks of a Dask cluster.

    The workers need this package in the same version, the same paths, and AIHUB_API_KEY. Without `scheduler`, a
    cluster of `workers` processes on this machine is started and ended with the job.
    """

    scheduler: str | None = None
    workers: int | None = None
    retries: int = 2
    wait_for_workers: float = 30.0
    """Seconds until a cluster without workers is an error."""

    async def map(self, work: Work, shards: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        """Yield results as they arrive; Dask starts the shard of a lost worker again on another.

        Raises:
            IngestError: the cluster has no workers, they lack this package, or it broke; the job can be resumed.
        """
        distributed = _load()
        async with contextlib.AsyncExitStack() as stack:
            try:
                client = await self._connect(distributed, stack)
                await self._check_workers(client)
                futures = client.map(work, list(shards), pure=False, retries=self.retries)
                places = dict(zip((future.key for future in futures), shards, strict=True))
                async for future in distributed.as_completed(futures, loop=client.loop):
                    yield places[future.key], await future.result()
            except (OSError, TimeoutError, *_CANCELLED, distributed.KilledWorker) as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                raise IngestError(_explain(error)) from error

    async def _connect(self, distributed: Any, stack: contextlib.AsyncExitStack) -> Any:
        address: Any = self.scheduler
        if address is None:
            address = await stack.enter_async_context(
                distributed.LocalCluster(
                    n_workers=self.workers, threads_per_worker=1, asynchronous=True, dashboard_address=None
                )
            )
        return await stack.enter_async_context(
            distributed.Client(address, asynchronous=True, set_as_default=False, timeout=self.wait_for_workers)
        )

    async def _check_workers(self, client: Any) -> None:
        """Make sure that there are workers, and that each has this package in this version."""
        try:
            await self._wait_for_worker(client)
        except TimeoutError:
            raise IngestError(
                f"the Dask cluster has no workers after {self.wait_for_workers:.0f} s; start some, and run the same "
                "job again"
            ) from None
        for worker, version in (await client.run(_version_here)).items():
            if version != __version__:
                has = "lacks aihub-async" if version is None else f"has aihub-async {version}"
                raise IngestError(
                    f"the Dask worker {worker} {has}, this process has {__version__}; install the same version there "
                    "(and the extra dask), then run the same job again"
                )

    async def _wait_for_worker(self, client: Any) -> None:
        quiet = min(_QUIET_SECONDS, self.wait_for_workers / 2)
        try:
            await client.wait_for_workers(1, timeout=quiet)
        except TimeoutError:
            logger.warning("the Dask cluster has no workers; waiting up to %.0f s for one", self.wait_for_workers)
            await client.wait_for_workers(1, timeout=self.wait_for_workers - quiet)


def _version_here() -> str | None:
    """Return the version of this package where the function runs; it is sent by value, as a worker may lack it."""
    from importlib import metadata  # noqa: PLC0415 - it runs elsewhere

    try:
        return metadata.version("aihub-async")
    except metadata.PackageNotFoundError:
        return None


# Dask then sends the code of the function instead of its name.
_version_here.__module__ = "__main__"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _explain(error: BaseException) -> str:
    kind = type(error).__name__
    if kind == "KilledWorker":
        reason = "a shard ended several workers; check their logs and their memory limit"
    elif isinstance(error, _CANCELLED):
        reason = "the Dask scheduler went away"
    else:
        reason = f"the Dask cluster cannot be used ({kind}: {error})"
    return f"{reason}; what is done is kept: run the same job again to resume it"


def dask_engine(scheduler: str | None = None) -> DaskEngine:
    """Return an engine on a running Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, or on a local cluster.

    Raises:
        ConfigurationError: Dask is not installed.
    """
    _load()
    return DaskEngine(scheduler)


def _load() -> Any:
    """Import the extra, only a part of which is typed."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigurationError("the engine needs Dask: pip install 'aihub-async[dask]'") from error
