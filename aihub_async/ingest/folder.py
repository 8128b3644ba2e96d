"""The results folder of a job: which job it belongs to, and where everything is."""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from aihub_async.errors import AIHubError, IngestError
from aihub_async.ingest.journal.file import no_crash_hook
from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.results.columns import ColumnSet
from aihub_async.results.files import RowFile, sync_folder

OWN = ".aihub"
"""The subfolder for what is not results; readers of datasets skip names that begin with a dot."""


def default_journal(out: Path) -> Path:
    """Return where the journal of a job is, unless the caller chose another place."""
    return out / OWN / "job.db"


def journal_of(path: Path) -> Path:
    """Return the journal that a path means: itself, or that of a results folder."""
    return default_journal(path) if path.is_dir() else path


def shards_of(journal: Path) -> Path:
    """Return the folder of the journals of a job's shards."""
    return journal.with_name(journal.name + ".shards")


@attrs.frozen
class ResultsFolder:
    """The files of a job's results.

    Readers of Parquet datasets take every file of the folder for a part, except those whose names begin with an
    underscore or a dot. So next to Parquet parts everything else begins with an underscore.
    """

    path: Path
    format: str

    def part(self, number: int) -> Path:
        """Return the part of a batch."""
        return self.path / f"part-{number:06d}.{self.format}"

    def parts(self) -> list[Path]:
        """Return all parts, in order."""
        return sorted(self.path.glob(f"part-*.{self.format}"))

    def raw_part(self, number: int) -> Path:
        """Return the server's result pages of a batch."""
        return self._beside("raw") / f"part-{number:06d}.jsonl"

    def case_part(self, number: int) -> Path:
        """Return the packet fields of a batch."""
        return self._beside("cases") / f"part-{number:06d}.{self.format}"

    def review_part(self, number: int) -> Path:
        """Return the documents of a batch that the gate refused."""
        return self.path / OWN / "review" / f"part-{number:06d}.jsonl"

    def remove_part(self, number: int) -> None:
        """Remove what was written of a batch."""
        for path in (self.part(number), self.raw_part(number), self.case_part(number), self.review_part(number)):
            with explained(path):
                path.unlink(missing_ok=True)

    def unreadable(self, number: int, offset: int) -> Path:
        """Return where a results page that cannot be read is kept."""
        return self._beside("unreadable") / f"part-{number:06d}-{offset:06d}.bin"

    @property
    def failures(self) -> Path:
        """The dead-letter list."""
        return self._beside("failures.jsonl")

    @property
    def reviews(self) -> Path:
        """The list of what waits for a review."""
        return self._beside("review.jsonl")

    @property
    def marker(self) -> Path:
        """The file that names the job to which the folder belongs."""
        return self.path / OWN / "results.json"

    def _beside(self, name: str) -> Path:
        return self.path / (f"_{name}" if self.format == "parquet" else name)

    def claim(self, job: str, journal: Path, *, is_new: bool) -> None:
        """Mark the folder as this job's, before anything is sent.

        Raises:
            IngestError: it has results of another job, or cannot be written.
        """
        with explained(self.marker):
            owner = self.owner()
            foreign = owner is not None and owner != job
            if foreign or (owner is None and is_new and self.parts()):
                whose = f"of job {owner}" if owner else "of an unknown job"
                raise IngestError(
                    f"{self.path} has results {whose}, and the journal {journal} is not that job's; use another "
                    "folder. If that journal was lost, `aihub ingest rebuild` recreates it"
                )
            self.marker.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.marker.with_name(f"{self.marker.name}.tmp")
            temporary.write_text(json.dumps({"job": job, "journal": os.fspath(journal.absolute())}), encoding="utf-8")
            temporary.replace(self.marker)
            sync_folder(self.marker.parent)

    def owner(self) -> str | None:
        """Return the id of the job to which the folder belongs, if it is marked."""
        try:
            found = json.loads(self.marker.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            return ""
        return str(found.get("job", "")) if isinstance(found, dict) else ""

    def has(self, batch: BatchRow, *, raw: bool, gated: bool) -> bool:
        """Return whether everything that was exported of a batch is still there."""
        if raw and not self.raw_part(batch.no).exists():
            return False
        if gated and batch.gated and not self.review_part(batch.no).exists():
            return False
        try:
            return self.part(batch.no).stat().st_size == batch.part_bytes
        except OSError:
            return False


def write_lines(path: Path, rows: Iterable[dict[str, Any]], crash_hook: Callable[[str], None] = no_crash_hook) -> int:
    """Write a list next to the results as JSON Lines, or remove it if it is empty; return how many rows it has."""
    with explained(path), RowFile(path, "jsonl", ColumnSet({})) as file:
        for row in rows:
            file.write([row])
        if file.rows:
            file.commit(crash_hook)
            return file.rows
    with explained(path):
        path.unlink(missing_ok=True)
    return 0


def explained(path: Path) -> AbstractContextManager[None]:
    """Turn an error of the file system into the job's own, whose message explains how to resume the job."""
    return _Explained(path)


class _Explained(AbstractContextManager[None]):
    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        # A request that timed out is a TimeoutError, and thereby an OSError, too: it has nothing to do with this file.
        if isinstance(error, OSError) and not isinstance(error, AIHubError):
            raise IngestError(
                f"cannot write {self._path}: {error.strerror or error}; what is done is kept: when the cause is fixed, "
                "run the same job again to resume it"
            ) from error
