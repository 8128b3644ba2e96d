"""The names of a job's batches on the server, by which everything of the job is found again, and of their files."""

import re

from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.uploads.names import fold

JOB_NAME = re.compile(r"aihub-ingest-(?P<job>[0-9a-f]{32})-(?P<no>\d+)(?:-(?P<generation>\d+))?")
"""The names that `batch_name` makes."""


def batch_name(job: str, batch: BatchRow) -> str:
    """Return the unique name of a batch on the server, which is also the tag of its run."""
    generation = f"-{batch.generation}" if batch.generation > 1 else ""
    return f"{job_prefix(job)}{batch.no}{generation}"


def job_prefix(job: str) -> str:
    """Return what the names of all batches of a job begin with."""
    return f"aihub-ingest-{job}-"


def unique_name(name: str, names: set[str]) -> str:
    """Return a name that no other file of the batch has, and add it to the names.

    Names that differ only in case or in Unicode form would overwrite each other on some drives.
    """
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    candidate, number = name, 1
    while (folded := fold(candidate)) in names:
        number += 1
        ending = f"~{number}{dot}{extension}"
        candidate = stem[: 255 - len(ending)] + ending
    names.add(folded)
    return candidate
