"""Runs jobs in child processes that can be killed; started by test_kills.py, controlled through stdin.

Each line is a JSON object: `root`, `source`, `out`, `files` (per batch), and `kill_at` (number of the durable-write
boundary at which the child kills itself) or `kill_after` (seconds). The answer has `code` and `boundaries`.
Forking from a process that has everything loaded makes a child cost a tenth of a fresh interpreter.
"""

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from aihub_async import AsyncAIHub, AttemptEvent
from aihub_async.ingest import IngestJob, JobOptions
from aihub_async.transport import http

_LOADED = http


def run(task: dict[str, Any]) -> int:
    out = Path(task["out"])
    out.mkdir(parents=True, exist_ok=True)
    sent = os.open(out / "sent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = os.open(out / "boundaries.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    passed = 0

    def crash_hook(_name: str) -> None:
        nonlocal passed
        passed += 1
        os.pwrite(count, f"{passed:06d}".encode(), 0)
        if passed == task.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: AttemptEvent) -> None:
        if event.operation == "addFileToBatch" and event.status == 204:
            os.write(sent, event.path.rpartition("/")[2].encode() + b"\n")

    options = JobOptions(
        out=out,
        journal=out / "job.db",
        app_name="key-values",
        batch_files=task["files"],
        in_flight_grace=0.1,
        max_runs=4,
    )

    async def work() -> bool:
        async with AsyncAIHub("emulator-key", api_root=task["root"], reconcile_for=0.1, hooks=[hook]) as client:
            job = IngestJob(client, task["source"], options, crash_hook=crash_hook)
            return (await job.run()).complete

    return 0 if asyncio.run(work()) else 3


def child(task: dict[str, Any]) -> dict[str, int]:
    pid = os.fork()
    if pid == 0:
        # The parent waits without a limit.
        signal.alarm(600)
        code = 70
        try:
            code = run(task)
        except BaseException:  # noqa: BLE001 - os._exit below would swallow it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if "kill_after" in task:
        time.sleep(task["kill_after"])
        # Until it is waited for, the child's number is not given to another process.
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    log = Path(task["out"]) / "boundaries.log"
    text = log.read_text() if log.exists() else ""
    return {"code": os.waitstatus_to_exitcode(status), "boundaries": int(text or 0)}


for line in sys.stdin:
    print(json.dumps(child(json.loads(line))), flush=True)
