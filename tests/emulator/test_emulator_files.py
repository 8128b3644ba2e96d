from email.utils import parsedate_to_datetime

import pytest

PATH = "acme/jane/fs/Instabase%20Drive/in/a.txt"


async def read(api, path=PATH, **options):
    return await api("GET", f"/v2/files/{path}?expect-node-type=file", **options)


@pytest.mark.parametrize("path", [PATH, PATH.replace("/", "%2F"), "/" + PATH, PATH.replace("/in/", "//in/")])
async def test_slashes_may_be_raw_or_encoded(api, path):
    assert (await api("PUT", f"/v2/files/{path}", data=b"hello")).status == 204
    for other in (PATH, PATH.replace("/", "%2F")):
        assert (await read(api, other)).body == b"hello"


async def test_large_content_is_streamed_back(api):
    content = bytes(range(256)) * 4096
    await api("PUT", f"/v2/files/{PATH}", data=content)
    answer = await read(api)
    assert answer.body == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(content))
    ranged = await read(api, headers={"Range": "bytes=1000-700000"})
    assert ranged.body == content[1000:700001]


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-4", 206, b"01234", "bytes 0-4/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=5-4", 416, None, "bytes */10"),
        ("bytes=-3", 400, None, None),
        ("bytes=0-1,4-5", 400, None, None),
        ("lines=1-2", 400, None, None),
    ],
)
async def test_ranges(api, wanted, status, body, content_range):
    await api("PUT", f"/v2/files/{PATH}", data=b"0123456789")
    answer = await read(api, headers={"Range": wanted})
    assert answer.status == status
    assert answer.headers.get("Content-Range") == content_range
    if body is not None:
        assert answer.body == body


async def test_if_none_match_creates_once(api, hub):
    created = await api("PUT", f"/v2/files/{PATH}", data=b"1", headers={"If-None-Match": "*"})
    assert created.status == 201
    assert created.headers["Location"] == f"{hub.api_root}/v2/files/{PATH}"
    again = await api("PUT", f"/v2/files/{PATH}", data=b"2", headers={"If-None-Match": "*"})
    assert (again.status, again.body) == (412, b"")
    assert (await api("PUT", f"/v2/files/{PATH}", data=b"3")).status == 204
    assert (await read(api)).body == b"3"
    assert (await api("PUT", f"/v2/files/{PATH}", data=b"4", headers={"If-None-Match": '"tag"'})).status == 400


async def test_an_empty_file_is_refused_and_the_old_one_kept(api):
    await api("PUT", f"/v2/files/{PATH}", data=b"old")
    assert (await api("PUT", f"/v2/files/{PATH}", data=b"")).status == 400
    assert (await read(api)).body == b"old"


async def test_metadata_is_in_headers(api):
    await api("PUT", f"/v2/files/{PATH}", data=b"12345")
    file = await api("HEAD", f"/v2/files/{PATH}")
    assert (file.status, file.body) == (200, b"")
    assert file.headers["Content-Length"] == "5"
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert parsedate_to_datetime(file.headers["Last-Modified"]).year >= 2024
    folder = await api("HEAD", f"/v2/files/{PATH.rpartition('/')[0]}")
    assert folder.headers["Content-Type"] == "application/json"
    assert "Last-Modified" not in folder.headers
    assert (await api("HEAD", "/v2/files/acme/none")).status == 404


async def test_reading_what_is_not_there(api):
    await api("PUT", f"/v2/files/{PATH}", data=b"x")
    assert (await read(api, "acme/none")).status == 404
    assert (await read(api, "acme/jane")).status == 400
    assert (await api("GET", f"/v2/files/{PATH}")).status == 400
    assert (await api("GET", f"/v2/files/{PATH}?expect-node-type=folder")).status == 400
    assert (await api("GET", "/v2/files/none?expect-node-type=folder")).status == 404
    assert (await api("PUT", "/v2/files/acme/jane", data=b"x")).status == 400
    for path in ("a/%2E%2E/b", "a/./b", "%00", ""):
        assert (await read(api, path)).status == 400


async def test_a_folder_is_listed_page_by_page(api, connect):
    from aihub_async.emulator import Emulator

    async with Emulator(list_page_size=2) as small:
        own = await connect(small)
        for name in ("a", "a.txt", "b/1", "b/2", "b0", "c"):
            await own("PUT", f"/v2/files/top/{name}", data=b"x")
        seen, token = [], ""
        while True:
            page = (await own("GET", f"/v2/files/top?expect-node-type=folder&start-token={token}")).json
            seen += [(node["name"], node["metadata"]["node_type"]) for node in page["nodes"]]
            token = page["next_page_token"]
            if not page["has_more"]:
                break
        assert seen == [("a", "file"), ("a.txt", "file"), ("b", "folder"), ("b0", "file"), ("c", "file")]


async def test_deleting_is_a_job_whether_or_not_there_is_anything(api, hub):
    await api("PUT", f"/v2/files/{PATH}", data=b"x")
    for path in (PATH, "acme/none", "acme"):
        deleted = await api("DELETE", f"/v2/files/{path}")
        assert (deleted.status, deleted.body) == (202, b"")
        await hub.idle()
        job = await api("GET", deleted.headers["Location"].removeprefix(hub.api_root))
        assert job.json["state"] == "COMPLETE"
    assert (await read(api)).status == 404


async def test_deleting_the_folder_of_a_batch_deletes_the_batch(api, hub):
    batch_id = await api.batch({"a.txt": b"x"})
    await api("DELETE", "/v2/files/acme")
    assert (await api("GET", f"/v2/batches/{batch_id}")).status == 404


@pytest.mark.parametrize(
    "config",
    ["{retries:3,backoff-seconds:0}", "{'retries': 3, 'backoff-seconds': 0}", '{"retries": 3, "backoff-seconds": 0.0}'],
)
async def test_the_server_waits_for_a_file_that_is_to_come(api, hub, config):
    missing = await read(api, "acme/none", headers={"IB-Retry-Config": config})
    assert missing.status == 404
    assert (await api("HEAD", "/v2/files/acme/none", headers={"IB-Retry-Config": config})).status == 404


async def test_a_retry_config_that_says_nothing_is_refused(api):
    assert (await read(api, "acme/none", headers={"IB-Retry-Config": "please"})).status == 400


async def test_files_of_a_batch_can_be_read_by_path(api):
    batch_id = await api.batch({"a.txt": b"inside"})
    path = (await api("GET", f"/v2/batches/{batch_id}/files")).json["nodes"][0]["full_path"]
    assert (await read(api, path.replace(" ", "%20"))).body == b"inside"
