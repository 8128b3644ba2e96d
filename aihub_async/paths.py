"""Local paths in arguments."""

import os
import re
from pathlib import Path

from aihub_async.errors import InvalidRequestError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]*://")
_FOLDED_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
"""What `pathlib.Path` makes of a URL. One letter is a drive of Windows."""


def is_url(path: str) -> bool:
    """Whether a text is a URL and not a local path.

    Example:
        >>> is_url("s3://bucket/a.pdf"), is_url("C:/scans/a.pdf")
        (True, False)
    """
    return _URL.match(path) is not None


def folded_url(path: str) -> str | None:
    """Return the URL that a path object was made of by mistake, None for anything else.

    Example:
        >>> folded_url("s3:/bucket/a.pdf")
        's3://bucket/a.pdf'
    """
    found = _FOLDED_URL.match(path)
    return None if found is None else f"{found[1]}://{path[found.end() :]}"


def local_path(path: str | os.PathLike[str], what: str) -> Path:
    """Return the path of a local file or folder; `what` names the argument in errors.

    A URL would otherwise become a local folder such as ``s3:``.

    Raises:
        InvalidRequestError: it is a URL, or what a path object makes of one.
    """
    text = os.fsdecode(path)
    url = text if is_url(text) else folded_url(text)
    if url is not None:
        raise InvalidRequestError(f"{what} must be a path on this machine, not a URL: {url!r}")
    return Path(text)
