"""Real programs in their own processes, with an emulator."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs
import pytest

from aihub_async.emulator import Emulator

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 60.0
"""Seconds that a program may take to start or to end on a busy machine."""


@attrs.frozen
class Stage:
    """An emulator, the environment that points programs at it, and a folder for what they write."""

    hub: Emulator
    environment: dict[str, str]
    folder: Path

    @contextmanager
    def start(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program from the folder of the examples; end it, and show what it printed if the test fails."""
        log = self.folder / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = self._popen(command, environment, output)
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(PATIENCE)
                print(log.read_text(errors="replace"))

    def _popen(
        self, command: tuple[str, ...], environment: dict[str, str], output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=EXAMPLES,
            env={**self.environment, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def run(self, *command: str, **environment: str) -> str:
        """Run a program to its end; return what it printed."""
        done = subprocess.run(
            command,
            cwd=EXAMPLES,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Emulator() as hub:
        environment = {
            **os.environ,
            "AIHUB_API_KEY": hub.api_key,
            "AIHUB_API_ROOT": hub.api_root,
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            # Whatever is installed is what the programs import; the examples are next to each other.
            "PYTHONPATH": os.pathsep.join((str(EXAMPLES), os.environ.get("PYTHONPATH", ""))),
            "NO_PROXY": "127.0.0.1",
        }
        yield Stage(hub, environment, tmp_path)


@pytest.fixture
def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def answers() -> Callable[..., bytes]:
    """Send a request to a program, again while it is still starting; return the body of its answer."""

    def send(url: str, data: bytes | None = None) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(url, data=data, timeout=PATIENCE) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError:
                raise
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    return send


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where a package is absent, and name it."""
    import importlib.util

    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def redis_server() -> str | None:
    """The path of the Redis server, if there is one."""
    return shutil.which("redis-server")
