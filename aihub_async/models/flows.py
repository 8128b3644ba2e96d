"""Settings of flow runs, as sent in a request."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.models.decode import encode
from aihub_async.models.settings import SecretMapping, WebhookConfig
from aihub_async.secrecy import SecretValue

MAX_PRIORITY = 9
NO_STEP_TIMEOUT = -1
"""As `step_timeout`: no limit."""

_SCHEMA_KEYS = frozenset({"add_fields", "remove_fields", "rename_fields"})


def _check_priority(_: Any, __: Any, priority: int | None) -> None:
    if priority is not None and not 0 <= priority <= MAX_PRIORITY:
        raise InvalidRequestError(f"priority is 0 (lowest) to {MAX_PRIORITY} (highest), not {priority}")


def _check_step_timeout(_: Any, __: Any, seconds: int | None) -> None:
    if seconds is not None and seconds < NO_STEP_TIMEOUT:
        raise InvalidRequestError(f"step_timeout is seconds, 0 (the platform picks) or -1 (none), not {seconds}")


def _check_list(_: Any, attribute: "attrs.Attribute[Any]", values: Sequence[str] | None) -> None:
    if isinstance(values, str):
        raise InvalidRequestError(f"{attribute.name} must be a list")


def output_schema_text(changes: Mapping[str, Any] | str) -> str:
    """Return the changes of an output schema as the JSON text that the API takes; a text is returned unchanged.

    Raises:
        InvalidRequestError: a key that is none of `add_fields`, `remove_fields` and `rename_fields`.

    Example:
        >>> output_schema_text({"remove_fields": ["a"]})
        '{"remove_fields":["a"]}'
    """
    if isinstance(changes, str):
        return changes
    unknown = set(changes) - _SCHEMA_KEYS
    if unknown:
        raise InvalidRequestError(
            f"modify_output_schema takes {', '.join(sorted(_SCHEMA_KEYS))}, not {', '.join(sorted(unknown))}"
        )
    return encode(dict(changes)).decode()


@attrs.frozen(kw_only=True)
class FlowSettings:
    """The `settings` of a flow run; None leaves the server's default.

    Args:
        output_has_run_id: write into a folder with a unique run id (False).
        delete_out_dir: empty the output folder first (False); nothing with `output_has_run_id`.
        log_to_timeline: developer logs of refiners and UDFs (False).
        notification_emails: addresses that are notified of the end.
        tags: texts to find the run by.
        step_timeout: seconds for each step; 0: the platform picks (the default), -1: none.
        pipeline_ids: pipelines that the run belongs to.
        save_binary_to_output: keep the binary with the output (True).
        webhook_config: called at the end, see `aihub_async.webhooks.receiver`.
        runtime_config: arguments of the flow.
        log_prefix: put before every log line, as `runtime_config.log_prefix`.
        modify_output_schema: `add_fields` (a list of ``{"name", "formula"}``), `remove_fields` (names) and
            `rename_fields` (old name to new name); travels as a text in `runtime_config`.
        priority: 0 (lowest, the default here) to 9.

    Raises:
        InvalidRequestError: a value out of its range.

    Example:
        >>> FlowSettings(priority=9, log_prefix="org=Piston ").to_dict()
        {'runtime_config': {'log_prefix': 'org=Piston '}, 'priority': 9}
    """

    output_has_run_id: bool | None = None
    delete_out_dir: bool | None = None
    log_to_timeline: bool | None = None
    notification_emails: Sequence[str] | None = attrs.field(default=None, validator=_check_list)
    tags: Sequence[str] | None = attrs.field(default=None, validator=_check_list)
    step_timeout: int | None = attrs.field(default=None, validator=_check_step_timeout)
    pipeline_ids: Sequence[str] | None = attrs.field(default=None, validator=_check_list)
    save_binary_to_output: bool | None = None
    webhook_config: WebhookConfig | None = None
    runtime_config: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)
    log_prefix: str | None = None
    modify_output_schema: Mapping[str, Any] | str | None = None
    priority: int | None = attrs.field(default=None, validator=_check_priority)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as the API takes them, without those that are not set."""
        runtime = {
            **self.runtime_config.reveal(),
            "log_prefix": self.log_prefix,
            "modify_output_schema": self.modify_output_schema,
        }
        plain: dict[str, Any] = {
            "output_has_run_id": self.output_has_run_id,
            "delete_out_dir": self.delete_out_dir,
            "log_to_timeline": self.log_to_timeline,
            "notification_emails": _list(self.notification_emails),
            "tags": _list(self.tags),
            "step_timeout": self.step_timeout,
            "pipeline_ids": _list(self.pipeline_ids),
            "save_binary_to_output": self.save_binary_to_output,
            "webhook_config": None if self.webhook_config is None else self.webhook_config.to_dict(),
            "runtime_config": {name: value for name, value in runtime.items() if value is not None} or None,
            "priority": self.priority,
        }
        return _with_schema_text(SecretValue({name: value for name, value in plain.items() if value is not None}))


GivenFlowSettings = FlowSettings | Mapping[str, Any] | None


def flow_settings_dict(settings: GivenFlowSettings | SecretValue[GivenFlowSettings]) -> dict[str, Any]:
    """Return the settings as a plain dict; a `modify_output_schema` given as a dict becomes the text of the API.

    Raises:
        InvalidRequestError: a value out of its range.
    """
    # It may hold passwords, and this frame is part of a traceback.
    concealed: SecretValue[Any] = SecretValue(settings)
    del settings
    if concealed.reveal() is None:
        return {}
    if isinstance(concealed.reveal(), FlowSettings):
        return concealed.reveal().to_dict()  # type: ignore[no-any-return]
    _check_priority(None, None, concealed.reveal().get("priority"))
    _check_step_timeout(None, None, concealed.reveal().get("step_timeout"))
    return _with_schema_text(SecretValue(dict(concealed.reveal())))


def _with_schema_text(settings: SecretValue[dict[str, Any]]) -> dict[str, Any]:
    changes = _schema_changes(settings.reveal())
    if changes is None:
        return settings.reveal()
    text = output_schema_text(changes)
    runtime = settings.reveal()["runtime_config"]
    return {**settings.reveal(), "runtime_config": {**runtime, "modify_output_schema": text}}


def _schema_changes(settings: Mapping[str, Any]) -> Any:
    runtime = settings.get("runtime_config")
    return runtime.get("modify_output_schema") if isinstance(runtime, Mapping) else None


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)
