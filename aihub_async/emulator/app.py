"""`Emulator`: the public face of the local AI Hub."""

import asyncio
import hashlib
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs
from anyio.from_thread import start_blocking_portal

from aihub_async.emulator.apps import App, Deployment, Extract, Outcome
from aihub_async.emulator.clock import EmulatorClock
from aihub_async.emulator.faults import Fault, Faults
from aihub_async.emulator.router import PREFIX
from aihub_async.emulator.runs import run_settings, run_view
from aihub_async.emulator.scenario import Scenario, load_scenario
from aihub_async.emulator.server import Server
from aihub_async.emulator.settings import Account, EmulatorSettings, ids_from, stable_id
from aihub_async.emulator.state import Accounts, EmulatorState, builtin_apps
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


class TimeControl:
    """Reads and moves the emulator's clock; all methods may be called from any thread."""

    def __init__(self, clock: EmulatorClock, call: Callable[[Callable[[], None]], None]) -> None:
        self._clock = clock
        self._call = call

    def now(self) -> datetime:
        """Return the emulator's current time in UTC."""
        return self._clock.now()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock forward; waits, run durations, webhook retries and time windows follow.

        Example:
            >>> hub.time.advance(hours=3)
        """
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        self._call(lambda: self._clock.advance(total))


class Emulator:
    """A local AI Hub that speaks real HTTP, on loopback by default.

    Use it as an asynchronous context manager, as a synchronous one (it then runs in a thread of its own), or by `start`
    and `stop`.

    Args:
        host: Address to listen on; None does not listen (see `protocol`).
        port: Port to listen on; 0 takes a free one.
        data_dir: Folder for the state, which later emulators continue from; None is a temporary folder that is removed
            when the emulator stops.
        api_key: A token that is accepted; add more with `add_token`.
        faults: In force from the start; add more with `faults.add`.
        scenario: A scenario file (see `aihub_async.emulator.scenario`); arguments win over it.
        seed: Seed of the generator behind `Fault.probability`.
        generator: Source of all randomness, ids included, so that a simulation repeats exactly.
        settings: Names of `aihub_async.emulator.settings.EmulatorSettings`: `org`, `user`, `part_size` (bytes),
            `workers`, `run_seconds` (least duration of a run), `list_page_size`, ...

    Raises:
        ScenarioError: the scenario file cannot be used.

    Example:
        >>> async with Emulator(part_size=1024) as hub:
        ...     client = AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key)
        >>> with Emulator() as hub:
        ...     client = AIHub(api_root=hub.api_root, api_key=hub.api_key)
    """

    def __init__(
        self,
        *,
        host: str | None = "127.0.0.1",
        port: int = 0,
        data_dir: Path | str | None = None,
        api_key: str = "emulator-key",
        faults: Sequence[Fault] = (),
        scenario: Path | str | Scenario | None = None,
        seed: int | None = None,
        generator: random.Random | None = None,
        **settings: Any,
    ) -> None:
        script = scenario if isinstance(scenario, Scenario) else Scenario()
        if isinstance(scenario, Path | str):
            script = load_scenario(scenario)
        ids = {} if generator is None else {"new_id": ids_from(generator)}
        self.settings = EmulatorSettings(**{**ids, **script.settings, **settings})
        self.time = TimeControl(self.settings.clock, self._call)
        self.api_key = api_key
        self.faults = Faults(
            next((value for value in (seed, script.seed) if value is not None), 0),
            generator=generator,
            clock=self.settings.clock,
        )
        self.faults.add(*script.faults, *faults)
        self.requests = RequestLog()
        self._webhook_plan = script.webhooks
        self._host, self._port = host, port
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._temporary: str | None = None
        self._apps = builtin_apps()
        self._accounts = Accounts()
        self.add_token(api_key)
        self._state: EmulatorState | None = None
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._api_root = ""
        self._thread: ExitStack | None = None

    @property
    def api_root(self) -> str:
        """The root that clients are given, such as `http://127.0.0.1:41234/api`; known once started."""
        if not self._api_root:
            raise RuntimeError("the emulator has not been started")
        return self._api_root

    # Life

    async def start(self) -> Self:
        """Start to listen; runs and jobs that a stop interrupted continue.

        Raises:
            RuntimeError: started already.
            sqlite3.OperationalError: another emulator uses the same `data_dir`.
            OSError: the port is taken.
        """
        if self._state is not None:
            raise RuntimeError("the emulator has been started already")
        if self._data_dir is None:
            self._temporary = tempfile.mkdtemp(prefix="aihub-emulator-")
        state = EmulatorState(Path(self._temporary or str(self._data_dir)), self.settings, self._apps, self._accounts)
        if self._webhook_plan is not None:
            state.webhooks.plan = self._webhook_plan
        server = Server(state, self.requests, self.faults)
        try:
            port = await server.start(self._host, self._port)
        except OSError:
            await state.close()
            self._remove_temporary()
            raise
        host = self._host or "127.0.0.1"
        self._api_root = state.api_root = f"http://{f'[{host}]' if ':' in host else host}:{port}{PREFIX}"
        self._state, self._server, self._loop = state, server, asyncio.get_running_loop()
        state.resume()
        return self

    async def stop(self) -> None:
        """Stop listening and end all work; stopping twice is fine."""
        state, server = self._state, self._server
        self._state = self._server = None
        if state is None or server is None:
            return
        await server.stop()
        await state.close()
        self._remove_temporary()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.in_thread())
            self._thread = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def protocol(self) -> asyncio.Protocol:
        """Return the server's side of a new connection, for a test that simulates the network.

        Raises:
            ConnectionRefusedError: a `refuse` fault is in force.
            RuntimeError: the emulator is not running.
        """
        if self._server is None:
            raise RuntimeError("the emulator is not running")
        return self._server.protocol()

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
        return self._on_loop(lambda state: _batch_files(state, batch_id))

    def runs(self) -> list[dict[str, Any]]:
        """All runs as the API tells them, oldest first, each with its `settings`."""
        return self._on_loop(
            lambda state: [
                {**run_view(row), "settings": run_settings(row)}
                for row in state.db.all("SELECT * FROM runs ORDER BY position")
            ]
        )

    @property
    def webhook_deliveries(self) -> list[Delivery]:
        """Every attempt to notify, oldest first."""
        return self._on_loop(lambda state: list(state.webhooks.deliveries))

    # What it is told

    def misdeliver(self, plan: WebhookPlan) -> None:
        """Let notifications go wrong from now on; an empty plan lets them go right."""
        self._on_loop(lambda state: setattr(state.webhooks, "plan", plan))

    def hold_runs(self) -> None:
        """Keep runs RUNNING, once they have done their work, until `release_runs`."""
        self._on_loop(lambda state: state.worker.released.clear())

    def release_runs(self) -> None:
        """Let runs end."""
        self._on_loop(lambda state: state.worker.released.set())

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

        def complete(state: EmulatorState) -> None:
            state.runs.complete_review(run_id, reviewer, corrections or {})
            state.worker.announce(run_id)

        self._on_loop(complete)

    def cancel_run(self, run_id: str) -> None:
        """Let a run end as CANCELLED; one that has ended stays as it is.

        Raises:
            ApiError: no such run.
        """
        self._on_loop(lambda state: state.worker.cancel(run_id))

    async def idle(self) -> None:
        """Wait until no run, job or notification is under way. Only from the emulator's own event loop."""
        await self._required().background.idle()

    def _required(self) -> EmulatorState:
        if self._state is None:
            raise RuntimeError("the emulator is not running")
        return self._state

    def _on_loop(self, work: Callable[[EmulatorState], _T]) -> _T:
        state = self._required()
        return self._call(lambda: work(state))

    def _call(self, work: Callable[[], _T]) -> _T:
        """Call a function on the emulator's own event loop, from whichever thread."""
        loop = self._loop
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None:
            return work()

        async def there() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(there(), loop).result()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def _batch_files(state: EmulatorState, batch_id: int) -> list[StoredFile]:
    folder = state.db.value("SELECT folder FROM batches WHERE id = ? AND NOT deleted", batch_id)
    if folder is None:
        raise KeyError(batch_id)
    files = []
    for node in state.drive.walk(folder):
        digest = hashlib.sha256()
        for piece in read_slices(state.drive.blobs.path(node.blob), 0, node.size):
            digest.update(piece)
        files.append(StoredFile(node.path[len(folder) + 1 :], node.size, digest.hexdigest()))
    return files
