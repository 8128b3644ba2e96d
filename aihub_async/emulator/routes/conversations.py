"""Conversations and queries, which the service had until February 2026."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from aihub_async import operations as ops
from aihub_async.emulator.forms import Form, read_form
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.state import Row
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer, parse_integer

_FLAGS = ("true", "false")


async def create_conversation(hub: Hub, call: Call) -> Answer:
    """Create a conversation with files."""
    form = await read_form(call)
    name = form.texts.get("name")
    if not name:
        raise ApiError(400, "name must be a non-empty string.")
    hub.workspace(form.texts.get("workspace"), call.account, remedy="workspace")
    _flag(form, "fast_mode", default=False)
    conversation_id = hub.conversations.create(name, form.texts.get("description"), call.account.user)
    answer: dict[str, Any] = {"id": conversation_id, "name": name}
    if form.files:
        answer["upload_status"] = hub.conversations.add(conversation_id, _files(form), process=True)
    return json_answer(answer, 201)


async def list_conversations(hub: Hub, call: Call) -> Answer:  # noqa: ARG001  # every handler is given both
    """List all conversations."""
    rows = hub.conversations.all()
    return json_answer({"conversations": [_head(row) for row in rows]})


async def get_conversation(hub: Hub, call: Call) -> Answer:
    """Tell about a conversation and its documents."""
    row = hub.conversations.get(call.values["conversation_id"])
    documents = hub.conversations.documents(row["id"])
    states = {document["state"] for document in documents}
    state = "RUNNING" if "PROCESSING" in states else "FAILED" if states == {"FAILED"} else "COMPLETE"
    return json_answer({**_head(row), "state": state, "documents": [_document(each) for each in documents]})


async def update_conversation(hub: Hub, call: Call) -> Answer:
    """Change name and description, given in the query."""
    hub.conversations.update(call.values["conversation_id"], call.text("name"), call.text("description"))
    return Answer(204)


async def delete_conversation(hub: Hub, call: Call) -> Answer:
    """Delete a conversation."""
    hub.conversations.remove(call.values["conversation_id"])
    return Answer(204)


async def converse(hub: Hub, call: Call) -> Answer:
    """Answer a question."""
    wanted = await call.json()
    question = wanted.get("question")
    if not isinstance(question, str) or not question:
        raise ApiError(400, "question must be a non-empty string.")
    if wanted.get("mode", "default") not in {"default", "advanced"}:
        raise ApiError(400, "mode is default or advanced.")
    row = hub.conversations.get(call.values["conversation_id"])
    documents = hub.conversations.documents(row["id"], _ids(wanted.get("document_ids")))
    answer, _ = hub.conversations.ask(question, documents)
    return json_answer({"prompt_id": str(uuid4()), "answer": answer})


async def add_documents(hub: Hub, call: Call) -> Answer:
    """Add files to a conversation."""
    form = await read_form(call)
    if not form.files:
        raise ApiError(400, "files are missing.")
    process = _flag(form, "process_files", default=True)
    status = hub.conversations.add(call.values["conversation_id"], _files(form), process=process)
    return json_answer({"upload_status": status}, 201)


async def delete_documents(hub: Hub, call: Call) -> Answer:
    """Delete documents of a conversation."""
    row = hub.conversations.get(call.values["conversation_id"])
    ids = [parse_integer("ids", item) for item in (call.text("ids") or "").split(",")]
    hub.conversations.remove_documents(hub.conversations.documents(row["id"], ids))
    return Answer(204)


async def get_document(hub: Hub, call: Call) -> Answer:
    """Tell about a document."""
    row = hub.conversations.get(call.values["conversation_id"])
    (document,) = hub.conversations.documents(row["id"], [call.path_number("document_id")])
    pages = msgspec.json.decode(document["pages"])
    answer = {
        "id": document["id"],
        "name": document["name"],
        "ibdoc_path": f"/{hub.settings.workspace_folder(row['owner'])}/converse/{row['id']}/{document['id']}.ibdoc",
        "metadata": [{"page_number": number, "characters": len(text)} for number, text in enumerate(pages, 1)],
    }
    return json_answer(answer)


async def run_query(hub: Hub, call: Call) -> Answer:
    """Begin to answer a question."""
    wanted = await call.json()
    source = wanted.get("source_app")
    if not isinstance(source, dict) or source.get("type") not in {"CHATBOT", "CONVERSE"}:
        raise ApiError(400, "source_app has a type (CHATBOT or CONVERSE) and an id.")
    model = wanted.get("model_name", "multistep-lite")
    if not isinstance(wanted.get("query"), str) or model not in {"multistep", "multistep-lite"}:
        raise ApiError(400, "query must be a string, and model_name multistep or multistep-lite.")
    filters = wanted.get("filters") or {}
    ids = filters.get("document_ids") if isinstance(filters, dict) else None
    # The emulator has no chatbots of its own: a conversation is asked under either name.
    job = {
        "query": wanted["query"],
        "source": str(source.get("id")),
        "document_ids": None if ids is None or source["type"] == "CHATBOT" else _ids(ids),
        "sources": wanted.get("include_source_info") is True,
        "pages": model == "multistep",
    }
    return json_answer({"query_id": hub.conversations.start_query(job)}, 202)


async def get_query_status(hub: Hub, call: Call) -> Answer:
    """Tell about a query, and its answer."""
    row = hub.conversations.query(call.values["query_id"])
    answer: dict[str, Any] = {"query_id": row["id"], "status": row["status"]}
    if row["status"] == "COMPLETE":
        answer["results"] = msgspec.json.decode(row["results"])
    if row["error"] is not None:
        answer["error"] = row["error"]
    return json_answer(answer)


def _while_there(handler: Handler) -> Handler:
    async def serve(hub: Hub, call: Call) -> Answer:
        if not hub.settings.conversations:
            raise ApiError(404, "There is no such endpoint.")
        return await handler(hub, call)

    return serve


def _files(form: Form) -> list[tuple[str, bytes]]:
    return [(name, content) for field, name, content in form.files if field == "files"]


def _flag(form: Form, name: str, *, default: bool) -> bool:
    text = form.texts.get(name, str(default)).lower()
    if text not in _FLAGS:
        raise ApiError(400, f"{name} must be true or false.")
    return text == "true"


def _ids(value: Any) -> Sequence[int]:
    if not isinstance(value, list) or not value or not all(type(item) is int for item in value):
        raise ApiError(400, "document_ids must be a list of integers.")
    return value


def _head(row: Row) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "description": row["description"] or ""}


def _document(row: Row) -> dict[str, Any]:
    uploaded = datetime.fromtimestamp(row["uploaded_ns"] / 1e9, UTC)
    stamp = uploaded.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"id": row["id"], "name": row["name"], "state": row["state"], "uploadTimestamp": stamp}


_Serve = Callable[[Hub, Call], Awaitable[Answer]]
_SERVED: Mapping[ops.Operation, _Serve] = {
    ops.CREATE_CONVERSATION: create_conversation,
    ops.LIST_CONVERSATIONS: list_conversations,
    ops.GET_CONVERSATION: get_conversation,
    ops.UPDATE_CONVERSATION: update_conversation,
    ops.DELETE_CONVERSATION: delete_conversation,
    ops.CONVERSE: converse,
    ops.ADD_DOCUMENTS: add_documents,
    ops.DELETE_DOCUMENTS: delete_documents,
    ops.GET_DOCUMENT: get_document,
    ops.RUN_QUERY: run_query,
    ops.GET_QUERY_STATUS: get_query_status,
}
HANDLERS: Mapping[ops.Operation, Handler] = {operation: _while_there(handler) for operation, handler in _SERVED.items()}
