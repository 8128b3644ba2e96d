"""What the file operations outside the published specification need."""

import contextlib
from collections.abc import AsyncGenerator, Mapping

from aihub_async.models import DeletionJob, FileJob
from aihub_async.transport.body import Body, ContentBody
from aihub_async.transport.messages import Response

APPEND_BYTES = 10_485_760
"""Bytes that one request appends: the parts of Instabase's own tools."""

PUBLIC_DETAILS = frozenset({"client_type", "prefix", "bucket_name", "aws_region", "encryption"})
"""Details of a mount that are no credentials."""


async def pieces(body: ContentBody, size: int) -> AsyncGenerator[Body, None]:
    """Cut a body into parts of `size` bytes, the last of which may be smaller; one part for an empty body."""
    if body.length <= size:
        yield body
        return
    async with contextlib.aclosing(body.parts()) as parts:
        for offset in range(0, body.length, size):
            yield await parts.part(offset, min(size, body.length - offset))


def file_job(response: Response) -> FileJob:
    """Return the job that an answer names: in its Location header, or as `job_id` in its body."""
    location = response.headers.get("Location")
    if location is not None:
        return FileJob(DeletionJob.from_location(location).job_id, location)
    try:
        answer = response.json()
    except ValueError:
        return FileJob()
    job_id = answer.get("job_id") if isinstance(answer, Mapping) else None
    return FileJob(None if job_id is None else str(job_id))
