"""Which service, which key, from where: whoami, login and doctor."""

import datetime as dt
import json
import os
import ssl
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aihub_async.cli import checks
from aihub_async.emulator import Emulator

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Command


@pytest.fixture
def no_settings(call: "Call", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIHUB_API_KEY")
    monkeypatch.delenv("AIHUB_API_ROOT")


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_whoami_says_where_settings_come_from(call: "Call", emulator: Emulator) -> None:
    code, out, err = call("whoami")
    assert code == 0, err
    assert "environment variable AIHUB_API_KEY" in out
    assert "community account" in out
    code, out, _ = call("whoami", "--ib-context", "acme", "--json")
    facts = json.loads(out)
    assert (facts["accepted"], facts["ib_context"], facts["ib_context_from"]) == (True, "acme", "argument")
    assert facts["api_root"] == emulator.api_root
    code, _, err = call("whoami", "--api-key", "refused-by-the-service")
    assert (code, "401" in err) == (1, True)
    assert "refused-by" not in err


def test_login_saves_a_profile_that_other_commands_use(
    call: "Call", emulator: Emulator, no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert call("batches", "list")[0] == 2
    give(monkeypatch, f"{emulator.api_key}\n")
    code, out, err = call("login", "--api-root", emulator.api_root)
    assert code == 0, err
    assert emulator.api_key not in out + err
    file = tmp_path / "config" / "profiles.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert call("batches", "list")[0] == 0
    assert json.loads(call("whoami", "--json")[1])["api_key_from"] == "profile default"


def test_login_sends_the_key_to_no_other_service_than_that_of_the_environment(
    call: "Call", emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIHUB_IB_CONTEXT", "acme")
    give(monkeypatch, f"{emulator.api_key}\n")
    code, _, err = call("login")
    assert code == 0, err
    saved = (tmp_path / "config" / "profiles.toml").read_text()
    assert f'api_root = "{emulator.api_root}"' in saved
    assert 'ib_context = "acme"' in saved


def test_named_profiles(
    call: "Call", emulator: Emulator, no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = f"printf '%s' {emulator.api_key}"
    assert call("login", "--profile", "eu", "--api-root", emulator.api_root, "--key-command", command)[0] == 0
    assert emulator.api_key not in (tmp_path / "config" / "profiles.toml").read_text().replace(command, "")
    assert call("batches", "list")[0] == 2
    assert call("batches", "list", "--profile", "eu")[0] == 0
    try:
        assert call("--profile", "eu", "batches", "list")[0] == 0
    finally:
        os.environ.pop("AIHUB_PROFILE", None)
    code, _, err = call("batches", "list", "--profile", "us")
    assert (code, "'us'" in err) == (2, True)


def test_settings_that_do_not_work_are_not_saved(
    call: "Call", emulator: Emulator, no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, root, expected in (
        ("refused\n", emulator.api_root, 1),
        ("", emulator.api_root, 2),
        ("k\n", "http://example.com/api", 2),
        ("k\n", "nonsense", 2),
        ("caf\u00e9\n", emulator.api_root, 2),
    ):
        give(monkeypatch, text)
        assert call("login", "--api-root", root)[0] == expected
    assert not (tmp_path / "config").exists()
    give(monkeypatch, "refused\n")
    assert call("login", "--api-root", emulator.api_root, "--no-check")[0] == 0


def test_login_does_not_show_the_key_that_is_typed(aihub: "Command", emulator: Emulator) -> None:
    del aihub.environment["AIHUB_API_KEY"], aihub.environment["AIHUB_API_ROOT"]
    code, shown = aihub.on_terminal("login", typed=f"{emulator.api_root}\nacme\n{emulator.api_key}\n", slowly=True)
    assert code == 0, shown
    assert emulator.api_key not in shown
    done = aihub("whoami", "--json")
    assert json.loads(done.stdout)["ib_context"] == "acme"


def findings(out: str) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(out)["checks"]}


def test_doctor_finds_nothing_wrong(call: "Call", emulator: Emulator) -> None:
    code, out, err = call("doctor", "--json", "--ib-context", "acme")
    assert code == 0, out + err
    found = findings(out)
    assert {name: check["status"] for name, check in found.items() if check["status"] == "failure"} == {}
    for name in ("versions", "root", "key", "IB-Context", "DNS", "TCP", "authorization", "clock", "disk"):
        assert found[name]["status"] in {"ok", "warning"}, name
    assert "aiohttp" in found["versions"]["detail"]
    assert "environment variable AIHUB_API_ROOT" in found["root"]["detail"]


def test_doctor_names_what_is_wrong_and_what_to_do(call: "Call", emulator: Emulator) -> None:
    code, out, _ = call("doctor", "--json", "--api-root", "https://nosuch.invalid/api")
    found = findings(out)
    assert (code, found["DNS"]["status"]) == (1, "failure")
    assert "host name" in found["DNS"]["advice"]
    assert "TCP" not in found
    code, out, _ = call("doctor", "--json", "--api-key", "a-key-that-is-refused")
    assert (code, findings(out)["authorization"]["status"]) == (1, "failure")
    assert "a-key-that" not in out
    code, out, _ = call("doctor", "--json", "--api-root", emulator.api_root.replace("http:", "https:"))
    assert (code, findings(out)["TLS"]["status"]) == (1, "failure")
    code, out, _ = call("doctor", "--json", "--api-root", "http://127.0.0.1:9/api")
    assert (code, findings(out)["TCP"]["status"]) == (1, "failure")
    assert findings(call("doctor", "--json")[1])["IB-Context"]["status"] == "warning"


def test_doctor_without_a_key_still_checks_the_rest(call: "Call", no_settings: None, emulator: Emulator) -> None:
    code, out, _ = call("doctor", "--json", "--api-root", emulator.api_root)
    found = findings(out)
    assert (code, found["settings"]["status"], found["TCP"]["status"]) == (1, "failure", "ok")
    assert "--api-key" in found["settings"]["detail"]
    assert "authorization" not in found


def test_doctor_warns_of_a_proxy_that_is_not_used(call: "Call", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy.example:3128")
    _, out, _ = call("doctor", "--json")
    assert findings(out)["proxy"]["status"] == "warning"
    assert "password" not in out


def test_doctor_warns_of_a_clock_that_is_wrong() -> None:
    now = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
    right = checks._clock("Wed, 25 Nov 2026 12:00:30 GMT", now)
    behind = checks._clock("Wed, 25 Nov 2026 13:00:00 GMT", now)
    ahead = checks._clock("Wed, 25 Nov 2026 11:00:00 GMT", now)
    assert (right.status, behind.status, ahead.status) == ("ok", "warning", "warning")
    assert "3,600 s behind" in behind.detail
    assert "3,600 s ahead" in ahead.detail
    assert {checks._clock(date, now).status for date in (None, "", "soon")} == {"info"}


@pytest.fixture
def own_certificate(tmp_path: Path) -> Iterator[int]:
    """A server whose certificate has no trusted authority."""
    import subprocess

    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(line.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(20)


def test_doctor_names_a_certificate_that_is_refused(call: "Call", own_certificate: int) -> None:
    code, out, _ = call("doctor", "--json", "--api-root", f"https://localhost:{own_certificate}/api")
    found = findings(out)["TLS"]
    assert (code, found["status"]) == (1, "failure")
    assert "certificate" in found["detail"]
    assert "SSL_CERT_FILE" in found["advice"]


def test_the_bundle_for_support_holds_no_key_and_no_name(call: "Call", emulator: Emulator, tmp_path: Path) -> None:
    # Also of a setup that does not work, such as this context.
    assert call("doctor", "--ib-context", "acme-of-ours", "--bundle", "support.zip")[0] == 1
    with zipfile.ZipFile(tmp_path / "support.zip") as archive:
        (name,) = archive.namelist()
        text = archive.read(name).decode()
    content = json.loads(text)
    assert content["packages"]["aiohttp"]
    assert "AIHUB_API_KEY" in content["variables"]
    for hidden in (emulator.api_key, "acme-of-ours", str(Path.home()) + os.sep):
        assert hidden not in text


def test_the_index_of_the_emulator_needs_no_token(emulator: Emulator) -> None:
    import urllib.request

    with urllib.request.urlopen(emulator.api_root.removesuffix("/api") + "/", timeout=10) as answer:
        text = answer.read().decode()
    assert emulator.api_root in text
    assert "key-values" in text
    assert emulator.api_key not in text
