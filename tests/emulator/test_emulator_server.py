import asyncio
import sqlite3

import pytest

from aihub_async import operations
from aihub_async.emulator import Emulator
from aihub_async.emulator.routes import ALL


def test_every_current_operation_has_a_handler():
    current = [row for row in operations.OPERATIONS if row.standing is operations.Standing.CURRENT]
    assert [row.name for row in current if row not in ALL] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic emulator-key"},
        {"Authorization": "emulator-key"},
        {"Authorization": ""},
        {"IB-Context": "another-org"},
    ],
)
@pytest.mark.parametrize("path", ["/v2/batches", "/v2/nothing"])
async def test_who_may_not_call_is_told_so(api, headers, path):
    refused = await api("GET", path, headers=headers)
    assert refused.status == 401
    assert refused.message


@pytest.mark.parametrize("context", ["acme", "jane.doe_acme.com", ""])
async def test_contexts_that_are_known(api, context):
    assert (await api("GET", "/v2/batches", headers={"IB-Context": context})).status == 200


async def test_unknown_paths_and_methods(api):
    assert (await api("GET", "/v2/nothing")).status == 404
    assert (await api("GET", "/v2/batches/1/files/a/b")).status == 404
    assert (await api("GET", "/v2/apps")).status == 404
    wrong = await api("PATCH", "/v2/batches")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, POST")
    async with api.session.get(api.hub.api_root.removesuffix("/api") + "/v2/batches") as outside:
        assert outside.status == 404


async def test_requests_are_counted_on_the_wire(api, hub):
    batch_id = await api.batch({"a%20b": b"x"})
    await api("GET", "/v2/nothing")
    assert hub.requests.count("createBatch") == hub.requests.count(operations.ADD_FILE) == 1
    assert hub.requests.counts == {"createBatch": 1, "addFileToBatch": 1, "": 1}
    assert hub.requests.total == 3
    assert hub.requests.statuses() == [200, 204, 404]
    assert hub.requests.statuses("createBatch") == [200]
    last_upload = hub.requests.records[1]
    assert (last_upload.method, last_upload.path) == ("PUT", f"/api/v2/batches/{batch_id}/files/a%20b")
    hub.requests.clear()
    assert (hub.requests.total, hub.requests.records) == (0, [])


async def raw(hub, request):
    host, port = hub.api_root.removeprefix("http://").removesuffix("/api").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_breaks_off_leaves_nothing(hub, api, tmp_path, connect):
    async with Emulator(data_dir=tmp_path) as kept:
        own = await connect(kept)
        batch_id = await own.batch()
        host, port = kept.api_root.removeprefix("http://").removesuffix("/api").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"PUT /api/v2/batches/{batch_id}/files/a HTTP/1.1\r\nHost: x\r\n"
            "Authorization: Bearer emulator-key\r\nContent-Length: 1000\r\n\r\n"
        )
        writer.write(head.encode() + b"x" * 10)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        # The next request on another connection is served after the broken one has been noticed.
        while kept.requests.statuses("addFileToBatch") != [400]:
            await own("GET", "/v2/batches")
        assert kept.batch_files(batch_id) == []
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_expect_continue_is_answered(hub, api):
    batch_id = await api.batch()
    head = (
        f"PUT /api/v2/batches/{batch_id}/files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Authorization: Bearer emulator-key\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    )
    answer = await raw(hub, head.encode())
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 ")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/batches", b'{"name": "\\ud800"}'),
        ("POST", "/v2/batches/multipart-upload", b'{"batch_id": 1, "filename": "a", "file_size": ' + b"9" * 30 + b"}"),
        ("POST", "/v2/apps/runs", b'{"app_name": "key-values", "batch_id": ' + b"9" * 30 + b"}"),
        ("GET", "/v2/batches?limit=" + "9" * 30, b""),
        ("GET", "/v2/batches?offset=%D9%A1", b""),
        ("POST", "/v2/aihub/secrets", b"\xff\xfe"),
    ],
)
async def test_odd_numbers_and_characters_are_the_callers_mistake(api, method, path, body):
    assert (await api(method, path, data=body)).status == 400


async def test_times_beyond_all_runs_are_fine(api):
    for name in ("from_timestamp", "to_timestamp"):
        assert (await api("GET", f"/v2/apps/runs?{name}={'9' * 18}")).json == {"runs": []}


async def test_a_mistake_of_the_emulator_is_a_500(api, hub, monkeypatch, caplog):
    monkeypatch.setattr(hub._state.secrets, "select", None)
    broken = await api("GET", "/v2/aihub/secrets")
    assert (broken.status, "emulator failed" in broken.message) == (500, True)
    assert "listSecrets failed" in caplog.text


async def test_everything_comes_back_after_a_restart(tmp_path, connect):
    async with Emulator(data_dir=tmp_path, part_size=4) as hub:
        api = await connect(hub)
        hub.hold_runs()
        batch_id = await api.batch({"a.txt": b"Order: 7"})
        started = await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": batch_id})
        secret = {"alias": "s", "value": "v", "allowed_workspaces_type": "ALL"}
        await api("POST", "/v2/aihub/secrets", json=secret)
        upload = {"batch_id": batch_id, "filename": "big", "file_size": 6}
        session_id = (await api("POST", "/v2/batches/multipart-upload", json=upload)).json["session_id"]
        parts_path = f"/v2/batches/multipart-upload/sessions/{session_id}"
        parts = [(await api("PUT", f"{parts_path}/parts/1", data=b"1234")).json]
        await api("PUT", "/v2/files/acme/x.txt", data=b"x")
        files = hub.batch_files(batch_id)
    async with Emulator(data_dir=tmp_path, part_size=4) as hub:
        api = await connect(hub)
        assert hub.batch_files(batch_id) == files
        await hub.idle()
        run_id = started.json["id"]
        # The run was interrupted by the stop; it continued by itself.
        results = await api.results(run_id)
        assert results["status"] == "COMPLETE"
        assert results["files"][0]["documents"][0]["fields"][0]["value"] == "7"
        assert (await api("GET", "/v2/aihub/secrets")).json["secrets"][0]["alias"] == "s"
        parts.append((await api("PUT", f"{parts_path}/parts/2", data=b"56")).json)
        assert (await api("POST", parts_path, json={"action": "commit", "parts": parts})).status == 201
        assert [file.size for file in hub.batch_files(batch_id)] == [8, 6]
        assert (await api("GET", "/v2/files/acme/x.txt?expect-node-type=file")).body == b"x"
        assert await api.batch() > batch_id
        operations_logged = (await api("POST", "/v1/auditlogs", json={"size": 100})).json["data"]["results"]
        assert "createSecret" in [entry["operation"] for entry in operations_logged]


async def test_an_interrupted_deletion_goes_on(tmp_path, connect):
    async with Emulator(data_dir=tmp_path, job_seconds=60) as hub:
        api = await connect(hub)
        job_id = (await api("DELETE", f"/v2/batches/{await api.batch({'a': b'x'})}")).json["job_id"]
    async with Emulator(data_dir=tmp_path) as hub:
        await hub.idle()
        api = await connect(hub)
        assert (await api("GET", f"/v2/jobs/{job_id}")).json["state"] == "COMPLETE"
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_an_app_that_is_not_registered_any_more_fails_its_run(tmp_path, connect):
    async with Emulator(data_dir=tmp_path) as hub:
        hub.app("Gone")(lambda document: {})
        hub.hold_runs()
        api = await connect(hub)
        body = {"app_name": "Gone", "batch_id": await api.batch({"a": b"x"})}
        run_id = (await api("POST", "/v2/apps/runs", json=body)).json["id"]
    async with Emulator(data_dir=tmp_path) as hub:
        await hub.idle()
        api = await connect(hub)
        run = (await api("GET", f"/v2/apps/runs/{run_id}")).json
        assert (run["status"], "Gone" in run["msg"]) == ("FAILED", True)


async def test_two_emulators_do_not_share_a_folder(tmp_path):
    async with Emulator(data_dir=tmp_path):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await Emulator(data_dir=tmp_path).start()


async def test_a_taken_port_is_an_error_and_leaves_nothing(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    port = int(hub.api_root.rpartition(":")[2].removesuffix("/api"))
    with pytest.raises(OSError, match="address"):
        await Emulator(port=port).start()
    assert list(tmp_path.iterdir()) == []


async def test_start_and_stop(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hub = Emulator()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = hub.api_root
    with pytest.raises(RuntimeError, match="not running"):
        hub.runs()
    await hub.start()
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(RuntimeError, match="already"):
        await hub.start()
    await hub.stop()
    await hub.stop()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        async with Emulator() as other:
            other.batch_files(1)
