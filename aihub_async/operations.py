"""The API on one page: every operation that the client can send.

One row per operation: its name in the published specification, the method and path below `api_root`, the statuses
that mean success, what may be sent again after an unclear failure, and the lane that it waits in. Resources, the emulator, the contract test and
the docs all read this table.

Source of the current rows: the published OpenAPI specification of August 2026 (27 operations). Below them are the
operations that left the service, the deprecated ones, and those that are not in any published specification; the
latter have names of our own.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_NAME_LENGTH, SYNC_RUN_SECONDS


class Repeat(enum.Enum):
    """What a retry may do with an operation whose last attempt had an unclear outcome."""

    SAFE = "safe"
    """Sending it again changes nothing: reads, and writes of identical bytes."""

    IDEMPOTENT_DELETE = "settled"
    """Deletions and aborts: safe to send again, and a 404 after an unclear attempt is success."""

    ONCE = "once"
    """Creates something (a run is billed): never sent again unless the first attempt provably did nothing."""


class Lane(enum.Enum):
    """Which queue a request waits in."""

    BULK = "bulk"
    """Uploads, submissions, results: as many at a time as the adaptive limit allows."""

    CONTROL = "control"
    """Polls, cancels and deletions: a few places are reserved, so that they never wait behind uploads."""

    # Each request looks its lane up ten times, and the hash of `enum.Enum` is a function of Python.
    __hash__ = object.__hash__


class Standing(enum.Enum):
    """How well an operation is documented."""

    CURRENT = "current"
    LEGACY = "legacy"
    REMOVED = "removed"
    UNVERIFIED = "unverified"


def _statuses(statuses: Iterable[int]) -> frozenset[int]:
    return frozenset(statuses)


@attrs.frozen
class Operation:
    """One operation of the API.

    `path` is a template below `api_root`; `{name}` is one path segment and `{path*}` several. `seconds` is
    how long the server itself may take, by its documentation: an attempt gets that in addition to its timeout.
    """

    name: str
    method: str
    path: str
    expected: frozenset[int] = attrs.field(converter=_statuses)
    repeat: Repeat
    lane: Lane = Lane.BULK
    standing: Standing = Standing.CURRENT
    returns_file: bool = False
    """Whether the answer is a file of any type; the answers of all others are JSON or empty."""
    seconds: float = 0.0

    def url_path(self, **values: str | int) -> str:
        """Fill the template with percent-encoded values.

        Raises:
            InvalidRequestError: a value is not one clean path segment (see `encode_segment`).

        Example:
            >>> GET_BATCH.url_path(batch_id=7)
            '/v2/batches/7'
        """
        return _PLACEHOLDER.sub(lambda found: _encode(found, values), self.path)


_PLACEHOLDER = re.compile(r"\{(?P<name>\w+)(?P<many>\*?)\}")
# `.` and `..` would be folded into the parent by every URL library: a file DELETE would become a batch DELETE.
_FOLDED = frozenset({"", ".", ".."})
_FORBIDDEN = re.compile(r"[\x00\r\n]")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+")
_NOT_AN_ID = re.compile(r"[\s/?#%\\]")


def _encode(found: re.Match[str], values: Mapping[str, str | int]) -> str:
    name, value = found["name"], str(values[found["name"]])
    if found["many"]:
        return "/".join(encode_segment(name, segment) for segment in value.strip("/").split("/"))
    if name != "filename" and _NOT_AN_ID.search(value):
        raise InvalidRequestError(f"{name} {value!r} is not an id: ids have no spaces and none of / ? # % \\")
    return encode_segment(name, value)


def encode_segment(label: str, value: str) -> str:
    """Percent-encode one path segment, refusing what a URL cannot carry unchanged.

    Raises:
        InvalidRequestError: empty, `.`, `..`, NUL, CR, LF, longer than 255 characters, or not encodable as UTF-8.

    Example:
        >>> encode_segment("filename", "a/b ?.pdf")
        'a%2Fb%20%3F.pdf'
    """
    if value in _FOLDED:
        raise InvalidRequestError(f"{label} must not be {value!r}: it would address something else")
    if _FORBIDDEN.search(value):
        raise InvalidRequestError(f"{label} {value!r} contains NUL, CR or LF; rename it")
    if len(value) > MAX_NAME_LENGTH:
        raise InvalidRequestError(f"{label} has {len(value)} characters; the API takes {MAX_NAME_LENGTH} at most")
    try:
        # Most names have only such characters, and `quote` takes six times as long to find that out.
        return value if _UNRESERVED.fullmatch(value) else quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{label} {value!r} is not valid Unicode; use a name that is") from None


_SAFE, _IDEMPOTENT, _ONCE = Repeat.SAFE, Repeat.IDEMPOTENT_DELETE, Repeat.ONCE
_BULK, _CONTROL = Lane.BULK, Lane.CONTROL

# fmt: off
CREATE_BATCH      = Operation("createBatch",         "POST",   "/v2/batches",                            {200, 201}, _ONCE, _BULK)
LIST_BATCHES      = Operation("listBatches",         "GET",    "/v2/batches",                            {200},      _SAFE, _BULK)
GET_BATCH         = Operation("getBatch",            "GET",    "/v2/batches/{batch_id}",                 {200},      _SAFE, _BULK)
DELETE_BATCH      = Operation("deleteBatch",         "DELETE", "/v2/batches/{batch_id}",                 {202},      _IDEMPOTENT, _CONTROL)
LIST_FILES        = Operation("listFiles",           "GET",    "/v2/batches/{batch_id}/files",           {200},      _SAFE, _BULK)
ADD_FILE          = Operation("addFileToBatch",      "PUT",    "/v2/batches/{batch_id}/files/{filename}", {204},     _SAFE, _BULK)
DELETE_BATCH_FILE = Operation("deleteFileFromBatch", "DELETE", "/v2/batches/{batch_id}/files/{filename}", {202},     _IDEMPOTENT, _CONTROL)
POLL_BATCHES_JOB  = Operation("pollBatchesJob",      "GET",    "/v2/batches/jobs/{job_id}",              {200},      _SAFE, _CONTROL)

# A second session only orphans the first, so creating one is safe to repeat.
CREATE_UPLOAD     = Operation("createMultipartUploadSession", "POST", "/v2/batches/multipart-upload",    {201},      _SAFE, _BULK)
UPLOAD_PART       = Operation("uploadMultipartPart", "PUT",
                              "/v2/batches/multipart-upload/sessions/{session_id}/parts/{part_num}",     {201},      _SAFE, _BULK)
COMMIT_UPLOAD     = Operation("commitMultipartUploadSession", "POST",
                              "/v2/batches/multipart-upload/sessions/{session_id}",                      {201},      _ONCE, _BULK)
# The same operation with action "abort", which unlike a commit may always be repeated.
ABORT_UPLOAD      = attrs.evolve(COMMIT_UPLOAD, repeat=_IDEMPOTENT, lane=_CONTROL)

RUN_APP           = Operation("runApp",              "POST",   "/v2/apps/runs",                          {200},      _ONCE, _BULK)
LIST_RUNS         = Operation("listRuns",            "GET",    "/v2/apps/runs",                          {200},      _SAFE, _CONTROL)
RUN_DEPLOYMENT    = Operation("runDeployment",       "POST",   "/v2/apps/deployments/{deployment_id}/runs", {202},   _ONCE, _BULK)
GET_RUN_STATUS    = Operation("getRunStatus",        "GET",    "/v2/apps/runs/{run_id}",                 {200},      _SAFE, _CONTROL)
DELETE_RUN        = Operation("deleteRun",           "DELETE", "/v2/apps/runs/{run_id}",                 {202},      _IDEMPOTENT, _CONTROL)
GET_RUN_RESULTS   = Operation("getRunResults",       "GET",    "/v2/apps/runs/{run_id}/results",         {200},      _SAFE, _BULK)

JOB_STATUS        = Operation("jobStatus",           "GET",    "/v2/jobs/{job_id}",                      {200},      _SAFE, _CONTROL)

READ_FILE         = Operation("readFile",            "GET",    "/v2/files/{path*}",                      {200, 206}, _SAFE, _BULK, returns_file=True)
WRITE_FILE        = Operation("writeFile",           "PUT",    "/v2/files/{path*}",                      {201, 204}, _SAFE, _BULK)
GET_FILE_METADATA = Operation("getFileMetadata",     "HEAD",   "/v2/files/{path*}",                      {200},      _SAFE, _BULK, returns_file=True)
DELETE_FILE       = Operation("deleteFileOrFolder",  "DELETE", "/v2/files/{path*}",                      {202},      _IDEMPOTENT, _CONTROL)

LIST_SECRETS      = Operation("listSecrets",         "GET",    "/v2/aihub/secrets",                      {200},      _SAFE, _BULK)
CREATE_SECRET     = Operation("createSecret",        "POST",   "/v2/aihub/secrets",                      {200, 201}, _ONCE, _BULK)
UPDATE_SECRET     = Operation("updateSecret",        "PATCH",  "/v2/aihub/secrets",                      {200},      _SAFE, _BULK)
DELETE_SECRET     = Operation("deleteSecret",        "DELETE", "/v2/aihub/secrets",                      {200},      _IDEMPOTENT, _BULK)

# A query in the shape of a POST: it changes nothing.
GET_AUDIT_LOGS    = Operation("getAuditLogs",        "POST",   "/v1/auditlogs",                          {200},      _SAFE, _BULK)

# Conversations and queries left the service in February 2026. Source: the specification until then.
_REMOVED = Standing.REMOVED
CREATE_CONVERSATION = Operation("createConversation", "POST",  "/v2/conversations",                      {201},      _ONCE, _BULK, _REMOVED)
LIST_CONVERSATIONS  = Operation("listConversations",  "GET",   "/v2/conversations",                      {200},      _SAFE, _BULK, _REMOVED)
GET_CONVERSATION    = Operation("getConversation",    "GET",   "/v2/conversations/{conversation_id}",    {200},      _SAFE, _CONTROL, _REMOVED)
UPDATE_CONVERSATION = Operation("updateConversation", "PUT",   "/v2/conversations/{conversation_id}",    {204},      _SAFE, _BULK, _REMOVED)
DELETE_CONVERSATION = Operation("deleteConversation", "DELETE", "/v2/conversations/{conversation_id}",   {204},      _IDEMPOTENT, _BULK, _REMOVED)
CONVERSE            = Operation("converse",           "POST",  "/v2/conversations/{conversation_id}/prompts", {200}, _ONCE, _BULK, _REMOVED)
ADD_DOCUMENTS       = Operation("addDocumentsToConversation", "POST",
                                "/v2/conversations/{conversation_id}/documents",                         {201},      _ONCE, _BULK, _REMOVED)
DELETE_DOCUMENTS    = Operation("deleteDocumentsFromConversation", "DELETE",
                                "/v2/conversations/{conversation_id}/documents",                         {204},      _IDEMPOTENT, _BULK, _REMOVED)
GET_DOCUMENT        = Operation("getConversationDocumentMetadata", "GET",
                                "/v2/conversations/{conversation_id}/documents/{document_id}",           {200},      _SAFE, _BULK, _REMOVED)
RUN_QUERY           = Operation("runQuery",           "POST",  "/v2/queries",                            {202},      _ONCE, _BULK, _REMOVED)
GET_QUERY_STATUS    = Operation("getQueryStatus",     "GET",   "/v2/queries/{query_id}",                 {200},      _SAFE, _CONTROL, _REMOVED)

# Deprecated, still supported. Source: the pages "Run apps endpoint (Deprecated)", "Flow Binary API" and "Job status".
_LEGACY = Standing.LEGACY
RUN_LEGACY_APP      = Operation("runLegacyApp",       "POST",  "/v2/zero-shot-idp/projects/app/{app_id}/run",      {200}, _ONCE, _BULK, _LEGACY)
RUN_LEGACY_APP_BY_NAME = Operation("runLegacyAppByName", "POST", "/v2/zero-shot-idp/projects/app/run",             {200}, _ONCE, _BULK, _LEGACY)
RUN_LEGACY_APP_SYNC = Operation("runLegacyAppSync",   "POST",  "/v2/zero-shot-idp/projects/app/{app_id}/run/sync", {200}, _ONCE, _BULK, _LEGACY, seconds=SYNC_RUN_SECONDS)
LEGACY_JOB_STATUS   = Operation("legacyJobStatus",    "GET",   "/v1/jobs/status",                        {200},      _SAFE, _CONTROL, _LEGACY)
COMPILE_FLOW        = Operation("compileFlowBinary",  "POST",  "/v1/flow_binary/compile",                {200},      _ONCE, _BULK, _LEGACY)
RUN_FLOW            = Operation("runFlowBinary",      "POST",  "/v1/flow/run_binary_async",              {200},      _ONCE, _BULK, _LEGACY)
RUN_FLOW_SYNC       = Operation("runFlowBinarySync",  "POST",  "/v1/flow/run_binary_sync",               {200},      _ONCE, _BULK, _LEGACY, seconds=SYNC_RUN_SECONDS)
# A query in the shape of a POST.
GET_FLOW_RESULTS    = Operation("getFlowBinaryResults", "POST", "/v1/flow_binary/results",               {200},      _SAFE, _BULK, _LEGACY)
MOUNT_DRIVE         = Operation("mountDrive",         "POST",  "/v1/drives/{path*}",                     {200},      _ONCE, _BULK, _LEGACY)

# Not in any published specification of AI Hub. The file operations are those of the platform's file system, which
# Instabase's own tools use with AI Hub; the list of jobs was seen in use by others.
_UNVERIFIED = Standing.UNVERIFIED
LIST_LEGACY_JOBS    = Operation("listLegacyJobs",     "GET",   "/v1/jobs/list",                          {200},      _SAFE, _BULK, _UNVERIFIED)
CREATE_NODE         = Operation("createNode",         "POST",  "/v2/files/{path*}",                      {200, 201, 204}, _ONCE, _BULK, _UNVERIFIED)
APPEND_FILE         = Operation("appendToFile",       "PATCH", "/v2/files/{path*}",                      {204},      _ONCE, _BULK, _UNVERIFIED)
COPY_FILE           = Operation("copyFileOrFolder",   "POST",  "/v2/files/copy",                         {202},      _ONCE, _BULK, _UNVERIFIED)
EXTRACT_ARCHIVE     = Operation("extractArchive",     "POST",  "/v2/files/extract",                      {202},      _ONCE, _BULK, _UNVERIFIED)

# Of these only the names are published ("list, pause, resume, cancel, or retry flow jobs"): method and path are a guess
# on the pattern of /v1/jobs/status, and each method takes another `path`. Whether a second pause of a paused job is an
# error is not known, so none of them is repeated after an unclear attempt.
PAUSE_JOB           = Operation("pauseJob",           "POST",  "/v1/jobs/pause",                         {200},      _ONCE, _CONTROL, _UNVERIFIED)
RESUME_JOB          = Operation("resumeJob",          "POST",  "/v1/jobs/resume",                        {200},      _ONCE, _CONTROL, _UNVERIFIED)
CANCEL_JOB          = Operation("cancelJob",          "POST",  "/v1/jobs/cancel",                        {200},      _ONCE, _CONTROL, _UNVERIFIED)
RETRY_JOB           = Operation("retryJob",           "POST",  "/v1/jobs/retry",                         {200},      _ONCE, _BULK, _UNVERIFIED)
# fmt: on

NAMES_OF_2024: Mapping[str, Mapping[str, str]] = {
    "listBatches": {"offset": "file_offset"},
    "listRuns": {"output_workspaces": "output_repo"},
}
"""Query parameters that have another name on servers of 2024, by operation (specification of January 2025)."""

OPERATIONS: tuple[Operation, ...] = tuple(
    value for name, value in list(globals().items()) if isinstance(value, Operation) and name != "ABORT_UPLOAD"
)
