"""`client.conversations`: questions to documents, which left the service in February 2026."""

from collections.abc import Sequence

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError, JobFailedError
from aihub_async.models import (
    Conversation,
    ConversationResponse,
    ConversationState,
    DocumentMetadataResponse,
    DocumentUploadResponse,
    ListConversations,
    PromptResponse,
)
from aihub_async.resources._base import CommaList, given
from aihub_async.resources.named_files import NamedFiles, named_bodies
from aihub_async.resources.removed._base import RemovedResource
from aihub_async.transport.body import BytesBody
from aihub_async.transport.forms import FormBody, form


class Conversations(RemovedResource):
    """Sets of documents that answer questions.

    Deprecated: conversations left AI Hub in February 2026. The first call warns (`DeprecationWarning`), and servers
    without them answer 404.
    """

    async def create(
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
            >>> async def ask(client, question):
            ...     conversation = await client.conversations.create("contracts", files=["a.pdf"])
            ...     ready = await client.conversations.wait(conversation.id)
            ...     return await client.conversations.converse(ready.id, question, [ready.documents[0].id])
        """
        needs_off = (enable_entity_detection, write_converted_image, write_thumbnail)
        if fast_mode and any(flag is not False for flag in needs_off):
            raise InvalidRequestError(
                "fast_mode needs enable_entity_detection, write_converted_image and write_thumbnail to be False"
            )
        body = await _form(
            files,
            name=name,
            description=description,
            org=org,
            workspace=workspace,
            enable_object_detection=enable_object_detection,
            enable_entity_detection=enable_entity_detection,
            write_converted_image=write_converted_image,
            write_thumbnail=write_thumbnail,
            enable_multilanguage_support=enable_multilanguage_support,
            enable_multilanguage_advanced_mode=enable_multilanguage_advanced_mode,
            fast_mode=fast_mode,
        )
        response = await self._ask(ops.CREATE_CONVERSATION, body=body)
        return self._read(ConversationResponse, ops.CREATE_CONVERSATION, response)

    async def list(self) -> ListConversations:
        """List all your conversations, for organization admins those of the organization; not paged.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: the server has no conversations any more.
        """
        response = await self._ask(ops.LIST_CONVERSATIONS)
        return self._read(ListConversations, ops.LIST_CONVERSATIONS, response)

    async def status(self, conversation_id: str) -> Conversation:
        """Return the state of a conversation and of its documents.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        response = await self._ask(ops.GET_CONVERSATION, conversation_id=conversation_id)
        return self._read(Conversation, ops.GET_CONVERSATION, response, conversation_id=conversation_id)

    async def wait(self, conversation_id: str, *, timeout: float | None = None) -> Conversation:
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
        what = ("conversation", "client.conversations.wait")
        return await self._wait(conversation_id, what, self.status, lambda state: state.state, _has_ended, timeout)

    async def update(self, conversation_id: str, name: str | None = None, description: str | None = None) -> None:
        """Change name or description; None leaves it as it is.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        query = given(name=name, description=description)
        await self._ask(ops.UPDATE_CONVERSATION, query=query, conversation_id=conversation_id)

    async def converse(
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
        if mode not in {"default", "advanced"}:
            raise InvalidRequestError(f"mode is 'default' or 'advanced', not {mode!r}")
        if not document_ids:
            raise InvalidRequestError("document_ids is empty")
        body = {"question": question, "document_ids": list(document_ids), "mode": mode, **given(fast_mode=fast_mode)}
        response = await self._ask(ops.CONVERSE, json=body, conversation_id=conversation_id)
        return self._read(PromptResponse, ops.CONVERSE, response, conversation_id=conversation_id)

    async def add_documents(
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
        body = await _form(files, process_files=process_files)
        if len(body.parts) == 1:
            raise InvalidRequestError("no files were given")
        response = await self._ask(ops.ADD_DOCUMENTS, body=body, conversation_id=conversation_id)
        return self._read(DocumentUploadResponse, ops.ADD_DOCUMENTS, response, conversation_id=conversation_id)

    async def delete_documents(self, conversation_id: str, ids: int | Sequence[int]) -> None:
        """Delete documents of a conversation; the last version of the service took one at a time.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        chosen = [ids] if isinstance(ids, int) else list(ids)
        if not chosen:
            raise InvalidRequestError("ids is empty")
        query = {"ids": CommaList(chosen)}
        await self._ask(ops.DELETE_DOCUMENTS, query=query, conversation_id=conversation_id)

    async def get_document_metadata(self, conversation_id: str, document_id: int) -> DocumentMetadataResponse:
        """Return the metadata of a document.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such document, or the server has none any more.
        """
        response = await self._ask(ops.GET_DOCUMENT, conversation_id=conversation_id, document_id=document_id)
        return self._read(
            DocumentMetadataResponse,
            ops.GET_DOCUMENT,
            response,
            conversation_id=conversation_id,
            document_id=document_id,
        )

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such conversation, or the server has none any more.
        """
        await self._ask(ops.DELETE_CONVERSATION, conversation_id=conversation_id)


def _has_ended(conversation: Conversation) -> bool:
    if conversation.state == ConversationState.FAILED:
        message = f"no document of conversation {conversation.id} could be processed"
        raise JobFailedError(message, job_id=conversation.id, state="FAILED")
    return conversation.state == ConversationState.COMPLETE


async def _form(files: NamedFiles, **values: str | bool | None) -> FormBody:
    texts = {name: _text(value) for name, value in values.items() if value is not None}
    bodies = {name: BytesBody(text.encode(), "text/plain") for name, text in texts.items()}
    return form(bodies, await named_bodies(files))


def _text(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
