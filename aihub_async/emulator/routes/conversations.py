"""Conversations and queries, which the service had until February 2026."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from aihub_async import operations as ops
from aihub_async.emulator.access import chosen_workspace
from aihub_async.emulator.database import Row
from aihub_async.emulator.forms import Form, read_form
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response, parse_integer

_FLAGS = ("true", "false")


async def create_conversation(state: EmulatorState, request: Request) -> Response:
    """Create a conversation with files."""
    form = await read_form(request)
    name = form.texts.get("name")
    if not name:
        raise ApiError(400, "name must be a non-empty string.")
    chosen_workspace(form.texts.get("workspace"), request.account, remedy="workspace")
    _flag(form, "fast_mode", default=False)
    conversation_id = state.conversations.create(name, form.texts.get("description"), request.account)
    response: dict[str, Any] = {"id": conversation_id, "name": name}
    if form.files:
        response["upload_status"] = state.conversations.add(conversation_id, _files(form), process=True)
    return json_response(response, 201)


async def list_conversations(state: EmulatorState, request: Request) -> Response:
    """List all conversations."""
    rows = state.conversations.all(request.account.context.id)
    return json_response({"conversations": [_head(row) for row in rows]})


async def get_conversation(state: EmulatorState, request: Request) -> Response:
    """Return a conversation and its documents."""
    row = state.conversations.get(request.values["conversation_id"], request.account.context.id)
    documents = state.conversations.documents(row["id"])
    states = {document["state"] for document in documents}
    status = "RUNNING" if "PROCESSING" in states else "FAILED" if states == {"FAILED"} else "COMPLETE"
    return json_response({**_head(row), "state": status, "documents": [_document(each) for each in documents]})


async def update_conversation(state: EmulatorState, request: Request) -> Response:
    """Change the name and description that the query string has."""
    state.conversations.update(request.values["conversation_id"], request.text("name"), request.text("description"))
    return Response(204)


async def delete_conversation(state: EmulatorState, request: Request) -> Response:
    """Delete a conversation."""
    state.conversations.remove(request.values["conversation_id"])
    return Response(204)


async def converse(state: EmulatorState, request: Request) -> Response:
    """Answer a question."""
    payload = await request.json()
    question = payload.get("question")
    if not isinstance(question, str) or not question:
        raise ApiError(400, "question must be a non-empty string.")
    if payload.get("mode", "default") not in {"default", "advanced"}:
        raise ApiError(400, "mode is default or advanced.")
    row = state.conversations.get(request.values["conversation_id"], request.account.context.id)
    documents = state.conversations.documents(row["id"], _ids(payload.get("document_ids")))
    answer, _ = state.conversations.ask(question, documents)
    return json_response({"prompt_id": state.settings.new_id(), "answer": answer})


async def add_documents(state: EmulatorState, request: Request) -> Response:
    """Add files to a conversation."""
    form = await read_form(request)
    if not form.files:
        raise ApiError(400, "files are missing.")
    process = _flag(form, "process_files", default=True)
    status = state.conversations.add(request.values["conversation_id"], _files(form), process=process)
    return json_response({"upload_status": status}, 201)


async def delete_documents(state: EmulatorState, request: Request) -> Response:
    """Delete documents of a conversation."""
    row = state.conversations.get(request.values["conversation_id"], request.account.context.id)
    ids = [parse_integer("ids", item) for item in (request.text("ids") or "").split(",")]
    state.conversations.remove_documents(state.conversations.documents(row["id"], ids))
    return Response(204)


async def get_document(state: EmulatorState, request: Request) -> Response:
    """Return a document."""
    row = state.conversations.get(request.values["conversation_id"], request.account.context.id)
    (document,) = state.conversations.documents(row["id"], [request.path_number("document_id")])
    pages = msgspec.json.decode(document["pages"])
    response = {
        "id": document["id"],
        "name": document["name"],
        "ibdoc_path": f"/{request.account.context.folder(row['owner'])}/converse/{row['id']}/{document['id']}.ibdoc",
        "metadata": [{"page_number": number, "characters": len(text)} for number, text in enumerate(pages, 1)],
    }
    return json_response(response)


async def run_query(state: EmulatorState, request: Request) -> Response:
    """Start to answer a question."""
    payload = await request.json()
    source = payload.get("source_app")
    if not isinstance(source, dict) or source.get("type") not in {"CHATBOT", "CONVERSE"}:
        raise ApiError(400, "source_app has a type (CHATBOT or CONVERSE) and an id.")
    model = payload.get("model_name", "multistep-lite")
    if not isinstance(payload.get("query"), str) or model not in {"multistep", "multistep-lite"}:
        raise ApiError(400, "query must be a string, and model_name multistep or multistep-lite.")
    filters = payload.get("filters") or {}
    ids = filters.get("document_ids") if isinstance(filters, dict) else None
    # The emulator has no chatbots: a conversation answers under either name.
    job = {
        "query": payload["query"],
        "source": str(source.get("id")),
        "document_ids": None if ids is None or source["type"] == "CHATBOT" else _ids(ids),
        "sources": payload.get("include_source_info") is True,
        "pages": model == "multistep",
    }
    return json_response({"query_id": state.conversations.start_query(job)}, 202)


async def get_query_status(state: EmulatorState, request: Request) -> Response:
    """Return a query, and its answer."""
    row = state.conversations.query(request.values["query_id"])
    response: dict[str, Any] = {"query_id": row["id"], "status": row["status"]}
    if row["status"] == "COMPLETE":
        response["results"] = msgspec.json.decode(row["results"])
    if row["error"] is not None:
        response["error"] = row["error"]
    return json_response(response)


def _while_there(handler: Handler) -> Handler:
    async def serve(state: EmulatorState, request: Request) -> Response:
        if not state.settings.conversations:
            raise ApiError(404, "There is no such endpoint.")
        return await handler(state, request)

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


_Serve = Callable[[EmulatorState, Request], Awaitable[Response]]
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
