"""What became of the files of an upload."""

from collections.abc import Mapping, Sequence

import attrs

from aihub_async.errors import AIHubError, UploadError


@attrs.frozen
class UploadRecord:
    """What became of one source.

    `name` is the file's name in the batch; `source` says where it came from; `size` is in bytes, None when it could
    not be found out; `attempts` counts the requests of a file sent whole, and for a file sent in parts 1 plus the
    requests that had to be repeated; `duration` is in seconds; `digest` is the SHA-256 in hexadecimal, if asked for.
    `error` is None for a file that is up.
    """

    name: str
    source: str
    size: int | None
    attempts: int
    duration: float
    digest: str | None = None
    error: Exception | None = None


@attrs.frozen
class UploadReport:
    """What became of all sources, in their order. `duration` is the time of the whole upload in seconds.

    Example:
        >>> async def upload_folder(client, batch_id):
        ...     report = await client.batches.upload(batch_id, "scans/", on_error="collect")
        ...     for record in report.failed:
        ...         print(record.source, record.error)
        ...     return report.ok
    """

    records: Sequence[UploadRecord]
    duration: float

    @property
    def files(self) -> int:
        """Files that are up."""
        return sum(record.error is None for record in self.records)

    @property
    def bytes(self) -> int:
        """Bytes of the files that are up."""
        return sum(record.size or 0 for record in self.records if record.error is None)

    @property
    def failed(self) -> list[UploadRecord]:
        """The records of files that are not up."""
        return [record for record in self.records if record.error is not None]

    @property
    def ok(self) -> bool:
        """Whether every source is up."""
        return not self.failed


def upload_error(report: UploadReport) -> UploadError:
    """The exception for a report with errors; its cause is the first of them."""
    first = report.failed[0]
    more = f", and {len(report.failed) - 1} more" if len(report.failed) > 1 else ""
    error = UploadError(
        f"{len(report.failed)} of {len(report.records)} files failed: {first.source}: {first.error}{more}",
        report=report,
    )
    error.__cause__ = first.error
    return error


def verified(records: Sequence[UploadRecord], sizes: Mapping[str, int | None]) -> list[UploadRecord]:
    """The records, those with an error of their own whose file the batch does not list with the right size."""
    return [_verified(record, sizes) for record in records]


def _verified(record: UploadRecord, sizes: Mapping[str, int | None]) -> UploadRecord:
    if record.error is not None:
        return record
    if record.name not in sizes:
        return attrs.evolve(record, error=AIHubError(f"{record.name} was uploaded, but the batch does not list it"))
    listed = sizes[record.name]
    if listed is not None and listed != record.size:
        message = f"{record.name} was uploaded with {record.size} bytes, but the batch lists it with {listed}"
        return attrs.evolve(record, error=AIHubError(message))
    return record
