"""The parts of the emulator, put together: what every route handler receives."""

from pathlib import Path

from aihub_async.emulator.access import Access
from aihub_async.emulator.apps import App, Apps, Deployment
from aihub_async.emulator.audit_log import AuditLog
from aihub_async.emulator.background import Background, Threads
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.conversations import Conversations
from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.jobs import Jobs
from aihub_async.emulator.key_values import key_values
from aihub_async.emulator.legacy_jobs import DEFAULT_APP, LegacyJobs
from aihub_async.emulator.packets import shared_fields
from aihub_async.emulator.runs import Runs
from aihub_async.emulator.secret_store import SecretStore
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.storage import Blobs, Drive, first_free_blob
from aihub_async.emulator.usage import Usage
from aihub_async.emulator.webhooks import Webhooks
from aihub_async.emulator.wire import ApiError, Request
from aihub_async.emulator.worker import Worker
from aihub_async.emulator.world import Account


def builtin_apps() -> Apps:
    """Return a registry with the built-in apps and a deployment of `key-values`."""
    apps = Apps()
    apps.add(App(DEFAULT_APP, key_values))
    apps.add(App("Invoices", key_values, class_name="Invoice"))
    apps.add(App("Packets", key_values, packet=shared_fields))
    apps.deploy(Deployment(DEFAULT_APP, DEFAULT_APP))
    return apps


class EmulatorState:
    """Everything behind the HTTP surface; exists from start to stop."""

    def __init__(self, folder: Path, settings: EmulatorSettings, apps: Apps, access: Access) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.access = access
        self.apps = apps
        self.api_root = ""
        self.db = Database(folder / "emulator.sqlite3")
        self.drive = Drive(self.db, Blobs(folder / "blobs", first_free_blob(self.db)), settings)
        self.background = Background()
        self.threads = Threads(settings.workers, enabled=settings.threads)
        self.audit = AuditLog(self.db, settings)
        self.jobs = Jobs(self.db, self.drive, self.background, settings)
        self.runs = Runs(self.db, settings)
        self.usage = Usage(self.db, access)
        self.webhooks = Webhooks(self.background, settings)
        self.secrets = SecretStore(self.db, settings)
        self.worker = Worker(
            self.runs,
            self.drive,
            apps,
            self.webhooks,
            self.secrets,
            self.usage,
            self.background,
            self.threads,
            settings,
        )
        self.legacy_jobs = LegacyJobs(self.db, self.drive, self.runs, apps, self.worker, self.background, settings)
        self.conversations = Conversations(self.db, self.drive, self.background, self.threads, settings)

    def resume(self) -> None:
        """Continue what the last stop interrupted."""
        self.jobs.resume()
        self.legacy_jobs.resume()
        self.conversations.resume()
        self.worker.resume()

    async def close(self) -> None:
        """Stop all work and close the database; interrupted runs and jobs continue at the next start."""
        await self.background.cancel()
        self.threads.close()
        await self.webhooks.close()
        self.db.close()

    def as_of_ns(self, request: Request) -> int:
        """Return the time of what a list shows, in Unix nanoseconds: now, or earlier while lists lag."""
        return self.settings.clock.time_ns() - int(request.lag * NANOSECONDS)

    def batch(self, batch_id: int, account: Account) -> Row:
        """Return a batch's row.

        Raises:
            ApiError: 404 without a body, no such batch, or no access to it.
        """
        row = self.db.one("SELECT * FROM batches WHERE id = ? AND NOT deleted", batch_id)
        if row is None or row["context"] != account.context.id or not account.may_use(row["workspace"]):
            raise ApiError(404)
        return row
