"""Where settings come from, and what is refused before anything is sent."""

import copy
import pickle

import pytest

from aihub_async import AsyncAIHub
from aihub_async.config import DEFAULT_API_ROOT, Secret, make_settings
from aihub_async.errors import ConfigurationError


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in ("AIHUB_API_KEY", "AIHUB_IB_CONTEXT", "AIHUB_API_ROOT"):
        monkeypatch.delenv(name, raising=False)


def settings(api_key="key", ib_context=None, api_root=None, **options):
    return make_settings(api_key, ib_context, api_root, **options)


def test_defaults():
    made = settings()
    assert (made.api_root, made.ib_context, made.timeout, made.deadline) == (DEFAULT_API_ROOT, None, 60.0, 300.0)
    assert (made.max_retries, made.max_connections) == (4, 64)
    assert made.api_key.reveal() == "key"


def test_argument_wins_over_environment_wins_over_default(monkeypatch):
    monkeypatch.setenv("AIHUB_API_KEY", "key-of-env")
    monkeypatch.setenv("AIHUB_IB_CONTEXT", "context-of-env")
    monkeypatch.setenv("AIHUB_API_ROOT", "https://env.example/api")
    from_env = settings(api_key=None)
    assert from_env.api_key.reveal() == "key-of-env"
    assert (from_env.ib_context, from_env.api_root) == ("context-of-env", "https://env.example/api")
    given = settings("mine", "my-context", "https://mine.example/api")
    assert given.api_key.reveal() == "mine"
    assert (given.ib_context, given.api_root) == ("my-context", "https://mine.example/api")
    assert settings(ib_context="").ib_context is None


@pytest.mark.parametrize("key", [None, "", "  ", b"bytes", 7])
def test_no_key(key):
    with pytest.raises(ConfigurationError, match="AIHUB_API_KEY"):
        settings(key)
    with pytest.raises(ConfigurationError, match="AIHUB_API_KEY"):
        AsyncAIHub(api_key=key)


# 9, 10
@pytest.mark.parametrize(
    "bad", ["k\r\nX: 1", "key\n", "\rkey", "k\x00y", "kéy", "clé", "ключ", "k\ud800y", "k\ty", "\x7f"]
)
def test_what_a_header_cannot_carry_is_refused_without_being_quoted(bad):
    for options in ({"api_key": bad}, {"ib_context": bad}, {"headers": {"X-A": bad}}, {"headers": {bad: "x"}}):
        with pytest.raises(ConfigurationError) as caught:
            settings(**options)
        if "headers" not in options or "X-A" in options["headers"]:
            assert bad not in str(caught.value)


@pytest.mark.parametrize("bad", ["key\n", "k\udce9y"])
def test_a_bad_key_of_the_environment_is_refused(bad, monkeypatch):
    monkeypatch.setenv("AIHUB_API_KEY", bad)
    with pytest.raises(ConfigurationError, match="api_key"):
        settings(api_key=None)


def test_spaces_around_a_key_are_dropped():
    assert settings(" key ").api_key.reveal() == "key"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "X-A\r", "ü"])
def test_header_names_are_tokens(name):
    with pytest.raises(ConfigurationError, match="name of a header"):
        settings(headers={name: "x"})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Expect", "Upgrade"])
def test_headers_that_frame_a_request_are_not_the_users(name):
    with pytest.raises(ConfigurationError, match="own business"):
        settings(headers={name: "1"})


# 13, 14
@pytest.mark.parametrize(
    "root",
    [
        "http://aihub.instabase.com/api",
        "http://127.0.0.1.example.com/api",
        "http://0.0.0.0/api",
        "https://user:pass@host/api",
        "https://user@host/api",
        "https://host\\@evil.example/api",
        "https://host/api?x=1",
        "https://host/api?",
        "https://host/api#x",
        "https://host/a b",
        "https://ho\nst/api",
        "https://host:99999/api",
        "https://[::1/api",
        "ftp://host/api",
        "host/api",
        "https://",
        "https:///api",
        "",
    ],
)
def test_roots_that_are_refused(root):
    if not root:
        assert settings(api_root=root).api_root == DEFAULT_API_ROOT
        return
    with pytest.raises(ConfigurationError, match="api_root") as caught:
        settings(api_root=root)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "kept"),
    [
        ("https://host/api/", "https://host/api"),
        ("https://host", "https://host"),
        ("http://localhost:8080/api", "http://localhost:8080/api"),
        ("http://127.0.0.1:1/api", "http://127.0.0.1:1/api"),
        ("http://[::1]:1/api", "http://[::1]:1/api"),
        ("http://hub.localhost/api", "http://hub.localhost/api"),
    ],
)
def test_roots_that_are_fine(root, kept):
    assert settings(api_root=root).api_root == kept


def test_plain_http_can_be_allowed():
    assert settings(api_root="http://hub.lan/api", allow_insecure=True).api_root == "http://hub.lan/api"


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "60"},
        {"timeout": True},
        {"deadline": 0},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"max_connections": 0},
        {"max_connections": float("inf")},
        {"max_bytes_in_flight": 0},
    ],
)
def test_numbers_that_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        settings(**options)
    with pytest.raises(ConfigurationError, match=name):
        settings().evolve(**options)


def test_numbers_that_are_fine():
    made = settings(deadline=float("inf"), timeout=0.5, max_retries=0)
    assert (made.deadline, made.timeout, made.max_retries) == (float("inf"), 0.5, 0)


def test_evolve_adds_headers_and_keeps_the_rest():
    made = settings(headers={"X-A": "1", "X-B": "1"}, timeout=3)
    other = made.evolve(headers={"X-B": "2"}, timeout=None, ib_context="org")
    assert (dict(other.headers), other.timeout, other.ib_context) == ({"X-A": "1", "X-B": "2"}, 3, "org")
    assert dict(made.headers) == {"X-A": "1", "X-B": "1"}
    with pytest.raises(ConfigurationError):
        made.evolve(ib_context="a\nb")


def test_secrets_hide():
    secret = Secret("hush")
    assert "hush" not in f"{secret!r} {secret} {settings('hush')!r}"
    for spill in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled"):
            spill(secret)
