"""`Emulator`: the public face of the local AI Hub."""

import asyncio
import hashlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs
from anyio.from_thread import start_blocking_portal

from aihub_async.emulator.apps import App, Deployment, Extract, Outcome
from aihub_async.emulator.faults import Fault, Faults
from aihub_async.emulator.hub import Accounts, Hub, builtin_apps
from aihub_async.emulator.router import PREFIX
from aihub_async.emulator.runs import run_settings, run_view
from aihub_async.emulator.server import Server
from aihub_async.emulator.settings import Account, Settings, stable_id
from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.webhooks import Delivery, WebhookPlan
from aihub_async.emulator.wire import RequestLog

_T = TypeVar("_T")


@attrs.frozen
class StoredFile:
    """A file of a batch as the emulator holds it; `size` in bytes."""

    name: str
    size: int
    sha256: str


class Emulator:
    """A local AI Hub that speaks real HTTP, on loopback unless told otherwise.

    Args:
        host: the address to listen on.
        port: 0 takes a free one.
        data_dir: where state lives on; None is a temporary folder that is removed at the stop.
        api_key: the token that is let in; more with `add_token`.
        faults: in force from the start; more with `faults.add`.
        seed: of the generator behind `Fault.probability`.
        settings: names of `aihub_async.emulator.settings.Settings`: `org`, `user`, `part_size` (bytes), `workers`,
            `run_seconds` (least duration of a run), `list_page_size`, …

    Example:
        >>> async with Emulator(part_size=1024) as hub:
        ...     client = AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key)
        >>> with Emulator().in_thread() as hub:
        ...     client = AIHub(api_root=hub.api_root, api_key=hub.api_key)
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_dir: Path | str | None = None,
        api_key: str = "emulator-key",
        faults: Sequence[Fault] = (),
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        self.api_key = api_key
        self.faults = Faults(seed)
        self.faults.add(*faults)
        self.requests = RequestLog()
        self._host, self._port = host, port
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._temporary: str | None = None
        self._apps = builtin_apps()
        self._accounts = Accounts()
        self.add_token(api_key)
        self._hub: Hub | None = None
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._api_root = ""

    @property
    def api_root(self) -> str:
        """The root that clients are given, such as `http://127.0.0.1:41234/api`; known once started."""
        if not self._api_root:
            raise RuntimeError("the emulator has not been started")
        return self._api_root

    # Life

    async def start(self) -> Self:
        """Begin to listen; runs and jobs that a stop interrupted go on.

        Raises:
            RuntimeError: started already.
            sqlite3.OperationalError: another emulator uses the same `data_dir`.
            OSError: the port is taken.
        """
        if self._hub is not None:
            raise RuntimeError("the emulator has been started already")
        if self._data_dir is None:
            self._temporary = tempfile.mkdtemp(prefix="aihub-emulator-")
        hub = Hub(Path(self._temporary or str(self._data_dir)), self.settings, self._apps, self._accounts)
        server = Server(hub, self.requests, self.faults)
        try:
            port = await server.start(self._host, self._port)
        except OSError:
            await hub.close()
            self._remove_temporary()
            raise
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._api_root = hub.api_root = f"http://{host}:{port}{PREFIX}"
        self._hub, self._server, self._loop = hub, server, asyncio.get_running_loop()
        hub.resume()
        return self

    async def stop(self) -> None:
        """Stop listening and end all work; stopping twice is fine."""
        hub, server = self._hub, self._server
        self._hub = self._server = None
        if hub is None or server is None:
            return
        await server.stop()
        await hub.close()
        self._remove_temporary()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run in a thread of its own, beside synchronous code; all methods may be called from any thread."""
        with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(self):
            yield self

    def run_forever(self, on_ready: Callable[[Self], None] = lambda _: None) -> None:
        """Serve until Ctrl-C or SIGTERM, then stop cleanly; `on_ready` is called once requests are answered."""

        async def live() -> None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            # Windows has no such handlers: there Ctrl-C cancels this coroutine, which stops the emulator as well.
            with suppress(NotImplementedError):
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, ended.set)
            async with self:
                on_ready(self)
                await ended.wait()

        asyncio.run(live())

    # What it knows

    def app(
        self,
        name: str,
        *,
        class_name: str | None = None,
        outcome: Outcome = "COMPLETE",
        run_seconds: float | None = None,
    ) -> Callable[[Extract], Extract]:
        """Register a callable as an app; it is called on a worker thread, once per file.

        Register apps before the start where interrupted runs in `data_dir` are to go on.

        Args:
            name: what runs ask for, as `app_name`.
            class_name: of the documents, unless the callable gives its own.
            outcome: how runs of this app end.
            run_seconds: least duration of a run of this app.

        Example:
            >>> @hub.app("Lines")
            ... def lines(document):
            ...     return {"lines": len(document.text.splitlines())}
        """

        def register(extract: Extract) -> Extract:
            self._apps.add(App(name, extract, class_name, outcome, run_seconds))
            return extract

        return register

    def app_id(self, name: str) -> str:
        """The id of the app of a name; it is the same in every emulator."""
        return stable_id("app", name)

    def deployment(
        self,
        deployment_id: str,
        *,
        app: str,
        webhook: Mapping[str, Any] | None = None,
        upstream_dir: str | None = None,
    ) -> str:
        """Register a deployment of an app; give its id.

        Args:
            deployment_id: what runs ask for.
            app: the name of the app that runs.
            webhook: `{"url": …, "headers": {…}}`, notified of the end of each run.
            upstream_dir: the folder that `manual_upstream_integration` reads.
        """
        self._apps.deploy(Deployment(deployment_id, app, webhook, upstream_dir))
        return deployment_id

    def add_token(self, token: str, *, user: str | None = None, service: bool = False, admin: bool = True) -> None:
        """Let another token in; `service` makes it that of a service account, without a personal workspace."""
        name = user or self.settings.user
        first, _, domain = name.rpartition("_")
        email = f"{first}@{domain}" if first else f"{name}@example.com"
        self._accounts.add(token, Account(name, self.settings.org, email, service=service, admin=admin))

    # What it did

    def batch_files(self, batch_id: int) -> list[StoredFile]:
        """The files of a batch, in order of name, with the digests of what is stored.

        Raises:
            KeyError: no such batch.
        """
        return self._on_loop(lambda hub: _batch_files(hub, batch_id))

    def runs(self) -> list[dict[str, Any]]:
        """All runs as the API tells them, oldest first, each with its `settings`."""
        return self._on_loop(
            lambda hub: [
                {**run_view(row), "settings": run_settings(row)}
                for row in hub.db.all("SELECT * FROM runs ORDER BY position")
            ]
        )

    @property
    def webhook_deliveries(self) -> list[Delivery]:
        """Every attempt to notify, oldest first."""
        return self._on_loop(lambda hub: list(hub.webhooks.deliveries))

    # What it is told

    def misdeliver(self, plan: WebhookPlan) -> None:
        """Let notifications go wrong from now on; an empty plan lets them go right."""
        self._on_loop(lambda hub: setattr(hub.webhooks, "plan", plan))

    def hold_runs(self) -> None:
        """Keep runs RUNNING, once they have done their work, until `release_runs`."""
        self._on_loop(lambda hub: hub.worker.released.clear())

    def release_runs(self) -> None:
        """Let runs end."""
        self._on_loop(lambda hub: hub.worker.released.set())

    def complete_review(
        self, run_id: str, corrections: Mapping[str, str] | None = None, *, user: str | None = None
    ) -> None:
        """End the human review of a run that is STOPPED_AT_CHECKPOINT: it becomes COMPLETE.

        Args:
            run_id: the run.
            corrections: new values by field name as the API gives it.
            user: the reviewer's user id.

        Raises:
            ApiError: no such run, or it waits for no review.
        """
        reviewer = user or self.settings.user

        def complete(hub: Hub) -> None:
            hub.runs.complete_review(run_id, reviewer, corrections or {})
            hub.worker.announce(run_id)

        self._on_loop(complete)

    def cancel_run(self, run_id: str) -> None:
        """Let a run end as CANCELLED; one that has ended stays as it is.

        Raises:
            ApiError: no such run.
        """
        self._on_loop(lambda hub: hub.worker.cancel(run_id))

    async def idle(self) -> None:
        """Wait until no run, job or notification is under way. Only from the emulator's own event loop."""
        await self._required().background.idle()

    def _required(self) -> Hub:
        if self._hub is None:
            raise RuntimeError("the emulator is not running")
        return self._hub

    def _on_loop(self, work: Callable[[Hub], _T]) -> _T:
        hub, loop = self._required(), self._loop
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None:
            return work(hub)

        async def there() -> _T:
            return work(hub)

        return asyncio.run_coroutine_threadsafe(there(), loop).result()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def _batch_files(hub: Hub, batch_id: int) -> list[StoredFile]:
    folder = hub.db.value("SELECT folder FROM batches WHERE id = ? AND NOT deleted", batch_id)
    if folder is None:
        raise KeyError(batch_id)
    files = []
    for node in hub.drive.walk(folder):
        digest = hashlib.sha256()
        for piece in read_slices(hub.drive.blobs.path(node.blob), 0, node.size):
            digest.update(piece)
        files.append(StoredFile(node.path[len(folder) + 1 :], node.size, digest.hexdigest()))
    return files
