"""Results pages to one wide Parquet file: this package, and what a user would write with json and pandas.

Each contestant has its own process and reads the same pages of 20 files, one document each, as the API sends them
(with confidences). Pages are made on the fly, outside the timing, so that memory is the contestant's own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.decode import _file
from benchmarks.measure import Table
from benchmarks.record import Record, add_option

_PAGE = 20
_VARIANTS = 50


class Clock:
    """Pages for a contestant; the time to make them is not counted."""

    def __init__(self, documents: int, fields: int) -> None:
        self.spent = 0.0
        self._documents = documents
        # Making pages takes longer than reading them: a few are made and sent again and again under other names.
        self._made = [_page(number, fields) for number in range(_VARIANTS)]

    def pages(self) -> Iterator[bytes]:
        for number in range(-(-self._documents // _PAGE)):
            start = time.perf_counter()
            page = self._made[number % _VARIANTS].replace(b"invoice-", b"invoice-%06d-" % number)
            self.spent += time.perf_counter() - start
            yield page


def _page(number: int, fields: int) -> bytes:
    import random

    rng = random.Random(number)
    files = [_file(rng, index, fields, {}) for index in range(_PAGE)]
    for file in files:
        for field in file["documents"][0]["fields"]:
            del field["source_coordinates"]
    return json.dumps({"id": "run", "status": "COMPLETE", "files": files, "has_more": True}).encode()


def with_this_package(pages: Iterable[bytes], path: Path) -> None:
    from aihub_async.models import RunResults
    from aihub_async.models.decode import decode
    from aihub_async.results.columns import ColumnSet
    from aihub_async.results.files import RowFile
    from aihub_async.results.rows import Origin, Shape, file_name

    shape = Shape.of()
    with RowFile(path, "parquet", ColumnSet.of(shape)) as output:
        for page in pages:
            rows = []
            for file in decode(RunResults, page).files:
                name = file_name(file)
                rows += shape.rows_of(file, Origin(f"scans/{name}", name, 7, "run"))
            output.write(rows)
        output.commit()


def with_json_and_pandas(pages: Iterable[bytes], path: Path) -> None:
    import pandas as pd

    rows = []
    for page in pages:
        for file in json.loads(page)["files"]:
            for document in file["documents"]:
                row = {"file": file["original_file_name"], "class_name": document["class_name"]}
                row.update((field["field_name"], field["value"]) for field in document["fields"])
                rows.append(row)
    pd.DataFrame(rows).to_parquet(path)


CONTESTANTS: dict[str, Callable[[Iterable[bytes], Path], None]] = {
    "aihub_async": with_this_package,
    "json and pandas": with_json_and_pandas,
}


def work(name: str, documents: int, fields: int) -> dict[str, Any]:
    """Run one contestant in this process."""
    import pyarrow.parquet as pq

    clock = Clock(documents, fields)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.parquet"
        CONTESTANTS[name](Clock(_PAGE, fields).pages(), path)
        start = time.perf_counter()
        CONTESTANTS[name](clock.pages(), path)
        seconds = time.perf_counter() - start - clock.spent
        rows = pq.read_metadata(path).num_rows
        size = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "peak": peak, "size": size / 1e6}


def measure(name: str, documents: int, fields: int) -> dict[str, Any]:
    """Run one contestant in its own process."""
    command = [sys.executable, "-m", "benchmarks", "results", "--work", name, "--documents", str(documents)]
    done = subprocess.run([*command, "--fields", str(fields)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["rows"] != -(-documents // _PAGE) * _PAGE:
        raise SystemExit(f"{name} wrote {found['rows']} rows, not {documents}")
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks results", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--work", choices=sorted(CONTESTANTS), help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args(argv)
    if options.work:
        print(json.dumps(work(options.work, options.documents, options.fields)))
        return 0
    record = Record.begin("results", argv)
    table = Table("wide Parquet by", "documents", "documents a minute", "peak memory", "file")
    for documents in (options.documents // 10, options.documents):
        for name in CONTESTANTS:
            runs = [measure(name, documents, options.fields) for _ in range(options.rounds)]
            rounds = [{"wall": run["seconds"], "peak": run["peak"] * 2**20} for run in runs]
            what = f"wide Parquet of {documents:,} documents with {options.fields} fields"
            record.add(what, {name: rounds}, units=documents, unit="document", baseline="json and pandas")
            best = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
            rate = documents / best["seconds"] * 60
            table.add(name, f"{documents:,}", f"{rate:,.0f}", f"{best['peak']:.0f} MB", f"{best['size']:.0f} MB")
    print(f"{options.fields} fields a document; median of {options.rounds} runs\n")
    print(table.markdown() if options.markdown else table.text())
    record.save(options.json)
    return 0
