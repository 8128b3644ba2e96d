"""Conversations and queries: the answer is the line of the documents that shares the most words with the question."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from aihub_async.emulator.background import Background, Threads
from aihub_async.emulator.database import Database, Row, to_json
from aihub_async.emulator.reading import UnreadableFileError, read_document
from aihub_async.emulator.reading.text import lay_out
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.world import Account

MAX_DOCUMENTS = 100
"""Documents that a conversation holds (docs: limits)."""

_WORD = re.compile(r"\w{2,}")
_NOT_FOUND = "The documents do not say."


class Conversations:
    """Conversations with their documents, and queries answered in the background."""

    def __init__(
        self, database: Database, drive: Drive, background: Background, threads: Threads, settings: EmulatorSettings
    ) -> None:
        self._db = database
        self._drive = drive
        self._background = background
        self._threads = threads
        self._settings = settings

    def create(self, name: str, description: str | None, account: Account) -> str:
        """Create an empty conversation; return its id."""
        conversation_id = self._settings.new_id()
        self._db.write(
            "INSERT INTO conversations(id, name, description, context, owner) VALUES (?, ?, ?, ?, ?)",
            *(conversation_id, name, description, account.context.id, account.user),
        )
        return conversation_id

    def add(self, conversation_id: str, files: Sequence[tuple[str, bytes]], *, process: bool) -> dict[str, Any]:
        """Add files; return the upload status.

        Raises:
            ApiError: 404 no such conversation.
        """
        self.get(conversation_id)
        count = self._db.value("SELECT COUNT(*) FROM conversation_documents WHERE conversation_id = ?", conversation_id)
        status: dict[str, list[dict[str, str]]] = {"success": [], "failure": []}
        for name, content in files:
            if not content or count >= MAX_DOCUMENTS:
                reason = "The conversation is full." if content else "The file is empty."
                status["failure"].append({"name": name, "reason": reason})
                continue
            count += 1
            blob, _ = self._drive.blobs.save(content)
            cursor = self._db.write(
                "INSERT INTO conversation_documents(conversation_id, name, state, blob, uploaded_ns, pages)"
                " VALUES (?, ?, 'PROCESSING', ?, ?, '[]')",
                *(conversation_id, name, blob, self._settings.clock.time_ns()),
            )
            status["success"].append({"name": name})
            if process:
                self._background.spawn(self._process(int(cursor.lastrowid or 0)))
        return status

    def resume(self) -> None:
        """Continue the documents and queries that the last stop interrupted."""
        for row in self._db.all("SELECT id FROM conversation_documents WHERE state = 'PROCESSING'"):
            self._background.spawn(self._process(row["id"]))
        for row in self._db.all("SELECT id FROM queries WHERE status = 'RUNNING'"):
            self._background.spawn(self._answer(row["id"]))

    def all(self, context: str) -> list[Row]:
        """Return the rows of all conversations of a context."""
        return self._db.all("SELECT * FROM conversations WHERE context = ? ORDER BY position", context)

    def get(self, conversation_id: str, context: str | None = None) -> Row:
        """Return a conversation's row; with a context, only if it belongs to that.

        Raises:
            ApiError: 404, no such conversation.
        """
        row = self._db.one("SELECT * FROM conversations WHERE id = ?", conversation_id)
        if row is None or context not in {None, row["context"]}:
            raise ApiError(404, f"There is no conversation {conversation_id}.")
        return row

    def documents(self, conversation_id: str, ids: Sequence[int] | None = None) -> list[Row]:
        """Return the rows of a conversation's documents, or of some of them.

        Raises:
            ApiError: 404, one of `ids` is none of them.
        """
        rows = self._db.all(
            "SELECT * FROM conversation_documents WHERE conversation_id = ? ORDER BY id", conversation_id
        )
        if ids is None:
            return rows
        known = {row["id"]: row for row in rows}
        for document_id in ids:
            if document_id not in known:
                raise ApiError(404, f"The conversation has no document {document_id}.")
        return [known[document_id] for document_id in ids]

    def update(self, conversation_id: str, name: str | None, description: str | None) -> None:
        """Change the attributes that are not None."""
        self.get(conversation_id)
        self._db.write(
            "UPDATE conversations SET name = COALESCE(?, name), description = COALESCE(?, description) WHERE id = ?",
            *(name, description, conversation_id),
        )

    def remove(self, conversation_id: str) -> None:
        """Delete a conversation and its documents."""
        self.get(conversation_id)
        self.remove_documents(self.documents(conversation_id))
        self._db.write("DELETE FROM conversations WHERE id = ?", conversation_id)

    def remove_documents(self, rows: Sequence[Row]) -> None:
        """Delete documents."""
        for row in rows:
            self._drive.blobs.delete(row["blob"])
            self._db.write("DELETE FROM conversation_documents WHERE id = ?", row["id"])

    def ask(self, question: str, documents: Sequence[Row]) -> tuple[str, list[dict[str, Any]]]:
        """Return the best line, and its place as `source_documents`."""
        words = set(_WORD.findall(question.lower()))
        best = (0, _NOT_FOUND, "", 0)
        for row in documents:
            for number, text in enumerate(msgspec.json.decode(row["pages"]), 1):
                for line in text.splitlines():
                    score = len(words & set(_WORD.findall(line.lower())))
                    if score > best[0]:
                        best = (score, line.strip(), row["name"], number)
        score, response, name, number = best
        if not score:
            return response, []
        return response, [{"name": name, "pages": [{"page_number": number, "bboxes": _boxes(response)}]}]

    def start_query(self, payload: dict[str, Any]) -> str:
        """Start to answer a query; return its id."""
        query_id = self._settings.new_id()
        self._db.write("INSERT INTO queries VALUES (?, 'RUNNING', ?, '[]', NULL)", query_id, to_json(payload))
        self._background.spawn(self._answer(query_id))
        return query_id

    def query(self, query_id: str) -> Row:
        """Return a query's row.

        Raises:
            ApiError: 404, no such query.
        """
        row = self._db.one("SELECT * FROM queries WHERE id = ?", query_id)
        if row is None:
            raise ApiError(404, f"There is no query {query_id}.")
        return row

    async def _process(self, document_id: int) -> None:
        if self._settings.job_seconds:
            await self._settings.clock.sleep(self._settings.job_seconds)
        row = self._db.one("SELECT * FROM conversation_documents WHERE id = ?", document_id)
        if row is None:
            return
        state, pages = "PROCESSED", list[str]()
        try:
            document = await self._threads.run(read_document, self._drive.blobs.path(row["blob"]), row["name"], {})
            pages = [page.text for page in document.pages]
        except (UnreadableFileError, FileNotFoundError):
            state = "FAILED"
        self._db.write(
            "UPDATE conversation_documents SET state = ?, pages = ? WHERE id = ?",
            *(state, to_json(pages), document_id),
        )

    async def _answer(self, query_id: str) -> None:
        if self._settings.run_seconds:
            await self._settings.clock.sleep(self._settings.run_seconds)
        payload = msgspec.json.decode(self.query(query_id)["payload"])
        status, results, error = "COMPLETE", list[dict[str, Any]](), None
        try:
            self.get(payload["source"])
            text, sources = self.ask(payload["query"], self.documents(payload["source"], payload["document_ids"]))
            result: dict[str, Any] = {"response": text}
            names = [{"name": each["name"]} for each in sources]
            if payload["sources"]:
                result["source_documents"] = sources if payload["pages"] else names
            results.append(result)
        except ApiError as failure:
            status, error = "FAILED", failure.message
        self._db.write(
            "UPDATE queries SET status = ?, results = ?, error = ? WHERE id = ?",
            *(status, to_json(results), error, query_id),
        )


def _boxes(line: str) -> list[dict[str, float]]:
    box = lay_out(line)[0].find(line)
    if box is None:
        return []
    return [{"top_x": box.left, "top_y": box.top, "bottom_x": box.right, "bottom_y": box.bottom}]
