import base64
import json

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from aihub_async.emulator import Emulator
from aihub_async.emulator.key_values import key_values

DRIVE = "acme/ws/fs/Drive"
NOTE = {"note.txt": b"Order: 7"}
APPS = "/v2/zero-shot-idp/projects/app"


class Receiver:
    def __init__(self):
        self.received = []

    async def handle(self, request):
        self.received.append(await request.json())
        return web.Response()


@pytest_asyncio.fixture
async def receiver(listen):
    made = Receiver()
    made.url = await listen(made.handle)
    return made


async def put(api, path, content):
    assert (await api("PUT", f"/v2/files/{path}", data=content)).status == 204


async def compiled(api, app="key-values"):
    await put(api, f"{DRIVE}/main.ibflow", json.dumps({"app": app}).encode())
    body = {"flow_project_root": f"{DRIVE}/", "binary_type": "Single Flow", "settings": {"flow_file": "main.ibflow"}}
    answer = (await api("POST", "/v1/flow_binary/compile", json=body)).json
    assert answer["status"] == "OK"
    await api.hub.idle()
    return f"{DRIVE}/build/bin/main.ibflowbin"


async def status(api, job_id):
    answer = (await api("GET", f"/v1/jobs/status?type=flow&job_id={job_id}")).json
    return answer["state"], json.loads(answer["cur_status"])["status"], answer.get("results")


async def test_a_legacy_run_tells_its_binary_by_webhook(api, receiver):
    batch_id = await api.batch(NOTE)
    body = {"batch_id": str(batch_id), "settings": {"webhook_config": {"url": receiver.url}}}
    answer = (await api("POST", f"{APPS}/{api.hub.app_id('key-values')}/run", json=body)).json
    assert set(answer) == {"job_id"}
    await api.hub.idle()
    (payload,) = receiver.received
    assert set(payload) == {"status", "job_id", "binary_path", "input_dir", "output"}
    assert payload["status"] == "OK"
    assert payload["job_id"] == answer["job_id"]
    assert payload["binary_path"].endswith(".ibflowbin")
    state, word, (result,) = await status(api, answer["job_id"])
    assert (state, word) == ("DONE", "COMPLETE")
    assert result == {"status": "OK", "msg": "Run completed.", "output_folder": payload["output"]}


async def test_a_flow_run_that_fails_tells_why(api, receiver):
    api.hub.app("Broken", outcome="FAILED")(key_values)
    binary = await compiled(api, "Broken")
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    body = {
        "binary_path": binary,
        "input_dir": f"{DRIVE}/in",
        "job_id": "mine",
        "settings": {"webhook_config": {"url": receiver.url}},
    }
    answer = (await api("POST", "/v1/flow/run_binary_async", json=body)).json
    assert answer == {"status": "OK", "data": {"job_id": "mine", "output_folder": f"/{DRIVE}/out"}}
    await api.hub.idle()
    (payload,) = receiver.received
    assert payload["binary_path"] == f"/{binary}"
    assert (payload["status"], payload["job_id"], payload["msg"]) == ("ERROR", "mine", "The app failed.")
    assert (await status(api, "mine"))[:2] == ("DONE", "FAILED")


async def test_a_form_is_taken_as_in_the_published_sample(api):
    batch_id = await api.batch(NOTE)
    answer = await api("POST", f"{APPS}/run", data={"batch_id": str(batch_id), "name": "Invoices"})
    assert answer.status == 200
    assert (await status(api, answer.json["job_id"]))[0] in {"PENDING", "DONE"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/jobs/status?type=flow", None),
        ("GET", "/v1/jobs/status?type=flow&job_id=none", None),
        ("GET", "/v1/jobs/list?limit=x", None),
        ("POST", "/v1/flow_binary/compile", {"binary_type": "Single Flow"}),
        ("POST", "/v1/flow_binary/compile", {"binary_type": "Metaflow", "flow_project_root": "a", "settings": {}}),
        ("POST", "/v1/flow/run_binary_async", {"binary_path": "acme/a", "input_dir": "acme/none"}),
        ("POST", "/v1/flow/run_binary_sync", {"binary_path": "acme/a", "files": []}),
        ("POST", "/v1/flow_binary/results", {"ibresults_path": "acme/none/batch.ibflowresults"}),
        ("POST", "/v1/flow_binary/results", {"ibresults_path": 7}),
        ("POST", "/v1/jobs/pause", {"job_id": "none"}),
        ("POST", "/v1/drives/acme/ws", {"action": "other"}),
    ],
)
async def test_errors_of_v1_have_status_200(api, method, path, body):
    answer = await api(method, path, **({} if body is None else {"json": body}))
    assert answer.status == 200
    assert answer.json["status"] == "ERROR"
    assert answer.json["msg"]


async def test_what_the_v1_api_refuses_of_a_flow_run(api):
    binary = await compiled(api)
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    good = {"binary_path": binary, "input_dir": f"{DRIVE}/in"}
    for bad in (
        {"job_id": "x" * 51},
        {"settings": {"priority": 10}},
        {"binary_path": f"{DRIVE}/in/a.txt"},
        {"settings": {"webhook_config": {"url": "https://elsewhere.example/"}}},
    ):
        answer = (await api("POST", "/v1/flow/run_binary_async", json=good | bad)).json
        assert answer["status"] == "ERROR"
    assert api.hub.runs() == []


async def test_the_token_is_asked_for(hub):
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(f"{hub.api_root}/v1/jobs/status?job_id=x") as answer,
    ):
        assert answer.status == 401


async def test_the_output_folder_follows_the_settings(api):
    binary = await compiled(api)
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    await put(api, f"{DRIVE}/out/old.txt", b"x")
    body = {"binary_path": binary, "input_dir": f"{DRIVE}/in"}
    first = await api("POST", "/v1/flow/run_binary_async", json=body | {"settings": {"output_has_run_id": True}})
    assert first.json["data"]["output_folder"].endswith(first.json["data"]["job_id"])
    settings = {"delete_out_dir": True, "save_binary_to_output": False}
    second = await api("POST", "/v1/flow/run_binary_async", json=body | {"settings": settings})
    await api.hub.idle()
    assert second.json["data"]["output_folder"] == f"/{DRIVE}/out"
    listing = (await api("GET", f"/v2/files/{DRIVE}/out?expect-node-type=folder")).json
    assert "old.txt" not in [node["name"] for node in listing["nodes"]]
    assert "main.ibflowbin" not in [node["name"] for node in listing["nodes"]]


async def test_a_run_in_memory_has_the_published_shape(api):
    files = [{"file_name": "a.txt", "file_content": base64.b64encode(b"Order: 7").decode()}]
    answer = await api("POST", f"{APPS}/{api.hub.app_id('Invoices')}/run/sync", json={"files": files})
    response = answer.json["response"]
    assert set(response) == {
        "records",
        "binary_path",
        "job_id",
        "num_tasks",
        "has_more_tasks",
        "next_offset",
        "can_resume",
        "on_last_resumable_step",
    }
    (record,) = response["records"]
    assert {
        "output_file_path",
        "results",
        "record_index",
        "file_name",
        "document_path",
        "flow_index",
        "file_index",
        "is_manually_reviewed",
        "current_step_index",
        "is_human_corrected",
        "absolute_ibocr_path",
        "was_classified",
        "is_finalized",
    } == set(record)
    assert {"key": "Order", "value": "7", "field_type": "NUMBER", "model_confidence": 0.98} in record["results"]
    bad = [{"file_name": "a.txt", "file_content": "no base64!"}]
    assert (await api("POST", f"{APPS}/{api.hub.app_id('Invoices')}/run/sync", json={"files": bad})).status == 400


async def test_work_that_a_stop_interrupted_goes_on(tmp_path, connect):
    async with Emulator(data_dir=tmp_path, job_seconds=60, api_key="k") as hub:
        api = await connect(hub)
        await put(api, f"{DRIVE}/main.ibflow", b"{}")
        body = {"flow_project_root": DRIVE, "binary_type": "Single Flow", "settings": {"flow_file": "main.ibflow"}}
        job_id = (await api("POST", "/v1/flow_binary/compile", json=body)).json["job_id"]
        copy = await api("POST", "/v2/files/copy", json={"src_path": DRIVE, "dst_path": "acme/copy"})
    async with Emulator(data_dir=tmp_path, api_key="k") as hub:
        api = await connect(hub)
        await hub.idle()
        assert (await status(api, job_id))[:2] == ("DONE", "COMPLETE")
        interrupted = await api("GET", "/v2/jobs/" + copy.headers["Location"].rpartition("/")[2])
        assert interrupted.json["state"] == "FAILED"
        assert (await api("HEAD", f"/v2/files/{DRIVE}/main.ibflow")).status == 200


async def test_forms_that_are_none_are_refused(api):
    for data, kind in (
        (b"x", "text/plain"),
        (b"x", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
    ):
        answer = await api("POST", "/v2/conversations", data=data, headers={"Content-Type": kind})
        assert answer.status == 400
