"""Batches, their files, and multipart upload sessions."""

import attrs

from aihub_async.models.base import Model


@attrs.frozen
class Batch(Model):
    """A new batch; the API answers with its id alone."""

    id: int


@attrs.frozen
class BatchInfo(Model):
    """A batch as the server reports it.

    `created_at_ms` and `updated_at_ms` are Unix milliseconds. `mount_point` is the connected drive and
    `path_suffix` the batch's path below it; `repo_owner` owns the workspace, `batch_owner` created the batch.
    """

    id: int
    name: str | None = None
    workspace: str | None = None
    mount_point: str | None = None
    repo_owner: str | None = None
    batch_owner: str | None = None
    created_at_ms: int | None = None
    updated_at_ms: int | None = None
    path_suffix: str | None = None


@attrs.frozen
class ListBatches(Model):
    """One page of batches; the API does not report whether there are more."""

    batches: list[BatchInfo] = attrs.field(factory=list)


@attrs.frozen
class NodeMetadata(Model):
    """`node_type` is ``"file"`` or ``"folder"``, `size` bytes, `modified_timestamp` Unix seconds."""

    node_type: str | None = None
    size: int | None = None
    modified_timestamp: int | None = None


@attrs.frozen
class NodePermissions(Model):
    """What the caller may do with a file."""

    can_read: bool | None = None
    can_write: bool | None = None
    can_delete: bool | None = None


@attrs.frozen
class FileNode(Model):
    """A file or folder in the storage system."""

    _leaf = True

    full_path: str | None = None
    metadata: NodeMetadata | None = None
    perms: NodePermissions | None = None
    name: str | None = None


@attrs.frozen
class ListBatchFiles(Model):
    """One page of a batch's files; `next_page_token` requests the next one while `has_more`."""

    nodes: list[FileNode] = attrs.field(factory=list)
    next_page_token: str | None = None
    has_more: bool | None = None


@attrs.frozen
class BatchDeletionJob(Model):
    """The job that deletes a batch and its files."""

    job_id: str


@attrs.frozen
class MultipartUploadSession(Model):
    """An open multipart upload.

    `part_size` is bytes: every part has exactly this size, except the last, which may be smaller. `location`
    is the answer's Location header; it is not in the JSON.
    """

    session_id: str
    part_size: int
    location: str | None = None


@attrs.frozen
class MultipartUploadPart(Model):
    """An uploaded part; `part_num` counts from 1."""

    part_id: str
    part_num: int
