"""`Emulator`: a local AI Hub from start to stop."""

import asyncio
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from anyio.from_thread import start_blocking_portal

from aihub_async.emulator.controls import EmulatorControls
from aihub_async.emulator.faults import Fault, Faults
from aihub_async.emulator.router import PREFIX
from aihub_async.emulator.scenario import Scenario, load_scenario
from aihub_async.emulator.server import Server
from aihub_async.emulator.settings import EmulatorSettings, ids_from
from aihub_async.emulator.state import EmulatorState, builtin_apps
from aihub_async.emulator.wire import RequestLog
from aihub_async.emulator.world import World
from aihub_async.paths import local_path


class Emulator(EmulatorControls):
    """A local AI Hub that speaks real HTTP, on loopback by default.

    Use it as an asynchronous context manager, as a synchronous one (it then runs in a thread of its own), or by `start`
    and `stop`.

    Args:
        host: Address to listen on; None does not listen (see `protocol`).
        port: Port to listen on; 0 takes a free one.
        data_dir: Folder for the state, which later emulators continue from; None is a temporary folder that is removed
            when the emulator stops.
        api_key: A token that is accepted; add more with `add_token`. In a described world only its tokens are; the
            attribute `api_key` is then that of its first user.
        faults: In force from the start; add more with `faults.add`.
        scenario: A scenario file (see `aihub_async.emulator.scenario`); arguments win over it.
        world: Organizations, users and workspaces (see `aihub_async.emulator.world`), or a mapping that describes them.
        seed: Seed of the generator behind `Fault.probability`.
        generator: Source of all randomness, ids included, so that a simulation repeats exactly.
        settings: Names of `aihub_async.emulator.settings.EmulatorSettings`: `org`, `user`, `part_size` (bytes),
            `workers`, `run_seconds` (least duration of a run), `list_page_size`, `api_version`, ...

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
        world: World | Mapping[str, Any] | None = None,
        seed: int | None = None,
        generator: random.Random | None = None,
        **settings: Any,
    ) -> None:
        script = scenario if isinstance(scenario, Scenario) else Scenario()
        if isinstance(scenario, Path | str):
            script = load_scenario(scenario)
        ids = {} if generator is None else {"new_id": ids_from(generator)}
        known = EmulatorSettings(**{**ids, **script.settings, **settings})
        described = script.world if world is None else world
        if isinstance(described, Mapping):
            described = World.from_mapping(described)
        super().__init__(described or World.open(known.org, known.user, api_key, known.drive), known, builtin_apps())
        tokens = [user.token for user in self._world.users if user.token is not None]
        self.api_key = api_key if api_key in tokens or not tokens else tokens[0]
        chosen_seed = script.seed if seed is None else seed
        self.faults = Faults(chosen_seed or 0, generator=generator, clock=known.clock)
        self.faults.add(*script.faults, *faults)
        self.requests = RequestLog()
        self._webhook_plan = script.webhooks
        self._host, self._port = host, port
        self._data_dir = None if data_dir is None else local_path(data_dir, "data_dir")
        self._temporary: str | None = None
        self._server: Server | None = None
        self._api_root = ""
        self._thread: ExitStack | None = None

    @property
    def api_root(self) -> str:
        """The root for clients, such as `http://127.0.0.1:41234/api`; known once started."""
        if not self._api_root:
            raise RuntimeError("the emulator has not been started")
        return self._api_root

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
        state = EmulatorState(Path(self._temporary or str(self._data_dir)), self.settings, self._apps, self._access)
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
        self._apply_pending(state)
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

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run in a separate thread, for synchronous code; the same as `with Emulator() as hub`."""
        with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(self):
            yield self

    def run_forever(self, on_ready: Callable[[Self], None] = lambda _: None) -> None:
        """Serve until Ctrl-C or SIGTERM, then stop cleanly; `on_ready` is called once requests are answered."""

        async def serve() -> None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            # Windows has no such handlers: there Ctrl-C cancels this coroutine, which stops the emulator as well.
            with suppress(NotImplementedError):
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, ended.set)
            async with self:
                on_ready(self)
                await ended.wait()

        asyncio.run(serve())

    def protocol(self) -> asyncio.Protocol:
        """Return the server's side of a new connection, for a test that simulates the network.

        Raises:
            ConnectionRefusedError: a `refuse` fault is in force.
            RuntimeError: the emulator is not running.
        """
        if self._server is None:
            raise RuntimeError("the emulator is not running")
        return self._server.protocol()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
