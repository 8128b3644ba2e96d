"""Tools that print the locals of every frame (rich, pytest -l, Sentry) find no secret, whatever fails."""

import asyncio
import contextlib
import inspect
import io
import traceback
import warnings

import pytest
from rich.console import Console
from rich.traceback import Traceback

from aihub_async import AsyncAIHub, RunSettings, WebhookReceiver, errors
from tests.operation_calls import CALLS

KEY, PASSWORD, TOKEN, VALUE = "k3y-of-nobody-at-all", "pdf-pa55word", "h00k-token", "v4ult-value"
SECRETS = (KEY, PASSWORD, TOKEN, VALUE)
SETTINGS = {
    "runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": PASSWORD}}}},
    "webhook_config": {"url": f"https://u:{TOKEN}@me.example/h?t={TOKEN}", "headers": {"X-Token": TOKEN}},
}


def shown(error):
    """All that rich and the standard library print of an error, but for the frames of the test itself."""
    frames = error.__traceback__
    while frames is not None and "aihub_async" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    console = Console(file=io.StringIO(), width=400)
    console.print(Traceback.from_exception(type(error), error, frames, show_locals=True, locals_max_string=None))
    plain = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    return console.file.getvalue() + "".join(plain.format())


def assert_silent(error):
    text = shown(error)
    assert [secret for secret in SECRETS if secret in text] == []


def make_client(root="http://127.0.0.1:9/api", **options):
    options = {"headers": {"X-Api-Token": TOKEN}, "max_retries": 0, "reconcile_for": 0, **options}
    return AsyncAIHub(KEY, api_root=root, **options)


@pytest.mark.parametrize("name", CALLS)
async def test_no_call_shows_the_key(name):
    """Nobody listens at that port."""
    _, call = CALLS[name]
    async with make_client() as client:
        assert_silent(await _failure(call, client))


async def _failure(call, client):
    arguments = (client,) if len(inspect.signature(call).parameters) == 1 else (client, "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            await call(*arguments)
        except Exception as error:  # noqa: BLE001
            return error
    raise AssertionError("nobody listens there")


async def test_a_cancelled_call_shows_nothing(server, wire, way):
    server.says(wire.silence)
    async with make_client(server.root) as client:
        calls = [
            client.batches.get(1),
            client.batches.add_file(1, "a.txt", b"1"),
            client.secrets.create("a", VALUE, "ALL"),
            client.apps.runs.create("a", batch_id=1, settings=SETTINGS),
            client.request("POST", "/v2/x", json={"value": VALUE}, headers={"X-Token": TOKEN}),
        ]
        for call in calls:
            server.seen.clear()
            task = asyncio.ensure_future(call)
            while not server.seen:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert_silent(caught.value)


MISTAKES = {
    "two apps": lambda client: client.apps.runs.submit(app_name="a", app_id="b", batch_id=1, settings=SETTINGS),
    "bad batch": lambda client: client.apps.runs.submit(app_name="a", batch_id="1/2", settings=SETTINGS),
    "not JSON": lambda client: client.apps.runs.submit(app_name="a", batch_id=1, settings={**SETTINGS, "x": object()}),
    "cannot be copied": lambda client: client.apps.runs.create(
        app_name="a", batch_id=1, settings={**SETTINGS, "x": (number for number in range(3))}
    ),
    "tags": lambda client: client.apps.runs.create(app_name="a", batch_id=1, settings={**SETTINGS, "tags": "x"}),
    "deployment": lambda client: client.apps.deployments.runs.create("a/b", batch_id=1, settings=SETTINGS),
    "legacy": lambda client: client.legacy.apps.run("a", settings=SETTINGS),
    "flow": lambda client: client.flows.run("b", "in", settings={**SETTINGS, "priority": 99}),
    "flow schema": lambda client: client.flows.run(
        "b", "in", settings={"runtime_config": {"p": PASSWORD, "modify_output_schema": {"odd": 1}}}
    ),
    "process": lambda client: client.process([], settings=SETTINGS),
    "secret": lambda client: client.secrets.create("a", VALUE, "NOPE"),
    "secret value": lambda client: client.secrets.create("a", VALUE + "\ud800", "ALL"),
    "secret update": lambda client: client.secrets.update("a", value=VALUE, allowed_workspaces_type="NOPE"),
    "raw": lambda client: client.request("POST", "x", json={"value": VALUE}, headers={"X-Token": TOKEN}),
    "raw headers": lambda client: client.request("POST", "/x", headers={"X-Token": TOKEN + "\r"}),
    "mount": lambda client: client.files.mount("../x", "m", {"client_type": "S3", "key": VALUE}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_mistakes_in_arguments_show_nothing(mistake):
    hooks = WebhookReceiver("https://me.example/h", secret=TOKEN)
    async with make_client(webhooks=hooks) as client:
        with pytest.raises(errors.AIHubError) as caught:
            await MISTAKES[mistake](client)
        assert_silent(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AsyncAIHub(KEY, headers={"X-Token": TOKEN + "\r"}),
        lambda: AsyncAIHub(KEY, headers={"a b": TOKEN}),
        lambda: AsyncAIHub(KEY + "\n"),
        lambda: AsyncAIHub(KEY, api_root=f"https://u:{TOKEN}@h/api"),
        lambda: AsyncAIHub(KEY, api_root=f"https://h/api?t={TOKEN}"),
        lambda: AsyncAIHub(KEY, api_root=f"https://h:port/api?t={TOKEN}"),
        lambda: AsyncAIHub(KEY, proxy=f"socks5://u:{TOKEN}@h"),
        lambda: AsyncAIHub(KEY, proxy=f"http://u:{TOKEN}@h:port"),
        lambda: AsyncAIHub(KEY, api_root="http://localhost/api", proxy=f"http://u:{TOKEN}@h"),
        lambda: AsyncAIHub(KEY, headers={"X-Token": TOKEN}, timeout=-1),
        lambda: WebhookReceiver(f"ftp://u:{TOKEN}@h", secret=TOKEN),
        lambda: WebhookReceiver("https://h", secret=TOKEN + "\xe9"),
        lambda: RunSettings(tags="x", pdf_passwords={"a": PASSWORD}, runtime_config={"x": TOKEN}),
    ],
)
def test_refused_constructions_show_nothing(make):
    with pytest.raises(errors.AIHubError) as caught:
        make()
    assert_silent(caught.value)
    assert not any(secret in f"{caught.value}{caught.value!r}" for secret in SECRETS)


async def test_options_of_a_derived_client_show_nothing():
    async with make_client() as client:
        with pytest.raises(errors.ConfigurationError) as caught:
            client.with_options(headers={"X-Token": TOKEN + "\r"})
        assert_silent(caught.value)
        with contextlib.suppress(errors.AIHubError):
            await client.with_options(headers={"X-Token": TOKEN}).batches.get(1)
