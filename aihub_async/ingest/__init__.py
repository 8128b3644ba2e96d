"""Bulk ingestion: a source of any size through batches, runs and results as one resumable job."""

from aihub_async.ingest.job import IngestJob
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.plan import Plan
from aihub_async.ingest.progress import IngestStatus, read_status

__all__ = ["IngestJob", "IngestStatus", "JobOptions", "Plan", "read_status"]
