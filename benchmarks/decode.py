"""Decoding a large results page: this package, the official SDK, and msgspec alone.

Both pages have 139 files and 5,420 fields with confidences and coordinates, the same each time; two values in five
wrap over a line and so have two boxes. The first has nothing else in its fields (about 1.8 MB). The second has what
all of the API's include_* options add (about 2.2 MB).
"""

import argparse
import functools
import json
import random
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aihub_async.models import RunResults
from aihub_async.models.decode import decode
from benchmarks.measure import Table, Timing, interleave, milliseconds
from benchmarks.record import Record, add_option

FILES = 139
FIELDS = 5_420


def page(files: int = FILES, fields: int = FIELDS, *, everything: bool = False) -> bytes:
    """A results page as the API sends it, from a fixed random sequence."""
    reviewed = {"edit_history": [], "validations": {"valid": True, "alerts": []}} if everything else {}
    rng = random.Random(20_240_701)
    share, rest = divmod(fields, files)
    body = {
        "id": "0195a7c4-6f0e-7d3a-9d58-2b1f0c7e4a11",
        "status": "COMPLETE",
        "message": None,
        "start_timestamp": 1_719_842_400_000_000_000,
        "finish_timestamp": 1_719_842_520_000_000_000,
        "batch_id": "40817",
        "files": [_file(rng, number, share + (number < rest), reviewed) for number in range(files)],
        "keys": {"custom": {"region": "north"}},
        "review_completed": False,
        "has_more": False,
    }
    return json.dumps(body).encode()


def _file(rng: random.Random, number: int, fields: int, reviewed: dict[str, Any]) -> dict[str, Any]:
    path = f"/acme/finance/fs/Instabase Drive/invoices/invoice-{number:05}.pdf"
    document = {
        "fields": [_field(rng, index) | reviewed for index in range(fields)],
        "class_name": rng.choice(["invoice", "receipt", None]),
        "page_numbers": [1, 2],
        "page_layouts": [{"page_number": page, "width": 1700.0, "height": 2200.0} for page in range(2)],
        "classification_confidence": {"model": round(rng.random(), 6)},
    }
    return {"original_file_name": path.rpartition("/")[2], "input_file_path": path, "documents": [document]}


def _field(rng: random.Random, index: int) -> dict[str, Any]:
    return {
        "field_name": f"line_item_{index}_description",
        "value": f"Item {rng.randrange(10**6)} at {rng.randrange(10**4)}.{rng.randrange(100):02} EUR",
        "type": "TEXT",
        "error_msg": "",
        "confidence": {"model": round(rng.random(), 6), "ocr": round(rng.random(), 6)},
        "source_coordinates": [_box(rng) for _ in range(rng.choice((1, 1, 1, 2, 2)))],
    }


def _box(rng: random.Random) -> dict[str, Any]:
    left, top = rng.uniform(0, 1500), rng.uniform(0, 2000)
    return {
        "top_x": round(left, 2),
        "top_y": round(top, 2),
        "bottom_x": round(left + 150, 2),
        "bottom_y": round(top + 30, 2),
        "page_number": rng.randrange(2),
    }


def count(results: Any) -> tuple[int, int]:
    """Files and fields of a decoded page, whoever decoded it."""
    documents = [document for file in results.files for document in file.documents]
    return len(results.files), sum(len(document.fields) for document in documents)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks decode", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--markdown", action="store_true")
    add_option(parser)
    options = parser.parse_args(argv)
    record = Record.begin("decode", argv)

    for title, everything in (("confidences and coordinates", False), ("every detail", True)):
        body = page(everything=everything)
        timings = compare(body, options.rounds)
        table = table_of(timings)
        print(f"{title}: {len(body):,} bytes, {FILES} files, {FIELDS:,} fields, {options.rounds} interleaved rounds\n")
        print(table.markdown() if options.markdown else table.text(), end="\n\n")
        alone = paired(timings["msgspec alone, typed"], timings["aihub_async"])
        print(f"msgspec alone / aihub_async, CPU paired by round: {alone:.3f} (goal 0.95)\n")
        record.add(title, {name: timing.rounds for name, timing in timings.items()}, baseline="official SDK")
    record.save(options.json)
    return 0


def paired(one: Timing, other: Timing) -> float:
    """Return the median ratio of CPU time of the same round."""
    pairs = zip(one.samples, other.samples, strict=True)
    return statistics.median(mine.cpu / theirs.cpu for mine, theirs in pairs)


def compare(body: bytes, rounds: int) -> dict[str, Timing]:
    """Time all decoders on one page."""
    from aihub.models.results_response import ResultsResponse

    # A text for a number: the strict lane refuses the page, and the tolerant lane reads all of it.
    odd = body.replace(b'"start_timestamp": 1719842400000000000', b'"start_timestamp": "1719842400000000000"', 1)
    contestants: dict[str, Callable[[], object]] = {
        "aihub_async": functools.partial(decode, RunResults, body),
        "aihub_async, tolerant lane": functools.partial(decode, RunResults, odd),
        "msgspec alone, typed": functools.partial(msgspec.json.Decoder(RunResults).decode, body),
        "official SDK": functools.partial(ResultsResponse.from_json, body.decode()),
    }
    for name, contestant in contestants.items():
        if count(contestant()) != (FILES, FIELDS):
            raise SystemExit(f"{name} decoded {count(contestant())} files and fields, not {(FILES, FIELDS)}")

    return interleave(rounds, contestants)


def table_of(timings: Mapping[str, Timing]) -> Table:
    official = timings["official SDK"].wall
    table = Table("decoder", "wall, median", "CPU, median", "spread", "times the official")
    for name, timing in timings.items():
        cells = (milliseconds(timing.wall), milliseconds(timing.cpu), f"{timing.spread:.0%}")
        table.add(name, *cells, f"{official / timing.wall:.1f}x")
    return table
