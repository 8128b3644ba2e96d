"""Jobs of the v1 API: compiled flow binaries, and runs under another name.

A flow file of the emulator is JSON such as `{"app": "Invoices"}`, the name of a registered app; one that is not runs
the built-in app. A binary is JSON with the names of its flows' apps. There is no classifier model: every flow of a
binary sees every file.
"""

from typing import Any

import msgspec

from aihub_async.emulator.background import Background
from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.runs import Runs
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.worker import Worker

_DEFAULT_APP = "key-values"
_OVER = frozenset({"COMPLETE", "FAILED", "CANCELLED"})


class LegacyJobs:
    """What `/v1/jobs/…` tells about and changes."""

    def __init__(
        self,
        database: Database,
        drive: Drive,
        runs: Runs,
        worker: Worker,
        background: Background,
        settings: EmulatorSettings,
    ) -> None:
        self._db = database
        self._drive = drive
        self._runs = runs
        self._worker = worker
        self._background = background
        self._settings = settings

    def check_unused(self, job_id: str) -> None:
        """Refuse the id of a job that exists.

        Raises:
            ApiError: 409, there is one.
        """
        if self._db.one("SELECT 1 FROM legacy_jobs WHERE id = ?", job_id):
            raise ApiError(409, f"There is a job {job_id} already.")

    def add_run(self, run_id: str, binary_path: str) -> None:
        """Make a run known as a job."""
        self._insert(run_id, "run", binary_path, {})

    def compile(self, binary_path: str, flow_files: list[str], binary_type: str) -> str:
        """Start compiling flow files to a binary; give the job id."""
        job_id = self._settings.new_id()
        self._insert(job_id, "compile", binary_path, {"flow_files": flow_files, "binary_type": binary_type})
        self._background.spawn(self._compile(job_id))
        return job_id

    def resume(self) -> None:
        """Go on with the compilations that the last stop interrupted; runs go on by themselves."""
        for row in self._db.all("SELECT id FROM legacy_jobs WHERE kind = 'compile' AND state = 'RUNNING'"):
            self._background.spawn(self._compile(row["id"]))

    def status(self, job_id: str) -> dict[str, Any]:
        """The state of a job as v1 tells it, with JSON inside JSON.

        Raises:
            ApiError: 404, no such job.
        """
        row = self._get(job_id)
        state, message, finish = self._now(row)
        over = state in _OVER
        current = {
            "status": state,
            "finish_timestamp": finish,
            "curProgress": 1 if over else 0,
            "reviewer": "",
            "review_state": "NOT_COMPLETED" if state == "STOPPED_AT_CHECKPOINT" else "NONE",
        }
        response: dict[str, Any] = {
            "status": "OK",
            "job_id": job_id,
            "state": "DONE" if over else "PENDING",
            "cur_status": msgspec.json.encode(current).decode(),
        }
        if over:
            result = {"status": "OK" if state == "COMPLETE" else "ERROR", "msg": message}
            if row["kind"] == "run":
                result["output_folder"] = f"/{self._runs.get(job_id)['output_dir']}"
            response["results"] = [result]
        return response

    def page(self, limit: int, after: int, until: int) -> tuple[list[dict[str, Any]], int | None]:
        """Jobs that finished until a time (Unix seconds) or go on, newest first, and the place of the next page."""
        rows = self._db.all("SELECT * FROM legacy_jobs WHERE position < ? ORDER BY position DESC", after)
        known = [(row, *self._now(row)) for row in rows]
        chosen = [item for item in known if item[3] is None or item[3] <= until]
        jobs = [
            {"job_id": row["id"], "flow_path": row["path"], "status": state, "finish_timestamp": finish}
            for row, state, _, finish in chosen[:limit]
        ]
        return jobs, chosen[limit - 1][0]["position"] if len(chosen) > limit else None

    def control(self, job_id: str, action: str) -> None:
        """Pause, resume, cancel or retry a run.

        Raises:
            ApiError: 404 no such job, 409 not in the state for it.
        """
        row = self._get(job_id)
        state, _, _ = self._now(row)
        allowed = {
            "pause": {"RUNNING"},
            "resume": {"PAUSED"},
            "cancel": {"RUNNING", "PAUSED", "STOPPED_AT_CHECKPOINT"},
            "retry": {"FAILED", "CANCELLED"},
        }
        if row["kind"] != "run" or state not in allowed[action]:
            raise ApiError(409, f"A job that is {state} cannot {action}.")
        if action == "pause":
            self._worker.pause(job_id)
        elif action == "cancel":
            self._worker.cancel(job_id)
        else:
            self._worker.restart(job_id)

    def apps_of(self, binary_path: str) -> list[str]:
        """Names of the apps in a binary.

        Raises:
            ApiError: 404 no such file, 400 not a binary.
        """
        content = self._read_json(binary_path)
        apps = content.get("apps") if isinstance(content, dict) else None
        if not isinstance(apps, list) or not apps:
            raise ApiError(400, f"/{binary_path} is not a flow binary.")
        return [str(app) for app in apps]

    def run_of(self, results_path: str) -> Row:
        """The run whose results a path names.

        Raises:
            ApiError: 404, there are no such results.
        """
        folder, _, _ = results_path.rpartition("/")
        row = self._db.one("SELECT * FROM runs WHERE output_dir = ? ORDER BY position DESC LIMIT 1", folder)
        if row is None or self._drive.find(results_path) is None:
            raise ApiError(404, f"There are no results at /{results_path}.")
        return row

    def _get(self, job_id: str) -> Row:
        row = self._db.one("SELECT * FROM legacy_jobs WHERE id = ?", job_id)
        if row is None:
            raise ApiError(404, f"There is no job {job_id}.")
        return row

    def _insert(self, job_id: str, kind: str, path: str, body: dict[str, Any]) -> None:
        self._db.write(
            "INSERT INTO legacy_jobs(id, kind, path, body, state, message) VALUES (?, ?, ?, ?, 'RUNNING', '')",
            *(job_id, kind, path, msgspec.json.encode(body).decode()),
        )

    def _now(self, row: Row) -> tuple[str, str, int | None]:
        """State, message and Unix seconds of the end."""
        if row["kind"] != "run":
            return row["state"], row["message"], row["finish_s"]
        run = self._db.one("SELECT status, msg, finish_ns FROM runs WHERE id = ?", row["id"])
        if run is None:
            raise ApiError(404, f"There is no job {row['id']}.")
        return run["status"], run["msg"], run["finish_ns"] and run["finish_ns"] // 10**9

    async def _compile(self, job_id: str) -> None:
        if self._settings.job_seconds:
            await self._settings.clock.sleep(self._settings.job_seconds)
        row = self._get(job_id)
        body = msgspec.json.decode(row["body"])
        state, message = "COMPLETE", "Compiled."
        try:
            flows = [self._read_json(path) for path in body["flow_files"]]
            apps = [flow["app"] if isinstance(flow, dict) and "app" in flow else _DEFAULT_APP for flow in flows]
            binary = msgspec.json.encode({"binary_type": body["binary_type"], "apps": apps})
            self._drive.put(row["path"], *self._drive.blobs.save(binary))
        except ApiError as error:
            state, message = "FAILED", error.message
        self._db.write(
            "UPDATE legacy_jobs SET state = ?, message = ?, finish_s = ? WHERE id = ?",
            *(state, message, self._settings.clock.time_ns() // 10**9, job_id),
        )

    def _read_json(self, path: str) -> Any:
        node = self._drive.find(path)
        if node is None:
            raise ApiError(404, f"There is no file /{path}.")
        try:
            return msgspec.json.decode(self._drive.blobs.read(node.blob))
        except msgspec.DecodeError:
            return None
