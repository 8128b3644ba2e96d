"""The parts of the emulator, put together: what every route handler is given."""

from pathlib import Path

from aihub_async.emulator.apps import App, Apps, Deployment
from aihub_async.emulator.background import Background, Threads
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.conversations import Conversations
from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.jobs import Jobs
from aihub_async.emulator.keyvalues import key_values
from aihub_async.emulator.legacy_jobs import LegacyJobs
from aihub_async.emulator.runs import Runs
from aihub_async.emulator.secret_store import SecretStore
from aihub_async.emulator.settings import Account, EmulatorSettings
from aihub_async.emulator.storage import Blobs, Drive, first_free_blob
from aihub_async.emulator.webhooks import Webhooks
from aihub_async.emulator.wire import ApiError, Request
from aihub_async.emulator.worker import Worker

DEFAULT_APP = "key-values"
"""The built-in app, and the id of its built-in deployment."""


class Accounts:
    """Who may call, by token."""

    def __init__(self) -> None:
        self._by_token: dict[str, Account] = {}

    def add(self, token: str, account: Account) -> None:
        """Let a token in."""
        self._by_token[token] = account

    def authenticate(self, authorization: str | None, context: str | None) -> Account:
        """The account of a request.

        Raises:
            ApiError: 401, bad token or bad IB-Context.
        """
        scheme, _, token = (authorization or "").partition(" ")
        account = self._by_token.get(token)
        if account is None or scheme.lower() != "bearer":
            raise ApiError(401, "The API token is missing or wrong.")
        if context and context not in {account.org, account.user}:
            raise ApiError(401, "The IB-Context header names a context that the token has no access to.")
        return account


def builtin_apps() -> Apps:
    """A registry with the built-in apps and a deployment of `key-values`."""
    apps = Apps()
    apps.add(App(DEFAULT_APP, key_values))
    apps.add(App("Invoices", key_values, class_name="Invoice"))
    apps.deploy(Deployment(DEFAULT_APP, DEFAULT_APP))
    return apps


class EmulatorState:
    """Everything behind the HTTP surface; lives from start to stop."""

    def __init__(self, folder: Path, settings: EmulatorSettings, apps: Apps, accounts: Accounts) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.accounts = accounts
        self.apps = apps
        self.api_root = ""
        self.db = Database(folder / "emulator.sqlite3")
        self.drive = Drive(self.db, Blobs(folder / "blobs", first_free_blob(self.db)), settings)
        self.background = Background()
        self.threads = Threads(settings.workers, enabled=settings.threads)
        self.jobs = Jobs(self.db, self.drive, self.background, settings)
        self.runs = Runs(self.db, settings)
        self.webhooks = Webhooks(self.background, settings)
        self.worker = Worker(self.runs, self.drive, apps, self.webhooks, self.background, self.threads, settings)
        self.secrets = SecretStore(self.db, settings)
        self.legacy_jobs = LegacyJobs(self.db, self.drive, self.runs, self.worker, self.background, settings)
        self.conversations = Conversations(self.db, self.drive, self.background, self.threads, settings)

    def resume(self) -> None:
        """Go on with what the last stop interrupted."""
        self.jobs.resume()
        self.legacy_jobs.resume()
        self.conversations.resume()
        self.worker.resume()

    async def close(self) -> None:
        """Stop all work and close the database; interrupted runs and jobs go on at the next start."""
        await self.background.cancel()
        self.threads.close()
        await self.webhooks.close()
        self.db.close()

    def as_of_ns(self, request: Request) -> int:
        """Return the time of what a list shows, in Unix nanoseconds: now, or earlier while lists lag."""
        return self.settings.clock.time_ns() - int(request.lag * NANOSECONDS)

    def batch(self, batch_id: int) -> Row:
        """A batch's row.

        Raises:
            ApiError: 404 without a body, no such batch.
        """
        row = self.db.one("SELECT * FROM batches WHERE id = ? AND NOT deleted", batch_id)
        if row is None:
            raise ApiError(404)
        return row

    def workspace(self, given: str | None, account: Account, *, remedy: str) -> str:
        """The workspace of a request, or the account's personal one.

        Raises:
            ApiError: 400, a service account named none.
        """
        if given:
            return given
        if account.service:
            raise ApiError(400, f"A service account has no personal workspace: give {remedy}.")
        return account.user
