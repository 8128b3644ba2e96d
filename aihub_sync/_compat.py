"""Compatibility with scripts written for the official SDK, in its present and older versions."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from aihub_async.errors import ConfigurationError

T = TypeVar("T")
P = ParamSpec("P")


def renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Accept keywords under the names that older versions of the official SDK used: `renamed(old="new")`."""

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            if not kwargs.keys().isdisjoint(names):
                _rename(method.__qualname__, kwargs, names)
            return method(*args, **kwargs)

        return wrapper

    return decorate


def _rename(method: str, kwargs: dict[str, Any], names: dict[str, str]) -> None:
    for old in names.keys() & kwargs.keys():
        new = names[old]
        if new in kwargs:
            raise TypeError(f"{method}() got {old}=, the old name of {new}=, together with {new}= itself")
        warnings.warn(f"{method}(): {old}= is now {new}=", DeprecationWarning, stacklevel=3)
        kwargs[new] = kwargs.pop(old)


def check_old_options(*, debug: bool, api_key: bool, api_token: bool) -> None:
    """Warn about options of the official SDK, by which of them are given; their values may be secret.

    Raises:
        ConfigurationError: the key is given by both of its names.
    """
    if api_key and api_token:
        raise ConfigurationError("AIHub() got api_token=, the old name of api_key=, together with api_key= itself")
    if api_token:
        warnings.warn("AIHub(): api_token= is now api_key=", DeprecationWarning, stacklevel=3)
    if debug:
        # The output of the official SDK showed the API key.
        message = 'AIHub(): debug= has no effect; write logging.getLogger("aihub_async").setLevel(logging.DEBUG)'
        warnings.warn(message, DeprecationWarning, stacklevel=3)
