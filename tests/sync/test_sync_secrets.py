"""Tracebacks with local variables, as pytest -l, rich and Sentry print them, show no secret of a failing call."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from aihub_async.emulator import Emulator
from aihub_sync import AIHub, WebhookReceiver, errors

SECRET = "sesame-open"
SETTINGS = {"runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": SECRET}}}}}
OTHER_ROOT = "http://127.0.0.1:1/api"

REFUSED: dict[str, Callable[[AIHub], Any]] = {
    "runs.create": lambda c: c.apps.runs.create(app_name="a", app_id="b", batch_id=1, settings=SETTINGS),
    "runs.submit": lambda c: c.apps.runs.submit(app_name="a", batch_id="1/2", settings=SETTINGS),
    "runs.submit, settings": lambda c: c.apps.runs.submit(
        app_name="a", batch_id=1, settings={**SETTINGS, "x": object()}
    ),
    "deployments": lambda c: c.apps.deployments.runs.submit("a/b", batch_id=1, settings=SETTINGS),
    "flows.run": lambda c: c.flows.run("", "", settings=SETTINGS),
    "legacy.apps.run": lambda c: c.legacy.apps.run("a", settings=SETTINGS),
    "process": lambda c: c.process([], settings=SETTINGS),
    "ingest": lambda c: c.ingest("nowhere", out="out", app_name="a", app_id="b", settings=SETTINGS),
    "secrets.create": lambda c: c.secrets.create("a/b\n", SECRET, "NOPE"),
    "secrets.update": lambda c: c.secrets.update("a", value=SECRET, allowed_workspaces_type="NOPE"),
    "request, json": lambda c: c.request("GET", "no slash", json={"password": SECRET}),
    "request, headers": lambda c: c.request("GET", "/v2/batches", headers={"X-Token": f"{SECRET}\n"}),
    "with_options": lambda c: c.with_options(headers={"X-Token": f"{SECRET}\n"}),
    "api_key": lambda c: AIHub(f"{SECRET}\n", api_root=OTHER_ROOT),
    "api_token": lambda c: AIHub("key", api_token=SECRET, api_root=OTHER_ROOT),
    "headers": lambda c: AIHub("key", api_root=OTHER_ROOT, headers={"X-Token": f"{SECRET}\n"}),
    "proxy": lambda c: AIHub("key", api_root=OTHER_ROOT, proxy=f"ftp://me:{SECRET}@proxy.example"),
    "api_root": lambda c: AIHub("key", api_root=f"ftp://me:{SECRET}@example.com/api"),
    "receiver, URL": lambda c: WebhookReceiver(f"ftp://me:{SECRET}@me.example/hook"),
    "receiver, secret": lambda c: WebhookReceiver("https://me.example/hook", secret=f"{SECRET}\n"),
}


def with_locals(error: BaseException) -> str:
    """The traceback with the variables of all frames but the two of the test."""
    inside = error.__traceback__ and error.__traceback__.tb_next and error.__traceback__.tb_next.tb_next
    report = traceback.TracebackException(type(error), error, inside, capture_locals=True)
    return "".join(report.format())


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused_arguments(client: AIHub, call: Callable[[AIHub], Any]) -> None:
    with pytest.raises(errors.AIHubError) as caught:
        call(client)
    text = with_locals(caught.value)
    assert "aihub_sync" in text
    assert SECRET not in text


def test_the_servers_refusals(client: AIHub, hub: Emulator) -> None:
    client.secrets.create("taken", SECRET, "ALL")
    for call in (
        lambda: client.secrets.create("taken", SECRET, "ALL"),
        lambda: client.apps.runs.create(app_name="no-such-app", batch_id=1, settings=SETTINGS),
        lambda: client.request("POST", "/v2/no-such-path", json={"password": SECRET}),
    ):
        with pytest.raises(errors.RequestError) as caught:
            call()
        assert SECRET not in with_locals(caught.value)


def test_an_old_name_of_the_key(hub: Emulator) -> None:
    with pytest.warns(DeprecationWarning, match="api_token= is now api_key=") as caught:
        client = AIHub(api_token=hub.api_key, api_root=hub.api_root)
    assert caught[0].filename == __file__
    with client:
        assert client.batches.list().batches == []
    with pytest.raises(errors.ConfigurationError, match="api_token=, the old name of api_key=, together"):
        AIHub("key", api_token="key")
