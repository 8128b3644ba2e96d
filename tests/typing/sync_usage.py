"""A user's script on the sync client, for type checkers: it is checked, and never run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type
from wsgiref.types import WSGIApplication

from aihub_sync import (
    AIHub,
    Checked,
    Gate,
    IngestJob,
    IngestStatus,
    Pages,
    Plan,
    Processed,
    Record,
    RunHandle,
    RunSettings,
    Table,
    UploadRecord,
    UploadReport,
    WebhookConfig,
    WebhookReceiver,
    errors,
)
from aihub_sync.exceptions import ApiException, NotFoundException
from aihub_sync.models import (
    Batch,
    BatchInfo,
    DeletionJob,
    FileMetadata,
    JobStatus,
    ListRuns,
    ResultFile,
    Run,
    RunResults,
)


@dataclass
class Invoice:
    total: float


client = AIHub(api_key="key", ib_context="context", api_root="https://aihub.example/api", timeout=5)
assert_type(client.with_options(max_retries=0), AIHub)

batch = client.batches.create("march", workspace="team")
assert_type(batch, Batch)
assert_type(client.batches.get(str(batch.id)), BatchInfo)
assert_type(client.batches.iter(), Pages[BatchInfo])
for info in client.batches.iter(page_size=10):
    assert_type(info, BatchInfo)
assert_type(client.batches.iter().next_page(), list[BatchInfo] | None)
assert_type(client.batches.add_file(batch.id, "a.pdf", Path("a.pdf")), None)
assert_type(client.batches.delete_file(batch.id, "a.pdf"), DeletionJob)
report = client.batches.upload(batch.id, [Path("a.pdf"), ("b.txt", b"text")])
assert_type(report, UploadReport)
assert_type(report.files, list[UploadRecord])
settings = RunSettings(webhook_config=WebhookConfig("https://hooks.example"))
job = client.ingest("scans", app_name="Invoices", out="results", settings=settings)
assert_type(job, IngestJob)
assert_type(job.plan(), Plan)
assert_type(job.run(), IngestStatus)
with client.batches.iter_upload(batch.id, ["folder"]) as records:
    for record in records:
        assert_type(record.name, str)

run = client.apps.runs.create(app_name="Invoices", batch_id=batch.id, settings={"tags": ["x"]})
assert_type(run, Run)
assert_type(run.status, str | None)
assert_type(client.apps.runs.list(status=["RUNNING"]), ListRuns)
assert_type(client.apps.runs.results(run.id), RunResults)
assert_type(client.apps.deployments.runs.create("deployment", batch_id=1), Run)

handle = client.apps.runs.submit(app_name="Invoices", batch_id=batch.id)
assert_type(handle, RunHandle)
assert_type(handle.wait(timeout=60), Run)
assert_type(handle.refresh(), Run)
assert_type(handle.status, str | None)
assert_type(handle.iter_results(), Pages[ResultFile])
assert_type(client.jobs.status("job"), JobStatus)

assert_type(client.files.read("/a/b"), bytes)
assert_type(client.files.download("/a/b", "b"), Path)
assert_type(client.files.get_file_metadata("/a/b"), FileMetadata)
assert_type(client.request("GET", "/v2/batches").json(), Any)

processed = client.apps.runs.processed(run.id)
assert_type(processed, Processed)
assert_type(client.apps.runs.table(run.id, include="page"), Table)
assert_type(processed.bind(Invoice), list[Record[Invoice]])
assert_type(processed.bind({"invoice": Invoice}, strict=True)[0].value, Invoice | None)
assert_type(Gate(confidence=0.9, required="total").split(processed), tuple[list[Checked], list[Checked]])
assert_type(processed.view("out.html", source={"a.pdf": b""}), Path)

receiver = WebhookReceiver("https://me.example/hooks/aihub", secret="secret")
with_webhooks = AIHub(webhooks=receiver)


@receiver.on_run
def store(run: Run) -> None:
    assert_type(with_webhooks.apps.runs.results(run.id), RunResults)


assert_type(receiver.handle({"X-AIHub-Webhook-Secret": "secret"}, b"{}"), int)
application: WSGIApplication = receiver.wsgi

try:
    with client as same:
        assert_type(same, AIHub)
except NotFoundException as error:
    assert_type(error.status, int | None)
    assert_type(error.body, str)
except errors.OutcomeUnknownError as unclear:
    if unclear.reconcile is not None:
        found: Run = unclear.reconcile()
except ApiException as failure:
    assert_type(failure, errors.RequestError)
finally:
    client.close()
