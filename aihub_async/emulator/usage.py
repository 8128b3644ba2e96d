"""Consumption units: one for each page that a run processes, counted per context and per run."""

from aihub_async.emulator.access import Access
from aihub_async.emulator.database import Database
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.world import Context


class Usage:
    """Counts consumption units and refuses runs of contexts that have none left."""

    def __init__(self, database: Database, access: Access) -> None:
        self._db = database
        self._access = access

    def check(self, context: Context) -> None:
        """Refuse a run in a context without units.

        Raises:
            ApiError: 403, all units are used.
        """
        limit = self._access.units(context)
        if limit is not None and self.of_context(context.id) >= limit:
            raise ApiError(403, f"The context {context.id!r} has no consumption units left.")

    def add(self, run_id: str, context_id: str, units: int) -> None:
        """Count units of a run."""
        self._db.write(
            "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT(run_id) DO UPDATE SET units = units + excluded.units",
            *(run_id, context_id, units),
        )

    def reset(self, run_id: str) -> None:
        """Forget the units of a run that starts again after a stop of the emulator."""
        self._db.write("DELETE FROM usage WHERE run_id = ?", run_id)

    def of_context(self, context_id: str) -> int:
        """Return the units that a context has used, also those of runs that were deleted."""
        return int(self._db.value("SELECT COALESCE(SUM(units), 0) FROM usage WHERE context = ?", context_id))

    def of_run(self, run_id: str) -> int:
        """Return the units that a run has used."""
        return int(self._db.value("SELECT COALESCE(SUM(units), 0) FROM usage WHERE run_id = ?", run_id))
