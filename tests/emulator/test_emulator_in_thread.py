import signal
import subprocess
import sys
import urllib.request

import pytest

from aihub_async.emulator import Emulator
from aihub_async.emulator.pytest_plugin import aihub_emulator

__all__ = ["aihub_emulator"]


def get(hub, path):
    request = urllib.request.Request(hub.api_root + path, headers={"Authorization": f"Bearer {hub.api_key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def test_the_fixture_serves_synchronous_tests(aihub_emulator):
    assert get(aihub_emulator, "/v2/batches") == b'{"batches":[]}'
    assert aihub_emulator.runs() == []
    assert aihub_emulator.requests.count("listBatches") == 1


async def test_the_fixture_serves_asynchronous_tests(aihub_emulator, connect):
    api = await connect(aihub_emulator)
    batch_id = await api.batch({"a": b"x"})
    assert [file.name for file in aihub_emulator.batch_files(batch_id)] == ["a"]
    aihub_emulator.hold_runs()
    run = (await api("POST", "/v2/apps/runs", json={"app_name": "key-values", "batch_id": batch_id})).json
    aihub_emulator.cancel_run(run["id"])
    assert aihub_emulator.runs()[0]["status"] == "CANCELLED"


def test_an_error_at_the_start_is_raised_here(aihub_emulator):
    port = int(aihub_emulator.api_root.rpartition(":")[2].removesuffix("/api"))
    with pytest.raises(OSError, match="address"), Emulator(port=port).in_thread():
        pass


def test_the_plugin_loads_no_server():
    program = (
        "import sys, aihub_async.emulator.pytest_plugin\n"
        "print([name for name in sys.modules if name.startswith('aihub_async.emulator') or name == 'pypdf'])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout == "['aihub_async.emulator', 'aihub_async.emulator.pytest_plugin']\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_forever_ends_cleanly(tmp_path, number):
    program = (
        "from aihub_async.emulator import Emulator\n"
        "Emulator().run_forever(on_ready=lambda hub: print(hub.api_root, flush=True))\n"
        "print('stopped')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(path for path in sys.path if path)},
    )
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (output, errors, process.returncode) == ("stopped\n", "", 0)
    assert list(tmp_path.iterdir()) == []
