"""Jobs killed with SIGKILL: nothing is lost, nothing is done twice."""

import contextlib
import hashlib
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import aihub_async
from aihub_async.emulator import Emulator
from aihub_async.ingest.journal import schema
from aihub_async.ingest.journal.rows import FileState

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

MakeFiles = Callable[..., Path]

_SERVE = """
import sys
from aihub_async.emulator import Emulator
Emulator(data_dir=sys.argv[1], results_page_size=50).run_forever(lambda hub: print(hub.api_root, flush=True))
"""
_ROOT = Path(aihub_async.__file__).parents[1]


@attrs.define
class Server:
    """An emulator in its own process; after `stop` its state can be inspected."""

    data: Path
    process: "subprocess.Popen[str]"
    root: str

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


@contextlib.contextmanager
def spawned(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    data = tmp_path / "hub"
    with spawned("-c", _SERVE, str(data)) as process:
        assert process.stdout is not None
        yield Server(data, process, process.stdout.readline().strip())


@pytest.fixture
def zygote() -> Iterator["subprocess.Popen[str]"]:
    with spawned(str(Path(__file__).with_name("job_process.py"))) as process:
        yield process


@attrs.define
class Killed:
    """A job that is run and killed again and again."""

    zygote: "subprocess.Popen[str]"
    server: Server
    source: Path
    out: Path
    files: int
    sent_before: set[str] = attrs.field(factory=set)

    def run(self, **kill: float) -> dict[str, int]:
        task = {"root": self.server.root, "source": str(self.source), "out": str(self.out), "files": self.files} | kill
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        done, offset = self.journalled(), self.log_size()
        self.zygote.stdin.write(json.dumps(task) + "\n")
        self.zygote.stdin.flush()
        answer: dict[str, int] = json.loads(self.zygote.stdout.readline())
        again = done & set(self.sent()[offset:])
        assert not again, f"journalled as uploaded, and sent again: {sorted(again)}"
        return answer

    def journalled(self) -> set[str]:
        path = self.out / "job.db"
        if not path.exists():
            return set()
        with contextlib.closing(schema.connect_readonly(path)) as connection:
            rows = connection.execute("SELECT base FROM files WHERE state = ?", (int(FileState.UPLOADED),))
            return {base for (base,) in rows}

    def sent(self) -> list[str]:
        path = self.out / "sent.log"
        return path.read_text().splitlines() if path.exists() else []

    def log_size(self) -> int:
        return len(self.sent())

    def rows(self) -> Counter[str]:
        parts = self.out.glob("part-*.jsonl")
        return Counter(json.loads(line)["source"] for part in parts for line in part.read_text().splitlines())

    def check(self, hub: Emulator, job: str) -> None:
        """The server holds exactly the files of the plan, every run once; every result row is there once."""
        runs = [run for run in hub.runs() if any(job in tag for tag in run["tags"])]
        assert len({run["batch_id"] for run in runs}) == len(runs)
        held = Counter((file.name, file.sha256) for run in runs for file in hub.batch_files(run["batch_id"]))
        paths = list(self.source.iterdir())
        assert held == Counter((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths)
        assert len(runs) == -(-len(paths) // self.files)
        assert self.rows() == Counter(map(str, paths))

    def job(self) -> str:
        with contextlib.closing(schema.connect_readonly(self.out / "job.db")) as connection:
            return str(schema.read_meta(self.out, connection)["job"])


async def batches_of(hub: Emulator) -> Counter[str]:
    async with aihub_async.AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        return Counter([batch.name async for batch in client.batches.iter()])


async def check_all(server: Server, jobs: list[Killed]) -> None:
    server.stop()
    async with Emulator(data_dir=server.data) as hub:
        names = await batches_of(hub)
        assert set(names.values()) == {1}, "a batch was made twice"
        for job in jobs:
            job.check(hub, job.job())


async def test_a_job_survives_a_kill_at_random_boundaries(
    server: Server, zygote: Any, make_files: MakeFiles, tmp_path: Path
) -> None:
    job = Killed(zygote, server, make_files("scans", 300), tmp_path / "out", 50)
    chance = random.Random(5)
    kills = 0
    while kills < 12:
        answer = job.run(kill_at=chance.randint(1, 14))
        if answer["code"] == 0:
            break
        assert answer["code"] == -signal.SIGKILL
        kills += 1
    assert kills >= 8
    assert job.run()["code"] == 0
    await check_all(server, [job])


def boundaries(zygote: Any, server: Server, source: Path, out: Path) -> int:
    answer = Killed(zygote, server, source, out, 3).run()
    assert answer["code"] == 0
    return answer["boundaries"]


async def killed_everywhere(zygote: Any, server: Server, source: Path, folder: Path, step: int) -> None:
    """A job of two batches, killed once at every `step`-th durable write and then resumed."""
    total = boundaries(zygote, server, source, folder / "clean")
    jobs = []
    for number in range(1, total + 1, step):
        job = Killed(zygote, server, source, folder / f"killed-{number}", 3)
        answer = job.run(kill_at=number)
        # How writes share commits varies a little: the last boundaries may not be reached.
        assert answer["code"] in {-signal.SIGKILL, 0}
        assert answer["code"] != 0 or number > total // 2
        assert job.run()["code"] == 0
        jobs.append(job)
    await check_all(server, jobs)


async def test_a_kill_at_durable_writes(server: Server, zygote: Any, make_files: MakeFiles, tmp_path: Path) -> None:
    await killed_everywhere(zygote, server, make_files("scans", 6), tmp_path, 3)


@pytest.mark.slow
async def test_a_kill_at_every_durable_write(
    server: Server, zygote: Any, make_files: MakeFiles, tmp_path: Path
) -> None:
    await killed_everywhere(zygote, server, make_files("scans", 6), tmp_path, 1)


@pytest.mark.slow
async def test_fifty_kills_at_random_moments(
    server: Server, zygote: Any, make_files: MakeFiles, tmp_path: Path
) -> None:
    job = Killed(zygote, server, make_files("scans", 5000), tmp_path / "out", 250)
    chance = random.Random(11)
    kills = 0
    while kills < 50:
        answer = job.run(kill_after=chance.uniform(0.05, 0.25))
        if answer["code"] == 0:
            break
        kills += 1
    assert kills == 50, f"the job was done after {kills} kills"
    assert job.run()["code"] == 0
    await check_all(server, [job])
