"""`aihub serve` and `webhook listen`: what they print, and what they withstand."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aihub_async.cli.serve import reachable_root

if TYPE_CHECKING:
    from tests.cli.conftest import Command


@contextmanager
def running(aihub: "Command", *arguments: str, stdout: Any = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    process = aihub.start(*arguments, stdout=stdout)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stop(process: "subprocess.Popen[str]") -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out, err


def test_own_apps_and_faults_are_served(aihub: "Command", tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def letters(document):\n    return {'letters': len(document.text)}\n")
    (tmp_path / "outage.toml").write_text(
        '[[fault]]\nkind = "status"\nstatus = 503\noperation = "addFileToBatch"\ntimes = 1\n'
    )
    (tmp_path / "a.txt").write_text("four")
    with running(aihub, "serve", "--app", "mine:letters", "--scenario", "outage.toml", "--json") as server:
        root = json.loads(line(server))
        done = aihub(
            *("process", "a.txt", "--app", "letters", "--json", "-v"),
            env={"AIHUB_API_ROOT": root["api_root"], "AIHUB_API_KEY": root["api_key"]},
        )
        _, err = stop(server)
    assert done.returncode == 0, done.stderr
    assert [row["value"] for row in json.loads(done.stdout)["fields"]] == ["4"]
    assert "503" in done.stderr
    assert err == ""


def test_an_address_for_everybody_is_one_that_works_with_a_warning(aihub: "Command") -> None:
    with running(aihub, "serve", "--host", "0.0.0.0") as server:
        root = line(server).removeprefix("export AIHUB_API_ROOT=")
        line(server)
        done = aihub("whoami", env={"AIHUB_API_ROOT": root, "AIHUB_API_KEY": "emulator-key"})
        _, err = stop(server)
    assert root.startswith("http://127.0.0.1:")
    assert done.returncode == 0, done.stderr
    assert "warning" in err
    assert "AIHUB_ALLOW_INSECURE=1" in err
    with running(aihub, "serve", "--host", "0.0.0.0", "--api-key", "a-key-of-our-own") as server:
        line(server)
        assert "warning" not in stop(server)[1]


@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("127.0.0.1", "http://127.0.0.1:1/api"),
        ("0.0.0.0", "http://0.0.0.0:1/api"),
        ("::", "http://[::]:1/api"),
        ("", "http://:1/api"),
    ],
)
def test_the_root_is_one_that_a_client_accepts(host: str, root: str) -> None:
    assert reachable_root(root, host) == "http://127.0.0.1:1/api"


def test_a_port_that_is_taken_is_one_line(aihub: "Command") -> None:
    with running(aihub, "serve", "--json") as server:
        port = json.loads(line(server))["api_root"].split(":")[2].removesuffix("/api")
        done = aihub("serve", "--port", port)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert port in done.stderr


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_deliveries_cannot_steer_the_terminal_or_stop_the_listener(aihub: "Command", tmp_path: Path) -> None:
    # Its output goes to a file: a pipe that is not read would block it.
    shown = tmp_path / "shown.txt"
    with shown.open("w") as file, running(aihub, "webhook", "listen", "--port", "0", stdout=file) as listener:
        while not shown.read_text():
            time.sleep(0.01)
        url = shown.read_text().strip()
        assert post(url, b"x\x1b[2J\x1b]52;c;AAAA\x07\xff") == 200
        assert post(url, b"[" * 100_000) == 200
        assert post(url, b'{"a": "\\u001b[2J\\u009b"}') == 200
        assert post(url, b"x" * (1 << 21)) == 413
        assert post(url + "caf%1b%0a", b"{}") == 200
        _, err = stop(listener)
    out = shown.read_text()
    assert "\x1b" not in out + err
    assert "\x9b" not in out + err
    assert "RecursionError" not in err
    assert '"a"' in out


def test_deliveries_as_json_lines(aihub: "Command") -> None:
    with running(aihub, "webhook", "listen", "--port", "0", "--json", "--answer", "503") as listener:
        url = json.loads(line(listener))["url"]
        assert post(url, b'{"job_id": "r1"}') == 503
        delivery = json.loads(line(listener))
        stop(listener)
    assert (delivery["method"], delivery["json"], delivery["text"]) == ("POST", {"job_id": "r1"}, None)
