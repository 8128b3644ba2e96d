"""Buckets on an S3 server in a process of its own, behind a proxy that misbehaves: uploads, runs and bulk jobs."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

import aihub_async
from aihub_async import AsyncAIHub, SourceAccessError, SourceChangedError, SourceError, UploadError
from aihub_async.emulator import Emulator
from aihub_async.errors import IngestError
from aihub_async.uploads import remote_errors
from tests.buckets import ENVIRONMENT, SECRET, FaultProxy, moto_server

pytest.importorskip("moto")
pytest.importorskip("flask")
s3fs = pytest.importorskip("s3fs")

# botocore uses what is deprecated, and leaves sessions of other event loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")

_BUCKETS = iter(range(1_000_000))


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    with moto_server() as port:
        yield port


class Bucket:
    """A new bucket, read and written without the proxy."""

    def __init__(self, port: int, proxy: FaultProxy) -> None:
        self.name = f"data{next(_BUCKETS)}"
        self.url = f"s3://{self.name}"
        self.proxy = proxy
        options = {"endpoint_url": f"http://127.0.0.1:{port}"}
        self._system = s3fs.S3FileSystem(client_kwargs=options, use_listings_cache=False)
        self._system.mkdir(self.name)

    def put(self, key: str, content: str | bytes) -> None:
        """Write an object; callable from any thread."""
        self._system.pipe_file(f"{self.name}/{key}", content.encode() if isinstance(content, str) else content)

    def delete(self, key: str) -> None:
        self._system.rm_file(f"{self.name}/{key}")

    def keys(self, folder: str = "") -> set[str]:
        return {key.removeprefix(f"{self.name}/") for key in self._system.find(f"{self.name}/{folder}")}

    def rows(self, folder: str) -> list[dict[str, Any]]:
        parts = sorted(key for key in self.keys(folder) if "/part-" in key)
        lines = [line for part in parts for line in self._system.cat_file(f"{self.name}/{part}").splitlines()]
        return [json.loads(line) for line in lines]

    async def fill(self, files: dict[str, str | bytes]) -> None:
        def work() -> None:
            for key, content in files.items():
                self.put(key, content)

        await anyio.to_thread.run_sync(work)


@pytest.fixture
def bucket(moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    monkeypatch.setattr(remote_errors, "_PAUSES", (0.01, 0.05))
    with FaultProxy(moto).running() as proxy:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": proxy.url}).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            yield Bucket(moto, proxy)
        finally:
            s3fs.S3FileSystem.clear_instance_cache()


NUMBERED: dict[str, str | bytes] = {f"in/{number}.txt": f"Total: {number}\n" for number in range(8)}
TOTALS = sorted(map(str, range(8)))


def totals(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["fields"]["Total"] for row in rows)


async def test_from_a_bucket_to_a_bucket(hub: Emulator, client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill(NUMBERED)
    job = client.ingest(f"{bucket.url}/in/*.txt", app_name="key-values", out=f"{bucket.url}/out/run-7", batch_files=4)
    status = await job.run()
    assert (status.complete, status.done) == (True, 8)
    assert totals(await anyio.to_thread.run_sync(bucket.rows, "out/run-7")) == TOTALS


CONTENT = bytes(range(256)) * 40_000


@pytest.mark.parametrize("kind", ["slow down", "internal", "reset", "truncated", "short", "slow"])
async def test_reads_that_fail_once_are_repeated(hub: Emulator, client: AsyncAIHub, bucket: Bucket, kind: str) -> None:
    """10 MB are three ranges; the second fails in the middle."""
    await bucket.fill({"in/a.bin": CONTENT, "in/b.txt": "b"})
    bucket.proxy.add("GET .*a.bin", kind, skip=1)
    digests = {"a.bin": hashlib.sha256(CONTENT).hexdigest(), "b.txt": hashlib.sha256(b"b").hexdigest()}
    batch = (await client.batches.create("faults")).id
    report = await client.batches.upload(batch, f"{bucket.url}/in", multipart_threshold=len(CONTENT))
    assert [(record.name, record.size) for record in report.files] == [("a.bin", len(CONTENT)), ("b.txt", 1)]
    assert {file.name: file.sha256 for file in hub.batch_files(batch)} == digests
    assert bucket.proxy.faults[0].seen >= 3


async def test_a_server_that_stays_overloaded_is_an_error_of_its_own(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill({"in/a.txt": "a"})
    bucket.proxy.add("GET .*a.txt", "slow down", times=1000)
    batch = (await client.batches.create("overload")).id
    report = await client.batches.upload(batch, f"{bucket.url}/in/a.txt", on_error="collect")
    assert type(report.failed[0].error).__name__ == "SourceUnavailableError"
    assert "reduce your request rate" in str(report.failed[0].error)


async def test_an_object_that_is_replaced_before_or_while_it_is_read_is_not_stored(
    hub: Emulator, client: AsyncAIHub, bucket: Bucket
) -> None:
    await bucket.fill({"in/a.bin": CONTENT, "in/b.txt": "old", "in/c.txt": "larger"})
    new = b"x" * len(CONTENT)
    bucket.proxy.add("GET .*a.bin", "", skip=1, action=lambda: bucket.put("in/a.bin", new))
    bucket.proxy.add("GET .*b.txt", "", action=lambda: bucket.put("in/b.txt", "new"))
    bucket.proxy.add("GET .*c.txt", "", action=lambda: bucket.put("in/c.txt", ""))
    batch = (await client.batches.create("replaced")).id
    report = await client.batches.upload(
        batch, f"{bucket.url}/in", on_error="collect", multipart_threshold=len(CONTENT)
    )
    assert [type(record.error) for record in report.failed] == [SourceChangedError] * 3
    assert f"{bucket.url}/in/b.txt was replaced after it was found" in str(report.failed[1].error)
    assert hub.batch_files(batch) == []


async def test_an_object_that_is_deleted_after_it_was_listed_is_named(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill({"in/a.txt": "a", "in/b.txt": "b"})
    bucket.proxy.add("GET .*in/b.txt", "", action=lambda: bucket.delete("in/b.txt"))
    batch = (await client.batches.create("deleted")).id
    report = await client.batches.upload(batch, f"{bucket.url}/in", on_error="collect")
    assert [record.name for record in report.files if record.error is None] == ["a.txt"]
    assert type(report.failed[0].error) is SourceError
    assert "in/b.txt: it does not exist, or was deleted since it was found" in str(report.failed[0].error)


async def test_pages_of_lists_are_read_as_they_are_used(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill({f"in/{number}.txt": "x" for number in range(6)} | {"in/z/1.txt": "x", "in/z/2.pdf": "x"})
    bucket.proxy.page = 2
    bucket.proxy.add("GET .*continuation", "slow down")
    batch = (await client.batches.create("pages")).id
    report = await client.batches.upload(batch, f"{bucket.url}/in/**/*.txt", naming="relative")
    assert [record.name for record in report.files] == [*(f"{number}.txt" for number in range(6)), "z__1.txt"]


@pytest.mark.parametrize("kind", ["slow down", "internal", "denied", "reset"])
async def test_a_page_that_cannot_be_read_is_an_error_and_never_the_end_of_the_list(
    client: AsyncAIHub, bucket: Bucket, tmp_path: Path, kind: str
) -> None:
    await bucket.fill({f"in/{number}.txt": f"Total: {number}\n" for number in range(6)})
    bucket.proxy.page = 2
    fault = bucket.proxy.add("GET .*continuation", kind, times=1000, skip=1)
    batch = (await client.batches.create("pages")).id
    with pytest.raises(UploadError, match=f"cannot list {bucket.url}/in"):
        await client.batches.upload(batch, f"{bucket.url}/in")
    job = client.ingest(f"{bucket.url}/in", app_name="key-values", out=tmp_path / "out")
    with pytest.raises(IngestError, match=f"cannot list {bucket.url}/in.*run the same job again"):
        await job.plan()
    bucket.proxy.faults.remove(fault)
    assert (await job.run()).done == 6


async def test_expired_credentials_are_named_without_a_secret(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill({"in/a.txt": "a"})
    bucket.proxy.add(".", "expired", times=1000)
    batch = (await client.batches.create("expired")).id
    for source in (f"{bucket.url}/in", f"{bucket.url}/in/*.txt", ("a.txt", f"{bucket.url}/in/a.txt")):
        with pytest.raises(UploadError) as caught:
            await client.batches.upload(batch, [source])
        error = caught.value.report.failed[0].error
        assert isinstance(error, SourceAccessError)
        assert "credentials are missing, expired or refused (" in str(error)
        assert SECRET not in f"{error!r} {error.__cause__!r} {caught.value}"


async def test_a_job_stops_when_its_credentials_expire_and_continues_with_new_ones(
    client: AsyncAIHub, bucket: Bucket, hub: Emulator
) -> None:
    await bucket.fill(NUMBERED)
    fault = bucket.proxy.add("GET .*in/[5-7].txt", "expired", times=1000)
    options: dict[str, Any] = {"app_name": "key-values", "out": f"{bucket.url}/out", "batch_files": 3}
    with pytest.raises(IngestError, match=r"ExpiredToken.*when the credentials are renewed, run the same job again"):
        await client.ingest(f"{bucket.url}/in", **options).run()
    bucket.proxy.faults.remove(fault)
    status = await client.ingest(f"{bucket.url}/in", **options).run()
    assert (status.complete, status.done, status.failed) == (True, 8, 0)
    assert totals(await anyio.to_thread.run_sync(bucket.rows, "out")) == TOTALS
    assert sum(len(hub.batch_files(run["batch_id"])) for run in hub.runs()) == 8


async def test_a_job_sends_what_was_replaced_meanwhile_when_it_runs_again(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill(NUMBERED)
    bucket.proxy.add("GET .*in/3.txt", "", action=lambda: bucket.put("in/3.txt", "Total: 33\n"))
    options: dict[str, Any] = {"app_name": "key-values", "out": f"{bucket.url}/out"}
    status = await client.ingest(f"{bucket.url}/in", **options).run()
    assert (status.done, status.failed) == (7, 1)
    rows = await anyio.to_thread.run_sync(bucket.rows, "out")
    assert totals(rows) == sorted({*TOTALS} - {"3"})
    status = await client.ingest(f"{bucket.url}/in", **options).run()
    assert (status.complete, status.done, status.failed) == (True, 8, 0)
    assert totals(await anyio.to_thread.run_sync(bucket.rows, "out")) == sorted({*TOTALS, "33"} - {"3"})


@pytest.mark.parametrize("kind", ["reset while sending", "slow down"])
async def test_a_part_that_cannot_be_written_is_not_there_and_is_written_later(
    client: AsyncAIHub, bucket: Bucket, kind: str
) -> None:
    await bucket.fill(NUMBERED)
    fault = bucket.proxy.add("PUT .*part-000002", kind, times=1000)
    options: dict[str, Any] = {"app_name": "key-values", "out": f"{bucket.url}/out", "batch_files": 4}
    with pytest.raises(IngestError, match=f"cannot write to {bucket.url}/out.*the results are in .*run the same job"):
        await client.ingest(f"{bucket.url}/in", **options).run()
    assert not any("part-000002" in key for key in await anyio.to_thread.run_sync(bucket.keys, "out"))
    bucket.proxy.faults.remove(fault)
    status = await client.ingest(f"{bucket.url}/in", **options).run()
    assert (status.complete, status.done) == (True, 8)
    assert totals(await anyio.to_thread.run_sync(bucket.rows, "out")) == TOTALS


async def test_writing_with_expired_credentials_fails_without_a_wait(client: AsyncAIHub, bucket: Bucket) -> None:
    await bucket.fill(NUMBERED)
    fault = bucket.proxy.add("PUT ", "expired", times=1000)
    with pytest.raises(IngestError, match="ExpiredToken"):
        await client.ingest(f"{bucket.url}/in", app_name="key-values", out=f"{bucket.url}/out").run()
    assert fault.seen <= 2


_JOB = """
import asyncio, sys
from aihub_async import AsyncAIHub

async def main(root, source, out):
    async with AsyncAIHub("emulator-key", api_root=root, reconcile_for=0.1) as client:
        job = client.ingest(source, app_name="key-values", out=out, batch_files=3, in_flight_grace=0.1, max_runs=2)
        status = await job.run()
        print(status.done, status.failed)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
async def test_a_job_that_is_killed_loses_and_repeats_nothing(hub: Emulator, bucket: Bucket) -> None:
    """Killed at a read, at the copy of a part and at the end: the moments at which it talks to the bucket."""
    await bucket.fill({f"in/{number}.txt": f"Total: {number}\n" for number in range(12)})
    arguments = ["-c", _JOB, hub.api_root, f"{bucket.url}/in", f"{bucket.url}/out"]
    root = str(Path(aihub_async.__file__).parents[1])

    async def run(kill_at: str | None) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}
        )
        if kill_at is not None:
            bucket.proxy.faults = []
            bucket.proxy.add(kill_at, "", action=lambda: os.kill(process.pid, signal.SIGKILL))
        printed, _ = await process.communicate()
        return printed

    for moment in ("GET .*in/5.txt", "PUT .*part-", "PUT .*part-", "PUT .*journal.db"):
        assert await run(moment) == b""
    assert await run(None) == b"12 0\n"
    rows = await anyio.to_thread.run_sync(bucket.rows, "out")
    assert totals(rows) == sorted(map(str, range(12)))
    assert len(hub.runs()) == 4
