"""Profiles: named settings in a file of the user, so that neither programs nor shells hold them.

The file is ``profiles.toml`` in the folder that the platform has for settings, or what AIHUB_PROFILES_FILE names::

    [eu]
    api_root = "https://eu.example.com/api"
    ib_context = "acme"
    api_key_command = "pass show aihub/eu"    # or api_key = "…"
    timeout = 120

An argument wins over the environment, which wins over the profile. The profile is the one that `profile=` or
AIHUB_PROFILE names; without either, ``default`` is used where there is no API key from an argument or the environment.
"""

import difflib
import functools
import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aihub_async.errors import ConfigurationError
from aihub_async.secrecy import SecretValue

DEFAULT_PROFILE = "default"
ENVIRONMENT = {
    "api_key": "AIHUB_API_KEY",
    "ib_context": "AIHUB_IB_CONTEXT",
    "api_root": "AIHUB_API_ROOT",
    "profile": "AIHUB_PROFILE",
    "allow_insecure": "AIHUB_ALLOW_INSECURE",
}
"""The environment variables of settings."""
_FILE_VARIABLE = "AIHUB_PROFILES_FILE"
_COMMAND_SECONDS = 60.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "api_key": str,
    "api_key_command": str,
    "api_root": str,
    "ib_context": str,
    "allow_insecure": bool,
    "api_version": str,
    "deadline": (int, float),
    "max_bytes_in_flight": int,
    "max_concurrent_requests": int,
    "max_retries": int,
    "proxy": str,
    "reconcile_for": (int, float),
    "timeout": (int, float),
    "trust_env": bool,
}


def profiles_path() -> Path:
    """Return the path of the file of profiles, whether or not it exists."""
    if named := os.environ.get(_FILE_VARIABLE):
        return Path(named)
    # Only needed where there are profiles, and not at every import.
    from platformdirs import user_config_path  # noqa: PLC0415

    return user_config_path("aihub") / "profiles.toml"


def with_profile(arguments: SecretValue[dict[str, Any]]) -> SecretValue[dict[str, Any]]:
    """Return the arguments of a client, completed from its profile where neither they nor the environment have a value.

    Raises:
        ConfigurationError: the profile that was named does not exist, or cannot be used.
    """
    named = chosen_profile(arguments)
    has_key = arguments.reveal().get("api_key") is not None or bool(os.environ.get(ENVIRONMENT["api_key"]))
    rest = SecretValue({name: value for name, value in arguments.reveal().items() if name != "profile"})
    if named is None and has_key:
        return rest
    profile = load_profile(named or DEFAULT_PROFILE, required=named is not None)
    more = {name: value for name, value in profile.reveal().items() if _is_open(rest, name)}
    return SecretValue({**rest.reveal(), **more})


def chosen_profile(arguments: SecretValue[dict[str, Any]]) -> str | None:
    """Return the profile that an argument or the environment names."""
    return arguments.reveal().get("profile") or os.environ.get(ENVIRONMENT["profile"]) or None


def _is_open(arguments: SecretValue[dict[str, Any]], name: str) -> bool:
    """Return whether neither an argument nor the environment sets this; False counts as a switch that is not set."""
    if _is_set(arguments.reveal().get(name)):
        return False
    return name not in ENVIRONMENT or not os.environ.get(ENVIRONMENT[name])


def _is_set(value: object) -> bool:
    return value is not None and value is not False


def origin(arguments: SecretValue[dict[str, Any]], name: str) -> str:
    """Return where a setting comes from: an argument, the environment, a profile or the default."""
    if _is_set(arguments.reveal().get(name)):
        return "argument"
    variable = ENVIRONMENT.get(name)
    if variable is not None and os.environ.get(variable):
        return f"environment variable {variable}"
    merged = with_profile(arguments)
    if _is_set(merged.reveal().get(name)):
        return f"profile {chosen_profile(arguments) or DEFAULT_PROFILE}"
    return "default"


def load_profile(name: str, *, required: bool = True) -> SecretValue[dict[str, Any]]:
    """Read a profile; a command for the key becomes a function that runs it.

    Args:
        name: its name.
        required: raise if there is none, instead of returning nothing.

    Raises:
        ConfigurationError: it does not exist, holds a key that is not known, or the file can be read by others.
    """
    path = profiles_path()
    tables = _read(path)
    if name not in tables.reveal():
        if not required:
            return SecretValue({})
        known = ", ".join(sorted(tables.reveal())) or "none"
        raise ConfigurationError(
            f"there is no profile {name!r} in {path} (there are: {known}); `aihub login` makes one"
        )
    values = SecretValue(tables.reveal()[name])
    _check(values, f"{path}, profile {name}")
    settings = {key: value for key, value in values.reveal().items() if key != "api_key_command"}
    if "api_key_command" in values.reveal():
        settings["api_key"] = command_source(values.reveal()["api_key_command"])
    return SecretValue(settings)


def profile_names() -> list[str]:
    """Return the names of all profiles.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    return sorted(_read(profiles_path()).reveal())


def _read(path: Path) -> SecretValue[dict[str, Any]]:
    """Read the file; its content may hold keys, and this frame is part of a traceback."""
    import tomllib  # noqa: PLC0415 - most clients have no profile

    try:
        with path.open("rb") as file:
            _refuse_readable(path, os.fstat(file.fileno()).st_mode)
            return SecretValue(tomllib.load(file))
    except (FileNotFoundError, NotADirectoryError):
        return SecretValue({})
    except ConfigurationError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not TOML"
        raise ConfigurationError(f"the profiles in {path} cannot be read: {reason}") from None


def _refuse_readable(path: Path, mode: int) -> None:
    if os.name != "nt" and mode & _OTHERS:
        raise ConfigurationError(f"{path} may be read by others, and it can hold API keys: chmod 600 {path}")


def _check(values: SecretValue[dict[str, Any]], place: str) -> None:
    if not isinstance(values.reveal(), dict):
        raise ConfigurationError(f"{place}: write it as a table, such as [eu]")
    for name in values.reveal():
        if name not in _KEYS:
            nearest = difflib.get_close_matches(name, _KEYS, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(_KEYS)}"
            raise ConfigurationError(f"{place}: unknown setting {name!r}; {hint}")
        _check_type(values, name, place)
    if "api_key" in values.reveal() and "api_key_command" in values.reveal():
        raise ConfigurationError(f"{place}: set api_key or api_key_command, not both")


def _check_type(values: SecretValue[dict[str, Any]], name: str, place: str) -> None:
    kinds = _KEYS[name]
    value = SecretValue(values.reveal()[name])
    is_switch = isinstance(value.reveal(), bool)
    if not isinstance(value.reveal(), kinds) or (is_switch and kinds is not bool):
        wanted = "a text" if kinds is str else "true or false" if kinds is bool else "a number"
        raise ConfigurationError(f"{place}: {name} must be {wanted}")


def command_source(command: str) -> Callable[[], str]:
    """Return a function that runs a command and returns the first line of its output: an API key.

    Raises:
        ConfigurationError: the command cannot be split into words.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"api_key_command cannot be used: {error}") from None
    if not words:
        raise ConfigurationError("api_key_command is empty")
    return functools.partial(_run_command, words)


def _run_command(words: list[str]) -> str:
    """Run a command; neither its output nor its arguments are quoted in errors, since they may hold secrets."""
    program = words[0]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"api_key_command: {program} took more than {_COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise ConfigurationError(f"api_key_command: {program} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise ConfigurationError(f"api_key_command: {program} ended with code {done.returncode}")
    return done.stdout.decode("utf-8", "replace").partition("\n")[0].strip()


def save_profile(name: str, values: SecretValue[dict[str, Any]]) -> Path:
    """Write a profile, readable by this user only, in the place of one of the same name; return the file's path.

    Raises:
        ConfigurationError: the name or a value cannot be used.
        OSError: the file cannot be written.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"a profile's name has letters, digits, - and _ only, not {name!r}")
    _check(values, f"profile {name}")
    path = profiles_path()
    _read(path)
    lines = [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.reveal().items())]
    others = _without(path.read_text(encoding="utf-8").splitlines() if path.exists() else [], name)
    text = "\n".join([*others, *([""] if others else []), *lines]) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.tmp")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
    return path


def _without(lines: list[str], name: str) -> list[str]:
    """Return the lines of the other tables, with their comments."""
    kept, inside = [], False
    for line in lines:
        header = re.match(r"\s*\[\s*([^\]]*?)\s*\]", line)
        if header is not None:
            inside = header[1].strip("\"'") == name
        if not inside:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _toml(value: Any) -> str:
    # The escapes of JSON are those of a basic string of TOML.
    return json.dumps(value, ensure_ascii=True)
