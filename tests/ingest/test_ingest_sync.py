import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub

MakeFiles = Callable[..., Path]


@pytest.fixture
def hub() -> Iterator[Emulator]:
    with Emulator().in_thread() as hub:
        yield hub


def test_a_job_without_asyncio(hub: Emulator, make_files: MakeFiles, tmp_path: Path) -> None:
    scans = make_files("scans", 12)
    with AIHub(hub.api_key, api_root=hub.api_root) as client:
        job = client.ingest(scans, app_name="Invoices", out=tmp_path / "out", batch_files=5)
        assert job.plan().left == 12
        status = job.run()
        assert (status.complete, status.done) == (True, 12)
        assert job.status().complete
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 3


def test_another_thread_stops_it(hub: Emulator, make_files: MakeFiles, tmp_path: Path) -> None:
    scans = make_files("scans", 5)
    hub.hold_runs()
    with AIHub(hub.api_key, api_root=hub.api_root) as client:
        job = client.ingest(scans, app_name="Invoices", out=tmp_path / "out")
        timer = threading.Timer(0.5, job.stop)
        timer.start()
        assert not job.run().complete
        timer.join(20)
        hub.release_runs()
        assert client.ingest(scans, app_name="Invoices", out=tmp_path / "out").run().complete
    assert len(hub.runs()) == 1
