import asyncio
import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from aihub_async.emulator import Emulator, Fault
from aihub_sync import AIHub, capture_responses, errors
from aihub_sync._portal import SharedLoop

Make = Callable[..., AIHub]


def settle(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread is about to do."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Threads


def test_many_threads_share_one_client_and_one_loop(client: AIHub, hub: Emulator, loop_threads) -> None:
    batch = client.batches.create("shared")

    def work(number: int) -> int:
        client.batches.add_file(batch.id, f"{number}.txt", b"x" * number)
        return client.batches.get(batch.id).id

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(work, range(160))) == {batch.id}
    assert sorted(node.metadata.size for node in client.batches.iter_files(batch.id)) == list(range(160))
    assert len(loop_threads()) == 1


def test_all_clients_share_the_loop_and_the_last_takes_it_along(make_client: Make, loop_threads) -> None:
    assert loop_threads() == []
    first, second = make_client(), make_client()
    assert loop_threads() == []
    first.batches.list()
    second.batches.list()
    (thread,) = loop_threads()
    first.close()
    second.batches.list()
    assert loop_threads() == [thread]
    second.close()
    settle(lambda: not loop_threads())


def test_a_client_that_nobody_holds_gives_the_loop_back(hub: Emulator, loop_threads) -> None:
    AIHub(hub.api_key, api_root=hub.api_root).batches.list()
    gc.collect()
    settle(lambda: not loop_threads())


def test_closing(make_client: Make) -> None:
    client = make_client()
    with client as same:
        assert same is client
        derived = client.with_options(timeout=5)
        derived.close()
        client.batches.list()
    client.close()
    with pytest.raises(errors.ClosedClientError, match="closed"):
        client.batches.list()
    with pytest.raises(errors.ClosedClientError, match="closed"):
        derived.batches.list()


def test_a_client_that_was_never_used_starts_nothing(make_client: Make, loop_threads) -> None:
    with make_client():
        assert loop_threads() == []


def test_closing_ends_the_calls_of_other_threads(make_client: Make, hub: Emulator) -> None:
    hub.faults.add(Fault(kind="latency", seconds=30))
    client = make_client()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.batches.list)
        settle(lambda: hub.requests.total == 1)
        client.close()
        with pytest.raises(errors.ClosedClientError):
            call.result(timeout=5)


@pytest.mark.parametrize("method", ["backoff", "poll"])
def test_closing_ends_the_sleeps_of_other_threads(make_client: Make, hub: Emulator, method: str) -> None:
    hub.faults.add(Fault(kind="status", status=429, retry_after=50, operation="listBatches"))
    hub.hold_runs()
    client = make_client()
    if method == "poll":
        batch = client.batches.create("b")
        client.batches.add_file(batch.id, "a.txt", b"Total: 1")
        handle = client.apps.runs.submit(app_name="key-values", batch_id=batch.id)
    before = hub.requests.total
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.batches.list if method == "backoff" else handle.wait)
        settle(lambda: hub.requests.total > before)
        client.close()
        with pytest.raises(errors.ClosedClientError):
            call.result(timeout=20)


# Event loops


async def test_inside_a_running_event_loop(client: AIHub) -> None:
    assert client.batches.create("from a notebook").id
    assert [batch.name for batch in client.batches.iter()] == ["from a notebook"]
    assert await asyncio.to_thread(client.batches.list)


def test_a_call_from_the_loop_thread_is_refused(make_client: Make) -> None:
    caught: list[BaseException] = []

    def hook(event: object) -> None:
        for call in (client.batches.list, client.close):
            try:
                call()
            except errors.ClosedClientError as error:
                caught.append(error)

    client = make_client(hooks=[hook])
    client.batches.create("x")
    assert "Batches.list() would wait for itself" in str(caught[0])
    assert "run_in_executor(None, METHOD" in str(caught[0])
    assert "close() would wait for itself" in str(caught[1])


def test_the_advised_line_works(make_client: Make) -> None:
    answers: list[asyncio.Future[object]] = []

    def hook(event: object) -> None:
        if not answers:
            answers.append(asyncio.get_running_loop().run_in_executor(None, client.batches.list))

    client = make_client(hooks=[hook])
    client.batches.create("x")
    settle(answers[0].done)
    assert answers[0].exception() is None


def test_what_ends_the_loop_does_not_end_the_client(make_client: Make, hub: Emulator, loop_threads) -> None:
    def hook(event: object) -> None:
        if not ended:
            ended.append(True)
            asyncio.get_running_loop().call_soon(sys.exit)

    ended: list[bool] = []
    hub.faults.add(Fault(kind="status", status=503, times=1))
    client = make_client(hooks=[hook])
    with pytest.raises((SystemExit, errors.AIHubError)):
        client.batches.list()
    settle(lambda: not loop_threads())
    assert client.batches.list().batches == []


def test_an_exit_in_a_hook_reaches_the_caller_alone(make_client: Make, loop_threads) -> None:
    def hook(event: object) -> None:
        raise SystemExit(3)

    client, other = make_client(hooks=[hook]), make_client()
    other.batches.list()
    (thread,) = loop_threads()
    with pytest.raises(SystemExit, match="3"):
        client.batches.list()
    assert other.batches.list().batches == []
    assert loop_threads() == [thread]


def test_context_variables_reach_the_call(client: AIHub) -> None:
    with capture_responses() as responses:
        client.batches.create("x")
        client.batches.list()
    client.batches.list()
    assert [response.status for response in responses] == [200, 200]


SNIFFIO = """
import types
from contextvars import ContextVar

# What matters of sniffio: it knows a library by its variable, or by a current task, which a callback has not.
class NotFoundError(RuntimeError): ...

def current() -> str:
    import asyncio
    name = variable.get()
    if name is None:
        try:
            name = "asyncio" if asyncio.current_task() else None
        except RuntimeError:
            pass
    if name is None:
        raise NotFoundError
    return name

variable = ContextVar("library", default=None)
sys.modules["sniffio"] = types.SimpleNamespace(
    current_async_library=current, current_async_library_cvar=variable, AsyncLibraryNotFoundError=NotFoundError
)
"""

CREATE = """
import sys
from aihub_sync import AIHub

with AIHub(sys.argv[1], api_root=sys.argv[2]) as client:
    print(client.batches.create("x").id > 0)
"""


@pytest.mark.parametrize("sniffio", ["sys.modules['sniffio'] = None", SNIFFIO], ids=["absent", "present"])
def test_calls_return_with_and_without_sniffio(hub: Emulator, sniffio: str) -> None:
    if sniffio is not SNIFFIO and any(line.startswith("sniffio") for line in requires("anyio") or ()):
        pytest.skip("this version of anyio needs sniffio")
    with run_script(f"import sys\n{sniffio}\n{CREATE}", hub.api_key, hub.api_root) as process:
        try:
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (out, err) == ("True\n", "")


def test_a_hand_off_that_fails_is_a_typed_error(client: AIHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("This portal is not running")

    client.batches.list()
    with monkeypatch.context() as patch:
        patch.setattr(BlockingPortal, "start_task_soon", fail)
        with pytest.raises(errors.ClosedClientError, match="no event loop can run the call here: This portal"):
            client.batches.list()
    assert client.batches.list().batches == []


# Exceptions


def test_exceptions_show_the_frames_of_the_caller(client: AIHub) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        client.batches.get(404)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[0] == "test_exceptions_show_the_frames_of_the_caller"
    assert frames[1:3] == ["wrapper", "get"]
    assert len(frames) <= 4
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_exceptions_leave_no_reference_cycles(client: AIHub) -> None:
    gc.collect()
    gc.disable()
    try:
        # Tests before this one may have left some.
        earlier = [item for item in gc.get_objects() if isinstance(item, errors.NotFoundError)]
        for _ in range(20):
            with pytest.raises(errors.NotFoundError):
                client.batches.get(404)
        client.batches.list()
        kept = [item for item in gc.get_objects() if isinstance(item, errors.NotFoundError)]
    finally:
        gc.enable()
    # pytest's own record of the last one may live.
    assert len(kept) - len(earlier) <= 1


def test_an_unknown_outcome_is_reconciled_without_await(make_client: Make, hub: Emulator) -> None:
    client = make_client(reconcile_for=0)
    batch = client.batches.create("x")
    client.batches.add_file(batch.id, "a.txt", b"Total: 1")
    hub.faults.add(Fault(kind="reset-after", operation="runApp", times=1))
    hub.faults.add(Fault(kind="status", status=403, operation="listRuns"))
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        client.apps.runs.create(app_name="key-values", batch_id=batch.id)
    assert caught.value.reconcile is not None
    hub.faults.clear()
    found = caught.value.reconcile()
    assert [run["id"] for run in hub.runs()] == [found.id]
    assert hub.requests.count("runApp") == 1


# Signals


# The development mode also logs every callback that took 0.1 s, as some do on a busy machine.
QUIET = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


def run_script(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET + script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


UPLOAD = """
import signal
import sys
from pathlib import Path
from aihub_sync import AIHub

# A suite that runs in the background of a shell has SIGINT ignored, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

client = AIHub(sys.argv[1], api_root=sys.argv[2])
batch = client.batches.create("large")
try:
    client.batches.upload(batch.id, [Path(sys.argv[3])])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

SLOW_CALLBACK = re.compile(r"^Executing .* took \d+\.\d+ seconds$")
"""What asyncio's debug mode writes on a busy machine."""


@pytest.mark.parametrize("ending", ["", "client.close()", "raise SystemExit"])
def test_ctrl_c_cancels_the_upload_at_once(hub: Emulator, tmp_path, ending: str) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(1_000_000_000)
    process = run_script(UPLOAD + ending, hub.api_key, hub.api_root, str(large))
    settle(lambda: hub.requests.count("uploadMultipartPart") > 20 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=10)
    assert out == "interrupted\n", err
    # A second on an idle machine; on a busy one, starting and ending processes takes longer.
    assert time.monotonic() - began < 4
    assert [line for line in err.splitlines() if not SLOW_CALLBACK.search(line)] == []
    last = hub.requests.records[-1]
    # The abort is the one request that goes to the session itself.
    aborts = [record for record in hub.requests.records if record.operation == "commitMultipartUploadSession"]
    assert [record.status for record in aborts] == [201], last


def test_any_exception_of_a_signal_handler_ends_the_call(client: AIHub, hub: Emulator) -> None:
    class TooLongError(Exception):
        pass

    def give_up(*_: object) -> None:
        raise TooLongError

    hub.faults.add(Fault(kind="latency", seconds=30, times=1))
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    began = time.monotonic()
    try:
        with pytest.raises(TooLongError):
            client.batches.list()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 2
    assert client.batches.list().batches == []


def test_an_interrupted_call_waits_a_moment_for_its_clean_up(client: AIHub) -> None:
    ended = threading.Event()
    release = asyncio.Event()

    async def slow_clean_up() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            with anyio.CancelScope(shield=True):
                await release.wait()
            ended.set()

    async def end() -> None:
        release.set()

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            client._lease.run(slow_clean_up())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert 0.9 < time.monotonic() - began < 2
    assert not ended.is_set()
    # What is left of it does not delay another call.
    assert client.batches.list().batches == []
    client._lease.run(end())
    assert ended.wait(5)


@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupt_during_the_hand_off_leaves_nothing_running(
    client: AIHub, hub: Emulator, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    client.batches.list()
    hub.faults.add(Fault(kind="latency", seconds=30, times=1))
    start = SharedLoop.start

    def interrupted(*arguments: Any) -> None:
        if begun:
            start(*arguments)
            settle(lambda: hub.requests.total == 2)
        raise KeyboardInterrupt

    cancelled = threading.Event()

    async def work() -> None:
        try:
            await client._async.batches.list()
        finally:
            cancelled.set()

    with monkeypatch.context() as patch:
        patch.setattr(SharedLoop, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client._lease.run(work())
    assert cancelled.is_set() is begun
    hub.faults.clear()
    assert client.batches.list().batches == []


# Processes


NEVER_CLOSED = """
import sys
from aihub_sync import AIHub

client = AIHub(sys.argv[1], api_root=sys.argv[2])
pages = client.batches.iter()
print(client.batches.create("x").id, next(pages).name)
"""


def test_no_warning_when_a_client_is_never_closed(hub: Emulator) -> None:
    process = run_script(NEVER_CLOSED, hub.api_key, hub.api_root)
    out, err = process.communicate(timeout=20)
    assert (out.split()[1], err, process.returncode) == ("x", "", 0)


def _in_child(client: AIHub, answers) -> None:
    answers.put([batch.name for batch in client.batches.iter()])
    threads = [thread.name for thread in threading.enumerate() if thread.name == "aihub_sync"]
    client.close()
    answers.put(threads)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_its_own_loop(client: AIHub) -> None:
    client.batches.create("of the parent")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=_in_child, args=(client, answers), daemon=True) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert not answers.empty()
    assert sorted(map(tuple, (answers.get() for _ in range(6)))) == [("aihub_sync",)] * 3 + [("of the parent",)] * 3
    assert len(client.batches.list().batches) == 1


def _answer_and_exit(client: AIHub) -> None:
    """End the child of a fork with 0 if it can make a call; nothing of the parent's test run may continue in it.

    tests/conftest.py ends it if it hangs.
    """
    status = 2
    try:
        status = 0 if client.batches.list().batches == [] else 1
    except BaseException:  # noqa: BLE001 - the parent's test fails by the status, and shows this
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_calls_of_other_threads(client: AIHub, hub: Emulator) -> None:
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            client.batches.list()

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call) for _ in range(4)]
        try:
            settle(lambda: hub.requests.total > 20)
            child = os.fork()
            if child == 0:
                _answer_and_exit(client)
            _, status = os.waitpid(child, 0)
        finally:
            stop.set()
        for done in calls:
            done.result(timeout=10)
    assert status == 0
