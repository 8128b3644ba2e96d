"""Compatibility with scripts written for the official SDK, in its present and older versions."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from aihub_async.errors import ConfigurationError

T = TypeVar("T")
P = ParamSpec("P")


def renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Accept keywords under the names that older versions of the official SDK gave them: `renamed(old="new")`."""

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
            raise TypeError(f"{method}() got {old}=, the old name of {new}=, beside {new}= itself")
        warnings.warn(f"{method}(): {old}= is now {new}=", DeprecationWarning, stacklevel=3)
        kwargs[new] = kwargs.pop(old)


class _Hidden(str):
    """Text that tracebacks with local variables do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hidden(key: Any) -> Any:
    """Keep a key out of tracebacks that show local variables; what is no text is returned as it is."""
    return _Hidden(key) if isinstance(key, str) else key


def one_key(api_key: Any, api_token: Any) -> Any:
    """Return the API key, which samples for the official SDK call `api_token`.

    Raises:
        ConfigurationError: both are given.
    """
    if api_token is None:
        return api_key
    if api_key is not None:
        raise ConfigurationError("AIHub() got api_token=, the old name of api_key=, beside api_key= itself")
    warnings.warn("AIHub(): api_token= is now api_key=", DeprecationWarning, stacklevel=3)
    return api_token


def warn_of_debug(debug: bool | None) -> None:
    """Warn about the official SDK's switch, whose output showed the API key."""
    if debug is not None:
        message = 'AIHub(): debug= has no effect; write logging.getLogger("aihub_async").setLevel(logging.DEBUG)'
        warnings.warn(message, DeprecationWarning, stacklevel=3)
