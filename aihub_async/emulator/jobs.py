"""Deletions: accepted immediately, carried out in the background, polled by a job id."""

import asyncio
from collections.abc import Awaitable, Callable

from aihub_async.emulator.background import Background
from aihub_async.emulator.database import Database
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Drive
from aihub_async.emulator.wire import ApiError


class Jobs:
    """The file operation jobs."""

    def __init__(self, database: Database, drive: Drive, background: Background, settings: EmulatorSettings) -> None:
        self._db = database
        self._drive = drive
        self._background = background
        self._settings = settings

    def delete(self, path: str) -> str:
        """Start deleting a file or folder, whether it exists or not; return the job id."""
        job_id = self._settings.new_id()
        self._db.write("INSERT INTO jobs VALUES (?, ?, 'PENDING', '')", job_id, path)
        self._background.spawn(self._delete(job_id, path))
        return job_id

    def start(self, work: Callable[[], Awaitable[None]]) -> str:
        """Start any other work on the drive; return the job id. It does not survive a stop."""
        job_id = self._settings.new_id()
        self._db.write("INSERT INTO jobs VALUES (?, '', 'PENDING', '')", job_id)
        self._background.spawn(self._carry_out(job_id, work))
        return job_id

    def resume(self) -> None:
        """Continue the deletions that the last stop interrupted; other interrupted jobs have FAILED."""
        self._db.write(
            "UPDATE jobs SET state = 'FAILED', message = 'Interrupted.' WHERE folder = '' AND"
            " state IN ('PENDING', 'RUNNING')"
        )
        for row in self._db.all("SELECT id, folder FROM jobs WHERE state IN ('PENDING', 'RUNNING')"):
            self._background.spawn(self._delete(row["id"], row["folder"]))

    def status(self, job_id: str) -> dict[str, str]:
        """Return the state of a job in the shape of the API.

        Raises:
            ApiError: 404, no such job.
        """
        row = self._db.one("SELECT state, message FROM jobs WHERE id = ?", job_id)
        if row is None:
            raise ApiError(404, f"There is no job {job_id}.")
        return {"state": row["state"], "message": row["message"]}

    async def _carry_out(self, job_id: str, work: Callable[[], Awaitable[None]]) -> None:
        self._set(job_id, "RUNNING", "")
        if self._settings.job_seconds:
            await self._settings.clock.sleep(self._settings.job_seconds)
        try:
            await work()
        except ApiError as error:
            self._set(job_id, "FAILED", error.message)
            return
        self._set(job_id, "COMPLETE", "Done.")

    async def _delete(self, job_id: str, path: str) -> None:
        self._set(job_id, "RUNNING", "")
        if self._settings.job_seconds:
            await self._settings.clock.sleep(self._settings.job_seconds)
        self._drive.remove(path)
        while True:
            if not self._drive.remove_some(path):
                break
            await asyncio.sleep(0)
        self._set(job_id, "COMPLETE", "Deleted.")

    def _set(self, job_id: str, state: str, message: str) -> None:
        self._db.write("UPDATE jobs SET state = ?, message = ? WHERE id = ?", state, message, job_id)
