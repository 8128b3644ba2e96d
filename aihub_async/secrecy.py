"""Values that nothing shows by accident: no repr, debugger, crash report, serializer or traceback with locals.

Tools that print locals (pytest -l, rich, Sentry) use `repr`, or walk the fields of attrs classes and dataclasses.
A `SecretValue` has no field with the value: it lives in a closure, and only `reveal` returns it. Public functions wrap
secret arguments in their first statement, before anything can raise, and drop the plain ones.
"""

from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar
from urllib.parse import urlsplit

T_co = TypeVar("T_co", covariant=True)


class SecretValue(Generic[T_co]):
    """A value that never shows itself; `reveal()` returns it.

    Example:
        >>> key = SecretValue("k3y")
        >>> key, key.reveal()
        (SecretValue('***'), 'k3y')
    """

    __slots__ = ("_get",)
    _get: Callable[[], T_co]

    def __init__(self, value: "T_co | SecretValue[T_co]") -> None:
        get = value._get if isinstance(value, SecretValue) else lambda: value
        object.__setattr__(self, "_get", get)

    def reveal(self) -> T_co:
        """Return the value itself."""
        return self._get()

    def __repr__(self) -> str:
        return f"{type(self).__name__}('***')"

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        mine, others = self.reveal(), other.reveal()
        if isinstance(mine, str) and isinstance(others, str):
            import hmac  # noqa: PLC0415 - it loads OpenSSL

            return hmac.compare_digest(mine.encode("utf-8", "surrogatepass"), others.encode("utf-8", "surrogatepass"))
        return bool(mine == others)

    def __hash__(self) -> int:
        # Equal values have equal hashes, but a hash of the value would help to guess it.
        return hash(SecretValue)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret value cannot be changed")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled; pass it to the other process in another way")


class SecretURL(SecretValue[str]):
    """A URL that shows neither user name, password, query nor fragment.

    Example:
        >>> SecretURL("https://me:pw@example.com/hook?token=1")
        SecretURL('https://example.com/hook')
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({public_url(self.reveal())!r})"


def public_url(url: object) -> str:
    """Return what may be shown of a URL: no user name, password, query or fragment; ``***`` if it is none."""
    try:
        parts = urlsplit(str(url))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "***"
    if not parts.scheme or not host:
        return "***"
    return f"{parts.scheme}://{host}{parts.path}"
