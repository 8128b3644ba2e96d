"""Nothing goes where it should not: redirects, proxies, certificates, and secrets in what is kept of a failure."""

import base64
import logging
import pickle
import ssl
import traceback
import urllib.parse

import pytest

from aihub_async import AsyncAIHub, errors

SECRET_VALUE = 'v4ult "value" & <more>/+é'
PASSWORD = "pdf-pa55word-of-march"


def forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        urllib.parse.quote(secret, safe=""),
        *(base64.b64encode(b"x" * shift + raw + b"yy").decode()[2 + shift : -6] for shift in range(3)),
    }


def safe_repr(value: object) -> str:
    try:
        return repr(value)
    except AttributeError:
        # An object whose construction failed.
        return object.__repr__(value)


def everything_about(error: BaseException) -> str:
    """Whatever a log, a crash dump or another process could show of an error, with locals of our own frames."""
    parts = [repr(error), str(error), repr(error.args), repr(error.__dict__)]
    parts.append("".join(traceback.format_exception(error)))
    if isinstance(error, errors.AIHubError):
        parts.append(pickle.dumps(error).decode("latin-1"))
        parts.append(repr(pickle.loads(pickle.dumps(error)).__dict__))
    if isinstance(error, errors.RequestError):
        parts += [error.body, repr(dict(error.headers)), str(error.server_message)]
    seen: list[BaseException | None] = [error, error.__cause__, error.__context__]
    for exception in seen:
        frames = traceback.walk_tb(exception.__traceback__) if exception is not None else ()
        for frame, _ in frames:
            if "/aihub_async/" in frame.f_code.co_filename:
                parts += [f"{name}={safe_repr(value)}" for name, value in frame.f_locals.items()]
    return "\n".join(parts)


def assert_silent(error: BaseException, *secrets: str) -> None:
    text = everything_about(error)
    for secret in secrets:
        for form in forms(secret):
            assert form not in text


# 11, 15
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(server, client, wire, status):
    server.says(wire.answer(status, Location=f"http://127.0.0.1:{server.port}/api/v2/batches/1"))
    with pytest.raises(errors.RedirectError, match=r"redirect to 127\.0\.0\.1"):
        await client.batches.get(1)
    with pytest.raises(errors.RedirectError):
        await client.batches.add_file(1, "a.txt", b"content")
    assert len(server.seen) == 2


# 16
async def test_cookies_are_not_kept_and_netrc_is_never_read(server, make_client, wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.says(wire.answer(200, {"id": 1, "name": "a"}, Set_Cookie="session=1"))
    client = make_client(trust_env=True)
    await client.batches.get(1)
    await client.batches.get(1)
    assert [seen.headers.get("cookie") for seen in server.seen] == [None, None]
    assert server.seen[1].headers["authorization"] == f"Bearer {wire.key}"


async def test_proxy_variables_are_opt_in(server, make_client, wire, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    server.says(wire.answer(200, {"id": 1, "name": "a"}))
    elsewhere = "http://0.0.0.0:9/api"
    with pytest.raises(errors.ConnectError):
        await make_client(api_root=elsewhere, max_retries=0, allow_insecure=True).batches.get(1)
    assert server.seen == []
    await make_client(api_root=elsewhere, trust_env=True, allow_insecure=True).batches.get(1)
    assert server.seen[0].target == "http://0.0.0.0:9/api/v2/batches/1"


async def test_the_key_is_not_told_to_a_tunnelling_proxy(server, make_client, wire):
    server.says(wire.answer(407))
    client = make_client(api_root="https://aihub.example/api", proxy=f"http://127.0.0.1:{server.port}", max_retries=0)
    with pytest.raises(errors.ConnectError, match="proxy answered 407"):
        await client.apps.runs.create(app_name="a", batch_id=1)
    (connect,) = server.seen
    assert connect.method == "CONNECT"
    assert "authorization" not in connect.headers
    assert "ib-context" not in connect.headers


async def test_a_forwarding_proxy_passes_everything_on(server, make_client, wire):
    server.says(wire.answer(200, {"id": 1}))
    client = make_client(api_root="http://localhost:9/api", proxy=server.root, ib_context="org", allow_insecure=True)
    await client.batches.create("x")
    assert server.seen[0].headers["authorization"] == f"Bearer {wire.key}"
    assert server.seen[0].headers["ib-context"] == "org"
    assert server.seen[0].body == b'{"name":"x"}'


# 17
async def test_bad_certificate_is_an_error_without_retry(tls_server, make_client, fake_clock):
    client = make_client(api_root=tls_server.root)
    with pytest.raises(errors.CertificateError, match="self-signed"):
        await client.batches.get(1)
    assert (tls_server.seen, fake_clock.slept) == ([], [])


async def test_own_certificate_can_be_trusted(tls_server, make_client, certificate, wire):
    tls_server.says(wire.answer(200, {"id": 1, "name": "a"}))
    client = make_client(api_root=tls_server.root, ssl_context=ssl.create_default_context(cafile=certificate))
    assert (await client.batches.get(1)).name == "a"
    assert len(tls_server.seen) == 1


# 18, 19, 20
@pytest.mark.parametrize("encode", ["plain", "base64", "url", "json"])
async def test_an_echoed_key_is_redacted_everywhere(server, client, wire, caplog, encode):
    caplog.set_level(logging.DEBUG)
    echo = {
        "plain": wire.key,
        "base64": base64.b64encode(f"user:{wire.key}:".encode()).decode(),
        "url": urllib.parse.quote(f"Bearer {wire.key}", safe=""),
        "json": wire.key.replace("/", "\\/"),
    }[encode]
    server.says(
        wire.answer(
            400,
            '{"message": "rejected: ' + echo + '", "headers": "' + echo + '"}',
            X_Request_ID=f"id-{echo}",
            Location=f"https://x/?token={echo}",
            Content_Type=f"application/json; {echo}",
        )
    )
    with pytest.raises(errors.BadRequestError, match="rejected") as caught:
        await client.batches.create("x")
    assert "***" in caught.value.server_message
    assert "***" in caught.value.body
    assert "***" in caught.value.request_id
    assert_silent(caught.value, wire.key)
    assert not any(form in caplog.text for form in forms(wire.key))
    assert len(server.seen) == 1


async def test_a_key_at_the_cut_of_a_kept_body_leaves_no_half(server, client, wire):
    for fill in (4080, 65_520):
        server.says(wire.answer(400, b"x" * fill + wire.key.encode() * 3 + b"x" * 70_000))
        with pytest.raises(errors.BadRequestError) as caught:
            await client.batches.get(1)
        assert wire.key[:8] not in caught.value.body
    many = (wire.key + " ").encode() * 3000
    server.says(wire.answer(400, many))
    with pytest.raises(errors.BadRequestError) as caught:
        await client.batches.get(1)
    assert wire.key[:8] not in caught.value.body


async def test_a_key_in_a_protocol_error_is_redacted(server, client, wire):
    server.says(wire.answer(200, f"<html>{wire.key}", Content_Type=f"text/html; {wire.key}"))
    with pytest.raises(errors.ProtocolError, match="html") as caught:
        await client.batches.get(1)
    assert_silent(caught.value, wire.key)


@pytest.mark.parametrize("failure", ["reset", "lost", "timeout", "garbled", "connect"])
async def test_failures_of_the_network_hold_no_key(server, make_client, wire, failure):
    scripts = {"reset": wire.reset, "lost": wire.hang_up, "timeout": wire.silence, "garbled": b"\x00\x01\r\n\r\n"}
    server.says(scripts.get(failure, b""))
    options = {"api_root": "http://127.0.0.1:9/"} if failure == "connect" else {}
    client = make_client(max_retries=0, timeout=0.05, headers={"X-Api-Token": "t0ken-in-a-header"}, **options)
    with pytest.raises(errors.RequestError) as caught:
        await client.batches.get(1)
    assert_silent(caught.value, wire.key, "t0ken-in-a-header")
    with pytest.raises(errors.RequestError) as caught:
        await client.batches.add_file(1, "a.txt", b"content")
    assert_silent(caught.value, wire.key, "t0ken-in-a-header")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("status", [400, 500])
async def test_secret_values_and_passwords_are_in_no_traceback(server, make_client, wire, status):
    """Also after an unclear outcome, when the client has looked in vain for what became of the request."""
    client = make_client(max_retries=0)
    settings = {
        "runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": PASSWORD}}}},
        "webhook_config": {"url": "https://me.example", "headers": {"X-Token": "hook-t0ken"}},
    }
    vault, run = (SECRET_VALUE,), (PASSWORD, "hook-t0ken")
    calls = [
        (vault, lambda: client.secrets.create("alias", SECRET_VALUE, "ALL")),
        (vault, lambda: client.secrets.update("alias", value=SECRET_VALUE)),
        (run, lambda: client.apps.runs.create("name", batch_id=1, settings=settings)),
        (run, lambda: client.apps.runs.submit("name", batch_id=1, settings=settings)),
        (run, lambda: client.apps.deployments.runs.create("name", batch_id=1, settings=settings)),
    ]
    for secrets, call in calls:
        server.says(wire.answer(status, {"message": "cannot store " + " ".join(secrets)}))
        with pytest.raises(errors.RequestError, match=str(status)) as caught:
            await call()
        assert_silent(caught.value, *secrets, wire.key)


def test_refused_settings_hold_no_key(monkeypatch):
    key = "s3cret-key-of-nobody"
    for options in ({"api_root": "ftp://x"}, {"timeout": -1}, {"headers": {"a b": "c"}}, {"ib_context": "a\nb"}):
        with pytest.raises(errors.ConfigurationError) as caught:
            AsyncAIHub(api_key=key, **options)
        assert_silent(caught.value, key)
    monkeypatch.setenv("AIHUB_API_KEY", key)
    with pytest.raises(errors.ConfigurationError) as caught:
        AsyncAIHub(api_root="ftp://x")
    assert_silent(caught.value, key)
    with pytest.raises(errors.ConfigurationError) as caught:
        AsyncAIHub(api_key=key + "\n")
    assert_silent(caught.value, key)


async def test_client_and_its_parts_show_no_key(client, wire):
    assert client.__dict__
    for thing in (client, client.settings, client._transport, client._transport.wire, client._transport.governor):
        assert wire.key not in repr(thing)
    assert wire.key not in repr(client.__dict__)
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(client.settings)
