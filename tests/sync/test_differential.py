"""The official SDK and the sync client through the same calls against one emulator: what comes back, field by field."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aihub
import aihub.exceptions
import pytest

import aihub_sync.exceptions
from aihub_async.emulator import Emulator
from aihub_sync import AIHub

CONTENT = b"Invoice: 7\nTotal: 12.50 EUR\n"

DIFFERENCES = {
    "apps.runs.create": {"batch_id", "input_dir", "app_id", "deployment_id", "tags"},
    "apps.runs.status": {"batch_id", "input_dir", "app_id", "deployment_id", "tags"},
    "apps.runs.list": {"batch_id", "input_dir", "app_id", "deployment_id", "tags"},
}
"""Fields that the official `Run` drops though the server sends them."""

RETURNS = {
    "batches.delete_file": "the official SDK loses the job id of the Location header (None); here a DeletionJob",
    "files.delete": "the official SDK loses the job id of the Location header (None); here a DeletionJob",
}
"""Calls that return something here and nothing there."""


class Pair:
    """Both clients, given the same calls."""

    def __init__(self, hub: Emulator) -> None:
        self.ours = AIHub(api_key=hub.api_key, api_root=hub.api_root)
        self.theirs = aihub.aihub.AIHub(api_key=hub.api_key, api_root=hub.api_root)

    def call(self, path: str, *arguments: Any, **keywords: Any) -> tuple[Any, Any]:
        return tuple(find(client, path)(*arguments, **keywords) for client in (self.ours, self.theirs))  # type: ignore[return-value]

    def same(self, path: str, *arguments: Any, **keywords: Any) -> Any:
        """Make a call with both, compare all fields, and return our answer."""
        ours, theirs = self.call(path, *arguments, **keywords)
        assert differences(plain(ours), plain(theirs)) <= DIFFERENCES.get(path, set())
        return ours


def find(client: object, path: str) -> Callable[..., Any]:
    for name in path.split("."):
        client = getattr(client, name)
    return client  # type: ignore[return-value]


def plain(answer: Any) -> Any:
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


def differences(ours: Any, theirs: Any, name: str = "") -> set[str]:
    """Names of the fields that are not the same; null and absent are, an empty list and absent are not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = ours.keys() | theirs.keys()
        return {found for key in keys for found in differences(ours.get(key), theirs.get(key), key)}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return {found for one, other in zip(ours, theirs, strict=True) for found in differences(one, other, name)}
    # The official models leave out nulls of fields that are not nullable, and turn undefined objects into {}.
    return set() if ours == theirs or (ours in (None, {}) and theirs in (None, {})) else {name}


@pytest.fixture
def pair(hub: Emulator):
    pair = Pair(hub)
    yield pair
    pair.ours.close()
    pair.theirs.client.rest_client.pool_manager.clear()


def test_batches(pair: Pair) -> None:
    ours, theirs = pair.call("batches.create", name="same", workspace=None)
    assert type(ours.id) is type(theirs.id) is int
    for client in (pair.ours, pair.theirs):
        client.batches.add_file(batch_id=ours.id, file_name="a.txt", file=CONTENT)
        client.batches.add_file(ours.id, "b c.txt", io.BytesIO(CONTENT).read())
    listed = pair.same("batches.list", limit=10, offset=0)
    assert [batch.name for batch in listed.batches] == ["same", "same"]
    assert pair.same("batches.get", ours.id).name == "same"
    first = pair.same("batches.list_files", ours.id, page_size=1)
    assert first.has_more is True
    assert [node.name for node in first.nodes] == ["a.txt"]
    pair.same("batches.list_files", ours.id, 1, first.next_page_token)


def test_an_open_file_goes_up_the_same(pair: Pair, hub: Emulator, tmp_path: Path) -> None:
    batch = pair.ours.batches.create("open files")
    path = tmp_path / "a.txt"
    path.write_bytes(CONTENT)
    for name, client in (("ours.txt", pair.ours), ("theirs.txt", pair.theirs)):
        with path.open("rb") as file:
            client.batches.add_file(batch.id, name, file.read() if client is pair.theirs else file)
    ours, theirs = hub.batch_files(batch.id)
    assert (ours.size, ours.sha256) == (theirs.size, theirs.sha256)


def test_a_large_file_in_steps_and_at_once(pair: Pair, hub: Emulator, tmp_path: Path) -> None:
    content = os.urandom(150_000)
    large = tmp_path / "large.bin"
    large.write_bytes(content)
    batch = pair.ours.batches.create("large")
    for name, client in (("ours", pair.ours), ("theirs", pair.theirs)):
        session = client.batches.create_multipart_upload_session(batch.id, f"{name}.bin", len(content))
        assert session.part_size == 64 * 1024
        parts = [
            client.batches.upload_multipart_part(session.session_id, number + 1, content[start : start + 65_536])
            for number, start in enumerate(range(0, len(content), 65_536))
        ]
        assert [part.part_num for part in parts] == [1, 2, 3]
        # Plain dicts for both: the official SDK refuses its own answers here.
        listed = [{"part_num": part.part_num, "part_id": part.part_id} for part in parts]
        client.batches.commit_multipart_upload_session(session.session_id, "commit", listed)
        client.batches.add_large_file(batch.id, f"{name} at once.bin", str(large) if client is pair.theirs else large)
    assert len({file.sha256 for file in hub.batch_files(batch.id)}) == 1
    assert len(hub.batch_files(batch.id)) == 4


def test_runs(pair: Pair) -> None:
    batch = pair.ours.batches.create("runs")
    pair.ours.batches.add_file(batch.id, "a.txt", CONTENT)
    settings = {"keys": {"custom": {"region": "north"}}}
    runs = pair.call("apps.runs.create", app_name="key-values", batch_id=batch.id, settings=settings)
    for run in runs:
        assert run.status in {"RUNNING", "COMPLETE"}
        pair.ours.apps.runs.handle(run.id).wait(timeout=30)
        status = pair.same("apps.runs.status", run.id)
        assert (status.status, status.finish_timestamp > status.start_timestamp) == ("COMPLETE", True)
        results = pair.same("apps.runs.results", run.id, None, True, True, True, True)
        assert results.files[0].documents[0].fields[0].value
        assert pair.same("apps.runs.results", run_id=run.id, file_offset=0).has_more is False
    assert len(pair.same("apps.runs.list", app_name="key-values", sort_by="start_timestamp").runs) == 2
    deployed = pair.call("apps.deployments.runs.create", "key-values", batch_id=batch.id)
    assert [type(run).__name__ for run in deployed] == ["Run", "Run"]


def test_deletions_and_their_jobs(pair: Pair) -> None:
    batches = [pair.ours.batches.create("x") for _ in range(2)]
    for batch in batches:
        pair.ours.batches.add_file(batch.id, "a.txt", CONTENT)
    ours, theirs = pair.call("batches.delete_file", batches[0].id, "a.txt")
    assert ours.job_id
    assert theirs is None
    assert "batches.delete_file" in RETURNS
    jobs = [pair.ours.batches.delete(batches[0].id), pair.theirs.batches.delete(batches[1].id)]
    for job in jobs:
        pair.ours.jobs.wait(job.job_id, timeout=30)
        assert pair.same("jobs.status", job.job_id).state == "COMPLETE"
        assert pair.same("batches.poll_job", job.job_id).state == "COMPLETE"


def test_files(pair: Pair, hub: Emulator) -> None:
    folder = "acme/finance/fs/Instabase Drive"
    for name, client in (("ours", pair.ours), ("theirs", pair.theirs)):
        client.files.write(f"{folder}/{name}.txt", CONTENT)
    for name in ("ours", "theirs"):
        path = f"{folder}/{name}.txt"
        contents = pair.call("files.read", path)
        assert [bytes(content).decode() for content in contents] == [CONTENT.decode()] * 2
        assert [bytes(content) for content in pair.call("files.read", path, range="bytes=0-6")] == [b"Invoice"] * 2
        ours, theirs = pair.call("files.get_file_metadata", path)
        assert ours.status_code == theirs.status_code == 200
        for header in ("Content-Length", "Content-Type", "Last-Modified"):
            assert ours.headers[header] == theirs.headers[header]
    ours, theirs = pair.ours.files.delete(f"{folder}/ours.txt"), pair.theirs.files.delete(f"{folder}/theirs.txt")
    assert ours.job_id
    assert theirs is None
    assert "files.delete" in RETURNS


def test_secrets(pair: Pair) -> None:
    for name, client in (("ours", pair.ours), ("theirs", pair.theirs)):
        assert client.secrets.create(name, "value", "ALL", description="d") is None
        assert client.secrets.update(name, description="changed") is None
    assert {secret.alias for secret in pair.same("secrets.list").secrets} == {"ours", "theirs"}
    for name, client in (("ours", pair.ours), ("theirs", pair.theirs)):
        assert client.secrets.delete(name) is None


@pytest.mark.parametrize(
    ("path", "arguments", "name"),
    [
        ("batches.get", (404,), "NotFoundException"),
        ("apps.runs.status", ("no-such-run",), "NotFoundException"),
        ("files.read", ("acme/finance/fs/Instabase Drive/none",), "NotFoundException"),
        ("secrets.delete", ("no-such-secret",), "NotFoundException"),
    ],
)
def test_exceptions(pair: Pair, path: str, arguments: tuple[Any, ...], name: str) -> None:
    with pytest.raises(getattr(aihub_sync.exceptions, name)) as ours:
        find(pair.ours, path)(*arguments)
    with pytest.raises(getattr(aihub.exceptions, name)) as theirs:
        find(pair.theirs, path)(*arguments)
    for field in ("status", "reason", "data"):
        assert getattr(ours.value, field) == getattr(theirs.value, field)
    assert ours.value.body == (theirs.value.body or "")


# Bugs of the official SDK that are not repeated: each is shown by what the two do.


def test_ids_as_text(pair: Pair) -> None:
    batch = pair.ours.batches.create("x")
    assert pair.ours.batches.get(str(batch.id)).id == batch.id
    with pytest.raises(ValueError, match="validation error"):
        pair.theirs.batches.get(str(batch.id))


def test_text_is_no_file_name(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("local.txt").write_bytes(CONTENT)
    batch = pair.ours.batches.create("x")
    with pytest.raises(aihub_sync.errors.InvalidRequestError, match="could be content or a path"):
        pair.ours.batches.add_file(batch.id, "a.txt", "local.txt")  # type: ignore[arg-type]
    pair.theirs.batches.add_file(batch.id, "a.txt", "local.txt")


def test_two_clients_share_no_settings(hub: Emulator) -> None:
    hub.add_token("other")
    first, second = AIHub(hub.api_key, api_root=hub.api_root), AIHub("wrong", api_root=hub.api_root)
    assert first.batches.list().batches == []
    with pytest.raises(aihub_sync.errors.AuthenticationError):
        second.batches.list()
    assert first.batches.list().batches == []
    first.close()
    second.close()


def test_conflicting_arguments_are_refused_before_anything_is_sent(pair: Pair, hub: Emulator) -> None:
    hub.requests.clear()
    with pytest.raises(aihub_sync.errors.InvalidRequestError):
        pair.ours.apps.runs.create(app_name="a", app_id="b", batch_id=1)
    assert hub.requests.total == 0
