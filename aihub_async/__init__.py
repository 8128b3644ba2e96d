"""Async-first client for Instabase AI Hub."""

import importlib
from typing import TYPE_CHECKING, Any

from aihub_async._version import __version__
from aihub_async.client import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.config import ClientConfig
from aihub_async.errors import (
    AIHubError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    BindingError,
    CertificateError,
    ClosedClientError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    ForbiddenError,
    GoneError,
    IngestError,
    InvalidRequestError,
    JobFailedError,
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalMismatchError,
    LegacyAPIError,
    NotFoundError,
    OutcomeUnknownError,
    PaginationError,
    PayloadTooLargeError,
    PreconditionFailedError,
    ProtocolError,
    RateLimitedError,
    RedirectError,
    RequestError,
    RequestTimeoutError,
    ResponseTooLargeError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunNeedsReviewError,
    ServerError,
    SourceAccessError,
    SourceChangedError,
    SourceError,
    SourceUnavailableError,
    StatusError,
    UnprocessableError,
    UnreadableAnswerError,
    UploadError,
    WaitTimeoutError,
)
from aihub_async.models import (
    Batch,
    BatchDeletionJob,
    BatchInfo,
    DeletionJob,
    FileJob,
    FileMetadata,
    FileNode,
    FolderListing,
    GivenRunSettings,
    JobState,
    JobStatus,
    ListBatches,
    ListBatchFiles,
    ListRuns,
    ListSecrets,
    MultipartUploadPart,
    MultipartUploadSession,
    Run,
    RunDeletion,
    RunSettings,
    RunStatus,
    UnknownSettingWarning,
    WebhookConfig,
)
from aihub_async.models.uploads import UploadRecord, UploadReport
from aihub_async.pagination import Pages
from aihub_async.transport.events import AttemptEvent, Hook, capture_responses
from aihub_async.transport.messages import Response
from aihub_async.transport.observing import CallEnd, CallStart, Telemetry
from aihub_async.types import Id, QueryValue
from aihub_async.uploads.contents import ByteStream, Content
from aihub_async.uploads.engine import OnError, OnProgress, UploadProgress, Uploads
from aihub_async.uploads.multipart import UploadResume
from aihub_async.uploads.sources import Naming, Source, Sources
from aihub_async.waiting.handles import JobHandle, RunHandle

if TYPE_CHECKING:
    from aihub_async.ingest.engines import Engine, dask_engine
    from aihub_async.ingest.job import IngestJob
    from aihub_async.ingest.plan import Plan
    from aihub_async.ingest.progress import IngestStatus
    from aihub_async.ingest.shards import Shard
    from aihub_async.models import (
        AuditLogEntry,
        AuditLogs,
        CaseInfo,
        Conversation,
        ConversationResponse,
        CurrentStatus,
        Document,
        DocumentMetadataResponse,
        DocumentUploadResponse,
        Field,
        FlowSettings,
        LegacyJobInfo,
        LegacyJobStatus,
        LegacyRecord,
        LegacyResults,
        ListConversations,
        ListLegacyJobs,
        PromptResponse,
        QueryStatusResponse,
        ResultFile,
        RunQueryResponse,
        RunResults,
        SourceApp,
    )
    from aihub_async.process_each import ProcessOutcome, ProcessOutcomes
    from aihub_async.resources.named_files import NamedFiles
    from aihub_async.resources.v1.handles import LegacyJobHandle, LegacyRunHandle
    from aihub_async.results.binding import Problem, Record
    from aihub_async.results.field_rows import FieldRow
    from aihub_async.results.gates import Checked, Gate, HasResults, Refusal
    from aihub_async.results.notebook import NotebookProgress
    from aihub_async.results.processed import Processed
    from aihub_async.results.rows import Origin, Requested
    from aihub_async.results.tables import Table
    from aihub_async.results.view.page import ViewSize
    from aihub_async.telemetry import OpenTelemetry
    from aihub_async.webhooks.bus import Bus, Claim
    from aihub_async.webhooks.payloads import WebhookResponse
    from aihub_async.webhooks.receiver import WebhookReceiver
    from aihub_async.webhooks.redis import RedisBus

__all__ = [
    "AIHubError",
    "AsyncAIHub",
    "Attempt",
    "AttemptEvent",
    "AuditLogEntry",
    "AuditLogs",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchDeletionJob",
    "BatchInfo",
    "BindingError",
    "Bus",
    "ByteStream",
    "CallEnd",
    "CallStart",
    "CaseInfo",
    "CertificateError",
    "Checked",
    "Claim",
    "ClientConfig",
    "Clock",
    "ClosedClientError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Content",
    "Conversation",
    "ConversationResponse",
    "CurrentStatus",
    "DeletionJob",
    "Document",
    "DocumentMetadataResponse",
    "DocumentUploadResponse",
    "Engine",
    "Field",
    "FieldRow",
    "FileJob",
    "FileMetadata",
    "FileNode",
    "FlowSettings",
    "FolderListing",
    "ForbiddenError",
    "Gate",
    "GivenRunSettings",
    "GoneError",
    "HasResults",
    "Hook",
    "Id",
    "IngestError",
    "IngestJob",
    "IngestStatus",
    "InvalidRequestError",
    "JobFailedError",
    "JobHandle",
    "JobState",
    "JobStatus",
    "JournalBusyError",
    "JournalDamagedError",
    "JournalError",
    "JournalMismatchError",
    "LegacyAPIError",
    "LegacyJobHandle",
    "LegacyJobInfo",
    "LegacyJobStatus",
    "LegacyRecord",
    "LegacyResults",
    "LegacyRunHandle",
    "ListBatchFiles",
    "ListBatches",
    "ListConversations",
    "ListLegacyJobs",
    "ListRuns",
    "ListSecrets",
    "MultipartUploadPart",
    "MultipartUploadSession",
    "NamedFiles",
    "Naming",
    "NotFoundError",
    "NotebookProgress",
    "OnError",
    "OnProgress",
    "OpenTelemetry",
    "Origin",
    "OutcomeUnknownError",
    "Pages",
    "PaginationError",
    "PayloadTooLargeError",
    "Plan",
    "PreconditionFailedError",
    "Problem",
    "ProcessOutcome",
    "ProcessOutcomes",
    "Processed",
    "PromptResponse",
    "ProtocolError",
    "QueryStatusResponse",
    "QueryValue",
    "RateLimitedError",
    "Record",
    "RedirectError",
    "RedisBus",
    "Refusal",
    "RequestError",
    "RequestTimeoutError",
    "Requested",
    "Response",
    "ResponseTooLargeError",
    "ResultFile",
    "Run",
    "RunCancelledError",
    "RunDeletion",
    "RunError",
    "RunFailedError",
    "RunHandle",
    "RunNeedsReviewError",
    "RunQueryResponse",
    "RunResults",
    "RunSettings",
    "RunStatus",
    "ServerError",
    "Shard",
    "Source",
    "SourceAccessError",
    "SourceApp",
    "SourceChangedError",
    "SourceError",
    "SourceUnavailableError",
    "Sources",
    "StatusError",
    "Table",
    "Telemetry",
    "UnknownSettingWarning",
    "UnprocessableError",
    "UnreadableAnswerError",
    "UploadError",
    "UploadProgress",
    "UploadRecord",
    "UploadReport",
    "UploadResume",
    "Uploads",
    "ViewSize",
    "WaitTimeoutError",
    "WebhookConfig",
    "WebhookReceiver",
    "WebhookResponse",
    "__version__",
    "capture_responses",
    "dask_engine",
]

_LATE = {
    "Bus": "webhooks.bus",
    "Checked": "results.gates",
    "Claim": "webhooks.bus",
    "Engine": "ingest.engines",
    "FieldRow": "results.field_rows",
    "Gate": "results.gates",
    "HasResults": "results.gates",
    "IngestJob": "ingest.job",
    "IngestStatus": "ingest.progress",
    "LegacyJobHandle": "resources.v1.handles",
    "LegacyRunHandle": "resources.v1.handles",
    "NamedFiles": "resources.named_files",
    "NotebookProgress": "results.notebook",
    "OpenTelemetry": "telemetry",
    "Origin": "results.rows",
    "Plan": "ingest.plan",
    "Problem": "results.binding",
    "ProcessOutcome": "process_each",
    "ProcessOutcomes": "process_each",
    "Processed": "results.processed",
    "Record": "results.binding",
    "RedisBus": "webhooks.redis",
    "Refusal": "results.gates",
    "Requested": "results.rows",
    "Shard": "ingest.shards",
    "Table": "results.tables",
    "ViewSize": "results.view.page",
    "WebhookReceiver": "webhooks.receiver",
    "WebhookResponse": "webhooks.payloads",
    "dask_engine": "ingest.engines",
}
"""Names and the modules that define them, which are imported with the first use; the others are of `models`.

`results` would be an eighth of the import's time, and `ingest` loads SQLite.
"""

if not TYPE_CHECKING:  # A type checker would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = importlib.import_module(f"{__name__}.{_LATE.get(name, 'models')}")
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
