"""Fetching the results of one run and writing them as one part."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import anyio.to_thread
import attrs

from aihub_async.ingest import export
from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.remote import Remote
from aihub_async.models import ResultFile


@attrs.frozen
class Written:
    """What was written: rows, bytes, and the names of files that the results do not mention."""

    rows: int
    size: int
    missing: list[str]


async def write_part(
    remote: Remote,
    options: JobOptions,
    batch: BatchRow,
    sources: dict[str, str],
    crash_hook: Callable[[str], None],
) -> Written:
    """Write a batch's results to its part, which appears whole or not at all.

    Args:
        remote: where to fetch them.
        options: where and how to write them.
        batch: the batch, with its run.
        sources: the local path of each file by its name in the batch.
        crash_hook: called before and after every durable write.
    """
    missing = dict.fromkeys(sources)
    with export.Part(
        export.part_path(options.out, batch.no, options.format), options.format, export.columns(options.rows)
    ) as part:
        with _raw_part(options, batch) as raw:
            pages = remote.results(batch.run_id)
            while (answers := await pages.next_page()) is not None:
                for answer in answers:
                    for file in answer.files:
                        name = _name_of(file)
                        missing.pop(name, None)
                        origin = export.Origin(sources.get(name), name, batch.batch_id, batch.run_id)
                        part.write(list(export.rows_of(file, origin, options.rows)))
                    if raw is not None:
                        raw.write([answer.raw])
            if raw is not None:
                await anyio.to_thread.run_sync(raw.commit, crash_hook)
        await anyio.to_thread.run_sync(part.commit, crash_hook)
        return Written(part.rows, part.size, list(missing))


def _raw_part(options: JobOptions, batch: BatchRow) -> AbstractContextManager[export.Part | None]:
    if not options.raw:
        return nullcontext()
    return export.Part(export.part_path(options.out / "raw", batch.no, "jsonl"), "jsonl", ())


def _name_of(file: ResultFile) -> str:
    return file.original_file_name or (file.input_file_path or "").rpartition("/")[2]
