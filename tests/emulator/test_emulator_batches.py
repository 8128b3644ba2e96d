import hashlib
import io

import pytest

from aihub_async.emulator import Emulator


async def test_create_gives_an_id_and_get_tells_all(api, hub):
    created = await api("POST", "/v2/batches", json={"name": "March"})
    assert created.status == 200
    assert set(created.json) == {"id"}
    batch_id = created.json["id"]
    told = (await api("GET", f"/v2/batches/{batch_id}")).json
    assert told["name"] == "March"
    assert told["workspace"] == told["batch_owner"] == hub.settings.user
    assert told["mount_point"] == "Instabase Drive"
    assert told["repo_owner"] == "acme"
    assert told["created_at_ms"] > 1_600_000_000_000
    assert told["path_suffix"].endswith(str(batch_id))


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": 7}, {"name": "n" * 256}, {"name": "n", "workspace": 1}, []]
)
async def test_create_refuses(api, body):
    refused = await api("POST", "/v2/batches", json=body)
    assert refused.status == 400
    assert refused.message


async def test_a_body_that_is_not_json_is_refused(api):
    assert (await api("POST", "/v2/batches", data=b"{nope")).status == 400
    assert (await api("POST", "/v2/batches", data=b"[" * 200_000)).status == 400
    assert (await api("POST", "/v2/batches", data=io.BytesIO(b" " * 10_000_001))).status == 413


async def test_list_is_filtered_and_paged(api, hub):
    hub.add_token("other", user="max_acme.com")
    ids = []
    for workspace in ("sales", "sales", "legal"):
        created = await api("POST", "/v2/batches", json={"name": "b", "workspace": workspace})
        ids.append(created.json["id"])
    other = await api("POST", "/v2/batches", json={"name": "b"}, headers={"Authorization": "Bearer other"})

    async def listed(query):
        return [batch["id"] for batch in (await api("GET", f"/v2/batches{query}")).json["batches"]]

    assert await listed("") == [*ids, other.json["id"]]
    assert await listed("?workspace=sales") == ids[:2]
    assert await listed("?username=max_acme.com") == [other.json["id"]]
    assert await listed("?limit=2&offset=1") == ids[1:3]
    assert await listed("?offset=9") == []
    assert (await api("GET", "/v2/batches?limit=-1")).status == 400
    assert (await api("GET", "/v2/batches?limit=many")).status == 400


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_batch_is_a_404_without_a_body(api, method):
    missing = await api(method, "/v2/batches/99999")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("a b?#%.pdf", "a%20b%3F%23%25.pdf"),
        ("a/b.txt", "a%2Fb.txt"),
        ("übung-文.txt", "%C3%BCbung-%E6%96%87.txt"),
        ("%2F.txt", "%252F.txt"),
        ("x" * 255, "x" * 255),
    ],
)
async def test_any_name_comes_back_as_it_went(api, hub, name, encoded):
    batch_id = await api.batch({encoded: b"content"})
    (stored,) = hub.batch_files(batch_id)
    assert (stored.name, stored.size) == (name, 7)
    assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
    (node,) = (await api("GET", f"/v2/batches/{batch_id}/files")).json["nodes"]
    assert node["name"] == name
    assert node["full_path"].endswith(f"/{name}")


@pytest.mark.parametrize("name", ["..", "%2E%2E", ".", "a%2F..%2Fb", "x" * 256, "%00", "%FF", ""])
async def test_what_is_not_a_name_is_refused(api, hub, name):
    batch_id = await api.batch()
    refused = await api("PUT", f"/v2/batches/{batch_id}/files/{name}", data=b"x")
    assert refused.status == 400
    assert hub.batch_files(batch_id) == []


async def test_put_replaces_and_leaves_one_blob(api, hub, tmp_path, connect):
    async with Emulator(data_dir=tmp_path) as kept:
        own = await connect(kept)
        batch_id = await own.batch({"a.txt": b"one"})
        await own("PUT", f"/v2/batches/{batch_id}/files/a.txt", data=b"second")
        assert [file.size for file in kept.batch_files(batch_id)] == [6]
        blobs = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in blobs] == [b"second"]


async def test_an_empty_file_may_be_in_a_batch(api, hub):
    batch_id = await api.batch({"empty.txt": b""})
    assert hub.batch_files(batch_id)[0].size == 0


async def test_files_are_paged_by_token(api):
    names = [f"f{index}.txt" for index in range(5)]
    batch_id = await api.batch(dict.fromkeys(names, b"x"))
    seen, token, pages = [], "", 0
    while True:
        page = (await api("GET", f"/v2/batches/{batch_id}/files?page_size=2&start_token={token}")).json
        seen += [node["name"] for node in page["nodes"]]
        pages += 1
        if not page["has_more"]:
            break
        token = page["next_page_token"]
    assert (seen, pages) == (names, 3)
    assert (await api("GET", f"/v2/batches/{batch_id}/files?start_token=!")).status == 400


async def test_deleting_a_batch_is_a_job(api, hub):
    batch_id = await api.batch({"a.txt": b"x", "b.txt": b"y"})
    deleted = await api("DELETE", f"/v2/batches/{batch_id}")
    assert deleted.status == 202
    assert (await api("GET", f"/v2/batches/{batch_id}")).status == 404
    await hub.idle()
    for path in ("/v2/jobs", "/v2/batches/jobs"):
        assert (await api("GET", f"{path}/{deleted.json['job_id']}")).json["state"] == "COMPLETE"
    assert (await api("DELETE", f"/v2/batches/{batch_id}")).status == 404
    assert (await api("GET", "/v2/jobs/none")).status == 404


async def test_deleting_a_file_gives_the_job_in_location(api, hub):
    batch_id = await api.batch({"a.txt": b"x", "b.txt": b"y"})
    deleted = await api("DELETE", f"/v2/batches/{batch_id}/files/a.txt")
    assert (deleted.status, deleted.body) == (202, b"")
    location = deleted.headers["Location"]
    assert location.startswith(f"{hub.api_root}/v2/jobs/")
    await hub.idle()
    assert (await api("GET", location.removeprefix(hub.api_root))).json["state"] == "COMPLETE"
    assert [file.name for file in hub.batch_files(batch_id)] == ["b.txt"]


async def test_a_job_takes_the_time_it_is_given(connect):
    async with Emulator(job_seconds=60) as slow:
        api = await connect(slow)
        job_id = (await api("DELETE", f"/v2/batches/{await api.batch()}")).json["job_id"]
        assert (await api("GET", f"/v2/jobs/{job_id}")).json["state"] in {"PENDING", "RUNNING"}


async def test_a_file_may_have_a_greatest_size(connect):
    async with Emulator(max_file_size=10) as small:
        api = await connect(small)
        batch_id = await api.batch({"a": b"0123456789"})
        assert (await api("PUT", f"/v2/batches/{batch_id}/files/b", data=b"0123456789a")).status == 413
        body = {"batch_id": batch_id, "filename": "c", "file_size": 11}
        assert (await api("POST", "/v2/batches/multipart-upload", json=body)).status == 413
        assert [file.name for file in small.batch_files(batch_id)] == ["a"]
