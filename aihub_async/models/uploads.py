"""What became of the files of an upload."""

from collections.abc import Iterator, Sequence

import attrs

from aihub_async.models.reprs import duration_text, html_card, html_rows, size_text

_SHOWN_FAILURES = 10


@attrs.frozen
class UploadRecord:
    """What became of one source.

    Attributes:
        name: the file's name in the batch.
        source: where the file came from.
        size: bytes, None when it could not be determined.
        attempts: requests of a file sent whole; for a file sent in parts 1 plus the requests that were repeated.
        duration: seconds.
        digest: the SHA-256 in hexadecimal, if requested.
        error: None for a file that was uploaded.
    """

    name: str
    source: str
    size: int | None
    attempts: int
    duration: float
    digest: str | None = None
    error: Exception | None = None


@attrs.frozen(repr=False)
class UploadReport:
    """What became of all sources, in their order: `len(report)` and iteration are over the records.

    Attributes:
        records: one per source.
        duration: seconds of the whole upload.
        skipped: paths of files that operating systems and Office leave in folders (``.DS_Store``, ``Thumbs.db``,
            ``~$*``, ``._*``) and were not uploaded for that reason.

    Example:
        >>> async def upload_folder(client, batch_id):
        ...     report = await client.batches.upload(batch_id, "scans/", on_error="collect")
        ...     for record in report.failed:
        ...         print(record.source, record.error)
        ...     return len(report.files)
    """

    records: Sequence[UploadRecord]
    duration: float
    skipped: Sequence[str] = ()

    @property
    def files(self) -> list[UploadRecord]:
        """The records of the files that were uploaded."""
        return [record for record in self.records if record.error is None]

    @property
    def bytes(self) -> int:
        """Bytes of the files that were uploaded."""
        return sum(record.size or 0 for record in self.files)

    @property
    def failed(self) -> list[UploadRecord]:
        """The records of the files that were not uploaded."""
        return [record for record in self.records if record.error is not None]

    @property
    def ok(self) -> bool:
        """Whether every source was uploaded."""
        return not self.failed

    def __len__(self) -> int:
        return len(self.records)

    def __bool__(self) -> bool:
        # A report of no files is not the same as no report.
        return True

    def __iter__(self) -> Iterator[UploadRecord]:
        return iter(self.records)

    def _repr_html_(self) -> str:
        facts = {
            "files": f"{len(self.files):,} of {len(self.records):,}",
            "size": size_text(self.bytes),
            "duration": duration_text(self.duration),
            "skipped": len(self.skipped) or None,
        }
        failed = self.failed
        if not failed:
            return html_card("Upload", facts)
        rows = [{"failed": record.name, "error": record.error} for record in failed[:_SHOWN_FAILURES]]
        return html_card("Upload", facts) + html_rows(("failed", "error"), rows, len(failed))

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (
            f"<UploadReport: {len(self.files)} of {len(self.records)} files uploaded, {self.bytes:,} bytes in "
            f"{self.duration:.1f} s{skipped}>"
        )
