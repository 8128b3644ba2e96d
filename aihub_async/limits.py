"""Every documented limit of AI Hub, once, with its source.

Sizes are bytes, lengths are characters. "docs" means the public documentation of AI Hub, "spec" its OpenAPI
specification of August 2026.
"""

MAX_NAME_LENGTH = 255
"""Longest name of a batch or of an uploaded file (spec: createBatch, createMultipartUploadSession)."""

MULTIPART_THRESHOLD = 10_000_000
"""Files above this size are uploaded in parts (spec: addFileToBatch suggests at most 10 MB for one PUT)."""

DEFAULT_PART_SIZE = 10_485_760
"""Part size in the examples of the specification; the server chooses the real one for each session."""

MAX_FILE_BYTES = 50 * 1024 * 1024
"""Largest file (docs: 50 MB), read as binary megabytes: the client refuses nothing that the service may accept."""

MAX_REQUEST_BYTES = 100 * 1024 * 1024
"""Files of one request together (docs: 100 MB), read as binary megabytes."""

MAX_FILES_PER_RUN = 1000
"""Files that one run processes (docs)."""

MAX_TAGS_LENGTH = 500
"""Longest combined length of the tags of a run (spec: settings.tags)."""

MAX_SYNC_FILES = 5
"""Files of one request to run_binary_sync (docs: legacy API)."""

SYNC_RUN_SECONDS = 60.0
"""Seconds that the server takes for a run in memory, at most (docs: run_binary_sync)."""

MAX_JOB_ID_LENGTH = 50
"""Longest id that a caller may choose for a legacy job (docs: legacy API)."""
