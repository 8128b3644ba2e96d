"""Azure Blob Storage, as Azurite (npm install -g azurite) has it: skipped without it or without adlfs."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from aihub_async import AsyncAIHub, SourceChangedError
from aihub_async.emulator import Emulator
from tests.buckets import free_port, wait_for

pytest.importorskip("adlfs")
_AZURITE = os.environ.get("AIHUB_TEST_AZURITE") or shutil.which("azurite-blob")

# adlfs leaves sessions of its own event loop to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(_AZURITE is None, reason="needs azurite-blob in PATH, or its path in AIHUB_TEST_AZURITE"),
]
# The key that Azurite documents for everybody.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import adlfs

    port = free_port()
    text = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
        f"AccountKey={_KEY};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    assert _AZURITE is not None
    options = ["--skipApiVersionCheck", "--silent", "--inMemoryPersistence", "--blobPort", str(port)]
    with subprocess.Popen([_AZURITE, *options], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            adlfs.AzureBlobFileSystem.clear_instance_cache()
            system = adlfs.AzureBlobFileSystem(connection_string=text, use_listings_cache=False)
            system.mkdir("data")
            yield system
        finally:
            adlfs.AzureBlobFileSystem.clear_instance_cache()
            process.kill()


async def test_from_a_container_to_a_container(hub: Emulator, client: AsyncAIHub, azure: Any) -> None:
    def fill() -> None:
        for number in range(6):
            azure.pipe_file(f"data/in/{number % 2}/{number}.txt", f"Total: {number}\n".encode())

    await anyio.to_thread.run_sync(fill)
    job = client.ingest("az://data/in/**/*.txt", app_name="key-values", out="abfs://data/out", batch_files=4)
    status = await job.run()
    assert (status.complete, status.done) == (True, 6)

    def rows() -> list[dict[str, Any]]:
        parts = [name for name in azure.find("data/out") if "/part-" in name]
        return [json.loads(line) for part in parts for line in azure.cat_file(part).splitlines()]

    found = await anyio.to_thread.run_sync(rows)
    assert sorted(row["fields"]["Total"] for row in found) == list("012345")


async def test_a_blob_that_is_replaced_is_an_error(hub: Emulator, client: AsyncAIHub, azure: Any) -> None:
    from aihub_async.uploads.remote_walk import RemoteWalk
    from aihub_async.uploads.walking import PathFilter

    def replace() -> tuple[Any, Any]:
        azure.pipe_file("data/in/a.txt", b"old")
        (before,) = RemoteWalk("az://data/in", PathFilter())
        assert before.read(0, 3) == b"old"
        azure.pipe_file("data/in/a.txt", b"new")
        return before, next(iter(RemoteWalk("az://data/in", PathFilter())))

    before, after = await anyio.to_thread.run_sync(replace)
    with pytest.raises(SourceChangedError, match="was replaced after it was found"):
        await anyio.to_thread.run_sync(before.read, 0, 3)
    batch = (await client.batches.create("azure")).id
    report = await client.batches.upload(batch, "az://data/in/a.txt")
    assert [record.size for record in report.files] == [after.size]
