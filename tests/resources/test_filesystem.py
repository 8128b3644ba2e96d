import io
import json
import zipfile
from pathlib import Path

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    ConflictError,
    InvalidRequestError,
    JobFailedError,
    LegacyAPIError,
    NotFoundError,
    OutcomeUnknownError,
)
from aihub_async.resources import files as files_module

FOLDER = "acme/ws/fs/Instabase Drive/data"


async def write(client: AsyncAIHub, **files: bytes) -> None:
    for name, content in files.items():
        await client.files.write(f"{FOLDER}/{name.replace('__', '/').replace('_', '.')}", content)


async def test_a_folder_is_listed_page_by_page() -> None:
    async with Emulator(list_page_size=2) as hub, AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root) as client:
        await write(client, a_txt=b"1", b_txt=b"22", sub__c_txt=b"3", sub__d_txt=b"4", z_txt=b"5")
        nodes = [node async for node in client.files.iter_folder(f"/{FOLDER}/")]
        assert [node.name for node in nodes] == ["a.txt", "b.txt", "sub", "z.txt"]
        assert [node.metadata and node.metadata.node_type for node in nodes] == ["file", "file", "folder", "file"]
        assert nodes[0].full_path == f"/{FOLDER}/a.txt"
        assert hub.requests.count("readFile") == 2
        page = await client.files.list_folder(FOLDER)
        assert (len(page.nodes), page.has_more) == (2, True)
        following = await client.files.list_folder(FOLDER, page.next_page_token)
        assert [node.name for node in following.nodes] == ["sub", "z.txt"]
        with pytest.raises(NotFoundError):
            await client.files.list_folder("acme/none")


async def test_the_token_has_a_hyphen(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"nodes": [], "has_more": False, "next_page_token": ""})
    await offline.files.list_folder("a/b")
    assert recorder.query == [("expect-node-type", "folder")]
    await offline.files.list_folder("a/b", "t")
    assert recorder.query == [("expect-node-type", "folder"), ("start-token", "t")]


async def test_an_empty_folder_is_a_folder(client: AsyncAIHub) -> None:
    await write(client, a_txt=b"1")
    await client.files.create_folder(f"/{FOLDER}/new folder/")
    assert (await client.files.get_file_metadata(f"{FOLDER}/new folder")).is_folder
    assert [node.name async for node in client.files.iter_folder(FOLDER)] == ["a.txt", "new folder"]
    assert [node async for node in client.files.iter_folder(f"{FOLDER}/new folder")] == []
    with pytest.raises(ConflictError):
        await client.files.create_folder(f"{FOLDER}/new folder")
    await client.jobs.wait(await client.files.delete(f"{FOLDER}/new folder"), timeout=10)
    assert [node.name async for node in client.files.iter_folder(FOLDER)] == ["a.txt"]


async def test_what_create_folder_sends(recorder, offline: AsyncAIHub) -> None:
    recorder.says(status=201)
    await offline.files.create_folder("/a/b c/d")
    assert recorder.line == "POST /v2/files/a/b%20c"
    assert recorder.json == {"name": "d", "node_type": "folder"}
    for path in ("a", "/a", "", "a/..", "../b"):
        with pytest.raises(InvalidRequestError):
            await offline.files.create_folder(path)
    assert len(recorder.sent) == 1


async def test_append_goes_in_pieces(
    client: AsyncAIHub, hub: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "APPEND_BYTES", 1000)
    await write(client, log_txt=b"begin\n")
    await client.files.append(f"{FOLDER}/log.txt", b"x" * 2500)
    path = tmp_path / "more"
    path.write_bytes(b"y" * 1001)
    await client.files.append(f"{FOLDER}/log.txt", path)
    assert await client.files.read(f"{FOLDER}/log.txt") == b"begin\n" + b"x" * 2500 + b"y" * 1001
    assert hub.requests.count("appendToFile") == 5
    with pytest.raises(NotFoundError):
        await client.files.append(f"{FOLDER}/none.txt", b"x")


async def test_append_sends_the_cursor_and_is_never_repeated(recorder, offline: AsyncAIHub, client, hub) -> None:
    recorder.says(status=204)
    await offline.files.append("a/b.txt", b"x")
    assert recorder.line == "PATCH /v2/files/a/b.txt"
    assert dict(recorder.last.headers.reveal()) == {"IB-Cursor": "-1"}
    await write(client, log_txt=b"begin\n")
    hub.faults.add(Fault(kind="reset-after", operation="appendToFile", times=1))
    with pytest.raises(OutcomeUnknownError):
        await client.files.append(f"{FOLDER}/log.txt", b"x")
    assert await client.files.read(f"{FOLDER}/log.txt") == b"begin\nx"


async def test_files_and_folders_are_copied(client: AsyncAIHub) -> None:
    await write(client, a_txt=b"1", sub__b_txt=b"2")
    job = await client.files.copy(FOLDER, f"{FOLDER} copy")
    assert job.job_id is not None
    await client.jobs.wait(job.job_id, timeout=10)
    assert await client.files.read(f"{FOLDER} copy/sub/b.txt") == b"2"
    single = await client.files.copy(f"{FOLDER}/a.txt", f"{FOLDER}/c.txt")
    await client.jobs.wait(single.job_id or "", timeout=10)
    assert await client.files.read(f"{FOLDER}/c.txt") == b"1"
    with pytest.raises(NotFoundError):
        await client.files.copy("acme/none", "acme/other")


async def test_an_archive_is_extracted_inside_its_folder(client: AsyncAIHub) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x/a.txt", b"1")
        file.writestr("b.txt", b"2")
    await write(client, in_zip=archive.getvalue(), bad_zip=b"not a zip")
    job = await client.files.extract(f"{FOLDER}/in.zip", f"{FOLDER}/out")
    await client.jobs.wait(job.job_id or "", timeout=10)
    assert await client.files.read(f"{FOLDER}/out/x/a.txt") == b"1"
    bad = await client.files.extract(f"{FOLDER}/bad.zip", f"{FOLDER}/out")
    with pytest.raises(JobFailedError, match="zip archive"):
        await client.jobs.wait(bad.job_id or "", timeout=10)


async def test_an_archive_cannot_leave_its_folder(client: AsyncAIHub) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil.txt", b"1")
    await write(client, in_zip=archive.getvalue())
    job = await client.files.extract(f"{FOLDER}/in.zip", f"{FOLDER}/out")
    with pytest.raises(JobFailedError):
        await client.jobs.wait(job.job_id or "", timeout=10)


@pytest.mark.parametrize(
    ("headers", "body", "job_id"),
    [
        ({"Location": "https://x/api/v2/jobs/j-1"}, b"", "j-1"),
        ({}, json.dumps({"job_id": "j-2"}).encode(), "j-2"),
        ({}, b"", None),
        ({}, b"<html>", None),
    ],
)
async def test_the_job_is_found_where_it_is(recorder, offline: AsyncAIHub, headers, body, job_id) -> None:
    recorder.says(body, status=202, **headers)
    job = await offline.files.copy("a/b", "a/c")
    assert job.job_id == job_id
    assert recorder.line == "POST /v2/files/copy"
    assert recorder.json == {"src_path": "a/b", "dst_path": "a/c"}


async def test_paths_in_a_body_are_checked_too(recorder, offline: AsyncAIHub) -> None:
    for source, target in (("a/../b", "c/d"), ("a/b", "c/../d"), ("a\0/b", "c")):
        with pytest.raises(InvalidRequestError):
            await offline.files.copy(source, target)
        with pytest.raises(InvalidRequestError):
            await offline.files.extract(source, target)
    assert recorder.sent == []


async def test_a_drive_is_mounted(client: AsyncAIHub) -> None:
    details = {"client_type": "S3", "bucket_name": "scans", "aws_region": "eu-west-1"}
    await client.files.mount("acme/ws/fs", "Scans", details)
    assert [node.name async for node in client.files.iter_folder("acme/ws/fs")] == ["Scans"]
    with pytest.raises(LegacyAPIError, match="mounted already"):
        await client.files.mount("acme/ws/fs", "Scans", details)


async def test_mount_keeps_its_credentials(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"status": "ERROR", "msg": "wrong key s3cret-key-value"})
    with pytest.raises(LegacyAPIError) as caught:
        await offline.files.mount("a/b", "d", {"client_type": "S3", "aws_secret_access_key": "s3cret-key-value"})
    assert "s3cret" not in f"{caught.value!r}{caught.value}{caught.value.body}"
    assert recorder.line == "POST /v1/drives/a/b"
    assert recorder.json["action"] == "mount"
