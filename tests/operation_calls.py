"""A call of every operation, and what must exist before it: shared by the tests that cover the whole table."""

import io
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator

DRIVE = "acme/ws/fs/Instabase Drive"
TEXT = b"Vendor: Acme\nTotal: 42\n"


@attrs.define
class World:
    """A client of an emulator, and what an operation may need to be there."""

    client: AsyncAIHub
    hub: Emulator

    async def batch(self) -> int:
        batch = await self.client.batches.create("contract")
        await self.client.batches.add_file(batch.id, "a.txt", TEXT)
        return batch.id

    async def upload(self) -> str:
        batch_id = await self.batch()
        return (await self.client.batches.create_multipart_upload_session(batch_id, "b.txt", len(TEXT))).session_id

    async def run(self) -> str:
        run = await self.client.apps.runs.create(app_name="key-values", batch_id=await self.batch())
        await self.hub.idle()
        return run.id

    async def file(self) -> str:
        await self.client.files.write(f"{DRIVE}/in/a.txt", TEXT)
        return f"{DRIVE}/in/a.txt"

    async def binary(self) -> str:
        await self.file()
        await self.client.files.write(f"{DRIVE}/main.ibflow", b'{"app": "Invoices"}')
        await self.client.flows.compile(DRIVE, flow_file="main.ibflow")
        await self.hub.idle()
        return f"{DRIVE}/build/bin/main.ibflowbin"

    async def flow(self) -> str:
        run = await self.client.flows.run(await self.binary(), f"{DRIVE}/in")
        await self.hub.idle()
        return run.id

    async def held_flow(self) -> str:
        binary = await self.binary()
        self.hub.hold_runs()
        return (await self.client.flows.run(binary, f"{DRIVE}/in")).id

    async def conversation(self) -> str:
        made = await self.client.conversations.create("contract", files={"a.txt": TEXT})
        await self.hub.idle()
        return made.id

    async def document(self) -> tuple[str, int]:
        conversation_id = await self.conversation()
        return conversation_id, (await self.client.conversations.status(conversation_id)).documents[0].id

    async def secret(self) -> str:
        await self.client.secrets.create("db", "a value", "ALL")
        return "db"


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return content.getvalue()


async def query(client: AsyncAIHub, conversation_id: str) -> None:
    started = await client.queries.run("total?", {"type": "CONVERSE", "id": conversation_id})
    await client.queries.status(started.query_id)


async def resume(client: AsyncAIHub, job_id: str) -> None:
    await client.flows.jobs.pause(job_id)
    await client.flows.jobs.resume(job_id)


async def retry(client: AsyncAIHub, job_id: str) -> None:
    await client.flows.jobs.cancel(job_id)
    await client.flows.jobs.retry(job_id)


async def results(client: AsyncAIHub, job_id: str) -> None:
    records = await client.legacy.results((await client.flows.jobs.status(job_id)).output_folder or "").next_page()
    assert records is not None
    assert records[0].values["Total"] == "42"


async def commit(client: AsyncAIHub, session_id: str) -> None:
    part = await client.batches.upload_multipart_part(session_id, 1, TEXT)
    await client.batches.commit_multipart_upload_session(session_id, "commit", [part])


async def extract(client: AsyncAIHub) -> None:
    await client.files.write(f"{DRIVE}/in.zip", zipped())
    await client.files.extract(f"{DRIVE}/in.zip", f"{DRIVE}/out")


async def deleted(client: AsyncAIHub, batch_id: int, ask: Callable[[str], Awaitable[Any]]) -> None:
    await ask((await client.batches.delete(batch_id)).job_id)


APP = Emulator().app_id("key-values")
CONVERSATION = {"type": "CONVERSE", "id": "c"}

# What has to be made first (a method of World), and the call with it.
CALLS: dict[str, tuple[str | None, Callable[..., Awaitable[Any]]]] = {
    "createBatch": (None, lambda client: client.batches.create("b", "ws")),
    "listBatches": (None, lambda client: client.batches.list(limit=5, offset=0)),
    "getBatch": ("batch", lambda client, made: client.batches.get(made)),
    "deleteBatch": ("batch", lambda client, made: client.batches.delete(made)),
    "listFiles": ("batch", lambda client, made: client.batches.list_files(made, page_size=5)),
    "addFileToBatch": ("batch", lambda client, made: client.batches.add_file(made, "b.txt", TEXT)),
    "deleteFileFromBatch": ("batch", lambda client, made: client.batches.delete_file(made, "a.txt")),
    "createMultipartUploadSession": (
        "batch",
        lambda client, made: client.batches.create_multipart_upload_session(made, "b.txt", len(TEXT)),
    ),
    "uploadMultipartPart": ("upload", lambda client, made: client.batches.upload_multipart_part(made, 1, TEXT)),
    "commitMultipartUploadSession": ("upload", commit),
    "pollBatchesJob": ("batch", lambda client, made: deleted(client, made, client.batches.poll_job)),
    "jobStatus": ("batch", lambda client, made: deleted(client, made, client.jobs.status)),
    "runApp": ("batch", lambda client, made: client.apps.runs.create(app_id=APP, batch_id=made)),
    "runDeployment": ("batch", lambda client, made: client.apps.deployments.runs.create("key-values", batch_id=made)),
    "listRuns": ("run", lambda client, made: client.apps.runs.list(run_id=made)),
    "getRunStatus": ("run", lambda client, made: client.apps.runs.status(made)),
    "getRunResults": ("run", lambda client, made: client.apps.runs.results(made)),
    "deleteRun": ("run", lambda client, made: client.apps.runs.delete(made)),
    "readFile": ("file", lambda client, made: client.files.read(made, range="bytes=0-4")),
    "listFolder": ("file", lambda client, _: client.files.list_folder(f"{DRIVE}/in")),
    "writeFile": ("file", lambda client, made: client.files.write(made, TEXT)),
    "getFileMetadata": ("file", lambda client, made: client.files.get_file_metadata(made)),
    "deleteFileOrFolder": ("file", lambda client, made: client.files.delete(made)),
    "listSecrets": ("secret", lambda client, made: client.secrets.list(alias=made)),
    "createSecret": (None, lambda client: client.secrets.create("a", "a value", "ALL")),
    "updateSecret": ("secret", lambda client, made: client.secrets.update(made, description="d")),
    "deleteSecret": ("secret", lambda client, made: client.secrets.delete(made)),
    "getAuditLogs": ("batch", lambda client, _: client.audit.logs(0, 5)),
    "createConversation": (None, lambda client: client.conversations.create("c", files={"a.txt": TEXT})),
    "listConversations": ("conversation", lambda client, _: client.conversations.list()),
    "getConversation": ("conversation", lambda client, made: client.conversations.status(made)),
    "updateConversation": ("conversation", lambda client, made: client.conversations.update(made, name="other")),
    "deleteConversation": ("conversation", lambda client, made: client.conversations.delete(made)),
    "addDocumentsToConversation": (
        "conversation",
        lambda client, made: client.conversations.add_documents(made, {"b.txt": TEXT}),
    ),
    "converse": ("document", lambda client, made: client.conversations.converse(made[0], "total?", [made[1]])),
    "getConversationDocumentMetadata": (
        "document",
        lambda client, made: client.conversations.get_document_metadata(*made),
    ),
    "deleteDocumentsFromConversation": ("document", lambda client, made: client.conversations.delete_documents(*made)),
    "runQuery": (None, lambda client: client.queries.run("total?", CONVERSATION)),
    "getQueryStatus": ("conversation", query),
    "runLegacyApp": ("batch", lambda client, made: client.legacy.apps.run(APP, batch_id=made)),
    "runLegacyAppByName": ("batch", lambda client, made: client.legacy.apps.run_by_name("Invoices", batch_id=made)),
    "runLegacyAppSync": (None, lambda client: client.legacy.apps.run_sync(APP, {"a.txt": TEXT})),
    "legacyJobStatus": ("flow", lambda client, made: client.legacy.jobs.status(made)),
    "listLegacyJobs": ("flow", lambda client, _: client.legacy.jobs.list(limit=5)),
    "compileFlowBinary": ("file", lambda client, _: client.flows.compile(DRIVE, flow_file="in/a.txt")),
    "runFlowBinary": ("binary", lambda client, made: client.flows.run(made, f"{DRIVE}/in")),
    "runFlowBinarySync": ("binary", lambda client, made: client.flows.run_sync(made, {"a.txt": TEXT})),
    "getFlowBinaryResults": ("flow", results),
    "mountDrive": (None, lambda client: client.files.mount("acme/ws/fs", "Scans", {"client_type": "S3"})),
    "createNode": (None, lambda client: client.files.create_folder(f"{DRIVE}/new")),
    "appendToFile": ("file", lambda client, made: client.files.append(made, TEXT)),
    "copyFileOrFolder": ("file", lambda client, made: client.files.copy(made, f"{DRIVE}/b.txt")),
    "extractArchive": (None, extract),
    "pauseJob": ("held_flow", lambda client, made: client.flows.jobs.pause(made)),
    "resumeJob": ("held_flow", resume),
    "cancelJob": ("held_flow", lambda client, made: client.flows.jobs.cancel(made)),
    "retryJob": ("held_flow", retry),
}
