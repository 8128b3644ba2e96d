from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import (
    GoneError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    OutcomeUnknownError,
    SourceChangedError,
    WaitTimeoutError,
)
from aihub_async.resources import named_files

pytestmark = pytest.mark.filterwarnings("ignore:conversations, chatbots:DeprecationWarning")

LEASE = b"Tenant: Ann Lee\nMonthly rent: 900\nThe notice period is three months.\n"


@pytest_asyncio.fixture
async def asked(client: AsyncAIHub) -> str:
    """The id of a conversation with two documents that are ready."""
    made = await client.conversations.create("leases", "two of them", {"a.txt": LEASE, "b.txt": b"Deposit: 1800\n"})
    await client.conversations.wait(made.id, timeout=10)
    return made.id


@pytest_asyncio.fixture
async def without() -> AsyncIterator[AsyncAIHub]:
    """A client of a server that has no conversations any more."""
    async with (
        Emulator(conversations=False) as hub,
        AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root) as client,
    ):
        yield client


async def test_documents_are_uploaded_and_asked(client: AsyncAIHub, tmp_path: Path) -> None:
    path = tmp_path / 'a "quoted" náme.txt'
    path.write_bytes(LEASE)
    made = await client.conversations.create("leases", files=[str(path), ("b.txt", b"Deposit: 1800\n")])
    assert made.name == "leases"
    assert made.upload_status is not None
    assert [file.name for file in made.upload_status.success] == ['a "quoted" náme.txt', "b.txt"]
    ready = await client.conversations.wait(made.id, timeout=10)
    assert [(document.name, document.state) for document in ready.documents] == [
        ('a "quoted" náme.txt', "PROCESSED"),
        ("b.txt", "PROCESSED"),
    ]
    assert ready.documents[0].uploadTimestamp is not None
    answer = await client.conversations.converse(made.id, "How long is the notice period?", [ready.documents[0].id])
    assert answer.answer == "The notice period is three months."
    assert answer.prompt_id
    other = await client.conversations.converse(made.id, "notice period", [ready.documents[1].id], mode="advanced")
    assert other.answer == "The documents do not say."


async def test_list_update_and_delete(client: AsyncAIHub, asked: str) -> None:
    await client.conversations.update(asked, name="contracts")
    await client.conversations.update(asked, description="all")
    (listed,) = (await client.conversations.list()).conversations
    assert (listed.id, listed.name, listed.description) == (asked, "contracts", "all")
    await client.conversations.delete(asked)
    assert (await client.conversations.list()).conversations == []
    with pytest.raises(NotFoundError, match="February 2026"):
        await client.conversations.status(asked)


async def test_update_travels_in_the_query(recorder, offline: AsyncAIHub) -> None:
    recorder.says(status=204)
    await offline.conversations.update("c", name="x & y")
    assert (recorder.line, recorder.query) == ("PUT /v2/conversations/c", [("name", "x & y")])
    assert recorder.last.body is None


async def test_documents_come_and_go(client: AsyncAIHub, asked: str) -> None:
    added = await client.conversations.add_documents(asked, {"c.txt": b"Pets: none\n", "empty.txt": b""})
    assert added.upload_status is not None
    assert [file.name for file in added.upload_status.success] == ["c.txt"]
    assert [(file.name, file.reason) for file in added.upload_status.failure] == [("empty.txt", "The file is empty.")]
    documents = (await client.conversations.wait(asked, timeout=10)).documents
    metadata = await client.conversations.get_document_metadata(asked, documents[2].id)
    assert (metadata.name, metadata.metadata) == ("c.txt", [{"page_number": 1, "characters": 10}])
    await client.conversations.delete_documents(asked, documents[2].id)
    await client.conversations.delete_documents(asked, [documents[0].id])
    assert [document.name for document in (await client.conversations.status(asked)).documents] == ["b.txt"]
    with pytest.raises(NotFoundError):
        await client.conversations.get_document_metadata(asked, documents[2].id)


async def test_delete_documents_sends_one_list(recorder, offline: AsyncAIHub) -> None:
    recorder.says(status=204)
    await offline.conversations.delete_documents("c", [1, 2])
    assert recorder.query == [("ids", "1,2")]
    with pytest.raises(InvalidRequestError):
        await offline.conversations.delete_documents("c", [])


async def test_documents_that_cannot_be_read_fail(client: AsyncAIHub) -> None:
    made = await client.conversations.create("broken", files={"a.pdf": b"%PDF-broken"})
    with pytest.raises(JobFailedError, match=made.id):
        await client.conversations.wait(made.id, timeout=10)


async def test_a_wait_that_runs_out_says_so(client: AsyncAIHub) -> None:
    made = await client.conversations.create("slow", files={"a.txt": LEASE})
    await client.conversations.add_documents(made.id, {"b.txt": LEASE}, process_files=False)
    with pytest.raises(WaitTimeoutError, match=r"client\.conversations\.wait"):
        await client.conversations.wait(made.id, timeout=0.05)


async def test_the_form_is_streamed_and_sent_again(client: AsyncAIHub, hub: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"line of text\n" * 100_000)
    hub.faults.add(Fault(kind="status", operation="createConversation", status=429, times=1, retry_after=0))
    made = await client.conversations.create("large", files=[path])
    assert made.upload_status is not None
    assert [file.name for file in made.upload_status.success] == ["large.txt"]
    assert hub.requests.statuses("createConversation") == [429, 201]


async def test_an_unclear_creation_is_not_repeated(client: AsyncAIHub, hub: Emulator) -> None:
    hub.faults.add(Fault(kind="reset-after", operation="createConversation", times=1))
    with pytest.raises(OutcomeUnknownError):
        await client.conversations.create("once", files={"a.txt": LEASE})
    assert len((await client.conversations.list()).conversations) == 1


async def test_a_file_that_changes_is_refused(client: AsyncAIHub, hub: Emulator, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(LEASE * 10)
    measure = named_files.to_body

    async def measure_and_cut(content: Any, name: str) -> Any:
        body = await measure(content, name)
        path.write_bytes(LEASE)
        return body

    monkeypatch.setattr(named_files, "to_body", measure_and_cut)
    with pytest.raises(SourceChangedError):
        await client.conversations.create("changed", files=[path])
    assert (await client.conversations.list()).conversations == []


async def test_what_the_form_holds(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"id": "c", "name": "n"}, status=201)
    await offline.conversations.create(
        "n",
        files=[("a.txt", b"x")],
        workspace="ws",
        org="acme",
        fast_mode=True,
        enable_entity_detection=False,
        write_converted_image=False,
        write_thumbnail=False,
    )
    body = recorder.last.body
    sent = bytearray()

    async def write(chunk: bytes | memoryview) -> None:
        sent.extend(chunk)

    await body.write_to(write)
    assert len(sent) == body.length
    assert body.content_type == f"multipart/form-data; boundary={body.boundary}"
    parts = sent.decode().split(f"--{body.boundary}")
    assert [part.split('"')[1] for part in parts[1:-1]] == [
        "name",
        "org",
        "workspace",
        "enable_entity_detection",
        "write_converted_image",
        "write_thumbnail",
        "fast_mode",
        "files",
    ]
    assert parts[-2].endswith('filename="a.txt"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n')
    assert parts[-3].endswith("\r\n\r\ntrue\r\n")


async def test_what_cannot_be_sent_is_refused(recorder, offline: AsyncAIHub) -> None:
    with pytest.raises(InvalidRequestError, match="fast_mode"):
        await offline.conversations.create("n", fast_mode=True)
    with pytest.raises(InvalidRequestError, match="no files"):
        await offline.conversations.add_documents("c", [])
    for name in ("a\r\nb.txt", "", "\ud800.txt"):
        with pytest.raises(InvalidRequestError, match="file name"):
            await offline.conversations.add_documents("c", {name: b"x"})
    with pytest.raises(InvalidRequestError, match="mode"):
        await offline.conversations.converse("c", "q", [1], mode="other")
    with pytest.raises(InvalidRequestError, match="document_ids"):
        await offline.conversations.converse("c", "q", [])
    assert recorder.sent == []


@pytest.mark.filterwarnings("error::DeprecationWarning")
async def test_the_first_call_of_a_group_warns(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"conversations": []})
    with pytest.warns(DeprecationWarning, match="February 2026") as caught:
        await offline.conversations.list()
    assert caught[0].filename == __file__
    await offline.conversations.list()
    recorder.answers.clear()
    recorder.says({"query_id": "q"}, status=202)
    with pytest.warns(DeprecationWarning, match="queries left"):
        await offline.queries.run("q", {"type": "CHATBOT", "id": "b"})


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (410, GoneError)])
async def test_a_server_without_them_is_explained(recorder, offline: AsyncAIHub, status: int, error: type) -> None:
    recorder.says({"message": "no such path"}, status=status)
    for call in (offline.conversations.list(), offline.queries.status("q")):
        with pytest.raises(error, match=r"no such path.*left AI Hub in February 2026") as caught:
            await call
        assert caught.value.status == status


async def test_every_operation_is_gone_after_the_end(without: AsyncAIHub) -> None:
    conversations, queries = without.conversations, without.queries
    for call in (
        conversations.create("n", files={"a.txt": b"x"}),
        conversations.list(),
        conversations.status("c"),
        conversations.update("c", name="x"),
        conversations.converse("c", "q", [1]),
        conversations.add_documents("c", {"a.txt": b"x"}),
        conversations.delete_documents("c", 1),
        conversations.get_document_metadata("c", 1),
        conversations.delete("c"),
        queries.run("q", {"type": "CONVERSE", "id": "c"}),
        queries.status("q"),
        queries.wait("q", timeout=5),
    ):
        with pytest.raises(NotFoundError, match="February 2026"):
            await call
