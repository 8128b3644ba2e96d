"""Progress in a notebook cell."""

import sys
import time
from collections.abc import Callable
from typing import Any

from aihub_async.results.extras import load

_EVERY = 0.2
_LINE_EVERY = 2.0


def _in_notebook() -> bool:
    # Whoever runs in one has imported it.
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class NotebookProgress:
    """Shows in the cell how far uploads, runs and bulk jobs are; pass it as `on_progress` and `on_update`.

    Outside of a notebook it prints a line on standard error every few seconds.

    Example:
        >>> async def process(client, folder):
        ...     shown = NotebookProgress()
        ...     return await client.process(folder, app_name="Invoices", on_progress=shown, on_update=shown)
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._states: dict[type, Any] = {}
        self._handle: Any = None

    def __call__(self, state: object) -> None:
        """Show a state, such as an `UploadProgress`, a `Run` or an `IngestStatus`."""
        is_new = type(state) not in self._states
        self._states[type(state)] = state
        now = self._clock()
        is_last = getattr(state, "is_terminal", False) or getattr(state, "complete", False)
        every = _EVERY if _in_notebook() else _LINE_EVERY
        if is_new or is_last or self._last is None or now - self._last >= every:
            self._last = now
            self._show(state)

    def _show(self, state: object) -> None:
        if not _in_notebook():
            sys.stderr.write(f"{state}\n")
            return
        display = load("IPython.display", extra="tables", purpose="progress in a notebook").display
        if self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _repr_html_(self) -> str:
        return "".join(state._repr_html_() if hasattr(state, "_repr_html_") else "" for state in self._states.values())

    def __repr__(self) -> str:
        return "; ".join(map(str, self._states.values()))
