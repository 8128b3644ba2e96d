"""Profiles: settings of the user, in a file that only the user can read."""

import os
import sys
import traceback
from pathlib import Path

import pytest

from aihub_async import AsyncAIHub
from aihub_async.config import DEFAULT_API_ROOT, make_settings
from aihub_async.errors import ConfigurationError
from aihub_async.profiles import command_source, load_profile, origin, profile_names, profiles_path, save_profile
from aihub_async.secrecy import SecretValue
from aihub_sync import AIHub

KEY = "key-of-the-profile"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("AIHUB_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "settings" / "profiles.toml"
    path.parent.mkdir()
    monkeypatch.setenv("AIHUB_PROFILES_FILE", str(path))
    return path


def write(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text)
    file.chmod(mode)


def settings(**arguments):
    return make_settings(SecretValue(arguments))


def test_an_argument_wins_over_the_environment_over_the_profile_over_the_default(file, monkeypatch) -> None:
    write(file, f'[eu]\napi_key = "{KEY}"\napi_root = "https://eu.example/api"\nib_context = "eu"\nmax_retries = 0\n')
    made = settings(profile="eu")
    assert (made.api_key.reveal(), made.api_root, made.ib_context, made.max_retries, made.timeout) == (
        KEY,
        "https://eu.example/api",
        "eu",
        0,
        60.0,
    )
    monkeypatch.setenv("AIHUB_IB_CONTEXT", "environment")
    assert settings(profile="eu").ib_context == "environment"
    assert settings(profile="eu", ib_context="argument").ib_context == "argument"
    assert settings(profile="eu", max_retries=2).max_retries == 2
    monkeypatch.setenv("AIHUB_PROFILE", "eu")
    assert settings().api_key.reveal() == KEY
    assert AsyncAIHub(profile="eu").settings.api_root == "https://eu.example/api"
    with AIHub(profile="eu") as client:
        assert client.settings.api_root == "https://eu.example/api"


def test_zero_is_a_value(file) -> None:
    write(file, f'[eu]\napi_key = "{KEY}"\nmax_retries = 3\n')
    assert settings(profile="eu", max_retries=0).max_retries == 0


def test_the_default_profile_is_used_only_without_another_key(file, monkeypatch) -> None:
    write(file, f'[default]\napi_key = "{KEY}"\napi_root = "https://eu.example/api"\n')
    assert settings().api_key.reveal() == KEY
    # A key of one service must not be sent to the root of another.
    assert settings(api_key="mine").api_root == DEFAULT_API_ROOT
    monkeypatch.setenv("AIHUB_API_KEY", "mine")
    assert settings().api_root == DEFAULT_API_ROOT


def test_where_a_setting_comes_from(file, monkeypatch) -> None:
    write(file, f'[eu]\napi_key = "{KEY}"\napi_root = "https://eu.example/api"\n')
    monkeypatch.setenv("AIHUB_IB_CONTEXT", "acme")
    arguments = SecretValue({"profile": "eu", "timeout": 5})
    found = {name: origin(arguments, name) for name in ("api_key", "api_root", "ib_context", "timeout", "deadline")}
    assert found == {
        "api_key": "profile eu",
        "api_root": "profile eu",
        "ib_context": "environment variable AIHUB_IB_CONTEXT",
        "timeout": "argument",
        "deadline": "default",
    }


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_that_others_can_read_is_refused(file, mode) -> None:
    write(file, f'[default]\napi_key = "{KEY}"\n', mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[eu", "TOML"),
        ("eu = 1", "table"),
        ('[eu]\napi_rot = "x"', "did you mean api_root"),
        ("[eu]\ntimeout = true", "a number"),
        ("[eu]\nmax_retries = '1'", "a number"),
        ("[eu]\napi_key = 7", "a text"),
        ("[eu]\ntrust_env = 1", "true or false"),
        ('[eu]\napi_key = "a"\napi_key_command = "b"', "not both"),
        ('[eu]\napi_key_command = ""', "empty"),
        ("[eu]\napi_key_command = '\"'", "api_key_command"),
        ("[us]", "there is no profile 'eu'"),
        (b"\xff".decode("latin-1"), "TOML"),
    ],
)
def test_a_profile_that_cannot_be_used_is_named(file, text, said) -> None:
    file.write_bytes(text.encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=said):
        settings(profile="eu")


def test_no_error_shows_a_key(file) -> None:
    write(file, f'[eu]\napi_key = "{KEY}"\nnosuch = "{KEY}"\n')
    with pytest.raises(ConfigurationError) as caught:
        settings(profile="eu")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(shown.format())


def test_no_file_is_no_profile(file) -> None:
    assert profile_names() == []
    assert load_profile("default", required=False).reveal() == {}
    with pytest.raises(ConfigurationError, match="AIHUB_API_KEY"):
        settings()
    with pytest.raises(ConfigurationError, match="aihub login"):
        settings(profile="eu")


def test_profiles_are_saved_for_this_user_only_and_the_others_stay(file) -> None:
    file.parent.rmdir()
    save_profile("eu", SecretValue({"api_key": 'k"\\\n', "max_retries": 2, "trust_env": True}))
    assert profiles_path() == file
    if os.name != "nt":
        assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# by hand\n[us]\napi_key = 'u'  # old\n\n" + file.read_text())
    save_profile("eu", SecretValue({"api_key": "k2"}))
    assert file.read_text().startswith("# by hand\n[us]\napi_key = 'u'  # old\n")
    assert profile_names() == ["eu", "us"]
    assert load_profile("eu").reveal() == {"api_key": "k2"}
    with pytest.raises(ConfigurationError, match="letters"):
        save_profile("a]b", SecretValue({}))


def test_a_command_gives_the_key() -> None:
    program = f"import sys; print('{KEY}'); print('second line')"
    assert command_source(f'{sys.executable} -c "{program}"')() == KEY


@pytest.mark.parametrize(
    ("command", "said"), [("nosuch-program-of-aihub x", "cannot be run"), (f"{sys.executable} -c exit(3)", "code 3")]
)
def test_a_command_that_fails_is_named(command, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        command_source(command)()
