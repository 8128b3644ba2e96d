import threading
from pathlib import Path

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub, RunHandle, errors

TEXT = b"Invoice: 7\nTotal: 12.50 EUR\n"


def test_process(client: AIHub) -> None:
    seen: list[str | None] = []
    threads: set[str] = set()

    def on_update(run: object) -> None:
        seen.append(run.status)  # type: ignore[attr-defined]
        threads.add(threading.current_thread().name)

    result = client.process([("a.txt", TEXT), ("b.txt", TEXT)], app_name="key-values", on_update=on_update)
    assert result.run.status == seen[-1] == "COMPLETE"
    assert {row.file for row in result.rows() if row.field == "Total"} == {"a.txt", "b.txt"}
    # As documented: callbacks are called on the thread that all clients share.
    assert threads == {"aihub_sync"}


def test_a_handle(client: AIHub) -> None:
    batch = client.batches.create("x")
    client.batches.upload(batch.id, [("a.txt", TEXT)])
    handle = client.apps.runs.submit(app_name="key-values", batch_id=batch.id)
    assert isinstance(handle, RunHandle)
    assert handle.wait(timeout=30).id == handle.id
    again = client.apps.runs.handle(handle.to_json())
    assert [file.original_file_name for file in again.iter_results()] == ["a.txt"]
    assert repr(again) == f"RunHandle({handle.id!r})"
    deletion = again.delete()
    assert client.jobs.wait(deletion, timeout=30).state == "COMPLETE"
    with pytest.raises(errors.NotFoundError):
        client.batches.get(batch.id)


def test_a_wait_that_takes_too_long(client: AIHub, hub: Emulator) -> None:
    hub.hold_runs()
    batch = client.batches.create("x")
    client.batches.upload(batch.id, [("a.txt", TEXT)])
    handle = client.apps.runs.submit(app_name="key-values", batch_id=batch.id)
    with pytest.raises(errors.WaitTimeoutError) as caught:
        handle.wait(timeout=0.1)
    assert caught.value.id == handle.id
    hub.release_runs()
    assert handle.wait(timeout=30).status == "COMPLETE"


def test_a_download(client: AIHub, tmp_path: Path) -> None:
    client.files.write("acme/finance/fs/Instabase Drive/a.txt", TEXT)
    target = client.files.download("acme/finance/fs/Instabase Drive/a.txt", tmp_path / "a.txt")
    assert target.read_bytes() == TEXT


def test_a_bulk_job(client: AIHub, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(3):
        (scans / f"{number}.txt").write_bytes(TEXT)
    job = client.ingest(scans, app_name="key-values", out=tmp_path / "out", in_flight_grace=0)
    assert job.plan() is not None
    assert job.run().complete
    assert job.status().complete
    job.stop()
    assert any((tmp_path / "out").iterdir())
