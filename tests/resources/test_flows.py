import json

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    InvalidRequestError,
    LegacyAPIError,
    NotFoundError,
    OutcomeUnknownError,
    RunCancelledError,
    RunFailedError,
    SourceChangedError,
)
from aihub_async.models import FlowSettings, WebhookConfig
from aihub_async.resources import named_files

ROOT = "acme/ws/fs/Drive/project"
BINARY = f"{ROOT}/build/bin/main.ibflowbin"
TEXT = b"Vendor: Acme\nTotal: 42\n"


async def compiled(client: AsyncAIHub, app: str = "Invoices") -> str:
    await client.files.write(f"{ROOT}/main.ibflow", json.dumps({"app": app}).encode())
    await (await client.flows.compile(ROOT, flow_file="main.ibflow")).wait(timeout=10)
    await client.files.write(f"{ROOT}/in/a.txt", TEXT)
    return BINARY


async def test_a_compiled_flow_is_run_and_read(client: AsyncAIHub, hub: Emulator) -> None:
    binary = await compiled(client)
    run = await client.flows.run(binary, f"{ROOT}/in", settings=FlowSettings(priority=9, tags=["march"]))
    assert run.output_folder == f"/{ROOT}/out"
    assert (await run).outcome == "COMPLETE"
    assert [dict(record.values) async for record in run.iter_results()] == [{"Vendor": "Acme", "Total": "42"}]
    assert len(run.id) == 36
    assert hub.runs()[0]["tags"] == ["march"]
    names = [node.name async for node in client.files.iter_folder(f"{ROOT}/out")]
    steps = ["s0_process_files", "s1_apply_refiner"]
    assert names == ["batch.ibflowresults", "logs", "main.ibflowbin", *steps]


async def test_several_flows_see_every_file(client: AsyncAIHub, hub: Emulator) -> None:
    hub.app("Size")(lambda document: {"size": len(document.text)})
    for name, app in (("a", "Invoices"), ("b", "Size")):
        await client.files.write(f"{ROOT}/flows/{name}.ibflow", json.dumps({"app": app}).encode())
    await client.files.write(f"{ROOT}/in/a.txt", TEXT)
    await (await client.flows.compile(ROOT, "Flows", flows_dir="flows")).wait(timeout=10)
    run = await client.flows.run(f"{ROOT}/build/bin/flows.ibflowbin", f"{ROOT}/in")
    assert [dict(record.values) async for record in run.iter_results()] == [
        {"Vendor": "Acme", "Total": "42"},
        {"size": str(len(TEXT) - 1)},
    ]


async def test_a_flow_that_is_not_there_fails_to_compile(client: AsyncAIHub) -> None:
    job = await client.flows.compile(ROOT, flow_file="none.ibflow")
    with pytest.raises(RunFailedError, match=r"none\.ibflow"):
        await job


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("Single Flow", {}, "flow_file"),
        ("Single Flow", {"flow_file": "a", "flows_dir": "b"}, "flows_dir"),
        ("Metaflow", {"flows_dir": "a"}, "metaflow_file, classifier_file"),
        ("Flows", {}, "flows_dir"),
        ("Flows", {"flows_dir": "a", "classifier_file": "b"}, "classifier_file"),
        ("Other", {}, "binary_type"),
    ],
)
async def test_each_kind_of_binary_needs_its_own_settings(
    recorder, offline: AsyncAIHub, kind: str, settings: dict, problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        await offline.flows.compile(ROOT, kind, **settings)
    assert recorder.sent == []


async def test_compile_sends_what_is_documented(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"status": "OK", "job_id": "j"})
    job = await offline.flows.compile(
        "root",
        "Metaflow",
        flows_dir="flows",
        metaflow_file="m.ibmetaflow",
        classifier_file="c.ibclassifier",
        predefined_binary_path="bin",
        settings={"is_flow_v3": True},
    )
    assert job.id == "j"
    assert recorder.line == "POST /v1/flow_binary/compile"
    assert recorder.json == {
        "flow_project_root": "root",
        "binary_type": "Metaflow",
        "predefined_binary_path": "bin",
        "settings": {
            "flows_dir": "flows",
            "metaflow_file": "m.ibmetaflow",
            "classifier_file": "c.ibclassifier",
            "is_flow_v3": True,
        },
    }


async def test_all_settings_travel(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"status": "OK", "data": {"job_id": "mine", "output_folder": "/o"}})
    settings = FlowSettings(
        output_has_run_id=True,
        delete_out_dir=False,
        log_to_timeline=True,
        notification_emails=["me@example.com"],
        tags=["a"],
        step_timeout=-1,
        pipeline_ids=["p"],
        save_binary_to_output=False,
        webhook_config=WebhookConfig("https://me.example/", {"X": "y"}),
        runtime_config={"k": "v"},
        log_prefix="org=Piston ",
        modify_output_schema={"remove_fields": ["a"]},
        priority=0,
    )
    await offline.flows.run("b", "i", "o", "mine", settings)
    assert recorder.json == {
        "binary_path": "b",
        "input_dir": "i",
        "output_dir": "o",
        "job_id": "mine",
        "settings": {
            "output_has_run_id": True,
            "delete_out_dir": False,
            "log_to_timeline": True,
            "notification_emails": ["me@example.com"],
            "tags": ["a"],
            "step_timeout": -1,
            "pipeline_ids": ["p"],
            "save_binary_to_output": False,
            "webhook_config": {"url": "https://me.example/", "headers": {"X": "y"}},
            "runtime_config": {
                "k": "v",
                "log_prefix": "org=Piston ",
                "modify_output_schema": '{"remove_fields":["a"]}',
            },
            "priority": 0,
        },
    }


async def test_a_schema_in_a_dict_is_made_a_text(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"status": "OK", "data": {"job_id": "j"}})
    given = {"runtime_config": {"modify_output_schema": {"rename_fields": {"a": "b"}}}}
    await offline.flows.run("b", "i", settings=given)
    sent = recorder.json["settings"]["runtime_config"]["modify_output_schema"]
    assert json.loads(sent) == {"rename_fields": {"a": "b"}}
    assert given == {"runtime_config": {"modify_output_schema": {"rename_fields": {"a": "b"}}}}


@pytest.mark.parametrize(
    "settings",
    [
        {"priority": 10},
        {"priority": -1},
        {"step_timeout": -2},
        {"runtime_config": {"modify_output_schema": {"drop_fields": []}}},
    ],
)
async def test_settings_out_of_range_are_refused(recorder, offline: AsyncAIHub, settings: dict) -> None:
    with pytest.raises(InvalidRequestError):
        await offline.flows.run("b", "i", settings=settings)
    with pytest.raises(InvalidRequestError):
        FlowSettings(**{"tags": "one text"} if "runtime_config" in settings else settings)
    assert recorder.sent == []


@pytest.mark.parametrize("job_id", ["", "x" * 51])
async def test_a_job_id_has_50_characters_at_most(recorder, offline: AsyncAIHub, job_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="50"):
        await offline.flows.run("b", "i", job_id=job_id)
    assert recorder.sent == []


async def test_the_output_schema_changes(client: AsyncAIHub) -> None:
    binary = await compiled(client)
    changes = {
        "add_fields": [{"name": "greeting", "formula": "echo('hello')"}],
        "remove_fields": ["Vendor"],
        "rename_fields": {"Total": "sum"},
    }
    run = await client.flows.run(binary, f"{ROOT}/in", settings=FlowSettings(modify_output_schema=changes))
    assert [dict(record.values) async for record in run.iter_results()] == [{"sum": "42", "greeting": "hello"}]


async def test_an_unclear_start_is_looked_up_and_not_doubled(client: AsyncAIHub, hub: Emulator) -> None:
    binary = await compiled(client)
    hub.faults.add(Fault(kind="reset-after", operation="runFlowBinary", times=1))
    run = await client.flows.run(binary, f"{ROOT}/in", job_id="mine")
    assert run.id == "mine"
    assert [record.file_name async for record in run.iter_results()] == ["a.txt"]
    assert hub.requests.count("runFlowBinary") == 1
    assert len(hub.runs()) == 1


async def test_an_unclear_start_that_did_not_happen_stays_unclear(client: AsyncAIHub, hub: Emulator) -> None:
    binary = await compiled(client)
    hub.faults.add(Fault(kind="reset-before", operation="runFlowBinary", times=1))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.with_options(reconcile_for=0.1).flows.run(binary, f"{ROOT}/in", job_id="mine")
    assert hub.runs() == []
    await client.flows.run(binary, f"{ROOT}/in", job_id="mine")
    assert caught.value.reconcile is not None
    assert (await caught.value.reconcile()).id == "mine"


async def test_a_job_id_is_used_once(client: AsyncAIHub) -> None:
    binary = await compiled(client)
    await client.flows.run(binary, f"{ROOT}/in", job_id="mine")
    with pytest.raises(LegacyAPIError, match="already"):
        await client.flows.run(binary, f"{ROOT}/in", job_id="mine")


async def test_run_sync_gives_json_and_csv(client: AsyncAIHub, hub: Emulator) -> None:
    binary = await compiled(client)
    results = await client.flows.run_sync(binary, {"x.txt": TEXT, "y.txt": b"Vendor: Bolt\n"})
    assert [record.values["Vendor"] for record in results.records] == ["Acme", "Bolt"]
    assert results.csv is None
    table = await client.flows.run_sync(binary, {"x.txt": TEXT}, result_format="csv")
    assert table.csv is not None
    assert table.csv.splitlines() == ["file_name,Vendor,Total", "x.txt,Acme,42"]
    assert table.records == []
    assert hub.runs() == []


async def test_an_object_with_an_odd_number_is_no_csv(recorder, offline: AsyncAIHub) -> None:
    recorder.says(b'{"records":[],"job_id":"j","score":NaN}')
    results = await offline.flows.run_sync("b", {"x": b"1"}, "csv")
    assert (results.csv, results.job_id) == (None, "j")


@pytest.mark.parametrize(("body", "text"), [(b"a,b\r\n1,2\r\n", "a,b\r\n1,2\r\n"), (b'"a,b"', "a,b"), (b"7", "7")])
async def test_csv_is_taken_in_any_form(recorder, offline: AsyncAIHub, body: bytes, text: str) -> None:
    recorder.says(body, Content_Type="text/csv")
    assert (await offline.flows.run_sync("b", {"x": b"1"}, "csv")).csv == text


async def test_run_sync_takes_five_files(recorder, offline: AsyncAIHub) -> None:
    with pytest.raises(InvalidRequestError, match=r"6 files.*run\(\)"):
        await offline.flows.run_sync("b", {str(number): b"x" for number in range(6)})
    with pytest.raises(InvalidRequestError, match="result_format"):
        await offline.flows.run_sync("b", {"x": b"x"}, "xml")
    assert recorder.sent == []


async def test_a_paused_job_pauses_and_goes_on(client: AsyncAIHub, hub: Emulator) -> None:
    hub.hold_runs()
    run = await client.flows.run(await compiled(client), f"{ROOT}/in")
    await client.flows.jobs.pause(run.id)
    assert (await run.refresh()).outcome == "PAUSED"
    hub.release_runs()
    assert (await run.refresh()).outcome == "PAUSED"
    await client.flows.jobs.resume(run.id)
    assert (await run.wait(timeout=10)).outcome == "COMPLETE"
    with pytest.raises(LegacyAPIError, match="COMPLETE"):
        await client.flows.jobs.pause(run.id)


async def test_a_cancelled_job_is_cancelled_and_can_be_retried(client: AsyncAIHub, hub: Emulator) -> None:
    hub.hold_runs()
    run = await client.flows.run(await compiled(client), f"{ROOT}/in")
    await client.flows.jobs.cancel(run.id)
    with pytest.raises(RunCancelledError):
        await run
    await client.flows.jobs.retry(run.id)
    hub.release_runs()
    assert (await client.flows.jobs.wait(run.id, timeout=10)).outcome == "COMPLETE"


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "retry"])
async def test_the_unverified_routes_can_be_set(recorder, offline: AsyncAIHub, action: str) -> None:
    recorder.says({"status": "OK"})
    call = getattr(offline.flows.jobs, action)
    await call("j-1")
    assert (recorder.line, recorder.json) == (f"POST /v1/jobs/{action}", {"job_id": "j-1", "type": "flow"})
    await call("j-1", path=f"/v1/flow/jobs/{{job_id}}/{action}")
    assert recorder.line == f"POST /v1/flow/jobs/j-1/{action}"
    for path in ("v1/x", "/v1/../x", "/v1/x?y=1"):
        with pytest.raises(InvalidRequestError):
            await call("j-1", path=path)
    assert len(recorder.sent) == 2


async def test_a_route_that_the_server_has_elsewhere_is_a_404(client: AsyncAIHub) -> None:
    with pytest.raises(NotFoundError):
        await client.flows.jobs.pause("j", path="/v1/elsewhere")


async def test_a_file_that_changes_while_it_is_encoded_is_refused(
    recorder, offline: AsyncAIHub, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    measure = named_files.named_bodies

    async def measure_and_cut(files):
        bodies = await measure(files)
        path.write_bytes(b"x")
        return bodies

    monkeypatch.setattr(named_files, "named_bodies", measure_and_cut)
    with pytest.raises(SourceChangedError):
        await offline.flows.run_sync("b", [path])
    assert recorder.sent == []
