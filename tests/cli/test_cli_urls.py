"""Commands whose sources are URLs, as those of a bucket; `memory://` needs no server."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub

fsspec = pytest.importorskip("fsspec")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    for number in range(3):
        system.pipe_file(f"/in/{number}/{number}.txt", f"Total: {number}\n".encode())
    system.pipe_file("/in/drafts/9.txt", b"Total: 9\n")
    system.pipe_file("/in/[1].txt", b"Total: 1\n")
    yield system
    system.store.clear()


@pytest.mark.usefixtures("memory")
def test_process_takes_a_pattern(call: Call) -> None:
    code, printed, _ = call("process", "memory://in/?/*.txt", "--app", "key-values", "--json")
    assert code == 0
    assert sorted(value["value"] for value in json.loads(printed)["fields"]) == ["0", "1", "2"]


@pytest.mark.usefixtures("memory")
def test_upload_leaves_out_an_excluded_folder_and_what_the_batch_has(call: Call) -> None:
    code, printed, _ = call("upload", "memory://in", "--exclude", "drafts", "--relative", "--json")
    found = json.loads(printed)
    assert (code, found["files"]) == (0, 4)
    more = ("--batch-id", str(found["batch_id"]), "--skip-existing", "--json")
    code, printed, _ = call("upload", "memory://in/**/*.txt", "--relative", *more)
    assert (code, json.loads(printed)["files"]) == (0, 1)


@pytest.mark.usefixtures("memory")
def test_a_url_without_files_is_named(call: Call) -> None:
    for source, reason in (
        ("memory://in/*.pdf", "has no files, or none that match"),
        ("memory://nosuch/a.pdf", "it does not exist"),
        ("nosuch://in", "Protocol not known: nosuch"),
    ):
        code, _, problem = call("process", source, "--app", "key-values")
        assert code == 2
        assert reason in " ".join(problem.split())


@pytest.mark.usefixtures("memory")
def test_the_sync_client_takes_the_same(emulator: Emulator) -> None:
    with AIHub(emulator.api_key, api_root=emulator.api_root) as client:
        processed = client.process("memory://in/**/[0-9].txt", app_name="key-values")
        assert sorted(row.value for row in processed.rows()) == ["0", "1", "2", "9"]
        # A name that looks like a pattern is that file, if there is one.
        batch = client.batches.create("one")
        report = client.batches.upload(batch.id, "memory://in/[1].txt")
        assert [(record.name, record.source) for record in report.files] == [("[1].txt", "memory://in/[1].txt")]
