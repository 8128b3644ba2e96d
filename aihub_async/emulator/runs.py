"""Runs: what is kept of them, and how they are asked for."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.results import Include, review
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.wire import ApiError

_SORT_COLUMNS = {None: "start_ns", "start_timestamp": "start_ns", "status": "status"}
_ORDERS = {None: "DESC", "DESCENDING": "DESC", "ASCENDING": "ASC"}
_DAY = 86_400  # seconds; list runs looks back this far unless told otherwise

_LATEST = 9_000_000_000  # Unix seconds; as nanoseconds still an integer of SQLite


@attrs.frozen(kw_only=True)
class NewRun:
    """What a run is started with.

    `input_dir`, `output_dir` and `binary_path` (of legacy runs) are drive paths without a leading slash.
    """

    app_name: str
    app_id: str
    username: str
    input_dir: str
    batch_id: int | None = None
    deployment_id: str | None = None
    output_dir: str | None = None
    output_workspace: str | None = None
    tags: Sequence[str] = ()
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    binary_path: str | None = None
    id: str | None = None


@attrs.frozen(kw_only=True)
class RunFilter:
    """What list runs may be narrowed to; timestamps are Unix seconds."""

    equal: Mapping[str, str | None] = attrs.field(factory=dict)
    statuses: Sequence[str] = ()
    workspaces: Sequence[str] = ()
    from_timestamp: int | None = None
    to_timestamp: int | None = None
    sort_by: str | None = None
    order: str | None = None


class Runs:
    """The runs and their results."""

    def __init__(self, database: Database, settings: EmulatorSettings) -> None:
        self._db = database
        self._settings = settings

    def create(self, new: NewRun) -> Row:
        """Record a run as RUNNING."""
        run_id = new.id or self._settings.new_id()
        workspace = new.output_workspace or new.username
        output = new.output_dir or f"{self._settings.workspace_folder(workspace)}/aihub/runs/{run_id}/out"
        self._db.write(
            "INSERT INTO runs(id, status, start_ns, msg, batch_id, input_dir, output_dir, output_workspace, app_name,"
            " app_id, deployment_id, tags, username, settings, binary_path)"
            " VALUES (?, 'RUNNING', ?, 'Run initiated successfully.', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(run_id, self._settings.clock.time_ns(), new.batch_id, new.input_dir, output, workspace, new.app_name),
            *(
                new.app_id,
                new.deployment_id,
                _dump(list(new.tags)),
                new.username,
                _dump(dict(new.settings)),
                new.binary_path,
            ),
        )
        return self.get(run_id)

    def get(self, run_id: str) -> Row:
        """A run's row.

        Raises:
            ApiError: 404, no such run.
        """
        row = self._db.one("SELECT * FROM runs WHERE id = ?", run_id)
        if row is None:
            raise ApiError(404, f"There is no run {run_id}.")
        return row

    def select(self, wanted: RunFilter, *, limit: int, offset: int, as_of_ns: int) -> list[Row]:
        """Rows of the runs that match, a page of them.

        Raises:
            ApiError: 400, an order or sort field that does not exist.
        """
        if wanted.sort_by not in _SORT_COLUMNS or wanted.order not in _ORDERS:
            raise ApiError(400, "sort_by is start_timestamp or status; order is ASCENDING or DESCENDING.")
        now = as_of_ns // NANOSECONDS
        since = now - _DAY if wanted.from_timestamp is None else wanted.from_timestamp
        # "To now" includes the second that has begun; a given end includes its whole second as well.
        until = now if wanted.to_timestamp is None else wanted.to_timestamp
        bounds = (min(since, _LATEST) * NANOSECONDS, min(min(until + 1, _LATEST) * NANOSECONDS, as_of_ns + 1))
        clauses, values = ["start_ns >= ?", "start_ns < ?"], list(bounds)
        for column, value in wanted.equal.items():
            if value is not None:
                clauses.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]  # columns differ in type
        for column, allowed in (("status", wanted.statuses), ("output_workspace", wanted.workspaces)):
            if allowed:
                clauses.append(f"{column} IN ({', '.join('?' * len(allowed))})")
                values.extend(allowed)  # type: ignore[arg-type]  # columns differ in type
        order = _ORDERS[wanted.order]
        query = (
            f"SELECT * FROM runs WHERE {' AND '.join(clauses)} "  # noqa: S608 - only names of this module
            f"ORDER BY {_SORT_COLUMNS[wanted.sort_by]} {order}, position {order} LIMIT ? OFFSET ?"
        )
        return self._db.all(query, *values, limit, offset)

    def unfinished(self) -> list[str]:
        """The ids of the runs that are RUNNING."""
        return [row["id"] for row in self._db.all("SELECT id FROM runs WHERE status = 'RUNNING'")]

    def finish(self, run_id: str, status: str, message: str) -> None:
        """Give a run its end; the passwords it was started with are forgotten."""
        row = self._db.one("SELECT settings FROM runs WHERE id = ?", run_id)
        if row is None:
            return
        settings = _load(row["settings"])
        runtime = settings.get("runtime_config")
        if isinstance(runtime, dict) and isinstance(runtime.get("instabase"), dict):
            runtime["instabase"].pop("pdf", None)
        self._db.write(
            "UPDATE runs SET status = ?, finish_ns = ?, msg = ?, settings = ? WHERE id = ?",
            *(status, self._settings.clock.time_ns(), message, _dump(settings), run_id),
        )

    def set_status(self, run_id: str, status: str) -> None:
        """Give a run a state that is not its end."""
        self._db.write("UPDATE runs SET status = ?, finish_ns = NULL WHERE id = ?", status, run_id)

    def add_result(self, run_id: str, position: int, entry: dict[str, Any]) -> None:
        """Keep what was found in one file."""
        self._db.write("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", run_id, position, msgspec.json.encode(entry))

    def complete_review(self, run_id: str, user: str, corrections: Mapping[str, str]) -> None:
        """End the human review of a run that is STOPPED_AT_CHECKPOINT.

        Raises:
            ApiError: 404 no such run, 409 it waits for no review.
        """
        if self.get(run_id)["status"] != "STOPPED_AT_CHECKPOINT":
            raise ApiError(409, f"Run {run_id} waits for no review.")
        stamp = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime(self._settings.clock.time_ns() / 1e9))
        for row in self._db.all("SELECT position, content FROM results WHERE run_id = ?", run_id):
            entry = _load(row["content"])
            review(entry, user, stamp, corrections)
            self.add_result(run_id, row["position"], entry)
        self._db.write("UPDATE runs SET reviewed = 1 WHERE id = ?", run_id)
        self.finish(run_id, "COMPLETE", "Review completed.")

    def delete(self, run_id: str, *, row: bool, results: bool) -> None:
        """Forget a run, or only what it found."""
        if row:
            self._db.write("DELETE FROM runs WHERE id = ?", run_id)
        if row or results:
            self._db.write("DELETE FROM results WHERE run_id = ?", run_id)

    def results(self, run: Row, include: Include, offset: int) -> dict[str, Any]:
        """A page of results.

        Raises:
            ApiError: 400, the run is still RUNNING.
        """
        if run["status"] == "RUNNING":
            raise ApiError(400, f"Run {run['id']} is still running; its results are available when it has ended.")
        size = self._settings.results_page_size
        query = "SELECT content FROM results WHERE run_id = ? ORDER BY position LIMIT ? OFFSET ?"
        rows = self._db.all(query, run["id"], size + 1, offset)
        custom = _load(run["settings"]).get("keys", {})
        page: dict[str, Any] = {
            "id": run["id"],
            "status": run["status"],
            "message": run["msg"],
            "start_timestamp": run["start_ns"],
            "finish_timestamp": run["finish_ns"],
            "files": [include.filter(_load(row["content"])) for row in rows[:size]],
            "keys": {"custom": custom.get("custom", {}) if isinstance(custom, dict) else {}},
            "case_info": {"fields": []},
            "has_more": len(rows) > size,
        }
        if run["batch_id"] is not None:
            page["batch_id"] = str(run["batch_id"])
        if include.review:
            page["review_completed"] = bool(run["reviewed"])
        return page


def run_view(row: Row, as_of_ns: int | None = None) -> dict[str, Any]:
    """Return a run in the shape of the API, as it was at a time; timestamps are Unix nanoseconds."""
    unfinished = as_of_ns is not None and (row["finish_ns"] or 0) > as_of_ns
    return {
        "id": row["id"],
        "status": "RUNNING" if unfinished else row["status"],
        "start_timestamp": row["start_ns"],
        "finish_timestamp": None if unfinished else row["finish_ns"],
        "msg": "Run initiated successfully." if unfinished else row["msg"],
        "batch_id": row["batch_id"],
        "input_dir": f"/{row['input_dir']}/",
        "app_id": row["app_id"],
        "deployment_id": row["deployment_id"],
        "tags": _load(row["tags"]),
    }


def run_settings(row: Row) -> dict[str, Any]:
    """The settings that a run was started with."""
    settings: dict[str, Any] = _load(row["settings"])
    return settings


def _dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _load(text: str | bytes) -> Any:
    return msgspec.json.decode(text)
