"""Settings of a run, as sent in a request."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MAX_TAGS_LENGTH


def _names_only(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name!r}: ***" for name in values) + "}"


def _without_query(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    return repr(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


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

    url: str = attrs.field(repr=_without_query)
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=_copied, repr=_names_only)

    def to_dict(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"url": self.url, "headers": dict(self.headers)} if self.headers else {"url": self.url}


@attrs.frozen(kw_only=True)
class RunSettings(_NotPickled):
    """The `settings` of a run of an app or deployment.

    Args:
        custom: values of the app's custom keys.
        secret: the app's secret keys, each with the alias of a secret in the organization's vault.
        runtime_config: runtime configuration, passed on as it is.
        generate_post_process_pdf: ask for a PDF of each document (documents of less than 100 pages).
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

    custom: Mapping[str, Any] = attrs.field(factory=dict, converter=_copied, repr=_names_only)
    secret: Mapping[str, str] = attrs.field(factory=dict, converter=_copied, repr=_names_only)
    runtime_config: Mapping[str, Any] = attrs.field(factory=dict, converter=_copied, repr=_names_only)
    generate_post_process_pdf: bool | None = None
    pdf_passwords: Mapping[str, str] = attrs.field(factory=dict, converter=_copied, repr=_names_only)
    webhook_config: WebhookConfig | None = None
    tags: Sequence[str] = attrs.field(factory=tuple, validator=_validate_tags)

    def to_dict(self) -> dict[str, Any]:
        """As the API takes it; what is empty is left out."""
        keys = {"custom": _copied(self.custom), "secret": _copied(self.secret)}
        settings = {
            "keys": {name: values for name, values in keys.items() if values},
            "runtime_config": self._runtime_config(),
            "webhook_config": None if self.webhook_config is None else self.webhook_config.to_dict(),
            "tags": list(self.tags),
        }
        return {name: value for name, value in settings.items() if value}

    def _runtime_config(self) -> dict[str, Any]:
        config = _copied(self.runtime_config)
        if self.generate_post_process_pdf is not None:
            config["generate_post_process_pdf"] = self.generate_post_process_pdf
        if self.pdf_passwords:
            passwords = config.setdefault("instabase", {}).setdefault("pdf", {}).setdefault("passwords", {})
            passwords.update(self.pdf_passwords)
        return config


def settings_dict(settings: RunSettings | Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings as a plain dict of the caller's own; empty for None.

    Raises:
        InvalidRequestError: the tags are too long or not a list of texts.
    """
    if isinstance(settings, RunSettings):
        return settings.to_dict()
    plain = _copied(settings)
    check_tags(plain.get("tags") or ())
    return plain
