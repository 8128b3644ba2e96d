"""Jobs of the v1 API: compiled flow binaries, and runs under another name.

A flow file of the emulator is JSON such as `{"app": "Invoices"}`, the name of a registered app; any other content runs
the built-in app. A binary is JSON with the names of its flows' apps. There is no classifier model: every flow of a
binary sees every file.
"""

from contextlib import suppress
from typing import Any

import msgspec

from aihub_async.emulator.apps import App, Apps, extracted_documents
from aihub_async.emulator.background import Background
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Database, Row, to_json
from aihub_async.emulator.documents import Document, ExtractedDocument
from aihub_async.emulator.runs import Runs
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.worker import Worker
from aihub_async.emulator.world import Account

DEFAULT_APP = "key-values"
"""Name of the app of a flow file that names none; also the id of the built-in deployment."""

_ENDED = frozenset({"COMPLETE", "FAILED", "CANCELLED"})
_ALLOWED = {
    "pause": {"RUNNING"},
    "resume": {"PAUSED"},
    "cancel": {"RUNNING", "PAUSED", "STOPPED_AT_CHECKPOINT"},
    "retry": {"FAILED", "CANCELLED"},
}
# A run's state is that of its row in `runs`; a deleted run is no job any more.
_JOBS = """
SELECT j.position, j.id, j.kind, j.context, j.workspace, j.path, j.body, r.settings, r.tags,
    CASE j.kind WHEN 'run' THEN r.status ELSE j.state END AS state,
    CASE j.kind WHEN 'run' THEN r.msg ELSE j.message END AS message,
    CASE j.kind WHEN 'run' THEN r.finish_ns / 1000000000 ELSE j.finish_s END AS finish_s
FROM legacy_jobs j LEFT JOIN runs r ON r.id = j.id
WHERE (j.kind = 'compile' OR r.id IS NOT NULL)
"""


class LegacyJobs:
    """What `/v1/jobs/...` reports and changes."""

    def __init__(
        self,
        database: Database,
        drive: Drive,
        runs: Runs,
        apps: Apps,
        worker: Worker,
        background: Background,
        settings: EmulatorSettings,
    ) -> None:
        self._db = database
        self._drive = drive
        self._runs = runs
        self._apps = apps
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

    def add_run(self, run: Row) -> None:
        """Make a run known as a job."""
        self._insert(run["id"], "run", run["context"], run["output_workspace"], run["binary_path"], {})

    def compile(self, account: Account, binary_path: str, flow_files: list[str], others: list[str], kind: str) -> str:
        """Start to compile flow files to a binary; return the job id. `others` are files that must exist as well."""
        job_id = self._settings.new_id()
        body = {"flow_files": flow_files, "other_files": others, "binary_type": kind}
        workspace = binary_path.split("/")[1] if "/" in binary_path else ""
        self._insert(job_id, "compile", account.context.id, workspace, binary_path, body)
        self._background.spawn(self._compile(job_id))
        return job_id

    def resume(self) -> None:
        """Continue the compilations that the last stop interrupted, and prepare the runs that the worker resumes."""
        for row in self._db.all("SELECT binary_path FROM runs WHERE status = 'RUNNING' AND binary_path IS NOT NULL"):
            with suppress(ApiError):  # the worker reports an app that is no longer there
                self.app_of(row["binary_path"])
        for row in self._db.all("SELECT id FROM legacy_jobs WHERE kind = 'compile' AND state = 'RUNNING'"):
            self._background.spawn(self._compile(row["id"]))

    def status(self, job_id: str, account: Account) -> dict[str, Any]:
        """Return the state of a job in the shape of v1, with JSON inside JSON.

        Raises:
            ApiError: 404, no such job.
        """
        job = self._get(job_id, account)
        state, ended = job["state"], job["state"] in _ENDED
        current = {
            "status": state,
            "finish_timestamp": job["finish_s"],
            "curProgress": 1 if ended else 0,
            "reviewer": "",
            "review_state": "NOT_COMPLETED" if state == "STOPPED_AT_CHECKPOINT" else "NONE",
        }
        answer: dict[str, Any] = {
            "status": "OK",
            "job_id": job_id,
            "state": "DONE" if ended else "PENDING",
            "cur_status": msgspec.json.encode(current).decode(),
        }
        if ended:
            result = {"status": "OK" if state == "COMPLETE" else "ERROR", "msg": job["message"]}
            if job["kind"] == "run":
                result["output_folder"] = f"/{self._runs.get(job_id)['output_dir']}"
            answer["results"] = [result]
        return answer

    def page(self, account: Account, limit: int, after: int, until: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return jobs that finished until a time (Unix seconds) or still run, newest first, and the next position."""
        query = (
            f"{_JOBS} AND j.context = ? AND j.position < ? AND (finish_s IS NULL OR finish_s <= ?)"
            " ORDER BY j.position DESC LIMIT ?"
        )
        rows = self._db.all(query, account.context.id, after, until, limit + 1)
        jobs = [_listed(row) for row in rows[:limit] if account.may_use(row["workspace"])]
        return jobs, rows[limit - 1]["position"] if len(rows) > limit else None

    def control(self, job_id: str, action: str, account: Account) -> None:
        """Pause, resume, cancel or retry a run.

        Raises:
            ApiError: 404 no such job, 409 not in the state for it.
        """
        job = self._get(job_id, account)
        if job["kind"] != "run" or job["state"] not in _ALLOWED[action]:
            raise ApiError(409, f"A job that is {job['state']} cannot {action}.")
        if action == "pause":
            self._worker.pause(job_id)
        elif action == "cancel":
            self._worker.cancel(job_id)
        else:
            self._worker.restart(job_id)

    def app_of(self, binary_path: str) -> App:
        """Return the app that a binary runs; several flows become one app that runs each of them.

        Raises:
            ApiError: 404 no such file or app, 400 not a binary.
        """
        content = self._read_json(binary_path)
        names = content.get("apps") if isinstance(content, dict) else None
        if not isinstance(names, list) or not names:
            raise ApiError(400, f"/{binary_path} is not a flow binary.")
        apps = [self._apps.latest(str(name)) for name in names]
        if len(apps) == 1:
            return apps[0]

        def extract(document: Document) -> list[ExtractedDocument]:
            return [found for app in apps for found in extracted_documents(app, document)]

        together = App(" + ".join(app.name for app in apps), extract)
        self._apps.add(together)
        return together

    def run_of(self, results_path: str, account: Account) -> Row:
        """Return the run whose results a path names.

        Raises:
            ApiError: 404, there are no such results.
        """
        folder, _, _ = results_path.rpartition("/")
        run_id = self._db.value("SELECT id FROM runs WHERE output_dir = ? ORDER BY position DESC LIMIT 1", folder)
        if run_id is None or self._drive.find(results_path) is None:
            raise ApiError(404, f"There are no results at /{results_path}.")
        return self._runs.get(run_id, account)

    def _get(self, job_id: str, account: Account) -> Row:
        job = self._db.one(f"{_JOBS} AND j.id = ?", job_id)
        if job is None or job["context"] != account.context.id or not account.may_use(job["workspace"]):
            raise ApiError(404, f"There is no job {job_id}, or you are denied access.")
        return job

    def _insert(self, job_id: str, kind: str, context: str, workspace: str, path: str, body: dict[str, Any]) -> None:
        self._db.write(
            "INSERT INTO legacy_jobs(id, kind, context, workspace, path, body, state, message)"
            " VALUES (?, ?, ?, ?, ?, ?, 'RUNNING', '')",
            *(job_id, kind, context, workspace, path, to_json(body)),
        )

    async def _compile(self, job_id: str) -> None:
        if self._settings.job_seconds:
            await self._settings.clock.sleep(self._settings.job_seconds)
        path, content = self._db.all("SELECT path, body FROM legacy_jobs WHERE id = ?", job_id)[0]
        body = msgspec.json.decode(content)
        state, message = "COMPLETE", "Compiled."
        try:
            for other in body["other_files"]:
                self._required(other)
            flows = [self._read_json(flow) for flow in body["flow_files"]]
            apps = [flow["app"] if isinstance(flow, dict) and "app" in flow else DEFAULT_APP for flow in flows]
            binary = msgspec.json.encode({"binary_type": body["binary_type"], "apps": apps})
            self._drive.put(path, *self._drive.blobs.save(binary))
        except ApiError as error:
            state, message = "FAILED", error.message
        self._db.write(
            "UPDATE legacy_jobs SET state = ?, message = ?, finish_s = ? WHERE id = ?",
            *(state, message, self._settings.clock.time_ns() // NANOSECONDS, job_id),
        )

    def _required(self, path: str) -> int:
        node = self._drive.find(path)
        if node is None:
            raise ApiError(404, f"There is no file /{path}.")
        return node.blob

    def _read_json(self, path: str) -> Any:
        try:
            return msgspec.json.decode(self._drive.blobs.read(self._required(path)))
        except msgspec.DecodeError:
            return None


def _listed(job: Row) -> dict[str, Any]:
    view = {
        "job_id": job["id"],
        "flow_path": job["path"],
        "status": job["state"],
        "finish_timestamp": job["finish_s"],
    }
    if job["kind"] == "run":
        view["tags"] = msgspec.json.decode(job["tags"])
        view["pipeline_ids"] = msgspec.json.decode(job["settings"]).get("pipeline_ids") or []
    return view
