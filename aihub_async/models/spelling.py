"""Names in the settings of a run that are probably misspelt: the server ignores them without an error."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

_KNOWN: Mapping[tuple[str, ...], Sequence[str]] = {
    (): ("keys", "runtime_config", "webhook_config", "tags"),
    ("keys",): ("custom", "secret"),
    ("webhook_config",): ("url", "headers"),
    ("runtime_config",): ("generate_post_process_pdf", "instabase"),
    ("runtime_config", "instabase"): ("pdf",),
    ("runtime_config", "instabase", "pdf"): ("passwords",),
}
"""The documented names by their place (specifications of 2024 to August 2026); there are more than these."""
_ALIKE = 0.6
"""Ratio of `difflib` above which a name counts as misspelt."""


class UnknownSettingWarning(UserWarning):
    """The settings of a run have a name that is probably misspelt; it is sent as it is."""


def warn_of_misspelt_settings(settings: Mapping[str, Any]) -> None:
    """Warn of each name that is not documented but like one that is."""
    for place, known in _KNOWN.items():
        for name in _names(_at(settings, place)):
            alike = difflib.get_close_matches(name, known, 1, _ALIKE)
            if name not in known and alike:
                where = ".".join(("settings", *place))
                message = f"{where} has the unknown name {name!r}; did you mean {alike[0]!r}?"
                warnings.warn(message, UnknownSettingWarning, stacklevel=2)


def _at(settings: object, place: tuple[str, ...]) -> object:
    for name in place:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings


def _names(settings: object) -> list[str]:
    return [name for name in settings if isinstance(name, str)] if isinstance(settings, Mapping) else []
