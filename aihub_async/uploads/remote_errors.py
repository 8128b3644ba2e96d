"""What the exceptions of file systems behind URLs mean, each package having its own, and which requests to repeat."""

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from aihub_async.errors import SourceAccessError, SourceError, SourceUnavailableError

T = TypeVar("T")

_CREDENTIAL_CODES = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"),
        *("SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSecurity", "AuthFailure", "RequestExpired"),
        *("InvalidAuthenticationInfo", "AuthenticationFailed"),
    }
)
"""Error codes of S3 and Azure for credentials that nothing can be read with."""
_CREDENTIAL_ERRORS = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
        *("SSOTokenLoadError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "RefreshError"),
        *("ClientAuthenticationError", "ProfileNotFound"),
    }
)
"""Exceptions of botocore, google-auth and azure-core for credentials that are missing or refused."""
_LASTING = (
    *(FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, ValueError, TypeError, LookupError, ImportError),
)
_LASTING_NUMBERS = frozenset({errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENAMETOOLONG})
_PAUSES = (0.2, 0.8, 3.2)
"""Seconds before a request is repeated."""


def failed(what: str, url: str, error: Exception) -> SourceError:
    """Return the error of a file or folder behind a URL; `what` could not be done, such as ``"read"``.

    It is a `SourceAccessError` when the credentials are missing, expired or refused, and a `SourceUnavailableError`
    when the same request may succeed later.
    """
    reason = str(error) or type(error).__name__
    refused = _credential_problem(error)
    if refused is not None:
        return SourceAccessError(
            f"cannot {what} {url}: the credentials are missing, expired or refused ({refused}: {reason}); renew them, "
            "in the environment or the profile that they come from, and repeat this",
            name=url,
        )
    if isinstance(error, FileNotFoundError):
        return SourceError(f"cannot {what} {url}: it does not exist, or was deleted since it was found", name=url)
    kind = SourceUnavailableError if is_passing(error) else SourceError
    return kind(f"cannot {what} {url}: {reason}", name=url)


def is_passing(error: Exception) -> bool:
    """Return whether the same request may succeed later: an overload, a broken connection, a timeout."""
    if _credential_problem(error) is not None or isinstance(error, _LASTING):
        return False
    return not (isinstance(error, OSError) and error.errno in _LASTING_NUMBERS)


def is_repeatable(error: Exception) -> bool:
    """Return whether to repeat a request now; after SlowDown s3fs has repeated it already, for seconds."""
    return is_passing(error) and error_code(error) not in {"SlowDown", "InvalidRange"}


def repeated(request: Callable[[], T]) -> T:
    """Send a request in this thread, and repeat it up to three times while it fails with a passing error.

    Raises:
        Exception: The error of the last attempt, of whatever kind the file system raises; a `SourceError` immediately.
    """
    for pause in _PAUSES:
        try:
            return request()
        except SourceError:
            raise
        # Each file system raises its own exceptions.
        except Exception as error:
            if not is_repeatable(error):
                raise
        time.sleep(pause)
    return request()


def error_code(error: BaseException) -> str:
    """Return the service's code of an error, such as ``NoSuchKey``; "" if it has none."""
    for each in _chain(error):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code") or "")
        code = getattr(each, "error_code", None)
        if code is not None:
            return str(getattr(code, "value", code))
    return ""


def _credential_problem(error: BaseException) -> str | None:
    code = error_code(error)
    if code in _CREDENTIAL_CODES:
        return code
    return next((type(each).__name__ for each in _chain(error) if type(each).__name__ in _CREDENTIAL_ERRORS), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and what it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
