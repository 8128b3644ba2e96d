"""The fixtures of the pytest plugin, in separate pytest runs."""

import importlib.util
import os
import subprocess
import sys

import pytest

HAS_AIORESPONSES = importlib.util.find_spec("aioresponses") is not None


def run_pytest(tmp_path, text, *options):
    (tmp_path / "test_it.py").write_text(text)
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", "temporary", *options)
    command = [sys.executable, "-m", "pytest", *options, "test_it.py"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_each_test_gets_an_emulator_of_its_own(tmp_path):
    done = run_pytest(
        tmp_path,
        """
from urllib.request import Request, urlopen

def create(hub):
    request = Request(hub.api_root + "/v2/batches", b'{"name": "b"}', {"Authorization": "Bearer " + hub.api_key})
    with urlopen(request) as answer:
        return answer.read()

def test_first(aihub_emulator):
    assert create(aihub_emulator) == b'{"id":1}'

def test_second(aihub_emulator):
    assert create(aihub_emulator) == b'{"id":1}'
""",
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not HAS_AIORESPONSES, reason="aioresponses is not installed")
def test_aioresponses_works_with_current_aiohttp(tmp_path):
    done = run_pytest(
        tmp_path,
        """
import asyncio
import aiohttp
from aihub_async import AsyncAIHub

ROOT = "https://aihub.instabase.com/api"

def test_a_session(aihub_responses):
    aihub_responses.get("http://example.com/", payload={"a": 1}, headers={"X": "y"})

    async def fetch():
        async with aiohttp.ClientSession() as session, session.get("http://example.com/") as answer:
            return answer.status, answer.headers["X"], await answer.json()

    assert asyncio.run(fetch()) == (200, "y", {"a": 1})

def test_the_client(aihub_responses):
    aihub_responses.get(f"{ROOT}/v2/apps/runs/r1", payload={"id": "r1", "status": "COMPLETE"})

    async def status():
        async with AsyncAIHub("key") as client:
            return (await client.apps.runs.status("r1")).status

    assert asyncio.run(status()) == "COMPLETE"
    (calls,) = aihub_responses.requests.values()
    assert len(calls) == 1

def test_nothing_else_reaches_the_network(aihub_responses):
    async def fetch():
        async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9/none"):
            pass

    try:
        asyncio.run(fetch())
    except aiohttp.ClientConnectionError as error:
        assert "Connection refused: GET http://127.0.0.1:9/none" in str(error)  # of aioresponses, not of a socket
    else:
        raise AssertionError
""",
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_without_aioresponses_the_fixture_is_absent(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (tmp_path / "conftest.py").write_text("")
    (tmp_path / "hide.py").write_text("import sys\nsys.modules['aioresponses'] = None\n")
    done = run_pytest(tmp_path, "def test_it(aihub_responses): ...\n", "-p", "hide")
    assert "fixture 'aihub_responses' not found" in done.stdout, done.stdout + done.stderr
