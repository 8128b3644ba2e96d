"""The `aihub` command, as a user runs it: in its own process, or in this one where many runs are needed."""

import contextlib
import os
import pty
import select
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aihub_async.emulator import Emulator, write_samples

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator().in_thread() as running:
        yield running


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    write_samples(folder)
    return folder


class Command:
    """Runs `aihub` in a process; call it for a run whose output goes to pipes."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIHUB_")},
            "AIHUB_API_KEY": emulator.api_key,
            "AIHUB_API_ROOT": emulator.api_root,
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "PYTHONPATH": str(REPOSITORY),
            "AIHUB_PROFILES_FILE": str(folder / "config" / "profiles.toml"),
        }
        self.folder = folder

    def line(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "aihub_async.cli", *map(str, arguments)]

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] = {}, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*arguments),
            env={**self.environment, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            input=stdin,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str | Path, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.line(*arguments),
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_terminal(
        self,
        *arguments: str | Path,
        columns: int = 120,
        env: Mapping[str, str] = {},
        typed: str = "",
        slowly: bool = False,
    ) -> tuple[int, str]:
        """Run on a pseudo terminal of a width; return the exit code and all that was shown."""
        import fcntl
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**self.environment, "TERM": "xterm", **env}
        del environment["COLUMNS"]
        process = subprocess.Popen(
            self.line(*arguments), env=environment, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        lines = typed.splitlines(keepends=True)
        if not slowly:
            os.write(ours, "".join(lines).encode())
        shown = b""
        with contextlib.suppress(OSError):
            while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 65536)):
                shown += piece
                # As a person does: each answer after its question.
                if slowly and lines and piece.rstrip(b" ").endswith(b":"):
                    os.write(ours, lines.pop(0).encode())
        os.close(ours)
        return process.wait(timeout=60), shown.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def aihub(emulator: Emulator, tmp_path: Path) -> Command:
    return Command(emulator, tmp_path)


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run `aihub` in this process: much faster, for tests that need no separate process."""
    for name in [name for name in os.environ if name.startswith("AIHUB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIHUB_API_KEY", emulator.api_key)
    monkeypatch.setenv("AIHUB_API_ROOT", emulator.api_root)
    monkeypatch.setenv("AIHUB_PROFILES_FILE", str(tmp_path / "config" / "profiles.toml"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        from aihub_async.cli.app import main

        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
