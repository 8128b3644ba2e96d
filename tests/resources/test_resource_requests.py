"""What each operation sends, to the last field; what is refused before anything is sent."""

import io
from pathlib import Path

import pytest

from aihub_async import errors
from aihub_async.models import RunSettings, RunStatus
from aihub_async.models.settings import WebhookConfig

RUN = {"id": "r1", "status": "RUNNING"}


async def content_of(request) -> bytes:
    chunks: list[bytes] = []

    async def write(chunk):
        chunks.append(bytes(chunk))

    await request.body.write_to(write)
    return b"".join(chunks)


def without_tag(body):
    """The body of a run without the tag that the client adds, which must be there exactly once."""
    *tags, own = body["settings"]["tags"]
    assert own.startswith("aihub-sdk:")
    assert not any(tag.startswith("aihub-sdk:") for tag in tags)
    return {**body, "settings": {**body["settings"], "tags": tags}}


async def test_create_batch(offline, recorder):
    recorder.says({"id": 7})
    assert (await offline.batches.create("märz", workspace="ws")).id == 7
    assert recorder.line == "POST /v2/batches"
    assert recorder.json == {"name": "märz", "workspace": "ws"}
    await offline.batches.create("x" * 255)
    assert recorder.json == {"name": "x" * 255}


async def test_list_batches_sends_zero(offline, recorder):
    recorder.says({"batches": []})
    await offline.batches.list("w s&", "john.doe_acme.com", 0, 0)
    assert recorder.query == [
        ("workspace", "w s&"),
        ("username", "john.doe_acme.com"),
        ("limit", "0"),
        ("offset", "0"),
    ]
    await offline.batches.list()
    assert recorder.last.query == ""


async def test_batch_ids_may_be_text_or_zero(offline, recorder):
    recorder.says({"id": 0, "name": "zero"})
    assert (await offline.batches.get(0)).id == 0
    assert recorder.line == "GET /v2/batches/0"
    await offline.batches.get("12345")
    assert recorder.line == "GET /v2/batches/12345"


async def test_delete_batch(offline, recorder):
    recorder.says({"job_id": "j"}, 202)
    assert (await offline.batches.delete(5)).job_id == "j"
    assert recorder.line == "DELETE /v2/batches/5"


async def test_list_files(offline, recorder):
    recorder.says({"nodes": [], "has_more": False})
    await offline.batches.list_files(5, page_size=2, start_token="t/=")
    assert recorder.line == "GET /v2/batches/5/files"
    assert recorder.query == [("page_size", "2"), ("start_token", "t/=")]


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "file", "stream"])
async def test_add_file_takes_bytes_paths_and_files(offline, recorder, tmp_path, kind):
    file = tmp_path / "local.bin"
    file.write_bytes(b"content")
    recorder.says(status=204)
    with file.open("rb") as opened:
        content = {
            "bytes": b"content",
            "bytearray": bytearray(b"content"),
            "memoryview": memoryview(b"content"),
            "path": file,
            "file": opened,
            "stream": io.BytesIO(b"content"),
        }[kind]
        assert await offline.batches.add_file(5, "a/b ?.pdf", content) is None
        assert recorder.line == "PUT /v2/batches/5/files/a%2Fb%20%3F.pdf"
        assert recorder.last.body.content_type == "application/octet-stream"
        assert recorder.last.body.length == 7
        assert await content_of(recorder.last) == b"content"


async def test_a_str_is_never_taken_for_a_path(offline, recorder, tmp_path):
    file = tmp_path / "secret.txt"
    file.write_text("private")
    for call in (
        lambda: offline.batches.add_file(1, "a.txt", str(file)),
        lambda: offline.files.write("/a.txt", str(file)),
        lambda: offline.files.write("/a.txt", io.StringIO("text")),
        lambda: offline.request("PUT", "/v2/x", content=str(file)),
        lambda: offline.batches.upload_multipart_part("s", 1, str(file)),
    ):
        with pytest.raises(errors.InvalidRequestError):
            await call()
    assert recorder.sent == []


async def test_delete_file_gives_the_job_of_the_location(offline, recorder):
    recorder.says(status=202, Location="https://elsewhere.example/api/v2/jobs/j-1")
    job = await offline.batches.delete_file(5, "a.txt")
    assert (job.job_id, job.location) == ("j-1", "https://elsewhere.example/api/v2/jobs/j-1")
    recorder.answers.clear()
    recorder.says(status=202)
    assert (await offline.batches.delete_file(5, "a.txt")).job_id is None
    assert recorder.line == "DELETE /v2/batches/5/files/a.txt"


async def test_poll_job_and_job_status(offline, recorder):
    recorder.says({"state": "PENDING", "message": "soon"})
    assert (await offline.batches.poll_job("j-1")).state == "PENDING"
    assert recorder.line == "GET /v2/batches/jobs/j-1"
    assert (await offline.jobs.status("j-1")).message == "soon"
    assert recorder.line == "GET /v2/jobs/j-1"


async def test_multipart_session_part_and_commit(offline, recorder):
    # 12: the location of another host is kept as a value, and never asked.
    recorder.says({"session_id": "s-1", "part_size": 5}, 201, Location="https://evil.example/sessions/s-1")
    session = await offline.batches.create_multipart_upload_session("12", "a.pdf", 0)
    assert recorder.line == "POST /v2/batches/multipart-upload"
    assert recorder.json == {"batch_id": 12, "filename": "a.pdf", "file_size": 0}
    assert (session.session_id, session.part_size) == ("s-1", 5)
    assert session.location == "https://evil.example/sessions/s-1"
    recorder.answers.clear()
    recorder.says({"part_id": "p", "part_num": 1}, 201)
    part = await offline.batches.upload_multipart_part(session.session_id, 1, b"12345")
    assert recorder.line == "PUT /v2/batches/multipart-upload/sessions/s-1/parts/1"
    await offline.batches.commit_multipart_upload_session("s-1", "commit", [part, {"part_num": 2, "part_id": "q"}])
    assert recorder.line == "POST /v2/batches/multipart-upload/sessions/s-1"
    assert recorder.json == {
        "action": "commit",
        "parts": [{"part_num": 1, "part_id": "p"}, {"part_num": 2, "part_id": "q"}],
    }
    await offline.batches.commit_multipart_upload_session("s-1", "abort")
    assert recorder.json == {"action": "abort"}


async def test_run_app_sends_every_field(offline, recorder):
    recorder.says(RUN)
    settings = {
        "keys": {"custom": {"a": 0, "b": None}, "secret": {"c": "alias"}},
        "runtime_config": {"generate_post_process_pdf": False, "log_prefix": "x", "brand_new": {"deep": [1]}},
        "webhook_config": {"url": "https://me.example/hook", "headers": {"X-T": "1"}},
        "tags": ["march", "2026"],
        "unheard_of": True,
    }
    run = await offline.apps.runs.create(
        app_name="Invoices",
        batch_id=0,
        output_dir="/o",
        owner="instabase",
        version="1.2.3",
        output_workspace="ws",
        settings=settings,
    )
    assert run.id == "r1"
    assert recorder.line == "POST /v2/apps/runs"
    assert without_tag(recorder.json) == {
        "app_name": "Invoices",
        "owner": "instabase",
        "batch_id": 0,
        "version": "1.2.3",
        "output_workspace": "ws",
        "output_dir": "/o",
        "settings": settings,
    }
    await offline.apps.runs.create(app_id="a-1", input_dir="/in")
    assert without_tag(recorder.json) == {"app_id": "a-1", "input_dir": "/in", "settings": {"tags": []}}
    await offline.apps.runs.create("Invoices", None, "12")
    assert without_tag(recorder.json) == {"app_name": "Invoices", "batch_id": 12, "settings": {"tags": []}}


async def test_run_settings_as_a_class(offline, recorder):
    recorder.says(RUN)
    settings = RunSettings(
        custom={"k": 1},
        secret={"s": "alias"},
        generate_post_process_pdf=True,
        pdf_passwords={"a.pdf": "pw"},
        runtime_config={"new_key": 0},
        webhook_config=WebhookConfig("https://me.example", {"X-T": "1"}),
        tags=["t"],
    )
    await offline.apps.runs.create(app_name="a", batch_id=1, settings=settings)
    assert without_tag(recorder.json)["settings"] == {
        "keys": {"custom": {"k": 1}, "secret": {"s": "alias"}},
        "runtime_config": {
            "new_key": 0,
            "generate_post_process_pdf": True,
            "instabase": {"pdf": {"passwords": {"a.pdf": "pw"}}},
        },
        "webhook_config": {"url": "https://me.example", "headers": {"X-T": "1"}},
        "tags": ["t"],
    }
    assert set(recorder.last.secrets.reveal()) == {"pw", "1"}
    assert "pw" not in repr(recorder.last)


async def test_run_deployment_sends_every_field(offline, recorder):
    recorder.says(RUN, 202)
    await offline.apps.deployments.runs.create(
        "d-1",
        manual_upstream_integration=True,
        from_timestamp=0,
        to_timestamp=1_700_000_000_000,
        version="1",
        output_workspace="ws",
        output_dir="/o",
        settings={"tags": []},
    )
    assert recorder.line == "POST /v2/apps/deployments/d-1/runs"
    assert without_tag(recorder.json) == {
        "manual_upstream_integration": True,
        "from_timestamp": 0,
        "to_timestamp": 1_700_000_000_000,
        "version": "1",
        "output_workspace": "ws",
        "output_dir": "/o",
        "settings": {"tags": []},
    }
    await offline.apps.deployments.runs.create("d-1", batch_id=0, manual_upstream_integration=False)
    assert without_tag(recorder.json) == {
        "batch_id": 0,
        "manual_upstream_integration": False,
        "settings": {"tags": []},
    }


async def test_list_runs_sends_every_filter(offline, recorder):
    recorder.says({"runs": []})
    await offline.apps.runs.list(
        app_id="a",
        app_name="n",
        deployment_id="d",
        username="u",
        run_id="r",
        status=[RunStatus.RUNNING, "FAILED"],
        output_workspaces="ws",
        from_timestamp=0,
        to_timestamp=1_700_000_000,
        limit=0,
        offset=0,
        sort_by="status",
        order="DESCENDING",
    )
    assert recorder.line == "GET /v2/apps/runs"
    assert recorder.query == [
        *(("app_id", "a"), ("app_name", "n"), ("deployment_id", "d"), ("username", "u"), ("run_id", "r")),
        *(("status", "RUNNING"), ("status", "FAILED"), ("output_workspaces", "ws")),
        *(("from_timestamp", "0"), ("to_timestamp", "1700000000"), ("limit", "0"), ("offset", "0")),
        *(("sort_by", "status"), ("order", "DESCENDING")),
    ]
    await offline.apps.runs.list(status="RUNNING")
    assert recorder.query == [("status", "RUNNING")]


async def test_results_flags(offline, recorder):
    recorder.says({"files": []})
    await offline.apps.runs.results("r", 0, True, True, True, True)
    assert recorder.line == "GET /v2/apps/runs/r/results"
    assert dict(recorder.query) == {
        "file_offset": "0",
        "include_confidence_scores": "true",
        "include_source_info": "true",
        "include_review_results": "true",
        "include_validation_results": "true",
    }
    await offline.apps.runs.results("r")
    assert recorder.query == []


async def test_delete_run_says_what_to_delete(offline, recorder):
    recorder.says({"delete_input_dir_job_id": "i", "delete_output_dir_job_id": None}, 202)
    deletion = await offline.apps.runs.delete("r", delete_input=False, delete_logs=False)
    assert recorder.line == "DELETE /v2/apps/runs/r"
    assert dict(recorder.query) == {
        "delete_db_data": "true",
        "delete_input": "false",
        "delete_output": "true",
        "delete_logs": "false",
    }
    assert deletion.job_ids == ("i",)


async def test_read_write_head_and_delete_of_files(offline, recorder):
    recorder.says(b"hello")
    assert await offline.files.read("/org/ws/fs/My Drive/a b.txt") == b"hello"
    assert recorder.line == "GET /v2/files/org/ws/fs/My%20Drive/a%20b.txt"
    assert recorder.query == [("expect-node-type", "file")]
    await offline.files.read("x", "folder", ib_retry_config={"retries": 3, "backoff-seconds": 5})
    assert recorder.query == [("expect-node-type", "folder")]
    assert recorder.last.headers.reveal() == {"IB-Retry-Config": '{"retries":3,"backoff-seconds":5}'}
    await offline.files.write("/a.txt", b"x", if_none_match=True)
    assert recorder.line == "PUT /v2/files/a.txt"
    assert recorder.last.headers.reveal() == {"If-None-Match": "*"}
    await offline.files.write("/a.txt", b"x")
    assert recorder.last.headers is None
    recorder.answers.clear()
    recorder.says(b"", Content_Type="application/octet-stream", Content_Length="12")
    metadata = await offline.files.get_file_metadata("/a.txt")
    assert recorder.line == "HEAD /v2/files/a.txt"
    assert (metadata.size, metadata.is_folder) == (12, False)
    recorder.answers.clear()
    recorder.says(status=202, Location="/api/v2/jobs/j")
    assert (await offline.files.delete("/a.txt")).job_id == "j"
    assert recorder.line == "DELETE /v2/files/a.txt"


async def test_secrets(offline, recorder):
    recorder.says({"secrets": [{"alias": "a", "allowed_workspaces_type": "ALL"}]})
    assert await offline.secrets.create("a", "v", "SOME", "text", ["w"]) is None
    assert recorder.line == "POST /v2/aihub/secrets"
    assert recorder.json == {
        "alias": "a",
        "description": "text",
        "value": "v",
        "allowed_workspaces_type": "SOME",
        "allowed_workspaces": ["w"],
    }
    await offline.secrets.update("a", description="")
    assert recorder.line == "PATCH /v2/aihub/secrets"
    assert recorder.json == {"alias": "a", "description": ""}
    await offline.secrets.delete("a")
    assert recorder.line == "DELETE /v2/aihub/secrets"
    assert recorder.json == {"alias": "a"}
    assert (await offline.secrets.list("a", "w")).secrets[0].alias == "a"
    assert dict(recorder.query) == {"alias": "a", "workspace": "w"}


async def test_audit_logs(offline, recorder):
    recorder.says({"status": "OK", "data": {"results": [{"timestamp_millis": "5", "who": "x"}]}})
    logs = await offline.audit.logs(0, 10, "login_v2", "a@b", 0, "17")
    assert recorder.line == "POST /v1/auditlogs"
    assert recorder.json == {
        "start": 0,
        "size": 10,
        "log_type": "login_v2",
        "email": "a@b",
        "start_time": "0",
        "end_time": "17",
    }
    assert logs.results[0].extra == {"who": "x"}


async def test_escape_hatch(offline, recorder):
    recorder.says({"ok": True}, X_Request_ID="q")
    response = await offline.request(
        "post", "/v2/new/{thing}", params={"a": [1, 2], "b": None, "c": True}, json={"x": None}, headers={"X-A": "1"}
    )
    assert (response.json(), response.headers["x-request-id"]) == ({"ok": True}, "q")
    assert recorder.line == "POST /v2/new/%7Bthing%7D"
    assert recorder.query == [("a", "1"), ("a", "2"), ("c", "true")]
    assert recorder.json == {"x": None}
    assert recorder.last.headers.reveal() == {"X-A": "1"}
    await offline.request("PUT", "/v2/new", content=b"raw")
    assert await content_of(recorder.last) == b"raw"


async def test_conflicts_are_refused_before_anything_is_sent(offline, recorder, tmp_path):
    runs, deployments, batches = offline.apps.runs, offline.apps.deployments.runs, offline.batches
    for call in (
        lambda: runs.create(batch_id=1),
        lambda: runs.create(app_name="a", app_id="b", batch_id=1),
        lambda: runs.create(app_name="a"),
        lambda: runs.create(app_name="a", batch_id=1, input_dir="/x"),
        lambda: runs.create(app_name="a", batch_id="one"),
        lambda: runs.create(app_name="a", batch_id=1, settings={"tags": "text"}),
        lambda: runs.create(app_name="a", batch_id=1, settings={"tags": ["x" * 501]}),
        lambda: runs.create(app_name="a\ud800", batch_id=1),
        lambda: deployments.create("d"),
        lambda: deployments.create("d", batch_id=1, input_dir="/x"),
        lambda: deployments.create("d", batch_id=1, manual_upstream_integration=True),
        lambda: deployments.create("d", manual_upstream_integration=False),
        lambda: deployments.create("../runs", batch_id=1),
        lambda: runs.list(from_timestamp=1_700_000_000_000),
        lambda: batches.create(""),
        lambda: batches.create("x" * 256),
        lambda: batches.get("1/files"),
        lambda: batches.add_file(1, "..", b""),
        lambda: batches.delete_file(1, "."),
        lambda: batches.create_multipart_upload_session(1, "..", 5),
        lambda: batches.create_multipart_upload_session(1, "a", -1),
        lambda: batches.upload_multipart_part("s", 0, b""),
        lambda: batches.commit_multipart_upload_session("s", "finish"),
        lambda: offline.files.read("/a", range="5-6"),
        lambda: offline.files.read("/a/../b"),
        lambda: offline.files.write("/a", b""),
        lambda: offline.secrets.create("a", "v", "EVERYONE"),
        lambda: offline.secrets.create("a", "v", "SOME"),
        lambda: offline.secrets.create("a", "v\ud800", "ALL"),
        lambda: offline.secrets.create("a", "v", "SOME", None, "ws"),
        lambda: offline.jobs.status(""),
    ):
        with pytest.raises(errors.InvalidRequestError):
            await call()
    with pytest.raises(errors.SourceError):
        await batches.add_file(1, "a", Path(tmp_path))
    with pytest.raises(errors.ConfigurationError):
        await offline.files.read("/a", ib_retry_config="a\r\nb")
    assert recorder.sent == []


# An answer of another kind


READS = {
    "results": lambda client: client.apps.runs.results("r1"),
    "results of a deployment": lambda client: client.apps.deployments.runs.collect_results("r1"),
    "files of results": lambda client: client.apps.runs.iter_results("r1").next_page(),
    "batches": lambda client: client.batches.iter().next_page(),
    "files of a batch": lambda client: client.batches.iter_files(1).next_page(),
    "folder": lambda client: client.files.iter_folder("acme/folder").next_page(),
    "runs": lambda client: client.apps.runs.iter().next_page(),
    "secrets": lambda client: client.secrets.list(),
    "audit log": lambda client: client.audit.iter_logs().next_page(),
    "jobs": lambda client: client.legacy.jobs.iter().next_page(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_an_error_with_status_200_is_not_an_empty_result(offline, recorder, read):
    """A gateway's error that was read as an empty page would lose what the page has, silently."""
    recorder.says({"error": "backend unavailable"})
    with pytest.raises(errors.ProtocolError):
        await read(offline)


@pytest.mark.parametrize("body", [{"id": "r1", "status": "FAILED"}, {"files": []}, {}])
async def test_results_without_files(offline, recorder, body):
    recorder.says(body)
    assert (await offline.apps.runs.results("r1")).files == []
