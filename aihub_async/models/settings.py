"""Settings of a run, as sent in a request."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_TAGS_LENGTH
from aihub_async.models.spelling import warn_of_misspelt_settings
from aihub_async.secrecy import SecretURL, SecretValue


def _concealed_copy(given: SecretValue[Any]) -> SecretValue[dict[str, Any]]:
    try:
        return SecretValue(_copied(given.reveal()))
    except Exception:  # noqa: BLE001  # the user's values may raise anything when they are copied
        # Raised here, it would show the values in the frames of the callers. They are refused when they are sent.
        return given


class SecretMapping(SecretValue[dict[str, Any]]):
    """A mapping that shows its names and none of its values."""

    __slots__ = ()

    def __init__(self, values: "Mapping[str, Any] | SecretValue[dict[str, Any]] | None" = None) -> None:
        given: SecretValue[Any] = SecretValue(values)
        del values
        super().__init__(_concealed_copy(given))

    def __repr__(self) -> str:
        # Tracebacks with locals show one whose construction failed.
        names = self.reveal() if hasattr(self, "_get") else {}
        return "{" + ", ".join(f"{name!r}: ***" for name in names) + "}"


def _copied(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return copy.deepcopy(dict(values or {}))


def check_tags(tags: Sequence[str]) -> None:
    """Refuse tags that the API would refuse.

    Raises:
        InvalidRequestError: one text instead of a list, or more than 500 characters together.
    """
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidRequestError("tags must be a list of strings")
    length = sum(map(len, tags))
    if length > MAX_TAGS_LENGTH:
        raise InvalidRequestError(f"tags have {length} characters together; the API takes {MAX_TAGS_LENGTH} at most")


def _validate_tags(_: Any, __: Any, tags: Sequence[str]) -> None:
    check_tags(tags)


class _NotPickled:
    """Keeps passwords out of pickles; a copy of something frozen is itself."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} may hold secrets and is not pickled; build it where it is used")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self


@attrs.frozen
class WebhookConfig(_NotPickled):
    """Where the server reports the end of a run; `headers` are sent along, for example a token to check."""

    url: SecretURL = attrs.field(converter=SecretURL)
    headers: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that the API takes."""
        url, headers = self.url.reveal(), self.headers.reveal()
        return {"url": url, "headers": dict(headers)} if headers else {"url": url}


@attrs.frozen(kw_only=True, init=False)
class RunSettings(_NotPickled):
    """The `settings` of a run of an app or deployment.

    Args:
        custom: values of the app's custom keys.
        secret: the app's secret keys, each with the alias of a secret in the organization's vault.
        runtime_config: runtime configuration, passed on as it is.
        generate_post_process_pdf: request a PDF of each document (documents of less than 100 pages).
        pdf_passwords: passwords of encrypted input PDFs by file name.
        webhook_config: webhook of this run (older servers; newer ones configure it on the deployment).
        tags: texts to attach to the run, at most 500 characters together.

    Values never appear in the repr, and settings are not pickled: they may hold passwords.

    Raises:
        InvalidRequestError: the tags are too long or not a list of texts.

    Example:
        >>> RunSettings(tags=["march"], pdf_passwords={"a.pdf": "pw"}).to_dict()
        {'runtime_config': {'instabase': {'pdf': {'passwords': {'a.pdf': 'pw'}}}}, 'tags': ['march']}
    """

    custom: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)
    secret: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)
    runtime_config: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)
    generate_post_process_pdf: bool | None = None
    pdf_passwords: SecretMapping = attrs.field(factory=SecretMapping, converter=SecretMapping)
    webhook_config: WebhookConfig | None = None
    tags: Sequence[str] = attrs.field(factory=tuple, validator=_validate_tags)

    def __init__(
        self,
        *,
        custom: Mapping[str, Any] | SecretMapping | None = None,
        secret: Mapping[str, str] | SecretMapping | None = None,
        runtime_config: Mapping[str, Any] | SecretMapping | None = None,
        generate_post_process_pdf: bool | None = None,
        pdf_passwords: Mapping[str, str] | SecretMapping | None = None,
        webhook_config: WebhookConfig | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        # Wrapped before anything can raise, so that no traceback with locals shows a secret.
        concealed = {
            "custom": SecretMapping(custom),
            "secret": SecretMapping(secret),
            "runtime_config": SecretMapping(runtime_config),
            "pdf_passwords": SecretMapping(pdf_passwords),
        }
        del custom, secret, runtime_config, pdf_passwords
        for name, values in concealed.items():
            if not isinstance(values.reveal(), dict):
                raise InvalidRequestError(f"{name} must be a dict")
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue]  # attrs writes it
            **concealed,
            generate_post_process_pdf=generate_post_process_pdf,
            webhook_config=webhook_config,
            tags=tags,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the form that the API takes; what is empty is left out."""
        keys = {"custom": _copied(self.custom.reveal()), "secret": _copied(self.secret.reveal())}
        settings = {
            "keys": {name: values for name, values in keys.items() if values},
            "runtime_config": self._runtime_config(),
            "webhook_config": None if self.webhook_config is None else self.webhook_config.to_dict(),
            "tags": list(self.tags),
        }
        return {name: value for name, value in settings.items() if value}

    def _runtime_config(self) -> dict[str, Any]:
        config = _copied(self.runtime_config.reveal())
        if self.generate_post_process_pdf is not None:
            config["generate_post_process_pdf"] = self.generate_post_process_pdf
        if self.pdf_passwords:
            passwords = config.setdefault("instabase", {}).setdefault("pdf", {}).setdefault("passwords", {})
            passwords.update(self.pdf_passwords.reveal())
        return config


class _PlainSettings(RunSettings):
    """Settings that were given as a dict, and are sent as they are."""

    __slots__ = ("_given",)

    def __init__(self, given: SecretMapping) -> None:
        super().__init__()
        object.__setattr__(self, "_given", given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PlainSettings) and self._given == other._given  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(_PlainSettings)

    def __repr__(self) -> str:
        return f"RunSettings({self._given!r})"  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of what was given."""
        copied = _concealed_copy(self._given)  # type: ignore[attr-defined]  # a slot
        return copied.reveal()


GivenRunSettings = RunSettings | Mapping[str, Any]
"""Settings of a run as a caller passes them; a dict is sent as it is."""


def conceal_settings(settings: RunSettings | Mapping[str, Any] | None) -> RunSettings | None:
    """Wrap settings that were given as a dict, so that no traceback with locals shows the passwords in them.

    The first statement of every function that takes settings from a user.

    Raises:
        InvalidRequestError: neither settings nor a dict.
    """
    if settings is None or isinstance(settings, RunSettings):
        return settings
    if isinstance(settings, Mapping):
        return _PlainSettings(SecretMapping(settings))
    raise InvalidRequestError(f"settings must be a RunSettings or a dict, not {type(settings).__name__}")


def settings_dict(settings: RunSettings | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings as a new plain dict; empty for None.

    Warns:
        UnknownSettingWarning: a name in it is probably misspelt.

    Raises:
        InvalidRequestError: the tags are too long or not a list of texts.
    """
    settings = conceal_settings(settings)
    if settings is None:
        return {}
    check_tags(settings.to_dict().get("tags") or ())
    warn_of_misspelt_settings(settings.to_dict())
    return settings.to_dict()
