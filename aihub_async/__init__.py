"""Async-first client for Instabase AI Hub."""

import importlib
from typing import TYPE_CHECKING, Any

from aihub_async._version import __version__
from aihub_async.client import AsyncAIHub
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
    SourceChangedError,
    SourceError,
    StatusError,
    UnprocessableError,
    UnreadableAnswerError,
    UploadError,
    WaitTimeoutError,
)
from aihub_async.models import UnknownSettingWarning
from aihub_async.models.uploads import UploadRecord, UploadReport
from aihub_async.resources.v1.handles import LegacyJobHandle, LegacyRunHandle
from aihub_async.transport.events import AttemptEvent, capture_responses
from aihub_async.transport.messages import Response
from aihub_async.uploads.contents import ByteStream
from aihub_async.uploads.engine import UploadProgress, Uploads
from aihub_async.uploads.multipart import UploadResume
from aihub_async.waiting.handles import JobHandle, RunHandle
from aihub_async.webhooks.receiver import WebhookReceiver
from aihub_async.webhooks.redis import RedisBus

if TYPE_CHECKING:
    from aihub_async.results.binding import Problem, Record
    from aihub_async.results.field_rows import FieldRow
    from aihub_async.results.gates import Checked, Gate, Refusal
    from aihub_async.results.notebook import NotebookProgress
    from aihub_async.results.processed import Processed
    from aihub_async.results.tables import Table

__all__ = [
    "AIHubError",
    "AsyncAIHub",
    "Attempt",
    "AttemptEvent",
    "AuthenticationError",
    "BadRequestError",
    "BindingError",
    "ByteStream",
    "CertificateError",
    "Checked",
    "ClosedClientError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "FieldRow",
    "ForbiddenError",
    "Gate",
    "GoneError",
    "IngestError",
    "InvalidRequestError",
    "JobFailedError",
    "JobHandle",
    "JournalBusyError",
    "JournalDamagedError",
    "JournalError",
    "JournalMismatchError",
    "LegacyAPIError",
    "LegacyJobHandle",
    "LegacyRunHandle",
    "NotFoundError",
    "NotebookProgress",
    "OutcomeUnknownError",
    "PaginationError",
    "PayloadTooLargeError",
    "PreconditionFailedError",
    "Problem",
    "Processed",
    "ProtocolError",
    "RateLimitedError",
    "Record",
    "RedirectError",
    "RedisBus",
    "Refusal",
    "RequestError",
    "RequestTimeoutError",
    "Response",
    "ResponseTooLargeError",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunHandle",
    "RunNeedsReviewError",
    "ServerError",
    "SourceChangedError",
    "SourceError",
    "StatusError",
    "Table",
    "UnknownSettingWarning",
    "UnprocessableError",
    "UnreadableAnswerError",
    "UploadError",
    "UploadProgress",
    "UploadRecord",
    "UploadReport",
    "UploadResume",
    "Uploads",
    "WaitTimeoutError",
    "WebhookReceiver",
    "__version__",
    "capture_responses",
]

_LATE = {
    "Checked": "gates",
    "FieldRow": "field_rows",
    "Gate": "gates",
    "NotebookProgress": "notebook",
    "Problem": "binding",
    "Processed": "processed",
    "Record": "binding",
    "Refusal": "gates",
    "Table": "tables",
}
"""Names of `results`, which is imported with the first of them: it would be an eighth of the import's time."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"aihub_async.results.{_LATE[name]}"), name)
    return value
