"""A lost journal is made again from the server, and nothing is run twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import IngestError
from aihub_async.ingest import IngestJob, IngestStatus

MakeFiles = Callable[..., Path]


def job_of(client: AsyncAIHub, folder: Path, **options: Any) -> IngestJob:
    defaults: dict[str, Any] = {"app_name": "key-values", "batch_files": 10, "in_flight_grace": 0.1}
    return client.ingest(folder / "scans", out=folder / "out", **(defaults | options))


def lose_journal(folder: Path, *, marker: bool = False) -> None:
    for path in (folder / "out" / ".aihub").glob("job.db*"):
        path.unlink()
    if marker:
        shutil.rmtree(folder / "out")


def rows_in(folder: Path) -> list[dict[str, Any]]:
    parts = sorted((folder / "out").glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


async def test_a_finished_job_is_made_again(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 35)
    await job_of(client, tmp_path).run()
    rows = rows_in(tmp_path)
    lose_journal(tmp_path)
    status = await job_of(client, tmp_path).rebuild()
    assert (status.files, status.uploaded, status.batches) == (35, 35, {"running": 4})
    status = await job_of(client, tmp_path).run()
    assert (status.complete, status.done, len(hub.runs())) == (True, 35, 4)
    assert rows_in(tmp_path) == rows
    assert hub.requests.count("addFileToBatch") == 35


async def test_a_job_lost_half_way_sends_only_the_rest(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 60)
    job: IngestJob

    def stop(status: IngestStatus) -> None:
        if status.uploaded >= 20:
            job.stop()

    hub.hold_runs()
    job = job_of(client, tmp_path, on_progress=stop)
    first = await job.run()
    hub.release_runs()
    lose_journal(tmp_path, marker=True)
    sent = hub.requests.count("addFileToBatch")
    (scans / "a-new-file.txt").write_text("Total: 5\n")
    assert (await job_of(client, tmp_path).rebuild()).uploaded == first.uploaded
    status = await job_of(client, tmp_path).run()
    assert (status.complete, status.done) == (True, 61)
    assert hub.requests.count("addFileToBatch") == 61
    assert sent >= 20
    tags = [tag for run in hub.runs() for tag in run["tags"] if tag.startswith("aihub-ingest")]
    assert len(tags) == len(set(tags))
    assert sorted(Path(row["source"]).name for row in rows_in(tmp_path)) == sorted(p.name for p in scans.iterdir())


async def test_names_that_were_told_apart_come_back(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 2)
    for name in ("a/x.txt", "A__x.txt", "a__x.txt"):
        (scans / name).parent.mkdir(exist_ok=True)
        (scans / name).write_text(f"Total: {len(name)}\n")
    await job_of(client, tmp_path).run()
    rows = rows_in(tmp_path)
    lose_journal(tmp_path)
    await job_of(client, tmp_path).rebuild()
    assert (await job_of(client, tmp_path).run()).done == 5
    found = rows_in(tmp_path)
    assert sorted(row["file"] for row in found) == sorted(row["file"] for row in rows)
    assert len(hub.runs()) == 1


async def test_what_is_unclear_is_refused(client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path) -> None:
    make_files("scans", 2)
    with pytest.raises(IngestError, match="no batches of any job"):
        await job_of(client, tmp_path).rebuild()
    await job_of(client, tmp_path).run()
    with pytest.raises(IngestError, match="exists"):
        await job_of(client, tmp_path).rebuild()
    await client.ingest(tmp_path / "scans", app_name="key-values", out=tmp_path / "two").run()
    lose_journal(tmp_path, marker=True)
    with pytest.raises(IngestError, match=r"batches of 2 jobs.*pass the job's id"):
        await job_of(client, tmp_path).rebuild()
