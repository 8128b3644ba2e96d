"""What the requests that start a run have in common: input, output, settings, and the start itself."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from aihub_async.emulator.access import check_path, chosen_workspace
from aihub_async.emulator.apps import Deployment
from aihub_async.emulator.runs import NewRun
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.webhooks import check_target
from aihub_async.emulator.wire import ApiError, json_integer
from aihub_async.emulator.world import Account
from aihub_async.limits import MAX_TAGS_LENGTH

_MILLISECOND_NS = 10**6
_FOREVER_MS = 2**62 // _MILLISECOND_NS

MAX_PRIORITY = 9


@attrs.frozen(kw_only=True)
class RunInput:
    """Where the files of a run come from; see `NewRun`."""

    input_dir: str
    batch_id: int | None = None
    since_ms: int = 0
    until_ms: int = _FOREVER_MS

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `NewRun`."""
        return {
            "input_dir": self.input_dir,
            "batch_id": self.batch_id,
            "input_since_ns": self.since_ms * _MILLISECOND_NS,
            "input_until_ns": self.until_ms * _MILLISECOND_NS + _MILLISECOND_NS - 1,
        }


async def start_run(state: EmulatorState, new: NewRun) -> dict[str, Any]:
    """Create and start a run; one with a binary is known as a legacy job too.

    Raises:
        ApiError: 400, too many files; 403, no consumption units left; 404, a secret that it may not use.
    """
    state.usage.check(new.account.context)
    workspace = new.workspace or (new.output_dir or "/").split("/")[1]
    state.secrets.check(new.account.context.id, new.settings, workspace)
    count = state.drive.count(new.input_dir, state.settings.max_files_per_run + 1)
    if count > state.settings.max_files_per_run:
        raise ApiError(400, f"A run takes {state.settings.max_files_per_run} files at most.")
    run = state.runs.create(new)
    if new.binary_path is not None:
        state.legacy_jobs.add_run(run)
    state.worker.start(run["id"])
    if state.webhooks.plan.early:
        await state.worker.wait(run["id"])
    return state.runs.view(run)


def run_input(state: EmulatorState, payload: Mapping[str, Any], account: Account) -> RunInput:
    """Return the input that a request names.

    Raises:
        ApiError: 400 none or both, 404 no such input, or no access to it.
    """
    input_dir = optional_path(payload, "input_dir")
    if (payload.get("batch_id") is None) == (input_dir is None):
        raise ApiError(400, "Pass one of batch_id and input_dir.")
    if input_dir is not None:
        check_path(input_dir, account)
        if not state.drive.is_folder(input_dir):
            raise ApiError(404, f"There is no folder /{input_dir}.")
        return RunInput(input_dir=input_dir)
    batch_id = json_integer(payload, "batch_id")
    try:
        batch = state.batch(batch_id, account)
    except ApiError:
        raise ApiError(404, f"There is no batch {batch_id}, or you are denied access.") from None
    return RunInput(batch_id=batch_id, input_dir=batch["folder"])


def upstream_input(deployment: Deployment, payload: Mapping[str, Any]) -> RunInput:
    """Return the input that the upstream integration of a deployment provides.

    Raises:
        ApiError: 400, another input is named as well, there is no integration, or a mailbox lacks its times.
    """
    if payload.get("batch_id") is not None or payload.get("input_dir") is not None:
        raise ApiError(400, "Pass one of batch_id, input_dir and manual_upstream_integration.")
    if deployment.upstream_dir is None:
        raise ApiError(400, f"The deployment {deployment.id} has no upstream integration.")
    since, until = (_milliseconds(payload, name) for name in ("from_timestamp", "to_timestamp"))
    if deployment.mailbox and (since is None or until is None):
        raise ApiError(400, "A mailbox integration needs from_timestamp and to_timestamp (Unix milliseconds).")
    folder = clean_path(deployment.upstream_dir)
    window = (0 if since is None else since, _FOREVER_MS if until is None else until)
    if window[0] > window[1]:
        raise ApiError(400, "from_timestamp is later than to_timestamp.")
    return RunInput(input_dir=folder, since_ms=window[0], until_ms=window[1])


def _milliseconds(payload: Mapping[str, Any], name: str) -> int | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _FOREVER_MS:
        raise ApiError(400, f"{name} must be a number of milliseconds since 1970.")
    return int(value)


def run_output(payload: Mapping[str, Any], account: Account) -> tuple[str | None, str | None]:
    """Return the workspace and the folder of the output; a folder that the request names wins.

    Raises:
        ApiError: 400, a service account names neither; 404, no access.
    """
    output_dir, workspace = optional_path(payload, "output_dir"), optional_text(payload, "output_workspace")
    if output_dir is not None:
        return workspace, check_path(output_dir, account)
    return chosen_workspace(workspace, account, remedy="output_workspace or output_dir"), None


def run_settings_of(
    payload: Mapping[str, Any], deployed_keys: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of a request with the keys of its deployment, and the tags.

    Raises:
        ApiError: 400, a setting is of the wrong type or out of its range.
    """
    settings = payload.get("settings")
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise ApiError(400, "settings must be an object.")
    for name, (fits, kind) in _SETTINGS.items():
        if settings.get(name) is not None and not fits(settings[name]):
            raise ApiError(400, f"settings.{name} must be {kind}.")
    tags = settings.get("tags") or []
    if sum(map(len, tags)) > MAX_TAGS_LENGTH:
        raise ApiError(400, f"All tags together have {MAX_TAGS_LENGTH} characters at most.")
    check_target(settings.get("webhook_config"))
    _check_keys(settings.get("keys") or {})
    _check_runtime(settings.get("runtime_config") or {})
    if deployed_keys:
        given = settings.get("keys") or {}
        merged = {kind: {**deployed_keys.get(kind, {}), **(given.get(kind) or {})} for kind in ("custom", "secret")}
        settings = {**settings, "keys": merged}
    return settings, tags


def _check_keys(keys: Mapping[str, Any]) -> None:
    custom, secret = ({} if keys.get(kind) is None else keys[kind] for kind in ("custom", "secret"))
    if not isinstance(custom, dict) or not isinstance(secret, dict):
        raise ApiError(400, "settings.keys has custom and secret, two objects.")
    if not all(isinstance(alias, str) for alias in secret.values()):
        raise ApiError(400, "settings.keys.secret maps the names of keys to the aliases of secrets.")


def _check_runtime(runtime: Mapping[str, Any]) -> None:
    flag = runtime.get("generate_post_process_pdf")
    if flag is not None and not isinstance(flag, bool):
        raise ApiError(400, "settings.runtime_config.generate_post_process_pdf must be true or false.")
    for name in ("log_prefix", "modify_output_schema"):
        if runtime.get(name) is not None and not isinstance(runtime[name], str):
            raise ApiError(400, f"settings.runtime_config.{name} must be a string.")
    value: Any = runtime
    for name in ("instabase", "pdf", "passwords"):
        value = value.get(name)
        if value is None:
            return
        if not isinstance(value, dict):
            raise ApiError(400, f"settings.runtime_config: {name} must be an object.")
    if not all(isinstance(password, str) for password in value.values()):
        raise ApiError(400, "settings.runtime_config.instabase.pdf.passwords maps file names to strings.")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_FLAG = (lambda value: isinstance(value, bool), "true or false")
_LIST_OF_TEXTS = (_texts, "a list of strings")
_OBJECT = (lambda value: isinstance(value, dict), "an object")
_SETTINGS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "tags": _LIST_OF_TEXTS,
    "notification_emails": _LIST_OF_TEXTS,
    "pipeline_ids": (lambda value: isinstance(value, list), "a list of pipeline ids"),
    "keys": _OBJECT,
    "runtime_config": _OBJECT,
    "output_has_run_id": _FLAG,
    "delete_out_dir": _FLAG,
    "log_to_timeline": _FLAG,
    "save_binary_to_output": _FLAG,
    "step_timeout": (lambda value: _integer(value) and value >= -1, "seconds, 0 (automatic) or -1 (none)"),
    "priority": (lambda value: _integer(value) and 0 <= value <= MAX_PRIORITY, f"an integer from 0 to {MAX_PRIORITY}"),
}


def optional_text(payload: Mapping[str, Any], name: str) -> str | None:
    """Return a text in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = payload.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a string.")
    return value


def optional_path(payload: Mapping[str, Any], name: str) -> str | None:
    """Return a drive path in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = optional_text(payload, name)
    return None if value is None else clean_path(value)
