"""Every method of the official SDK, an independent client, against the emulator."""

import hashlib
import io
import time

import pytest
from aihub import AIHub, AuditApi, GetAuditLogsRequest
from aihub.exceptions import (
    BadRequestException,
    ConflictException,
    NotFoundException,
    ServiceException,
    UnauthorizedException,
)

from aihub_async import operations
from aihub_async.emulator import Emulator, Fault, write_samples

PATH = "acme/jane/fs/Instabase Drive/in/a b.txt"


@pytest.fixture
def server():
    with Emulator(part_size=1000).in_thread() as hub:
        yield hub


@pytest.fixture
def sdk(server):
    client = AIHub(api_key=server.api_key, api_root=server.api_root, ib_context="acme")
    yield client
    client.batches.api_instance.api_client.rest_client.pool_manager.clear()


def finished(sdk, run_id):
    while (run := sdk.apps.runs.status(run_id)).status == "RUNNING":
        time.sleep(0.01)
    return run


def missing(sdk, path):
    try:
        sdk.files.read(path)
    except NotFoundException:
        return True
    return False


def uploaded(sdk, files):
    batch = sdk.batches.create("a batch")
    for name, content in files.items():
        sdk.batches.add_file(batch.id, name, content)
    return batch.id


def test_batches(sdk, server):
    batch = sdk.batches.create(name="March", workspace="sales")
    told = sdk.batches.get(batch.id)
    assert (told.name, told.workspace, told.repo_owner) == ("March", "sales", "acme")
    assert [each.id for each in sdk.batches.list(workspace="sales", limit=5, offset=0).batches] == [batch.id]
    assert sdk.batches.add_file(batch.id, "ü b?.txt", b"content") is None
    sdk.batches.add_file(batch.id, "stream.txt", io.BytesIO(b"from a stream"))
    page = sdk.batches.list_files(batch.id, page_size=1)
    assert page.has_more
    rest = sdk.batches.list_files(batch.id, page_size=1, start_token=page.next_page_token)
    assert [node.name for node in (*page.nodes, *rest.nodes)] == ["stream.txt", "ü b?.txt"]
    assert page.nodes[0].metadata.size == 13
    sdk.batches.delete_file(batch.id, "ü b?.txt")
    job = sdk.batches.delete(batch.id)
    while sdk.jobs.status(job.job_id).state != "COMPLETE":
        time.sleep(0.01)
    assert sdk.batches.poll_job(job.job_id).state == "COMPLETE"
    with pytest.raises(NotFoundException):
        sdk.batches.get(batch.id)


def test_multipart(sdk, server, tmp_path):
    content = bytes(range(256)) * 9
    batch_id = uploaded(sdk, {})
    session = sdk.batches.create_multipart_upload_session(batch_id, "big.bin", len(content))
    assert session.part_size == 1000
    parts = []
    for number, start in enumerate(range(0, len(content), session.part_size), 1):
        part = sdk.batches.upload_multipart_part(session.session_id, number, content[start : start + 1000])
        parts.append({"part_num": part.part_num, "part_id": part.part_id})
    assert sdk.batches.commit_multipart_upload_session(session.session_id, "commit", parts) is None
    local = tmp_path / "local.bin"
    local.write_bytes(content)
    sdk.batches.add_large_file(batch_id, "path.bin", str(local))
    sdk.batches.add_large_file(batch_id, "bytes.bin", content)
    digests = {(file.name, file.sha256) for file in server.batch_files(batch_id)}
    assert digests == {(name, hashlib.sha256(content).hexdigest()) for name in ("big.bin", "path.bin", "bytes.bin")}
    aborted = sdk.batches.create_multipart_upload_session(batch_id, "x", 5)
    sdk.batches.commit_multipart_upload_session(aborted.session_id, "abort")
    with pytest.raises(ConflictException):
        sdk.batches.upload_multipart_part(aborted.session_id, 1, b"12345")


def test_runs(sdk, server, tmp_path):
    files = {path.name: path.read_bytes() for path in write_samples(tmp_path)}
    batch_id = uploaded(sdk, files)
    run = sdk.apps.runs.create(app_name="Invoices", batch_id=batch_id, settings={"keys": {"custom": {"k": "v"}}})
    assert finished(sdk, run.id).status == "COMPLETE"
    results = sdk.apps.runs.results(
        run.id,
        file_offset=0,
        include_confidence_scores=True,
        include_source_info=True,
        include_review_results=True,
        include_validation_results=True,
    )
    assert [file.original_file_name for file in results.files] == sorted(files)
    fields = {field.field_name: field for field in results.files[2].documents[0].fields}
    assert fields["Total"].value == "$1,274.40"
    assert fields["Total"].source_coordinates[0].page_number == 0
    assert fields["Total"].confidence.model > 0.5
    assert not results.has_more
    listed = sdk.apps.runs.list(status=["COMPLETE"], app_name="Invoices", limit=10, sort_by="status", order="ASCENDING")
    assert [each.id for each in listed.runs] == [run.id]
    deleted = sdk.apps.runs.delete(run.id, delete_logs=False)
    assert deleted.delete_input_dir_job_id
    assert deleted.delete_log_dir_job_id is None
    with pytest.raises(NotFoundException):
        sdk.apps.runs.status(run.id)


def test_a_run_of_a_folder_by_app_id(sdk, server):
    sdk.files.write("acme/in/a.txt", b"Order: 7")
    run = sdk.apps.runs.create(app_id=server.app_id("key-values"), input_dir="/acme/in", output_workspace="w")
    assert finished(sdk, run.id).finish_timestamp > run.start_timestamp


def test_deployment_runs(sdk, server):
    server.deployment("daily", app="key-values")
    run = sdk.apps.deployments.runs.create("daily", batch_id=uploaded(sdk, {"a.txt": b"Order: 7"}))
    assert finished(sdk, run.id).status == "COMPLETE"
    assert [each.id for each in sdk.apps.runs.list(deployment_id="daily").runs] == [run.id]


def test_files(sdk):
    assert sdk.files.write(PATH, b"0123456789") is None
    assert bytes(sdk.files.read(PATH)) == b"0123456789"
    assert bytes(sdk.files.read(PATH, range="bytes=2-4")) == b"234"
    config = "{'retries': 2, 'backoff-seconds': 0}"
    metadata = sdk.files.get_file_metadata(PATH, ib_retry_config=config)
    assert metadata.headers["Content-Length"] == "10"
    sdk.files.delete(PATH)
    while not missing(sdk, PATH):
        time.sleep(0.01)


def test_secrets(sdk):
    sdk.secrets.create("db", "hunter2", "SOME", description="d", allowed_workspaces=["sales"])
    assert [secret.alias for secret in sdk.secrets.list(workspace="sales").secrets] == ["db"]
    sdk.secrets.update("db", description="new")
    (secret,) = sdk.secrets.list(alias="db").secrets
    assert (secret.description, secret.allowed_workspaces) == ("new", ["sales"])
    sdk.secrets.delete("db")
    assert sdk.secrets.list().secrets == []


def test_audit_logs_by_the_low_level_class(sdk):
    sdk.batches.create("b")
    api_client = sdk.batches.api_instance.api_client
    entries = AuditApi(api_client).get_audit_logs(GetAuditLogsRequest(log_type="api_v2", size=5))
    assert entries.status == "OK"
    assert entries.data.results[0].additional_properties["api_path"] == "/v2/batches"


def test_every_current_operation_is_reached(sdk, server):
    server.deployment("daily", app="key-values")
    batch_id = uploaded(sdk, {"a.txt": b"Order: 7"})
    sdk.batches.list()
    sdk.batches.get(batch_id)
    sdk.batches.list_files(batch_id)
    sdk.batches.add_large_file(batch_id, "big.bin", b"x" * 1500)
    run = sdk.apps.runs.create(app_name="key-values", batch_id=batch_id)
    sdk.apps.deployments.runs.create("daily", batch_id=batch_id)
    finished(sdk, run.id)
    sdk.apps.runs.list()
    sdk.apps.runs.results(run.id)
    sdk.apps.runs.delete(run.id, delete_input=False)
    sdk.files.write(PATH, b"x")
    sdk.files.read(PATH)
    sdk.files.get_file_metadata(PATH)
    sdk.files.delete(PATH)
    sdk.secrets.create("a", "v", "ALL")
    sdk.secrets.list()
    sdk.secrets.update("a", value="w")
    sdk.secrets.delete("a")
    sdk.batches.delete_file(batch_id, "a.txt")
    job_id = sdk.batches.delete(batch_id).job_id
    sdk.jobs.status(job_id)
    sdk.batches.poll_job(job_id)
    AuditApi(sdk.batches.api_instance.api_client).get_audit_logs(GetAuditLogsRequest())
    current = {each.name for each in operations.OPERATIONS if each.standing is operations.Standing.CURRENT}
    assert set(server.requests.counts) == current
    assert all(status is not None and status < 400 for status in server.requests.statuses())


def test_errors_arrive_as_its_exceptions(sdk, server):
    with pytest.raises(BadRequestException):
        sdk.batches.create("n" * 256)
    with pytest.raises(NotFoundException, match="Known apps"):
        sdk.apps.runs.create(app_name="none", batch_id=1)
    server.faults.add(Fault(kind="status", status=500, times=1))
    with pytest.raises(ServiceException, match="not available"):
        sdk.batches.list()
    sdk.batches.api_instance.api_client.configuration.access_token = "wrong"
    with pytest.raises(UnauthorizedException):
        sdk.batches.list()
