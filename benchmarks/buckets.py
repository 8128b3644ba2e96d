"""The keys of a bucket, listed and planned: time, CPU and memory at 1,000 keys a page and a delay for each page.

The S3 server is a stub in a process of its own that only lists. Each size has a fresh process.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.contestants.run import peak, resident
from benchmarks.measure import Table, cpu_seconds

_PAGE = 1_000
_FOLDER = 250
"""Keys of a folder."""


def serve(count: int, delay: float) -> None:
    """List a bucket of so many keys; print the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            time.sleep(delay)
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            body = page(count, query).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def page(count: int, query: dict[str, str]) -> str:
    """Return one page of the list as S3 does."""
    start = int(query.get("continuation-token", 0))
    if query.get("delimiter"):
        total = -(-count // _FOLDER)
        numbers = range(start, min(start + _PAGE, total))
        items = "".join(f"<CommonPrefixes><Prefix>in/{n:06d}/</Prefix></CommonPrefixes>" for n in numbers)
    else:
        total = count
        most = min(int(query.get("max-keys", _PAGE)), _PAGE)
        numbers = range(start, min(start + most, total))
        items = "".join(map(_item, numbers))
    is_more = numbers.stop < total
    token = f"<NextContinuationToken>{numbers.stop}</NextContinuationToken>" if is_more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<KeyCount>{len(numbers)}</KeyCount><IsTruncated>{str(is_more).lower()}</IsTruncated>{token}{items}"
        "</ListBucketResult>"
    )


def _item(number: int) -> str:
    return (
        f"<Contents><Key>in/{number // _FOLDER:06d}/invoice-{number:07d}.pdf</Key><Size>{20_000 + number % 999}</Size>"
        f'<ETag>"{number:032x}"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>'
    )


async def plan(count: int, folder: Path) -> dict[str, float]:
    """Plan a job whose source is the bucket."""
    import s3fs

    from aihub_async import AsyncAIHub

    s3fs.S3FileSystem()
    before = resident()
    async with AsyncAIHub("key", api_root="http://127.0.0.1:9", allow_insecure=True) as client:
        job = client.ingest("s3://b/in/**/*.pdf", app_name="stub", out=folder / "out")
        began, cpu = time.perf_counter(), cpu_seconds()
        found = await job.plan(contents=False, pages=False)
        wall, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    assert found.files == count, found
    return {"wall": wall, "cpu": cpu, "memory": peak() - before}


def measure(count: int, delay: float) -> dict[str, float]:
    """Plan so many keys in a fresh process, against a server in another."""
    command = [sys.executable, "-m", "benchmarks.buckets"]
    with subprocess.Popen([*command, "--serve", str(count), str(delay)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            names = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
            environment = os.environ | names | {"AWS_ENDPOINT_URL": endpoint}
            done = subprocess.run(
                [*command, "--one", str(count)], env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
        finally:
            server.kill()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks buckets", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--delay", type=float, default=0.005, help="seconds for each page")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve is not None:
        serve(int(options.serve[0]), float(options.serve[1]))
        return 0
    if options.one is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(plan(options.one, Path(folder)))))
        return 0
    table = Table("keys", "wall", "CPU", "memory above idle")
    for count in options.sizes:
        found = measure(count, options.delay)
        table.add(f"{count:,}", f"{found['wall']:.1f} s", f"{found['cpu']:.1f} s", f"{found['memory'] / 1e6:.0f} MB")
    print(table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
