import base64
import io
import json
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    InvalidRequestError,
    LegacyAPIError,
    NotFoundError,
    ProtocolError,
    RunCancelledError,
    RunFailedError,
    RunNeedsReviewError,
    SourceError,
    WaitTimeoutError,
)
from aihub_async.models import LegacyJobStatus
from aihub_async.resources import named_files
from aihub_async.webhooks.receiver import WebhookReceiver

INVOICE = b"Vendor: Acme\nTotal: 42\n"


async def batch_of(client: AsyncAIHub, files: dict[str, bytes]) -> int:
    batch = await client.batches.create("legacy")
    for name, content in files.items():
        await client.batches.add_file(batch.id, name, content)
    return batch.id


async def test_a_run_by_id_is_awaited_and_read(client: AsyncAIHub, hub: Emulator) -> None:
    batch_id = await batch_of(client, {"a.txt": INVOICE, "b.txt": b"Vendor: Bolt\n"})
    run = await client.legacy.apps.run(hub.app_id("key-values"), batch_id=batch_id)
    job = await run
    assert job.outcome == "COMPLETE"
    assert job.progress == 1
    assert job.output_folder is not None
    records = [record async for record in run.iter_results()]
    assert [(record.file_name, dict(record.values)) for record in records] == [
        ("a.txt", {"Vendor": "Acme", "Total": "42"}),
        ("b.txt", {"Vendor": "Bolt"}),
    ]
    assert [record.file_index for record in records] == [0, 1]
    assert hub.requests.count("runLegacyApp") == 1


async def test_a_run_by_name_takes_a_folder(client: AsyncAIHub, hub: Emulator) -> None:
    await client.files.write("acme/ws/fs/Drive/in/a.txt", INVOICE)
    run = await client.legacy.apps.run_by_name(
        "Invoices", input_dir="acme/ws/fs/Drive/in", owner="instabase", output_dir="acme/ws/fs/Drive/out"
    )
    assert (await run.wait(timeout=10)).output_folder == "/acme/ws/fs/Drive/out"
    names = [node.name async for node in client.files.iter_folder("acme/ws/fs/Drive/out")]
    assert "batch.ibflowresults" in names


async def test_the_batch_id_travels_as_text(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"job_id": "j"})
    await offline.legacy.apps.run("app", batch_id=7, output_workspace="ws", settings={"tags": ["t"]})
    assert recorder.line == "POST /v2/zero-shot-idp/projects/app/app/run"
    assert recorder.json == {"batch_id": "7", "output_workspace": "ws", "settings": {"tags": ["t"]}}


@pytest.mark.parametrize("given", [{}, {"batch_id": 1, "input_dir": "a/b"}])
async def test_a_run_needs_one_input(recorder, offline: AsyncAIHub, given: dict) -> None:
    with pytest.raises(InvalidRequestError, match="batch_id and input_dir"):
        await offline.legacy.apps.run_by_name("app", **given)
    assert recorder.sent == []


async def test_run_sync_encodes_paths_bytes_and_streams(client: AsyncAIHub, hub: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(INVOICE)
    files = [str(path), ("b.txt", b"Vendor: Bolt\n"), ("c.txt", io.BytesIO(b"Vendor: Cog\n")), ("d.txt", path)]
    results = await client.legacy.apps.run_sync(hub.app_id("key-values"), files)
    assert [(record.file_name, record.values["Vendor"]) for record in results.records] == [
        ("a.txt", "Acme"),
        ("b.txt", "Bolt"),
        ("c.txt", "Cog"),
        ("d.txt", "Acme"),
    ]
    assert results.binary_path is not None
    assert hub.runs() == []


async def test_run_sync_sends_base64(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"response": {"records": []}})
    await offline.legacy.apps.run_sync("app", {"a.bin": b"\x00\xff"})
    assert recorder.json == {"files": [{"file_name": "a.bin", "file_content": base64.b64encode(b"\x00\xff").decode()}]}


async def test_run_sync_refuses_what_the_api_does_not_take(
    recorder, offline: AsyncAIHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(named_files, "MAX_FILE_BYTES", 3)
    monkeypatch.setattr(named_files, "MAX_REQUEST_BYTES", 5)
    for files, problem in (
        ([], "no files"),
        ({"a": b"1234"}, "per file"),
        ({"a": b"123", "b": b"123"}, "together"),
        (b"content", "list of files"),
        ([b"content"], "need a name"),
        ({"a": "text"}, "str could be"),
    ):
        with pytest.raises(InvalidRequestError, match=problem):
            await offline.legacy.apps.run_sync("app", files)
    with pytest.raises(SourceError):
        await offline.legacy.apps.run_sync("app", [tmp_path / "absent"])
    assert recorder.sent == []


async def test_an_error_with_status_200_is_an_exception(client: AsyncAIHub) -> None:
    with pytest.raises(LegacyAPIError, match="There is no job nothing") as caught:
        await client.legacy.jobs.status("nothing")
    assert caught.value.status == 200
    with pytest.raises(LegacyAPIError):
        await client.legacy.jobs.wait("nothing", timeout=5)


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("status", ["ERROR", "error"])
async def test_an_error_is_never_a_success(recorder, offline: AsyncAIHub, prefix: bytes, status: str) -> None:
    answer = {"status": status, "msg": "no", "job_id": "j", "state": "DONE", "data": {"job_id": "j"}, "records": []}
    recorder.says(prefix + json.dumps(answer).encode())
    calls = (
        lambda: offline.legacy.jobs.status("j"),
        offline.legacy.jobs.list,
        lambda: offline.legacy.apps.run("app", batch_id=1),
        lambda: offline.legacy.apps.run_sync("app", {"a": b"1"}),
        lambda: offline.legacy.results("a/b").next_page(),
        lambda: offline.flows.run("a", "b"),
        lambda: offline.flows.run_sync("a", {"a": b"1"}),
        lambda: offline.flows.compile("a", flow_file="b"),
        lambda: offline.flows.jobs.pause("j"),
        lambda: offline.files.mount("a", "b", {"client_type": "S3"}),
        offline.audit.logs,
    )
    for call in calls:
        with pytest.raises(LegacyAPIError):
            await call()


async def test_a_login_page_is_a_protocol_error(recorder, offline: AsyncAIHub) -> None:
    recorder.says(b"<html>sign in</html>", Content_Type="text/html")
    with pytest.raises(ProtocolError):
        await offline.legacy.jobs.status("j")


def cur(status: str) -> str:
    return json.dumps({"status": status, "curProgress": 0.5, "finish_timestamp": 1700000000})


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({}, "RUNNING"),
        ({"state": "PENDING"}, "RUNNING"),
        ({"state": "PENDING", "cur_status": cur("PAUSED")}, "PAUSED"),
        ({"state": "PENDING", "cur_status": cur("STOPPED_AT_CHECKPOINT")}, "STOPPED_AT_CHECKPOINT"),
        ({"state": "PENDING", "cur_status": cur("COMPLETE")}, "RUNNING"),
        ({"state": "PENDING", "cur_status": "{broken"}, "RUNNING"),
        ({"state": "DONE", "cur_status": cur("COMPLETE"), "results": [{"status": "OK"}]}, "COMPLETE"),
        ({"state": "COMPLETE", "results": [{"status": "OK"}]}, "COMPLETE"),
        ({"state": "DONE", "results": [{"status": "OK"}, {"status": "ERROR", "msg": "bad"}]}, "FAILED"),
        ({"state": "DONE", "cur_status": cur("CANCELLED"), "results": [{"status": "ERROR"}]}, "CANCELLED"),
        ({"state": "DONE", "cur_status": {"status": "FAILED"}}, "FAILED"),
        ({"state": "DONE", "cur_status": cur("STOPPED_AT_CHECKPOINT")}, "STOPPED_AT_CHECKPOINT"),
        ({"state": "FAILED"}, "FAILED"),
    ],
)
def test_states_are_folded_into_those_of_v2(answer: dict, outcome: str) -> None:
    assert LegacyJobStatus.from_dict(answer).outcome == outcome


def test_json_inside_json_is_decoded() -> None:
    job = LegacyJobStatus.from_dict({"state": "PENDING", "cur_status": cur("RUNNING")})
    assert (job.current.status, job.progress, job.current.finish_timestamp) == ("RUNNING", 0.5, 1700000000)
    assert LegacyJobStatus.from_dict({"results": [{"status": "ERROR", "msg": "bad"}], "msg": "x"}).message == "bad"


@pytest.mark.parametrize(
    ("outcome", "error"), [("FAILED", RunFailedError), ("STOPPED_AT_CHECKPOINT", RunNeedsReviewError)]
)
async def test_other_ends_raise_as_in_v2(client: AsyncAIHub, hub: Emulator, outcome: str, error: type) -> None:
    hub.app("Other", outcome=outcome)(lambda _: {})
    batch_id = await batch_of(client, {"a.txt": INVOICE})
    run = await client.legacy.apps.run_by_name("Other", batch_id=batch_id)
    with pytest.raises(error) as caught:
        await run
    assert (caught.value.run.id, caught.value.run.status) == (run.id, outcome)
    if outcome == "FAILED":
        with pytest.raises(RunFailedError):
            await run.iter_results().next_page()


async def test_a_review_can_be_waited_through(client: AsyncAIHub, hub: Emulator) -> None:
    hub.app("Reviewed", outcome="STOPPED_AT_CHECKPOINT")(lambda _: {})
    run = await client.legacy.apps.run_by_name("Reviewed", batch_id=await batch_of(client, {"a.txt": INVOICE}))
    await hub.idle()
    assert (await run.refresh()).outcome == "STOPPED_AT_CHECKPOINT"
    hub.complete_review(run.id)
    assert (await run.wait(through_review=True, timeout=10)).outcome == "COMPLETE"


async def test_a_wait_that_runs_out_says_how_to_go_on(client: AsyncAIHub, hub: Emulator) -> None:
    hub.hold_runs()
    run = await client.legacy.apps.run_by_name("Invoices", batch_id=await batch_of(client, {"a.txt": INVOICE}))
    with pytest.raises(WaitTimeoutError, match=r"client\.legacy\.jobs\.wait") as caught:
        await run.wait(timeout=0.05)
    assert caught.value.id == run.id
    hub.cancel_run(run.id)
    with pytest.raises(RunCancelledError):
        await client.legacy.jobs.wait(run.id, timeout=10)


async def test_results_are_paged_by_files(client: AsyncAIHub, hub: Emulator) -> None:
    batch_id = await batch_of(client, {f"{number:02}.csv": b"k\n1\n2\n" for number in range(25)})
    run = await client.legacy.apps.run_by_name("Invoices", batch_id=batch_id)
    folder = (await run).output_folder
    assert folder is not None
    pages = client.legacy.results(folder, include_page_layouts=True)
    first = await pages.next_page()
    assert first is not None
    assert len(first) == 40
    assert first[0].extra["page_layouts"]
    assert len([record async for record in pages]) == 10
    assert len([record async for record in client.legacy.results(f"{folder}/batch.ibflowresults", 24)]) == 2
    with pytest.raises(LegacyAPIError):
        await client.legacy.results("acme/none").next_page()


async def test_jobs_are_listed_page_by_page(client: AsyncAIHub, hub: Emulator) -> None:
    batch_id = await batch_of(client, {"a.txt": INVOICE})
    runs = [await client.legacy.apps.run_by_name("Invoices", batch_id=batch_id) for _ in range(3)]
    for run in runs:
        await run
    assert [job.job_id async for job in client.legacy.jobs.iter(page_size=2)] == [run.id for run in runs[::-1]]
    assert hub.requests.count("listLegacyJobs") == 2
    listed = await client.legacy.jobs.list(limit=1)
    assert len(listed.jobs) == 1
    assert listed.next_page


async def test_the_next_page_is_never_asked_elsewhere(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"jobs": [{"job_id": "a"}], "next_page": "https://evil.example/v1/jobs/list?finish_time=5&limit=1"})
    recorder.says({"jobs": []})
    assert len([job async for job in offline.legacy.jobs.iter()]) == 1
    assert recorder.line == "GET /v1/jobs/list"
    assert recorder.query == [("finish_time", "5"), ("limit", "1")]


async def test_an_api_root_with_api_finds_both_versions(client: AsyncAIHub, hub: Emulator) -> None:
    assert hub.api_root.endswith("/api")
    with pytest.raises(LegacyAPIError):
        await client.legacy.jobs.status("x")
    with pytest.raises(NotFoundError):
        await client.jobs.status("x")
    assert [record.path.partition("?")[0] for record in hub.requests.records] == [
        "/api/v1/jobs/status",
        "/api/v2/jobs/x",
    ]


async def test_a_webhook_header_that_comes_back_is_hidden(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"status": "ERROR", "msg": "cannot call with hook-password-1"})
    settings = {"webhook_config": {"url": "https://me.example/", "headers": {"X-Token": "hook-password-1"}}}
    with pytest.raises(LegacyAPIError) as caught:
        await offline.flows.run("b", "i", settings=settings)
    assert "hook-password-1" not in f"{caught.value}{caught.value.body}"


@pytest.mark.parametrize("odd", ['"msg":"caf\\ud83d"', '"msg":"caf","n":NaN', '"msg":"caf","n":1e999'])
async def test_an_error_of_the_v1_api_is_found_in_any_json(recorder, offline: AsyncAIHub, odd: str) -> None:
    """msgspec refuses what servers written in Python send; such an error must not pass for an empty result."""
    recorder.says(f'{{"status":"ERROR",{odd}}}'.encode())
    calls = (
        lambda: offline.flows.run_sync("b", {"a": b"x"}),
        lambda: offline.flows.run("b", "in"),
        lambda: offline.flows.jobs.status("j"),
        offline.legacy.jobs.list,
        lambda: offline.legacy.apps.run_sync("b", {"a": b"x"}),
    )
    for call in calls:
        with pytest.raises(LegacyAPIError, match="caf") as caught:
            await call()
        str(caught.value).encode()


async def test_the_clients_webhook_ends_the_wait(hub: Emulator) -> None:
    receiver: WebhookReceiver | None = None

    async def handle(request: web.BaseRequest) -> web.Response:
        assert receiver is not None
        return await receiver.aiohttp_handler(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver = WebhookReceiver(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    try:
        async with AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root, webhooks=receiver) as client:
            hub.hold_runs()
            batch_id = await batch_of(client, {"a.txt": INVOICE})
            run = await client.legacy.apps.run_by_name("Invoices", batch_id=batch_id)
            async with anyio.create_task_group() as tasks:
                seen: list[str] = []

                async def wait() -> None:
                    # Without the webhook the second look would come after an hour.
                    seen.append((await run.wait(timeout=60, poll_interval=3600)).outcome)

                tasks.start_soon(wait)
                while not hub.requests.count("legacyJobStatus"):
                    await anyio.sleep(0.01)
                hub.release_runs()
            assert seen == ["COMPLETE"]
    finally:
        await receiver.aclose()
        await runner.cleanup()


async def test_outages_are_waited_through(client: AsyncAIHub, hub: Emulator) -> None:
    run = await client.legacy.apps.run_by_name("Invoices", batch_id=await batch_of(client, {"a.txt": INVOICE}))
    hub.faults.add(Fault(kind="status", operation="legacyJobStatus", status=503, times=1))
    assert (await run.wait(timeout=30)).outcome == "COMPLETE"
