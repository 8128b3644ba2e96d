"""A job on a Dask cluster whose scheduler and workers are real processes, some of which are killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import IngestError
from aihub_async.ingest import IngestJob, IngestStatus, engines, shards
from aihub_async.ingest.engines import DaskEngine, Work
from aihub_async.ingest.shards import Shard

distributed = pytest.importorskip("distributed")
# Dask's own warnings about its shutdown are not ours to fix.
pytestmark = pytest.mark.filterwarnings("default")
MakeFiles = Callable[..., Path]
PATIENCE = 120.0
"""Seconds until a test counts as hanging."""


@attrs.define
class Cluster:
    """The processes of a cluster, of which tests may kill any."""

    address: str
    processes: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def kill_scheduler(self) -> None:
        self.processes[0].kill()


@pytest.fixture
def cluster(hub_in_thread: Emulator) -> Iterator[Cluster]:
    """A scheduler and one worker, which is not restarted when it ends."""
    environment = {
        **os.environ,
        "AIHUB_API_KEY": hub_in_thread.api_key,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    started: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    def kill() -> None:
        for process in started:
            process.kill()

    with contextlib.ExitStack() as stack:
        stack.callback(kill)
        scheduler = stack.enter_context(start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"))
        address = _address(scheduler)
        stack.enter_context(
            start("dask_worker", address, "--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        )
        # Before the exits of the processes, which wait for their end.
        stack.callback(kill)
        yield Cluster(address, started)


def _address(scheduler: "subprocess.Popen[str]") -> str:
    assert scheduler.stderr is not None
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            return line.split()[-1]
    raise AssertionError("the scheduler has not started")


@pytest.fixture
def hub_in_thread() -> Iterator[Emulator]:
    with Emulator().in_thread() as hub:
        yield hub


def job_of(client: AsyncAIHub, tmp_path: Path, **options: Any) -> IngestJob:
    return client.ingest(
        tmp_path / "scans",
        app_name="key-values",
        out=tmp_path / "out",
        batch_files=10,
        in_flight_grace=0.05,
        **options,
    )


def client_of(hub: Emulator) -> AsyncAIHub:
    return AsyncAIHub(hub.api_key, api_root=hub.api_root, reconcile_for=0.2)


def test_a_killed_scheduler_is_one_error_and_the_job_is_resumed(
    cluster: Cluster, hub_in_thread: Emulator, make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_in_thread
    monkeypatch.setattr(shards, "SHARD_BATCHES", 2)
    make_files("scans", 35)
    hub.hold_runs()
    seen: list[IngestStatus] = []

    async def kill_in_the_middle() -> None:
        while len(hub.runs()) < 2:
            await anyio.sleep(0.02)
        async with client_of(hub) as observer:
            # The server has a run before the journal has recorded it.
            while (status := await job_of(observer, tmp_path).status()).batches.get("running") != 2:
                await anyio.sleep(0.02)
            seen.append(status)
        cluster.kill_scheduler()

    async def broken() -> None:
        async with client_of(hub) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(kill_in_the_middle)
            with anyio.fail_after(PATIENCE):
                with pytest.raises(IngestError, match="run the same job again to resume it") as caught:
                    await job_of(client, tmp_path).run(engine=DaskEngine(cluster.address))
                assert "Dask" in str(caught.value)
                assert "\n" not in str(caught.value)

    async def resumed() -> IngestStatus:
        async with client_of(hub) as client:
            with anyio.fail_after(PATIENCE):
                return await job_of(client, tmp_path).run()

    asyncio.run(broken())
    # What the worker has done in its shard counts before it is merged.
    assert (seen[0].uploaded, seen[0].done, seen[0].batches) == (20, 0, {"planned": 2, "running": 2})
    hub.release_runs()
    cluster.processes[1].kill()
    status = asyncio.run(resumed())
    assert (status.complete, status.done, status.failed) == (True, 35, 0)
    held = Counter(file.name for run in hub.runs() for file in hub.batch_files(run["batch_id"]))
    assert (len(hub.runs()), len(held), set(held.values())) == (4, 35, {1})


@attrs.frozen
class Deadly:
    """An engine whose shards end the processes of their workers."""

    engine: DaskEngine

    async def map(self, _work: Work, pieces: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        def kill(_shard: Shard) -> IngestStatus:
            import os

            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        async for result in self.engine.map(kill, pieces):
            yield result


def test_a_shard_that_kills_its_workers_is_one_error(
    hub_in_thread: Emulator, make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    hub = hub_in_thread
    make_files("scans", 5)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))

    async def main() -> IngestStatus:
        options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        async with client_of(hub) as client:
            async with distributed.LocalCluster(asynchronous=True, host="127.0.0.1", **options) as local:
                with pytest.raises(IngestError, match=r"a shard ended several workers.*run the same job again"):
                    await job_of(client, tmp_path).run(engine=Deadly(DaskEngine(local.scheduler_address)))
            return await job_of(client, tmp_path).run()

    async def bounded() -> IngestStatus:
        with anyio.fail_after(PATIENCE):
            return await main()

    # By default a shard may end four workers; the second makes the same point sooner.
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        status = asyncio.run(bounded())
    assert (status.complete, status.done, len(hub.runs())) == (True, 5, 1)


@pytest.mark.parametrize(("version", "words"), [(None, "lacks aihub-async"), ("0.0.1", "has aihub-async 0.0.1")])
def test_versions_of_workers_are_compared_before_anything_is_sent(
    hub_in_thread: Emulator,
    make_files: MakeFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    words: str,
) -> None:
    hub = hub_in_thread
    make_files("scans", 5)

    async def main() -> None:
        async with (
            client_of(hub) as client,
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, asynchronous=True, dashboard_address=None
            ) as local,
        ):
            monkeypatch.setattr(engines, "_version_here", lambda: version)
            with pytest.raises(IngestError, match=f"{words}.*install the same version there"):
                await job_of(client, tmp_path).run(engine=DaskEngine(local.scheduler_address))

    asyncio.run(main())
    assert hub.requests.count("createBatch") == 0
