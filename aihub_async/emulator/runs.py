"""Runs and their results: how they are stored and selected."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Database, Row, to_json
from aihub_async.emulator.results import Include
from aihub_async.emulator.review import Review
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.versions import results_as_of, run_as_of
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.world import Account

_SORT_COLUMNS = {None: "start_ns", "start_timestamp": "start_ns", "status": "status"}
_ORDERS = {None: "DESC", "DESCENDING": "DESC", "ASCENDING": "ASC"}
_DAY = 86_400  # seconds; list runs covers this much by default
_LATEST = 9_000_000_000  # Unix seconds; as nanoseconds still an integer of SQLite
_FOREVER_NS = 2**62
_STARTED = "Run initiated successfully."


@attrs.frozen(kw_only=True)
class NewRun:
    """What a run is started with.

    `input_dir`, `output_dir` and `binary_path` (of legacy runs) are drive paths without a leading slash;
    `input_since_ns` and `input_until_ns` select files of `input_dir` by the time they were written.
    """

    app_name: str
    app_id: str
    app_version: str
    account: Account
    workspace: str | None
    input_dir: str
    input_since_ns: int = 0
    input_until_ns: int = _FOREVER_NS
    batch_id: int | None = None
    deployment_id: str | None = None
    output_dir: str | None = None
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
        context = new.account.context
        folder = context.folder(new.workspace or new.account.personal or "")
        output = new.output_dir or f"{folder}/aihub/runs/{run_id}/out"
        values = {
            "id": run_id,
            "status": "RUNNING",
            "start_ns": self._settings.clock.time_ns(),
            "msg": _STARTED,
            "batch_id": new.batch_id,
            "input_dir": new.input_dir,
            "input_since_ns": new.input_since_ns,
            "input_until_ns": new.input_until_ns,
            "output_dir": output,
            "output_workspace": new.workspace or _workspace_of(output),
            "app_name": new.app_name,
            "app_id": new.app_id,
            "app_version": new.app_version,
            "deployment_id": new.deployment_id,
            "tags": to_json(list(new.tags)),
            "username": new.account.user,
            "context": context.id,
            "settings": to_json(dict(new.settings)),
            "binary_path": new.binary_path,
        }
        self._insert(values)
        return self.get(run_id)

    def restore(self, run: Mapping[str, Any], account: Account, entries: Sequence[dict[str, Any]]) -> None:
        """Store a finished run with its results as they are."""
        app_name = str(run.get("app_name") or "recorded")
        values = {
            "id": run["id"],
            "status": run["status"],
            "start_ns": run.get("start_timestamp") or self._settings.clock.time_ns(),
            "finish_ns": run.get("finish_timestamp"),
            "msg": run.get("msg"),
            "batch_id": run.get("batch_id"),
            "input_dir": str(run.get("input_dir") or "").strip("/"),
            "input_since_ns": 0,
            "input_until_ns": _FOREVER_NS,
            "output_dir": account.context.folder(account.personal or "recorded") + f"/aihub/runs/{run['id']}/out",
            "output_workspace": account.personal or "recorded",
            "app_name": app_name,
            "app_id": str(run.get("app_id") or ""),
            "app_version": "",
            "deployment_id": run.get("deployment_id"),
            "tags": to_json(run.get("tags") or []),
            "username": account.user,
            "context": account.context.id,
            "settings": to_json({"keys": run.get("keys") or {}}),
            "case_info": to_json(run.get("case_info") or []),
        }
        self._db.write("DELETE FROM runs WHERE id = ?", run["id"])
        self._db.write("DELETE FROM results WHERE run_id = ?", run["id"])
        self._insert(values)
        for position, entry in enumerate(entries):
            self.add_result(run["id"], position, entry)

    def get(self, run_id: str, account: Account | None = None) -> Row:
        """Return a run's row; with an account, only if it may see the run.

        Raises:
            ApiError: 404, no such run, or no access to it.
        """
        row = self._db.one("SELECT * FROM runs WHERE id = ?", run_id)
        if row is None or (account is not None and not _is_visible(row, account)):
            raise ApiError(404, f"There is no run {run_id}, or you are denied access.")
        return row

    def select(self, wanted: RunFilter, account: Account, *, limit: int, offset: int, as_of_ns: int) -> list[Row]:
        """Return a page of the runs that match and that an account may see.

        Raises:
            ApiError: 400, an order or sort field that does not exist.
        """
        if wanted.sort_by not in _SORT_COLUMNS or wanted.order not in _ORDERS:
            raise ApiError(400, "sort_by is start_timestamp or status; order is ASCENDING or DESCENDING.")
        now = as_of_ns // NANOSECONDS
        since = now - _DAY if wanted.from_timestamp is None else wanted.from_timestamp
        # "To now" includes the second that has begun; an end in the request includes its whole second as well.
        until = now if wanted.to_timestamp is None else wanted.to_timestamp
        clauses = ["start_ns >= ?", "start_ns < ?", "context = ?"]
        values: list[Any] = [min(since, _LATEST) * NANOSECONDS]
        values += [min(min(until + 1, _LATEST) * NANOSECONDS, as_of_ns + 1), account.context.id]
        for column, value in wanted.equal.items():
            if value is not None:
                clauses.append(f"{column} = ?")
                values.append(value)
        lists = (("status", wanted.statuses), ("output_workspace", wanted.workspaces))
        own = () if account.workspaces is None else (("output_workspace", sorted(account.workspaces)),)
        for column, allowed in (*(each for each in lists if each[1]), *own):
            clauses.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values.extend(allowed)
        order = _ORDERS[wanted.order]
        query = (
            f"SELECT * FROM runs WHERE {' AND '.join(clauses)} "  # noqa: S608 - only names of this module
            f"ORDER BY {_SORT_COLUMNS[wanted.sort_by]} {order}, position {order} LIMIT ? OFFSET ?"
        )
        return self._db.all(query, *values, limit, offset)

    def unfinished(self) -> list[str]:
        """Return the ids of the runs that are RUNNING."""
        return [row["id"] for row in self._db.all("SELECT id FROM runs WHERE status = 'RUNNING'")]

    def finish(self, run_id: str, status: str, message: str) -> None:
        """Set how a run ended or why it stopped; the passwords it was started with are forgotten."""
        row = self._db.one("SELECT settings FROM runs WHERE id = ?", run_id)
        if row is None:
            return
        settings = _load(row["settings"])
        runtime = settings.get("runtime_config")
        if isinstance(runtime, dict) and isinstance(runtime.get("instabase"), dict):
            runtime["instabase"].pop("pdf", None)
        finish = None if status == "STOPPED_AT_CHECKPOINT" else self._settings.clock.time_ns()
        self._db.write(
            "UPDATE runs SET status = ?, finish_ns = ?, msg = ?, settings = ? WHERE id = ?",
            *(status, finish, message, to_json(settings), run_id),
        )

    def set_status(self, run_id: str, status: str) -> None:
        """Set a status that is not the end of a run."""
        self._db.write("UPDATE runs SET status = ?, finish_ns = NULL WHERE id = ?", status, run_id)

    def set_case_info(self, run_id: str, fields: Sequence[Mapping[str, Any]]) -> None:
        """Store the cross-class fields of a run."""
        self._db.write("UPDATE runs SET case_info = ? WHERE id = ?", to_json(fields), run_id)

    def add_result(self, run_id: str, position: int, entry: dict[str, Any]) -> None:
        """Store what was found in one file."""
        self._db.write("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", run_id, position, msgspec.json.encode(entry))

    def entries(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield the stored results of the files of a run, in order."""
        for row in self._db.all("SELECT content FROM results WHERE run_id = ? ORDER BY position", run_id):
            yield _load(row["content"])

    def complete_review(self, run_id: str, user: str, values: Mapping[Any, str], classes: Mapping[str, str]) -> None:
        """End the human review of a run that is STOPPED_AT_CHECKPOINT.

        Raises:
            ApiError: 404 no such run, 409 it waits for no review.
        """
        run = self.get(run_id)
        if run["status"] != "STOPPED_AT_CHECKPOINT":
            raise ApiError(409, f"Run {run_id} waits for no review.")
        stamp = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime(self._settings.clock.time_ns() / NANOSECONDS))
        review = Review(user=user, timestamp=stamp, values=values, classes=classes)
        for position, entry in enumerate(self.entries(run_id)):
            self.add_result(run_id, position, review.apply(entry))
        self.set_case_info(run_id, [review.apply_to_packet(field) for field in _load(run["case_info"])])
        self._db.write("UPDATE runs SET reviewed = 1 WHERE id = ?", run_id)
        self.finish(run_id, "COMPLETE", "Review completed.")

    def delete(self, run_id: str, *, row: bool, results: bool) -> None:
        """Forget a run, or only what it found."""
        if row:
            self._db.write("DELETE FROM runs WHERE id = ?", run_id)
        if row or results:
            self._db.write("DELETE FROM results WHERE run_id = ?", run_id)

    def results(self, run: Row, include: Include, offset: int) -> dict[str, Any]:
        """Return a page of results.

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
            "case_info": {"fields": [include.filter_packet(field) for field in _load(run["case_info"])]},
            "has_more": len(rows) > size,
        }
        if run["batch_id"] is not None:
            page["batch_id"] = str(run["batch_id"])
        if include.review:
            page["review_completed"] = bool(run["reviewed"])
        return results_as_of(self._settings.api_version, page, offset)

    def view(self, row: Row, as_of_ns: int | None = None) -> dict[str, Any]:
        """Return a run in the shape of the API, as it was at a time; timestamps are Unix nanoseconds."""
        unfinished = as_of_ns is not None and (row["finish_ns"] or 0) > as_of_ns
        run = {
            "id": row["id"],
            "status": "RUNNING" if unfinished else row["status"],
            "start_timestamp": row["start_ns"],
            "finish_timestamp": None if unfinished else row["finish_ns"],
            "msg": _STARTED if unfinished else row["msg"],
            "batch_id": row["batch_id"],
            "input_dir": f"/{row['input_dir']}/",
            "app_id": row["app_id"],
            "deployment_id": row["deployment_id"],
            "tags": _load(row["tags"]),
        }
        return run_as_of(self._settings.api_version, run)

    def _insert(self, values: Mapping[str, Any]) -> None:
        marks = ", ".join("?" * len(values))
        self._db.write(f"INSERT INTO runs({', '.join(values)}) VALUES ({marks})", *values.values())  # noqa: S608 - own names


def run_settings(row: Row) -> dict[str, Any]:
    """Return the settings that a run was started with."""
    settings: dict[str, Any] = _load(row["settings"])
    return settings


def _is_visible(row: Row, account: Account) -> bool:
    return row["context"] == account.context.id and account.may_use(row["output_workspace"])


def _workspace_of(path: str) -> str:
    segments = path.split("/")
    return segments[1] if len(segments) > 1 else ""


def _load(text: str | bytes) -> Any:
    return msgspec.json.decode(text)
