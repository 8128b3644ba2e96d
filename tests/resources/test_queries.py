import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.errors import InvalidRequestError, JobFailedError, NotFoundError
from aihub_async.models import SourceApp

pytestmark = pytest.mark.filterwarnings("ignore:conversations, chatbots:DeprecationWarning")


@pytest_asyncio.fixture
async def asked(client: AsyncAIHub) -> str:
    """The id of a conversation with two documents that are ready."""
    files = {"a.txt": b"The notice period is three months.\n", "b.txt": b"Deposit: 1800\n"}
    made = await client.conversations.create("leases", files=files)
    await client.conversations.wait(made.id, timeout=10)
    return made.id


async def test_a_query_is_answered_from_the_documents(client: AsyncAIHub, asked: str) -> None:
    query = await client.queries.run("What is the notice period?", SourceApp(type="CONVERSE", id=asked))
    answer = await client.queries.wait(query.query_id, timeout=10)
    assert answer.is_terminal
    assert [result.response for result in answer.results] == ["The notice period is three months."]
    assert answer.results[0].source_documents == []


async def test_the_research_mode_tells_pages(client: AsyncAIHub, asked: str) -> None:
    found = {}
    for model in ("multistep", "multistep-lite"):
        query = await client.queries.run("deposit", {"type": "CONVERSE", "id": asked}, True, model)
        (found[model],) = (await client.queries.wait(query.query_id, timeout=10)).results[0].source_documents
    assert {document.name for document in found.values()} == {"b.txt"}
    assert found["multistep-lite"].pages == []
    (page,) = found["multistep"].pages
    assert page.page_number == 1
    assert page.bboxes[0].bottom_x is not None


async def test_filters_narrow_a_question(client: AsyncAIHub, asked: str) -> None:
    first, second = (await client.conversations.status(asked)).documents
    source = {"type": "CONVERSE", "id": asked}
    query = await client.queries.run("deposit", source, filters={"document_ids": [first.id]})
    assert (await client.queries.wait(query.query_id, timeout=10)).results[0].response == "The documents do not say."
    query = await client.queries.run("deposit", source, filters={"document_ids": [second.id]})
    assert (await client.queries.wait(query.query_id, timeout=10)).results[0].response == "Deposit: 1800"


async def test_a_query_of_nothing_fails(client: AsyncAIHub) -> None:
    query = await client.queries.run("deposit", {"type": "CHATBOT", "id": "none"})
    with pytest.raises(JobFailedError, match="no conversation none") as caught:
        await client.queries.wait(query.query_id, timeout=10)
    assert caught.value.state == "FAILED"
    assert (await client.queries.status(query.query_id)).status == "FAILED"
    with pytest.raises(NotFoundError):
        await client.queries.status("unknown")


async def test_what_a_query_sends(recorder, offline: AsyncAIHub) -> None:
    recorder.says({"query_id": "q"}, status=202)
    await offline.queries.run("why?", {"type": "CHATBOT", "id": "b"}, filters={"document_ids": [1]})
    assert recorder.line == "POST /v2/queries"
    assert recorder.json == {
        "query": "why?",
        "source_app": {"type": "CHATBOT", "id": "b"},
        "include_source_info": False,
        "model_name": "multistep-lite",
        "filters": {"document_ids": [1]},
    }


@pytest.mark.parametrize(
    ("source", "model"),
    [
        ({"type": "OTHER", "id": "b"}, "multistep"),
        ({"type": "CHATBOT"}, "multistep"),
        ({"type": "CHATBOT", "id": "b"}, "x"),
    ],
)
async def test_what_cannot_be_asked_is_refused(recorder, offline: AsyncAIHub, source: dict, model: str) -> None:
    with pytest.raises(InvalidRequestError):
        await offline.queries.run("why?", source, model_name=model)
    assert recorder.sent == []
