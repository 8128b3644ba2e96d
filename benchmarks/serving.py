"""Start a sink in its own process, read what arrived there, and pin processes to cores."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def cores() -> tuple[int, int]:
    """Return the core of the client and the core of the sink for a pinned run.

    Raises:
        SystemExit: this process may use only one core, or the system cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("--pin needs sched_setaffinity, which this system does not have")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("--pin needs two cores: one for the client, one for the sink")
    return usable[0], usable[1]


def pin(core: int | None) -> None:
    """Keep this process on one core; None leaves it where it is."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def sink(*, certificate: Path | None = None, delay: float = 0.0, core: int | None = None) -> Iterator[str]:
    """Run a sink, over TLS with a certificate, and yield the root of its URLs."""
    command = [sys.executable, "-m", "benchmarks.sink", "--delay", str(delay)]
    command += [] if certificate is None else ["--certificate", str(certificate)]
    command += [] if core is None else ["--core", str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http{'' if certificate is None else 's'}://localhost:{port}/api"
        finally:
            process.kill()


def stats(root: str, certificate: Path, method: str) -> dict[str, int]:
    """Return the sink's counters; DELETE resets them."""
    import ssl

    context = ssl.create_default_context(cafile=certificate) if root.startswith("https") else None
    request = urllib.request.Request(f"{root}/stats", method=method)
    with urllib.request.urlopen(request, context=context) as answer:
        counters: dict[str, int] = json.load(answer)
        return counters


def make_certificate(folder: Path) -> Path:
    """Make a self-signed certificate for localhost, with its key, by openssl."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both
