"""From a bucket to SQL: all documents below an S3 URL go through one resumable job, and DuckDB reads its parts.

Start it with ``python s3_to_duckdb.py s3://bucket/invoices RESULTS``; credentials and endpoint are those of boto
(``AWS_ACCESS_KEY_ID`` ...). Needs the extras ``s3`` and ``parquet``, and duckdb.
"""

import sys
from pathlib import Path

import duckdb

from aihub_sync import AIHub


def main(source: str, results: str) -> None:
    """Run the job, or the rest of it, and print the values of each field."""
    with AIHub() as client:
        job = client.ingest(source, app_name="Invoices", out=results, format="parquet", rows="field")
        print(job.run())
    parts = str(Path(results) / "*.parquet")
    query = "SELECT field, count(*), min(value) FROM read_parquet(?) GROUP BY field ORDER BY field"
    for field, count, value in duckdb.execute(query, [parts]).fetchall():
        print(field, count, value, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
