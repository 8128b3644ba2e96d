"""Fetching the results of one run and writing them as one part."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import anyio.to_thread
import attrs

from aihub_async.errors import RequestError
from aihub_async.ingest.folder import ResultsFolder, explained
from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.patience import is_unreadable
from aihub_async.ingest.remote import Remote
from aihub_async.models import ResultFile, RunResults
from aihub_async.results.columns import ColumnSet
from aihub_async.results.fields import unique_names, value_and_error
from aihub_async.results.files import RowFile
from aihub_async.results.gates import Checked
from aihub_async.results.rows import Origin, case_columns, case_rows, file_error, file_name

_UNWRITABLE = (ValueError, TypeError, OverflowError, RecursionError, NotImplementedError)
"""What writers raise for values that a format cannot hold, such as a number of 5,000 digits."""


class UnreadableResultsError(Exception):
    """A page of results that cannot be read, or not be written; `offset` is the index of its first file."""

    def __init__(self, error: Exception, offset: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.offset = offset


@attrs.frozen
class Written:
    """What was written: rows, bytes, documents that the gate refused, and why files have no usable result, by name."""

    rows: int
    size: int
    gated: int
    fields: Mapping[str, tuple[int, int, int]]
    """How often each field was found: documents that have it, found in, failed in."""
    failed: Mapping[str, tuple[str, str]]


async def write_part(
    remote: Remote,
    options: JobOptions,
    folder: ResultsFolder,
    batch: BatchRow,
    sources: Mapping[str, str],
    crash_hook: Callable[[str], None],
    *,
    superseded: frozenset[str] = frozenset(),
) -> Written:
    """Write a batch's results to its part, which appears whole or not at all.

    A file that the app could not read has its row, and counts as failed.

    Args:
        remote: where to fetch them.
        options: how to write them.
        folder: where to write them.
        batch: the batch, with its run.
        sources: the local path of each file by its name in the batch.
        crash_hook: called before and after every durable write.
        superseded: names of files whose later results are in another part: they have no rows here.

    Raises:
        UnreadableResultsError: the server sends what cannot be read as results.
        IngestError: the part cannot be written, such as on a full disk.
    """
    with ExitStack() as files, explained(folder.part(batch.no)):
        part = _Part(options, folder, batch, sources, files, superseded)
        pages = remote.results(batch.run_id)
        offset = 0
        while True:
            try:
                answers = await pages.next_page()
            except RequestError as error:
                if not is_unreadable(error):
                    raise
                raise UnreadableResultsError(error, offset) from None
            if answers is None:
                break
            for answer in answers:
                offset += len(answer.files)
                part.add(answer)
        await anyio.to_thread.run_sync(part.commit, crash_hook)
        return part.written()


class _Part:
    """The files of one batch's results while they are written."""

    def __init__(
        self,
        options: JobOptions,
        folder: ResultsFolder,
        batch: BatchRow,
        sources: Mapping[str, str],
        files: ExitStack,
        superseded: frozenset[str] = frozenset(),
    ) -> None:
        self._superseded = superseded
        self._batch = batch
        self._sources = sources
        self._extra = {"group": batch.group} if options.group is not None else {}
        self._shape = options.shape
        columns = ColumnSet.of(self._shape, self._extra)
        self._rows = files.enter_context(
            RowFile(folder.part(batch.no), options.format, columns, formulas=options.formulas)
        )
        self._raw = (
            files.enter_context(RowFile(folder.raw_part(batch.no), "jsonl", ColumnSet({}))) if options.raw else None
        )
        self._gate = options.gate
        self._review: RowFile | None = None
        self._review_path = folder.review_part(batch.no)
        self._cases: RowFile | None = None
        self._files, self._options, self._folder = files, options, folder
        self._missing = dict.fromkeys(sources)
        self._fields: dict[str, list[int]] = {}
        self._failed: dict[str, tuple[str, str]] = {}

    def add(self, answer: RunResults) -> None:
        """Add a page."""
        for file in answer.files:
            self._add_file(file)
        if answer.case_info is not None and answer.case_info.fields and self._cases is None:
            # Every page repeats what belongs to the whole packet.
            self._cases = self._open_cases()
            rows = case_rows(answer.case_info, batch_id=self._batch.batch_id, run_id=self._batch.run_id)
            self._cases.write([{**self._extra, **row} for row in rows])
            if self._gate is not None:
                self._refuse(self._gate.check_case(answer.case_info, self._origin(None, "")))
        if self._raw is not None:
            self._raw.write([answer.raw])

    def _add_file(self, file: ResultFile) -> None:
        name = file_name(file)
        if name in self._superseded:
            return
        self._missing.pop(name, None)
        origin = self._origin(self._sources.get(name), name)
        self._count_fields(file)
        problem = file_error(file)
        if problem is not None:
            self._failed[name] = ("extraction failed", problem)
        try:
            self._rows.write(list(self._shape.rows_of(file, origin)))
        except _UNWRITABLE as error:
            self._failed[name] = ("unwritable result", f"its result cannot be written: {error}")
        if self._gate is not None:
            self._refuse(self._gate.check(file, origin))

    def _count_fields(self, file: ResultFile) -> None:
        for document in file.documents:
            for name, field in unique_names(document).items():
                value, error = value_and_error(field)
                numbers = self._fields.get(name)
                if numbers is None:
                    numbers = self._fields[name] = [0, 0, 0]
                numbers[0] += 1
                if error is not None:
                    numbers[2] += 1
                if value is not None and value != "":
                    numbers[1] += 1

    def _origin(self, source: str | None, name: str) -> Origin:
        return Origin(source, name, self._batch.batch_id, self._batch.run_id, self._extra)

    def _refuse(self, checked: Iterable[Checked]) -> None:
        """Write the documents that need a review."""
        refused = [item.row() for item in checked if not item.accepted]
        if not refused:
            return
        if self._review is None:
            self._review = self._files.enter_context(RowFile(self._review_path, "jsonl", ColumnSet({})))
        self._review.write(refused)

    def _open_cases(self) -> RowFile:
        options, path = self._options, self._folder.case_part(self._batch.no)
        columns = ColumnSet(dict.fromkeys(self._extra, "text") | case_columns())
        return self._files.enter_context(RowFile(path, options.format, columns, formulas=options.formulas))

    def commit(self, crash_hook: Callable[[str], None]) -> None:
        """Make all files durable, the part last."""
        if self._review is None:
            self._review_path.unlink(missing_ok=True)
        for file in (self._raw, self._cases, self._review, self._rows):
            if file is None:
                continue
            try:
                file.commit(crash_hook)
            except _UNWRITABLE as error:
                raise UnreadableResultsError(error, 0) from None

    def written(self) -> Written:
        """Return what was written."""
        missing = dict.fromkeys(self._missing, ("no result", "the run has no result for this file"))
        gated = 0 if self._review is None else self._review.rows
        fields = {name: (documents, found, failed) for name, (documents, found, failed) in self._fields.items()}
        return Written(self._rows.rows, self._rows.size, gated, fields, {**self._failed, **missing})
