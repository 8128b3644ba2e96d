"""Sync client for Instabase AI Hub: everything in `aihub_async`, for plain scripts, threads and notebooks.

`from aihub_sync import AIHub` replaces `from aihub import AIHub` of the official SDK.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub_sync._generated import *  # noqa: F403  # its __all__ is ours
    from aihub_sync._generated import __all__ as __all__


if not TYPE_CHECKING:  # A type checker would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        # Late, so that the generator, which lives in this package, runs when its output does not.
        generated = importlib.import_module("aihub_sync._generated")
        try:
            value = getattr(generated, name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return list(importlib.import_module("aihub_sync._generated").__all__)
