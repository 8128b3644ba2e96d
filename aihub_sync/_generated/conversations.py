# Written by `python -m aihub_sync._generate` from aihub_async/resources/removed/conversations.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.removed.conversations`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub_async.models import (
        Conversation,
        ConversationResponse,
        DocumentMetadataResponse,
        DocumentUploadResponse,
        ListConversations,
        PromptResponse,
    )
    from aihub_async.resources.named_files import NamedFiles
    from aihub_async.resources.removed import conversations


class Conversations(Facade):
    """Sets of documents that answer questions.

    Deprecated: conversations left AI Hub in February 2026. The first call warns (`DeprecationWarning`), and servers
    without them answer 404.
    """

    _async: conversations.Conversations

    def create(
        self,
        name: str,
        description: str | None = None,
        files: NamedFiles = (),
        org: str | None = None,
        workspace: str | None = None,
        enable_object_detection: bool | None = None,
        enable_entity_detection: bool | None = None,
        write_converted_image: bool | None = None,
        write_thumbnail: bool | None = None,
        enable_multilanguage_support: bool | None = None,
        enable_multilanguage_advanced_mode: bool | None = None,
        fast_mode: bool | None = None,
    ) -> ConversationResponse:
        """Create a conversation and upload files to it; they are streamed from disk.

        Deprecated: left AI Hub in February 2026.

        Args:
            name: its name.
            description: a text for people.
            files: local paths, pairs of name and content, or a dict of contents by name; at most 50 MB each and 100 MB
                together. A conversation holds up to 100 documents.
            org: the organization; that of `ib_context` by default.
            workspace: the personal workspace by default; service accounts must set it.
            enable_object_detection: find tables and checkboxes (False).
            enable_entity_detection: find signatures and barcodes (True).
            write_converted_image: keep an image of each page (True).
            write_thumbnail: keep a thumbnail of each page (True).
            enable_multilanguage_support: for standard non-Latin languages (False).
            enable_multilanguage_advanced_mode: for more of them, together with the former (False).
            fast_mode: skip preparation of the files (False); needs the three flags that are True to be False.

        Raises:
            NotFoundError: the server has no conversations any more.
            InvalidRequestError: too large files, or `fast_mode` without what it needs.
            OutcomeUnknownError: the connection broke and the conversation may or may not exist.

        Example:
            >>> def ask(client, question):
            ...     conversation = client.conversations.create("contracts", files=["a.pdf"])
            ...     ready = client.conversations.wait(conversation.id)
            ...     return client.conversations.converse(ready.id, question, [ready.documents[0].id])
        """
        return self._lease.run(
            self._async.create(
                name,
                description,
                files,
                org,
                workspace,
                enable_object_detection,
                enable_entity_detection,
                write_converted_image,
                write_thumbnail,
                enable_multilanguage_support,
                enable_multilanguage_advanced_mode,
                fast_mode,
            )
        )

    def list(self) -> ListConversations:
        """List all your conversations, for organization admins those of the organization; not paged.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: the server has no conversations any more.
        """
        return self._lease.run(self._async.list())

    def status(self, conversation_id: str) -> Conversation:
        """Return the state of a conversation and of its documents.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        return self._lease.run(self._async.status(conversation_id))

    def wait(self, conversation_id: str, *, timeout: float | None = None) -> Conversation:
        """Wait until the documents of a conversation are processed.

        Deprecated: left AI Hub in February 2026.

        Args:
            conversation_id: the conversation.
            timeout: seconds; None waits as long as it takes.

        Raises:
            JobFailedError: none of its documents could be processed.
            WaitTimeoutError: it has not ended after `timeout` seconds.
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        return self._lease.run(self._async.wait(conversation_id, timeout=timeout))

    def update(self, conversation_id: str, name: str | None = None, description: str | None = None) -> None:
        """Change name or description; None leaves it as it is.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        self._lease.run(self._async.update(conversation_id, name, description))

    def converse(
        self,
        conversation_id: str,
        question: str,
        document_ids: Sequence[int],
        mode: str = "default",
        fast_mode: bool | None = None,
    ) -> PromptResponse:
        """Send a question about a document.

        Deprecated: left AI Hub in February 2026.

        Args:
            conversation_id: the conversation.
            question: the question.
            document_ids: of the documents to search; the service takes one at a time, `client.queries.run` several.
            mode: ``"default"`` or ``"advanced"``.
            fast_mode: what the conversation was created with; from 0.12.0 of the official SDK on.

        Raises:
            NotFoundError: there is no such conversation or document, or the server has none any more.
            OutcomeUnknownError: the connection broke and the question may or may not have been answered.
        """
        return self._lease.run(self._async.converse(conversation_id, question, document_ids, mode, fast_mode))

    def add_documents(
        self, conversation_id: str, files: NamedFiles, process_files: bool = True
    ) -> DocumentUploadResponse:
        """Upload more files to a conversation; they are streamed from disk.

        Deprecated: left AI Hub in February 2026.

        Args:
            conversation_id: the conversation.
            files: as for `create()`.
            process_files: prepare them for questions.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
            InvalidRequestError: no files, or too large ones.
            OutcomeUnknownError: the connection broke and the files may or may not have been added.
        """
        return self._lease.run(self._async.add_documents(conversation_id, files, process_files))

    def delete_documents(self, conversation_id: str, ids: int | Sequence[int]) -> None:
        """Delete documents of a conversation; the last version of the service took one at a time.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        self._lease.run(self._async.delete_documents(conversation_id, ids))

    def get_document_metadata(self, conversation_id: str, document_id: int) -> DocumentMetadataResponse:
        """Return the metadata of a document.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such document, or the server has none any more.
        """
        return self._lease.run(self._async.get_document_metadata(conversation_id, document_id))

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        self._lease.run(self._async.delete(conversation_id))
