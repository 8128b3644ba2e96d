"""Where settings come from, and what is refused before anything is sent."""

import copy
import inspect
import pickle
import pprint

import attrs
import cattrs
import pytest
import rich.pretty

from aihub_async import AsyncAIHub
from aihub_async.config import DEFAULT_API_ROOT, make_settings
from aihub_async.errors import ConfigurationError
from aihub_async.models import RunSettings, WebhookConfig
from aihub_async.proxy import is_exempt
from aihub_async.secrecy import SecretURL, SecretValue


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in ("AIHUB_API_KEY", "AIHUB_IB_CONTEXT", "AIHUB_API_ROOT"):
        monkeypatch.delenv(name, raising=False)


def settings(api_key="key", ib_context=None, api_root=None, **options):
    allow_insecure = options.pop("allow_insecure", False)
    arguments = {"api_key": api_key, "ib_context": ib_context, "api_root": api_root, **options}
    return make_settings(SecretValue(arguments), allow_insecure=allow_insecure)


def test_defaults():
    made = settings()
    assert (made.api_root, made.ib_context, made.timeout, made.deadline) == (DEFAULT_API_ROOT, None, 60.0, 300.0)
    assert (made.max_retries, made.max_concurrent_requests) == (4, 64)
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
    with pytest.raises(ConfigurationError, match="the client sets it itself"):
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
        {"max_concurrent_requests": 0},
        {"max_concurrent_requests": float("inf")},
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
    assert (dict(other.headers.reveal()), other.timeout, other.ib_context) == ({"X-A": "1", "X-B": "2"}, 3, "org")
    assert dict(made.headers.reveal()) == {"X-A": "1", "X-B": "1"}
    with pytest.raises(ConfigurationError):
        made.evolve(ib_context="a\nb")


def test_secrets_hide():
    secret = SecretValue("hush")
    assert "hush" not in f"{secret!r} {secret} {settings('hush')!r}"
    for spill in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled"):
            spill(secret)


@pytest.mark.parametrize(
    "root", ["https://h/api?key=S3CRET", "https://u:S3CRET@h/api", "https://h/a b?S3CRET", "S3CRET"]
)
def test_a_refused_root_is_not_quoted_with_its_secrets(root):
    with pytest.raises(ConfigurationError) as caught:
        settings(api_root=root)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "url"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("http://u:p@proxy.example:3128", "http://u:p@proxy.example:3128"),
        ("https://proxy.example", "https://proxy.example"),
    ],
)
def test_proxies_that_are_fine(proxy, url):
    made = settings(proxy=proxy)
    assert isinstance(made.proxy, SecretURL)
    assert made.proxy.reveal() == url
    assert "u:p" not in repr(made)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("socks5://proxy.example:1080", "SOCKS"),
        ("socks5h://u:S3CRET@proxy.example:1080", "SOCKS"),
        ("ftp://proxy.example", "scheme"),
        ("http://", "not a URL"),
        ("http://proxy.example:port", "not a URL"),
        ("http://u:S3CRET@pro xy", "not a URL"),
    ],
)
def test_proxies_that_are_refused(proxy, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        settings(proxy=proxy)
    assert "S3CRET" not in str(caught.value)


def test_a_proxy_in_the_environment_is_checked_too(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    assert settings().proxy is None
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY is a SOCKS proxy"):
        settings(trust_env=True)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert settings(trust_env=True).proxy.reveal() == "http://proxy.example:3128"
    assert settings(trust_env=True, api_root="http://localhost:1/api").proxy is None


def test_a_key_is_not_sent_in_clear_to_a_proxy():
    """Although the root is on this machine: the proxy may be anywhere, and it reads what it forwards."""
    with pytest.raises(ConfigurationError, match=r"unencrypted to the proxy http://proxy\.example:3128"):
        settings(api_root="http://localhost:1/api", proxy="http://u:p@proxy.example:3128")
    assert settings(api_root="http://localhost:1/api", proxy="proxy:1", allow_insecure=True).proxy


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("*", True),
        ("hub.example", True),
        (".hub.example", True),
        ("example", True),
        ("*.example", True),
        ("b.example", False),
        ("other, hub.example:443", True),
        ("hub.example:8443", False),
        ("10.0.0.0/8", False),
        ("", False),
        (",,", False),
    ],
)
def test_no_proxy_names(no_proxy, exempt):
    assert is_exempt("hub.example", 443, no_proxy) is exempt


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "2.3", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "fd00:0::1", True),
        ("fd00::1", "[fd00::1]:80", False),
        ("10.1.2.3", "10.0.0.0/99", False),
    ],
)
def test_no_proxy_addresses(host, no_proxy, exempt):
    assert is_exempt(host, 443, no_proxy) is exempt


@pytest.mark.parametrize("version", ["2023", "", 2024])
def test_api_versions_that_are_refused(version):
    with pytest.raises(ConfigurationError, match="api_version"):
        settings(api_version=version)


class TestSecretValue:
    def test_no_tool_that_walks_objects_finds_it(self):
        made = settings(
            "hush-hush", headers={"X-Token": "hush-hush"}, proxy="http://u:hush-hush@h", api_root="https://h"
        )
        shown = [
            repr(made),
            repr(attrs.asdict(made)),
            repr(cattrs.unstructure(made)),
            rich.pretty.pretty_repr(made),
            repr(vars(type(made.api_key))),
            pprint.pformat(made),
            inspect.getdoc(made.api_key) or "",
        ]
        for text in shown:
            assert "hush" not in text

    def test_run_settings_are_walked_in_vain_too(self):
        made = RunSettings(
            custom={"a": "hush"},
            pdf_passwords={"a.pdf": "hush"},
            runtime_config={"a": {"b": "hush"}},
            webhook_config=WebhookConfig("https://u:hush@h/x?t=hush", {"X-Token": "hush"}),
        )
        shown = [repr(made), repr(attrs.asdict(made)), repr(cattrs.unstructure(made)), rich.pretty.pretty_repr(made)]
        for text in shown:
            assert "hush" not in text
        assert made.to_dict()["webhook_config"] == {"url": "https://u:hush@h/x?t=hush", "headers": {"X-Token": "hush"}}

    def test_it_compares_by_value(self):
        assert SecretValue("a") == SecretValue("a") != SecretValue("b")
        assert SecretValue({"a": 1}) == SecretValue({"a": 1})
        assert SecretValue("a") != "a"
        assert len({SecretValue("a"), SecretValue("a")}) == 1
        assert not SecretValue("")
        assert SecretValue(SecretValue("a")).reveal() == "a"

    def test_it_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            SecretValue("a")._get = lambda: "b"
