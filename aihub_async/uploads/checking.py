"""Checks of sources before anything is sent: that there are files, with distinct names, that can be read."""

import time

import anyio.to_thread

from aihub_async.errors import AIHubError, InvalidRequestError
from aihub_async.models.uploads import UploadRecord, UploadReport
from aihub_async.operations import encode_segment
from aihub_async.uploads.engine import duplicate_name
from aihub_async.uploads.names import NameSet
from aihub_async.uploads.report import upload_error
from aihub_async.uploads.sources import SourceFile, SourceReader

_SHOWN = 5
"""Skipped paths that an error names."""


async def check_sources(reader: SourceReader, *, most: int, advice: str) -> None:
    """Check the files of a reader, which returns them again afterwards.

    Files on disk and behind URLs are all found and checked. Of a generator no file after the first with its content
    in memory is pulled, so that the memory stays flat; those are checked when their turn comes.

    Args:
        reader: the files; its `limit` becomes `most`.
        most: the largest number of files.
        advice: what to do with more files.

    Raises:
        InvalidRequestError: there are none, or too many.
        UploadError: some cannot be uploaded; its `report` has a record of each of these.
    """
    began = time.monotonic()
    reader.limit(most, advice)
    names = NameSet()
    found: list[SourceFile] = []
    failed: list[UploadRecord] = []
    while (file := await reader.next()) is not None:
        found.append(file)
        error = await _error_of(file, names)
        if error is not None:
            failed.append(UploadRecord(file.name, file.source, None, 0, 0.0, error=error))
        if reader.is_streaming and not file.is_light:
            break
    if not found:
        raise InvalidRequestError(_no_files(reader))
    if failed:
        raise upload_error(UploadReport(failed, time.monotonic() - began, tuple(reader.skipped)), of=len(found))
    reader.put_back(found)


async def _error_of(file: SourceFile, names: NameSet) -> AIHubError | None:
    try:
        encode_segment("name", file.name)
        await anyio.to_thread.run_sync(file.check)
    except AIHubError as error:
        return error
    return None if names.add(file.name) else duplicate_name(file)


def _no_files(reader: SourceReader) -> str:
    if not reader.skipped:
        return "the sources hold no files"
    more = ", ..." if len(reader.skipped) > _SHOWN else ""
    return f"the sources hold no files but those of the operating system: {', '.join(reader.skipped[:_SHOWN])}{more}"
