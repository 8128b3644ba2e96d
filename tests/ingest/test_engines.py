"""A job on other processes: shards, their journals, and what a lost worker leaves behind."""

import asyncio
import os
import signal
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import ConfigurationError, IngestError
from aihub_async.ingest import IngestJob, IngestStatus, engines, shards
from aihub_async.ingest.engines import DaskEngine, Work, dask_engine
from aihub_async.ingest.folder import shards_of
from aihub_async.ingest.shards import Shard

MakeFiles = Callable[..., Path]


@pytest_asyncio.fixture
async def client(hub: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncAIHub]:
    monkeypatch.setenv("AIHUB_API_KEY", hub.api_key)
    monkeypatch.setattr(shards, "SHARD_BATCHES", 2)
    async with AsyncAIHub(api_root=hub.api_root) as client:
        yield client


def job_of(client: AsyncAIHub, tmp_path: Path, **options: Any) -> IngestJob:
    defaults = {"app_name": "key-values", "out": tmp_path / "out", "batch_files": 10, "in_flight_grace": 0.05}
    return client.ingest(tmp_path / "scans", **(defaults | options))  # type: ignore[arg-type]


def sources(out: Path) -> Counter[str]:
    import json

    lines = [line for part in out.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    return Counter(json.loads(line)["source"] for line in lines)


@attrs.frozen
class ThreadEngine:
    """Calls the work in threads; `lose` shards are lost the first time they are worked on."""

    lose: frozenset[int] = frozenset()

    async def map(self, work: Work, pieces: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
        with ThreadPoolExecutor(2) as pool:
            for shard in pieces:
                if shard.number in self.lose:
                    raise ConnectionError("worker lost")
                yield shard, await asyncio.wrap_future(pool.submit(work, shard))


async def test_shards_together_do_the_whole_job(
    client: AsyncAIHub, hub: Emulator, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 55)
    seen: list[IngestStatus] = []
    status = await job_of(client, tmp_path, on_progress=seen.append).run(engine=ThreadEngine())
    assert (status.complete, status.done, len(hub.runs())) == (True, 55, 6)
    assert sources(tmp_path / "out") == Counter(map(str, scans.iterdir()))
    assert [status.done for status in seen] == [20, 40, 55, 55]
    assert not shards_of(tmp_path / "out" / ".aihub" / "job.db").exists()


async def test_what_was_done_before_an_engine_broke_is_kept(
    client: AsyncAIHub, hub: Emulator, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 55)
    with pytest.raises(ConnectionError):
        await job_of(client, tmp_path).run(engine=ThreadEngine(frozenset({2})))
    assert len(hub.runs()) == 2
    assert (await job_of(client, tmp_path).run()).complete
    assert (len(hub.runs()), hub.requests.count("addFileToBatch")) == (6, 55)
    assert sources(tmp_path / "out") == Counter(map(str, scans.iterdir()))


async def test_a_shard_that_broke_off_is_resumed_by_the_next_run(
    client: AsyncAIHub, hub: Emulator, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 25)

    def half(shard: Shard) -> IngestStatus:
        (shard.journal.parent / "stop").touch()
        return shards.run_shard(shard)

    class Halfway:
        async def map(self, work: Work, pieces: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
            for shard in pieces:
                yield shard, await asyncio.to_thread(half, shard)

    hub.hold_runs()
    stopped = await job_of(client, tmp_path).run(engine=Halfway())
    assert not stopped.complete
    hub.release_runs()
    assert (await job_of(client, tmp_path).run()).complete
    assert len(hub.runs()) == 3


async def test_a_shard_holds_no_key(client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path) -> None:
    import pickle

    make_files("scans", 15)
    pickled: list[bytes] = []

    class Look:
        async def map(self, work: Work, pieces: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
            pickled.extend(pickle.dumps(shard) for shard in pieces)
            raise IngestError("seen enough")
            yield

    with pytest.raises(IngestError, match="seen enough"):
        await job_of(client, tmp_path).run(engine=Look())
    assert len(pickled) == 1
    assert b"emulator-key" not in pickled[0]


async def test_dask_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"aihub-async\[dask\]"):
        dask_engine("tcp://127.0.0.1:1")


async def test_workers_of_a_killed_client_are_asked_to_stop_and_waited_for(
    client: AsyncAIHub, hub: Emulator, make_files: MakeFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that is killed leaves workers behind; the next run must not be refused because of them."""
    make_files("scans", 25)
    hub.hold_runs()
    orphans: list[asyncio.Task[IngestStatus]] = []

    class Killed:
        async def map(self, work: Work, pieces: Sequence[Shard]) -> AsyncIterator[tuple[Shard, IngestStatus]]:
            orphans.append(asyncio.ensure_future(asyncio.to_thread(work, pieces[0])))
            while len(hub.runs()) < 2:
                await anyio.sleep(0.01)
            raise ConnectionError("killed")
            yield

    with pytest.raises(ConnectionError):
        await job_of(client, tmp_path).run(engine=Killed())
    assert (await job_of(client, tmp_path).status()).uploaded == 20
    timer = asyncio.get_running_loop().call_later(0.7, hub.release_runs)
    status = await job_of(client, tmp_path).run()
    timer.cancel()
    assert (status.complete, status.done, len(hub.runs())) == (True, 25, 3)
    assert "signaled to stop" in caplog.text
    await asyncio.gather(*orphans)


@pytest.mark.filterwarnings("default")
def test_a_job_on_a_local_cluster_that_it_starts_itself(
    make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    make_files("scans", 40)
    with Emulator().in_thread() as hub:
        monkeypatch.setenv("AIHUB_API_KEY", hub.api_key)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(__import__("sys").path))

        async def main() -> IngestStatus:
            async with AsyncAIHub(api_root=hub.api_root) as client:
                return await job_of(client, tmp_path).run(engine=DaskEngine(workers=2))

        status = asyncio.run(main())
    assert (status.complete, status.done) == (True, 40)


async def test_a_cluster_without_workers_is_one_error(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, hub: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    distributed = pytest.importorskip("distributed")
    make_files("scans", 5)
    async with distributed.Scheduler(port=0, dashboard=False, host="127.0.0.1") as scheduler:
        with pytest.raises(IngestError, match=r"no workers.*run the same job again"):
            await job_of(client, tmp_path).run(engine=DaskEngine(scheduler.address, wait_for_workers=1))
    assert "the Dask cluster has no workers; waiting up to 1 s for one" in caplog.text
    assert (await job_of(client, tmp_path).run()).complete


@pytest.mark.filterwarnings("default")
async def test_the_recipe_for_ray(client: AsyncAIHub, hub: Emulator, make_files: MakeFiles, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs ray (pip install ray)")
    source = textwrap.dedent((engines.__doc__ or "").partition("(the job's `run(engine=RayEngine())`):")[2])
    names: dict[str, Any] = {"ray": ray, "asyncio": asyncio}
    exec(source, names)
    make_files("scans", 25)
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        assert (await job_of(client, tmp_path).run(engine=names["RayEngine"]())).complete
    finally:
        ray.shutdown()


@pytest.mark.filterwarnings("default")
def test_a_dask_worker_is_killed_and_another_takes_over(
    make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Dask's own warnings about its shutdown are not ours to fix.
    distributed = pytest.importorskip("distributed")
    scans = make_files("scans", 200)
    with Emulator(run_seconds=0.2).in_thread() as hub:
        monkeypatch.setenv("AIHUB_API_KEY", hub.api_key)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(__import__("sys").path))
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        )
        with cluster:
            pids = [worker.process.process.pid for worker in cluster.workers.values()]

            async def main() -> IngestStatus:
                async with AsyncAIHub(api_root=hub.api_root) as client:
                    async with anyio.create_task_group() as group:
                        group.start_soon(kill_one, hub, pids[0])
                        status = await job_of(client, tmp_path).run(engine=dask_engine(cluster.scheduler_address))
                        group.cancel_scope.cancel()
                    return status

            status = asyncio.run(main())
        assert (status.complete, status.done, status.failed) == (True, 200, 0)
        assert len(hub.runs()) == 20
        held = Counter(file.name for run in hub.runs() for file in hub.batch_files(run["batch_id"]))
    assert held == Counter(path.name for path in scans.iterdir())
    assert sources(tmp_path / "out") == Counter(map(str, scans.iterdir()))


async def kill_one(hub: Emulator, pid: int) -> None:
    """Kill a worker of ours in the middle of its work."""
    deadline = time.monotonic() + 20
    while len(hub.runs()) < 3 and time.monotonic() < deadline:
        await anyio.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
