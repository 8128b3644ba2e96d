r"""Every exception of the client.

    AIHubError
    ├── ConfigurationError            a setting cannot be used (also a ValueError)
    ├── InvalidRequestError           refused before anything was sent (also a ValueError)
    ├── ClosedClientError             the client was closed, or belongs to another process
    ├── SourceError                   a file to upload cannot be read
    │   ├── SourceChangedError        a file changed while it was being uploaded
    │   ├── SourceAccessError         the credentials of a bucket are missing, expired or refused
    │   └── SourceUnavailableError    the server of a bucket is overloaded or cannot be reached
    ├── BindingError                  documents are not what the caller's class describes (also a ValueError)
    ├── UploadError                   some files of a batch upload failed; carries the report
    ├── WaitTimeoutError              a wait ended before the thing waited for (also a TimeoutError)
    ├── JobFailedError                a job ended FAILED or CANCELLED
    ├── RunError                      a run ended without results
    │   ├── RunFailedError            FAILED
    │   ├── RunCancelledError         CANCELLED
    │   └── RunNeedsReviewError       STOPPED_AT_CHECKPOINT: a person must look at it
    ├── IngestError                   a bulk job cannot continue; it can be resumed when the cause is fixed
    │   └── JournalError              the job's journal cannot be read or written
    │       ├── JournalBusyError      another process holds it
    │       ├── JournalDamagedError   it is not what was written
    │       └── JournalMismatchError  it belongs to another job or another version
    └── RequestError                  a request failed; has operation, method, path, status, request_id, attempts
        ├── ConnectError              no connection was made: nothing was sent
        │   └── CertificateError      the server's TLS certificate was refused
        ├── ConnectionLostError       the connection broke after the request began
        ├── RequestTimeoutError       an attempt or the whole deadline ran out (also a TimeoutError)
        ├── OutcomeUnknownError       a once-only request may or may not have been carried out
        │   └── UnreadableAnswerError the server reported success with an unreadable answer (also a ProtocolError)
        ├── ProtocolError             the answer is not a valid API response
        │   ├── ResponseTooLargeError
        │   ├── RedirectError         3xx: redirects are never followed
        │   └── PaginationError       a list repeats itself, or promises more and has none
        ├── LegacyAPIError            HTTP 200 with {"status": "ERROR"} from a v1 operation
        └── StatusError               the server answered with an error status
            ├── BadRequestError       400
            ├── AuthenticationError   401: bad token, bad IB-Context or missing permission
            ├── ForbiddenError        403: not enough consumption units
            ├── NotFoundError         404
            ├── ConflictError         409
            ├── GoneError             410
            ├── PreconditionFailedError  412
            ├── PayloadTooLargeError  413
            ├── UnprocessableError    422
            ├── RateLimitedError      429
            └── ServerError           5xx

All of them can be pickled, and none holds a secret.
"""

from aihub_async.errors.base import (
    AIHubError,
    BindingError,
    ClosedClientError,
    ConfigurationError,
    IngestError,
    InvalidRequestError,
    JobFailedError,
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalMismatchError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunNeedsReviewError,
    SourceAccessError,
    SourceChangedError,
    SourceError,
    SourceUnavailableError,
    UploadError,
    WaitTimeoutError,
)
from aihub_async.errors.requests import (
    STATUS_ERRORS,
    Attempt,
    AuthenticationError,
    BadRequestError,
    CertificateError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    ForbiddenError,
    GoneError,
    LegacyAPIError,
    NotFoundError,
    OutcomeUnknownError,
    PaginationError,
    PayloadTooLargeError,
    PreconditionFailedError,
    ProtocolError,
    RateLimitedError,
    RedirectError,
    RequestDetails,
    RequestError,
    RequestTimeoutError,
    ResponseTooLargeError,
    ServerError,
    StatusError,
    UnprocessableError,
    UnreadableAnswerError,
    status_error_class,
)

__all__ = [
    "STATUS_ERRORS",
    "AIHubError",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BindingError",
    "CertificateError",
    "ClosedClientError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "ForbiddenError",
    "GoneError",
    "IngestError",
    "InvalidRequestError",
    "JobFailedError",
    "JournalBusyError",
    "JournalDamagedError",
    "JournalError",
    "JournalMismatchError",
    "LegacyAPIError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PaginationError",
    "PayloadTooLargeError",
    "PreconditionFailedError",
    "ProtocolError",
    "RateLimitedError",
    "RedirectError",
    "RequestDetails",
    "RequestError",
    "RequestTimeoutError",
    "ResponseTooLargeError",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunNeedsReviewError",
    "ServerError",
    "SourceAccessError",
    "SourceChangedError",
    "SourceError",
    "SourceUnavailableError",
    "StatusError",
    "UnprocessableError",
    "UnreadableAnswerError",
    "UploadError",
    "WaitTimeoutError",
    "status_error_class",
]

# Tracebacks and pickles name each exception where users import it from.
for _class in (value for value in list(globals().values()) if isinstance(value, type)):
    _class.__module__ = __name__
