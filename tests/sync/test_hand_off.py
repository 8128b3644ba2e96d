"""A call that cannot be handed to an event loop is a typed error within a second, and never hangs."""

import asyncio
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub, _portal, errors


def run_script(script: str, hub: Emulator, root: str = "") -> list[str]:
    """The lines that a program prints, with the key and the root of the emulator as its arguments."""
    command = [sys.executable, "-c", script, hub.api_key, root or hub.api_root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


REPORT = """
def report(call):
    began = time.monotonic()
    try:
        print(call().batches)
    except errors.ClosedClientError as error:
        print(type(error).__name__, error)
    print(time.monotonic() - began < 1)
"""


# Threads that are no threads


PATCHED = """
import {0}
{1}
import sys, time
from aihub_sync import AIHub, errors
{2}
client = AIHub(sys.argv[1], api_root=sys.argv[2])
for _ in range(2):
    report(client.batches.list)
"""


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")
def test_gevent(hub: Emulator) -> None:
    refused, quick, *again = run_script(PATCHED.format("gevent.monkey", "gevent.monkey.patch_all()", REPORT), hub)
    assert refused.startswith("ClosedClientError no event loop can run the call here: threads are patched")
    assert "gevent" in refused
    assert quick == "True"
    assert again == [refused, quick]


def test_threads_that_run_in_the_thread_that_starts_them(client: AIHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # As gevent and eventlet patch them: greenlets of one thread.
    with monkeypatch.context() as patch:
        patch.setattr(threading, "get_native_id", lambda: 1)
        with pytest.raises(errors.ClosedClientError, match="threads are patched"):
            client.batches.list()
    assert client.batches.list().batches == []


# Other async libraries


TRIO = """
import sys, trio
from aihub_sync import AIHub

async def main():
    print(client.batches.list().batches)
    print((await trio.to_thread.run_sync(client.batches.list)).batches)
    client.close()

client = AIHub(sys.argv[1], api_root=sys.argv[2])
trio.run(main)
"""


@pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed")
def test_inside_trio(hub: Emulator) -> None:
    assert run_script(TRIO, hub) == ["[]", "[]"]


# Threads and loops that do not start


def test_a_thread_that_cannot_be_started(client: AIHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(errors.ClosedClientError, match="can't start new thread"):
            client.batches.list()
    assert client.batches.list().batches == []


def test_a_loop_that_cannot_be_made(client: AIHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(_portal._loops, "new_event_loop", fail)
        with pytest.raises(errors.ClosedClientError, match="Too many open files"):
            client.batches.list()
    assert client.batches.list().batches == []


# The end of the process


LATE_THREAD = f"""
import sys, threading, time
from aihub_sync import AIHub, errors
{REPORT}
client = AIHub(sys.argv[1], api_root=sys.argv[2])

def late():
    threading.main_thread().join()
    report(client.batches.list)

threading.Thread(target=late).start()
"""


@pytest.mark.parametrize("prelude", ["", "import sys; sys.modules['uvloop'] = None"], ids=["uvloop", "asyncio"])
def test_a_first_call_after_the_main_thread_has_ended(hub: Emulator, prelude: str) -> None:
    answer, quick = run_script(f"{prelude}\n{LATE_THREAD}", hub)
    if sys.version_info[:2] == (3, 12):
        # The first releases of 3.12 start no thread at this point.
        assert answer == "[]" or "can't create new thread at interpreter shutdown" in answer
    else:
        assert answer == "[]"
    assert quick == "True"


def test_a_late_call_that_needs_a_new_thread(hub: Emulator) -> None:
    # asyncio looks up host names in a pool of threads, which has ended at this point; uvloop has its own pool.
    script = "import sys; sys.modules['uvloop'] = None\n" + LATE_THREAD
    answer, quick = run_script(script, hub, hub.api_root.replace("127.0.0.1", "localhost"))
    assert answer == "[]" or (answer.startswith("ClosedClientError") and "shutdown" in answer)
    assert quick == "True"


AT_EXIT = f"""
import atexit, sys, time
{{0}}
from aihub_sync import AIHub, errors
{REPORT}
{{1}}
client = AIHub(sys.argv[1], api_root=sys.argv[2])
if {{2}}:
    client.batches.list()
"""
REGISTER = "atexit.register(lambda: report(client.batches.list))"


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["before-our-handler", "after-our-handler"])
def test_a_call_in_an_exit_handler(hub: Emulator, used: bool, before: bool) -> None:
    # Handlers run in the opposite order of their registration, and ours is registered by the import.
    script = AT_EXIT.format("" if before else REGISTER, REGISTER if before else "", used)
    answer, quick = run_script(script, hub)
    assert answer == "[]" or answer.startswith("ClosedClientError")
    assert quick == "True"


BLOCKED = """
import sys, threading, time
from aihub_sync import AIHub

def block(event):
    blocked.set()
    time.sleep(60)

blocked = threading.Event()
client = AIHub(sys.argv[1], api_root=sys.argv[2], hooks=[block])
threading.Thread(target=client.batches.list, daemon=True).start()
blocked.wait(20)
"""


def test_a_hook_that_blocks_does_not_keep_the_process_from_ending(hub: Emulator) -> None:
    began = time.monotonic()
    assert run_script(BLOCKED, hub) == []
    assert time.monotonic() - began < 10


# The end of a client


def test_clients_closed_while_other_threads_call_them(hub: Emulator) -> None:
    shared = [AIHub(hub.api_key, api_root=hub.api_root)]
    succeeded = threading.Semaphore(0)
    refused = threading.Event()
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            try:
                shared[0].batches.list()
                succeeded.release()
            except errors.ClosedClientError:
                refused.set()
                # Until the next client is there; threads that never wait would keep it from being made.
                time.sleep(0.001)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        # A call of some thread has ended, and all others are somewhere on their way.
        assert succeeded.acquire(timeout=10)
        shared[0].close()
        shared[0] = AIHub(hub.api_key, api_root=hub.api_root)
    stop.set()
    for thread in threads:
        thread.join(10)
    shared[0].close()
    assert not any(thread.is_alive() for thread in threads)
    assert refused.is_set()
