"""What to do while the process or the machine is out of file descriptors."""

import errno

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries: about eight in all, longer than a burst of uploads holds its descriptors."""


def is_out_of_descriptors(error: BaseException | None) -> bool:
    """Whether the process or the machine has no descriptors or buffers left for the moment."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES


class OpenRetries:
    """How long one caller keeps trying to open something.

    Example:
        >>> import os, time
        >>> def scan(path):
        ...     retries = OpenRetries()
        ...     while True:
        ...         try:
        ...             return os.scandir(path)
        ...         except OSError as error:
        ...             time.sleep(retries.pause_after(error))
    """

    def __init__(self) -> None:
        self._pauses = iter(_PAUSES)

    def pause_after(self, error: Exception) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            Exception: `error` itself, when it is no shortage of descriptors or the last pause is used up.
        """
        shortage = is_out_of_descriptors(error) or is_out_of_descriptors(error.__cause__)
        pause = next(self._pauses, None) if shortage else None
        if pause is None:
            raise error
        return pause
