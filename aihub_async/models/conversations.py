"""Conversations with documents, which left the service in February 2026."""

import enum
from typing import Any

import attrs

from aihub_async.models.base import Model


class ConversationState(enum.StrEnum):
    """The published states of a conversation: COMPLETE means that it accepts questions."""

    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    RUNNING = "RUNNING"

    @property
    def is_terminal(self) -> bool:
        """True when the state will not change until documents are added."""
        return self is not ConversationState.RUNNING


class DocumentState(enum.StrEnum):
    """The published states of a document of a conversation."""

    PROCESSED = "PROCESSED"
    PROCESSING = "PROCESSING"
    FAILED = "FAILED"


@attrs.frozen
class UploadedFile(Model):
    """A file that was sent; `reason` is why it failed."""

    name: str | None = None
    reason: str | None = None


@attrs.frozen
class UploadStatus(Model):
    """Which of the files that were sent arrived."""

    success: list[UploadedFile] = attrs.field(factory=list)
    failure: list[UploadedFile] = attrs.field(factory=list)


@attrs.frozen
class ConversationResponse(Model):
    """A new conversation; `upload_status` is None when no files were sent."""

    id: str
    name: str | None = None
    upload_status: UploadStatus | None = None


@attrs.frozen
class ConversationDocument(Model):
    """A document of a conversation; `uploadTimestamp` is an ISO 8601 date."""

    id: int
    name: str | None = None
    state: str | None = None
    uploadTimestamp: str | None = None  # noqa: N815  # as on the wire


@attrs.frozen
class Conversation(Model):
    """A conversation; `state` compares equal to the members of `ConversationState`. Lists leave `documents` empty."""

    id: str
    name: str | None = None
    description: str | None = None
    state: str | None = None
    documents: list[ConversationDocument] = attrs.field(factory=list)

    @property
    def is_terminal(self) -> bool:
        """True when no document is being processed any more: COMPLETE or FAILED."""
        return self.state in {ConversationState.COMPLETE, ConversationState.FAILED}


@attrs.frozen
class ListConversations(Model):
    """All conversations; the list is not paged."""

    conversations: list[Conversation] = attrs.field(factory=list)


@attrs.frozen
class PromptResponse(Model):
    """The answer to a question."""

    prompt_id: str | None = None
    answer: str | None = None


@attrs.frozen
class DocumentUploadResponse(Model):
    """Which of the documents that were sent arrived."""

    upload_status: UploadStatus | None = None


@attrs.frozen
class DocumentMetadataResponse(Model):
    """What is known of a document; `ibdoc_path` is its digitized form on the drive."""

    id: int | None = None
    ibdoc_path: str | None = None
    name: str | None = None
    metadata: list[Any] = attrs.field(factory=list)
