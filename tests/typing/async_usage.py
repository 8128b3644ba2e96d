"""A user's program on the async client, for type checkers: it is checked, and never run."""

from pathlib import Path
from typing import assert_type

from aihub_async import (
    AsyncAIHub,
    Batch,
    BatchInfo,
    ByteStream,
    DeletionJob,
    Field,
    FieldRow,
    FlowSettings,
    IngestJob,
    IngestStatus,
    JobStatus,
    ListRuns,
    Pages,
    Plan,
    Processed,
    ResultFile,
    Run,
    RunHandle,
    RunResults,
    RunSettings,
    Source,
    Table,
    UploadRecord,
    UploadReport,
    WebhookConfig,
    errors,
)


async def low_level(client: AsyncAIHub) -> None:
    batch = await client.batches.create("march", workspace="team")
    assert_type(batch, Batch)
    assert_type(await client.batches.get(batch.id), BatchInfo)
    async for info in client.batches.iter(page_size=10):
        assert_type(info, BatchInfo)
    assert_type(await client.batches.iter().next_page(), list[BatchInfo] | None)
    assert_type(await client.batches.delete_file(batch.id, "a.pdf"), DeletionJob)
    run = await client.apps.runs.create(app_id="app", batch_id=batch.id, settings=RunSettings(tags=["x"]))
    assert_type(run, Run)
    assert_type(await client.apps.runs.list(limit=5), ListRuns)
    assert_type(await client.apps.runs.results(run.id), RunResults)
    assert_type([file async for file in client.apps.runs.iter_results(run.id)], list[ResultFile])
    assert_type(await client.jobs.status("job"), JobStatus)
    assert_type(await client.files.read("/a/b", range="bytes=0-4"), bytes)


async def high_level(client: AsyncAIHub) -> Run:
    processed = await client.process([Path("a.pdf"), ("b.txt", b"text")], app_name="Invoices")
    assert_type(processed, Processed)
    for row in processed.rows():
        assert_type(row.field, str)
    for each in processed:
        assert_type(each, FieldRow)
    assert_type(await client.apps.runs.table("run", "field"), Table)
    assert_type(processed.files[0].documents[0]["total"], Field)
    handle = await client.apps.runs.submit(app_name="Invoices", batch_id=1)
    try:
        assert_type(await handle, Run)
        assert_type(await handle.refresh(), Run)
        assert_type(handle.status, str | None)
        assert_type(handle.iter_results(), Pages[ResultFile])
        return await handle.wait(timeout=60)
    except errors.RunFailedError as error:
        return error.run


async def uploads(client: AsyncAIHub, stream: ByteStream) -> None:
    sources: list[Source] = ["a.pdf", Path("b.pdf"), ("c.pdf", b"c"), ("d.pdf", stream), ("e.pdf", Path("f.pdf"))]
    report = await client.batches.upload(7, sources, naming="relative", exclude=["*.log"])
    assert_type(report, UploadReport)
    assert_type(report.files, list[UploadRecord])
    assert_type(len(report), int)
    for record in report:
        assert_type(record, UploadRecord)
    await client.batches.upload(7, {"a.txt": b"contents by name"})
    async for outcome in client.batches.iter_upload(7, sources):
        assert_type(outcome, UploadRecord)


async def named_types(client: AsyncAIHub) -> None:
    batches: Pages[BatchInfo] = client.batches.iter()
    assert_type(await batches.next_page(), list[BatchInfo] | None)
    settings = RunSettings(webhook_config=WebhookConfig("https://hooks.example"))
    handle: RunHandle = await client.apps.runs.submit(app_id="app", batch_id=1, settings=settings)
    assert_type(await handle, Run)
    await client.flows.run("binary", "in", settings=FlowSettings(tags=["x"]))
    job: IngestJob = client.ingest("scans", app_name="Invoices", out="results")
    assert_type(await job.plan(), Plan)
    assert_type(await job.run(), IngestStatus)


async def main() -> None:
    async with AsyncAIHub("key") as client:
        assert_type(client, AsyncAIHub)
        assert_type(client.with_options(timeout=5), AsyncAIHub)
        await low_level(client)
        await high_level(client)
        await named_types(client)
