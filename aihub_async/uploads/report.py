"""Reports of uploads: their exception, and the comparison with what the batch lists."""

from collections.abc import Mapping, Sequence

import attrs

from aihub_async.errors import AIHubError, UploadError
from aihub_async.models.uploads import UploadRecord, UploadReport


def upload_error(report: UploadReport, *, of: int | None = None) -> UploadError:
    """Return the exception for a report with errors; its cause is the first of them. `of` is the number of files."""
    failed = report.failed
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    count = f"{len(failed)} of {len(report) if of is None else of} files failed"
    first = str(failed[0].error)
    # Most errors of a source begin with its name.
    named = first if first.startswith(failed[0].source) else f"{failed[0].source}: {first}"
    error = UploadError(f"{count}: {named}{more}", report=report)
    error.__cause__ = failed[0].error
    return error


def verified(records: Sequence[UploadRecord], sizes: Mapping[str, int | None]) -> list[UploadRecord]:
    """Return the records, adding an error to each whose file the batch does not list with the right size."""
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
