"""Optional packages, imported when they are used, and how to install them."""

import importlib
from typing import Any

from aihub_async.errors import ConfigurationError


def load(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Raises:
        ConfigurationError: it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigurationError(f"{purpose} needs {package}: pip install 'aihub-async[{extra}]'") from error
