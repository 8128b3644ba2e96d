"""Every setting of the Flow Binary API has an effect."""

import asyncio
import base64
import json
import threading

import pytest
import pytest_asyncio
from aiohttp import web

from aihub_async.emulator import Emulator

DRIVE = "acme/ws/fs/Drive"


async def put(api, path, content):
    assert (await api("PUT", f"/v2/files/{path}", data=content)).status == 204


async def compiled(api, app="key-values", **extra):
    await put(api, f"{DRIVE}/main.ibflow", json.dumps({"app": app}).encode())
    body = {"flow_project_root": DRIVE, "binary_type": "Single Flow", "settings": {"flow_file": "main.ibflow"}, **extra}
    answer = (await api("POST", "/v1/flow_binary/compile", json=body)).json
    assert answer["status"] == "OK"
    await api.hub.idle()
    return f"{DRIVE}/build/bin/main.ibflowbin"


async def start(api, binary, folder="in", **settings):
    body = {"binary_path": binary, "input_dir": f"{DRIVE}/{folder}", "settings": settings}
    return (await api("POST", "/v1/flow/run_binary_async", json=body)).json


async def run(api, binary, **settings):
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    answer = await start(api, binary, **settings)
    assert answer["status"] == "OK", answer
    await api.hub.idle()
    return answer["data"]["job_id"]


async def job(api, job_id):
    return (await api("GET", f"/v1/jobs/status?type=flow&job_id={job_id}")).json


async def read(api, path):
    answer = await api("GET", f"/v2/files/{path}?expect-node-type=file")
    return answer.body.decode() if answer.status == 200 else None


async def records(api, job_id):
    body = {"ibresults_path": f"{DRIVE}/out/batch.ibflowresults"}
    (record,) = (await api("POST", "/v1/flow_binary/results", json=body)).json["records"]
    return {item["key"]: item["value"] for item in record["results"]}


async def test_higher_priorities_run_first(connect):
    async with Emulator(workers=1) as hub:
        api = await connect(hub)
        order, started, go = [], threading.Event(), threading.Event()

        @hub.app("Slow")
        def slow(document):
            if document.name == "first.txt":
                started.set()
                go.wait(10)
            order.append(document.name)
            return {"a": "1"}

        binary = await compiled(api, "Slow")
        for folder in ("block", "low", "high", "middle"):
            for number in range(2):
                name = "first" if folder == "block" else f"{folder}{number}"
                await put(api, f"{DRIVE}/{folder}/{name}.txt", b"x")
        await start(api, binary, "block")
        await asyncio.to_thread(started.wait, 10)
        for folder, priority in (("low", 0), ("high", 9), ("middle", 5)):
            answer = await start(api, binary, folder, priority=priority)
            assert answer["status"] == "OK"
        go.set()
        await hub.idle()
        assert order == ["first.txt", "high0.txt", "high1.txt", "middle0.txt", "middle1.txt", "low0.txt", "low1.txt"]


async def test_a_step_that_takes_too_long_fails_the_run(api, hub):
    go = threading.Event()
    hub.app("Slow")(lambda document: go.wait(10) and {"a": "1"})
    binary = await compiled(api, "Slow")
    await put(api, f"{DRIVE}/in/a.txt", b"x")
    answer = await start(api, binary, step_timeout=600)
    await asyncio.sleep(0.05)
    hub.time.advance(seconds=601)
    await hub.idle()
    go.set()
    state = await job(api, answer["data"]["job_id"])
    assert json.loads(state["cur_status"])["status"] == "FAILED"
    assert "step_timeout, 600 seconds" in state["results"][0]["msg"]


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_step_without_a_timeout(api, hub, timeout):
    job_id = await run(api, await compiled(api), step_timeout=timeout)
    assert (await job(api, job_id))["state"] == "DONE"


@pytest.mark.parametrize(
    "settings",
    [
        {"priority": 10},
        {"priority": "9"},
        {"priority": True},
        {"step_timeout": -2},
        {"step_timeout": 1.5},
        {"output_has_run_id": "true"},
        {"delete_out_dir": 1},
        {"log_to_timeline": "yes"},
        {"save_binary_to_output": []},
        {"tags": "a"},
        {"tags": [1]},
        {"notification_emails": "me@example.com"},
        {"pipeline_ids": 7},
        {"runtime_config": "x"},
        {"runtime_config": {"log_prefix": 7}},
        {"runtime_config": {"modify_output_schema": {"remove_fields": []}}},
        {"runtime_config": {"modify_output_schema": "{"}},
        {"runtime_config": {"modify_output_schema": '{"add_fields": [{"name": "x"}]}'}},
        {"runtime_config": {"modify_output_schema": '{"add_fields": [{"name": "x", "formula": "a + b"}]}'}},
        {"runtime_config": {"generate_post_process_pdf": "true"}},
        {"runtime_config": {"instabase": {"pdf": {"passwords": ["x"]}}}},
        {"webhook_config": {"url": "http://127.0.0.1/", "format": "xml"}},
        {"keys": {"custom": []}},
    ],
)
async def test_a_setting_of_the_wrong_type_is_refused(api, settings):
    binary = await compiled(api)
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    answer = await start(api, binary, **settings)
    assert answer["status"] == "ERROR"
    assert answer["msg"]
    assert api.hub.runs() == []


@pytest.mark.parametrize("missing", ["flows/a.ibflow", "m.ibmetaflow", "c.ibclassifier"])
async def test_a_metaflow_needs_all_its_files(api, missing):
    files = {"flows/a.ibflow": b"{}", "m.ibmetaflow": b"{}", "c.ibclassifier": b"{}"}
    settings = {"flows_dir": "flows", "metaflow_file": "m.ibmetaflow", "classifier_file": "c.ibclassifier"}
    body = {"flow_project_root": DRIVE, "binary_type": "Metaflow", "settings": settings}
    for name, content in files.items():
        if name != missing:
            await put(api, f"{DRIVE}/{name}", content)
    answer = (await api("POST", "/v1/flow_binary/compile", json=body)).json
    if missing.endswith(".ibflow"):
        assert (answer["status"], "no flows" in answer["msg"]) == ("ERROR", True)
        return
    await api.hub.idle()
    failed = await job(api, answer["job_id"])
    assert json.loads(failed["cur_status"])["status"] == "FAILED"
    assert f"no file /{DRIVE}/{missing}" in failed["results"][0]["msg"]
    await put(api, f"{DRIVE}/{missing}", b"{}")
    done = (await api("POST", "/v1/flow_binary/compile", json=body)).json
    await api.hub.idle()
    assert json.loads((await job(api, done["job_id"]))["cur_status"])["status"] == "COMPLETE"


async def test_a_predefined_binary_path(api):
    await compiled(api, predefined_binary_path=f"{DRIVE}/elsewhere/mine.ibflowbin")
    assert await read(api, f"{DRIVE}/elsewhere/mine.ibflowbin") is not None


async def test_logs_have_the_prefix_and_the_developers_lines_only_if_wanted(api, hub):
    @hub.app("Talks")
    def talks(document):
        document.log(f"looked at {document.name}")
        return {"a": "1"}

    binary = await compiled(api, "Talks")
    await run(api, binary, log_to_timeline=True, runtime_config={"log_prefix": "org=Piston "})
    lines = (await read(api, f"{DRIVE}/out/logs/run.log")).splitlines()
    assert all(line.startswith("org=Piston ") for line in lines)
    assert any(line.endswith("looked at a.txt") for line in lines)
    assert lines[-1].endswith("COMPLETE: Run completed.")
    await run(api, binary, delete_out_dir=True)
    text = await read(api, f"{DRIVE}/out/logs/run.log")
    assert "looked at" not in text
    assert "org=Piston" not in text
    assert "a.txt" in text


async def test_the_steps_leave_their_folders(api):
    job_id = await run(api, await compiled(api))
    body = {"ibresults_path": f"{DRIVE}/out/batch.ibflowresults"}
    (record,) = (await api("POST", "/v1/flow_binary/results", json=body)).json["records"]
    pages = json.loads(await read(api, record["absolute_ibocr_path"].strip("/")))
    assert pages["pages"] == ["Order: 7"]
    entry = json.loads(await read(api, record["output_file_path"].strip("/")))
    assert entry["documents"][0]["fields"][0]["value"] == "7"
    assert (await job(api, job_id))["results"][0]["output_folder"] == f"/{DRIVE}/out"


@pytest.mark.parametrize("keep", [True, False])
async def test_the_binary_in_the_output(api, keep):
    await run(api, await compiled(api), save_binary_to_output=keep)
    assert (await read(api, f"{DRIVE}/out/main.ibflowbin") is not None) is keep


async def test_an_output_folder_with_the_run_id_is_kept_apart(api):
    binary = await compiled(api)
    await put(api, f"{DRIVE}/out/old.txt", b"x")
    # delete_out_dir does nothing together with output_has_run_id.
    job_id = await run(api, binary, output_has_run_id=True, delete_out_dir=True)
    folder = (await job(api, job_id))["results"][0]["output_folder"]
    assert folder.startswith(f"/{DRIVE}/out/")
    assert folder.endswith(job_id)
    assert await read(api, f"{DRIVE}/out/old.txt") == "x"
    await run(api, binary, delete_out_dir=True)
    assert await read(api, f"{DRIVE}/out/old.txt") is None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"add_fields": [{"name": "greeting", "formula": "echo(\u2018hello world\u2019)"}]},
            {"greeting": "hello world"},
        ),
        ({"add_fields": [{"name": "greeting", "formula": "echo('it''s')"}]}, {"greeting": "it''s"}),
        ({"add_fields": [{"name": "copy", "formula": "Order"}]}, {"copy": "7"}),
        ({"add_fields": [{"name": "copy", "formula": "Number"}], "rename_fields": {"Order": "Number"}}, {"copy": "7"}),
    ],
)
async def test_the_output_schema_adds_and_renames(api, schema, expected):
    job_id = await run(api, await compiled(api), runtime_config={"modify_output_schema": json.dumps(schema)})
    found = await records(api, job_id)
    assert expected.items() <= found.items()


async def test_the_output_schema_removes(api):
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7\nShip To: Bath")
    schema = json.dumps({"remove_fields": ["Ship_To"], "rename_fields": {"Order": "No"}})
    answer = await start(api, await compiled(api), runtime_config={"modify_output_schema": schema})
    await api.hub.idle()
    assert await records(api, answer["data"]["job_id"]) == {"No": "7"}


async def test_tags_pipelines_and_emails(api, hub):
    job_id = await run(
        api, await compiled(api), tags=["march"], pipeline_ids=["p1"], notification_emails=["me@domain.example"]
    )
    (listed, _) = (await api("GET", "/v1/jobs/list")).json["jobs"]
    assert (listed["job_id"], listed["tags"], listed["pipeline_ids"]) == (job_id, ["march"], ["p1"])
    (email,) = hub.sent_emails
    assert (email.address, email.run_id, email.status) == ("me@domain.example", job_id, "COMPLETE")


async def test_a_job_id_of_the_caller_is_used_once(api):
    binary = await compiled(api)
    await put(api, f"{DRIVE}/in/a.txt", b"Order: 7")
    body = {"binary_path": binary, "input_dir": f"{DRIVE}/in", "job_id": "mine"}
    assert (await api("POST", "/v1/flow/run_binary_async", json=body)).json["data"]["job_id"] == "mine"
    again = (await api("POST", "/v1/flow/run_binary_async", json=body)).json
    assert (again["status"], "mine already" in again["msg"]) == ("ERROR", True)


class Receiver:
    """Takes webhooks; answers the Event Grid handshake unless switched off."""

    def __init__(self):
        self.received, self.kinds, self.shakes = [], [], True

    async def handle(self, request):
        body = await request.json()
        self.kinds.append(request.headers.get("aeg-event-type"))
        if self.kinds[-1] == "SubscriptionValidation":
            code = body[0]["data"]["validationCode"]
            return web.json_response({"validationResponse": code} if self.shakes else {})
        self.received.append((request.headers, body))
        return web.Response()


@pytest_asyncio.fixture
async def receiver(listen):
    made = Receiver()
    made.url = await listen(made.handle)
    return made


async def deployed_run(api, path="/v2/apps/deployments/daily/runs"):
    started = await api("POST", path, json={"batch_id": await api.batch({"a.txt": b"Order: 7"})})
    await api.hub.idle()
    return started.json["id"]


async def test_a_deployment_sends_event_grid_events_after_the_handshake(api, hub, receiver):
    hub.deployment("daily", app="key-values", webhook={"url": receiver.url, "format": "event_grid"})
    first, second = await deployed_run(api), await deployed_run(api)
    assert receiver.kinds == ["SubscriptionValidation", "Notification", "Notification"]
    for run_id, (_, events) in zip((first, second), receiver.received, strict=True):
        (event,) = events
        assert {"id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion"} <= set(event)
        assert (event["data"]["job_id"], event["data"]["status"]) == (run_id, "OK")


async def test_no_event_is_sent_to_an_endpoint_that_fails_the_handshake(api, hub, receiver):
    receiver.shakes = False
    hub.deployment("daily", app="key-values", webhook={"url": receiver.url, "format": "event_grid"})
    run_id = await deployed_run(api)
    assert receiver.received == []
    assert {(each.run_id, each.status) for each in hub.webhook_deliveries} == {(run_id, None)}


async def test_a_plain_deployment_webhook_has_its_headers(api, hub, receiver):
    hub.deployment("daily", app="key-values", webhook={"url": receiver.url, "headers": {"X-Token": "t"}})
    run_id = await deployed_run(api)
    ((headers, body),) = receiver.received
    assert (headers["X-Token"], body["job_id"], body["status"]) == ("t", run_id, "OK")


@pytest.mark.parametrize("form", ["json", "csv", "xml"])
async def test_a_run_in_memory_has_the_format_that_it_is_asked_for(api, form):
    files = [{"file_name": "a.txt", "file_content": base64.b64encode(b"Order: 7").decode()}]
    body = {"binary_path": await compiled(api), "options": {"result_format": form}, "files": files}
    answer = await api("POST", "/v1/flow/run_binary_sync", json=body)
    if form == "json":
        assert answer.json["records"][0]["results"][0]["value"] == "7"
    elif form == "csv":
        assert answer.body.decode().splitlines() == ["file_name,Order", "a.txt,7"]
    else:
        assert answer.json["status"] == "ERROR"
