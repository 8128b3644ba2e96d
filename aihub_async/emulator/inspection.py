"""What tests see of an emulator: its clock, the files of a batch, and the audit log of how its world was made."""

import hashlib
from collections.abc import Callable
from datetime import datetime

import attrs

from aihub_async.emulator.clock import EmulatorClock
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.world import World

Event = tuple[str, str, str, str]
"""Log type, operation, context and e-mail address."""


@attrs.frozen
class StoredFile:
    """A file of a batch as the emulator holds it; `size` in bytes."""

    name: str
    size: int
    sha256: str


class TimeControl:
    """Reads and moves the emulator's clock; all methods may be called from any thread."""

    def __init__(self, clock: EmulatorClock, call: Callable[[Callable[[], None]], None]) -> None:
        self._clock = clock
        self._call = call

    def now(self) -> datetime:
        """Return the emulator's current time in UTC."""
        return self._clock.now()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock forward; waits, run durations, webhook retries, token ages and time windows follow.

        Example:
            >>> hub.time.advance(hours=3)
        """
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        self._call(lambda: self._clock.advance(total))


def add_event(state: EmulatorState, event: Event) -> None:
    """Write an event into the audit log."""
    log_type, operation, context, email = event
    state.audit.add_event(log_type, operation, context=context, email=email)


def events_of(world: World) -> list[Event]:
    """Return the audit log of the making of a described world; the open world has none."""
    emails = {user.id: user.email for user in world.users}
    events: list[Event] = []
    for organization in world.organizations:
        if organization.open:
            continue
        admin = next((emails[name] for name in sorted(organization.admins) if name in emails), "")
        members = [emails[name] for name in emails if organization.has(name)]
        events += [("account_v2", "createAccount", organization.id, email) for email in members]
        events += [("oauth2_v2", "createToken", organization.id, email) for email in members]
        events += [("org_v2", "setAdmin", organization.id, emails.get(name, "")) for name in organization.admins]
        for members_of in organization.workspaces.values():
            events.append(("workspace_v2", "createWorkspace", organization.id, admin))
            events += [("perms_v2", "addMember", organization.id, admin)] * len(members_of)
    return events


def batch_files(state: EmulatorState, batch_id: int) -> list[StoredFile]:
    """Return the files of a batch, in order of name.

    Raises:
        KeyError: no such batch.
    """
    folder = state.db.value("SELECT folder FROM batches WHERE id = ? AND NOT deleted", batch_id)
    if folder is None:
        raise KeyError(batch_id)
    files = []
    for node in state.drive.walk(folder):
        digest = hashlib.sha256()
        for piece in read_slices(state.drive.blobs.path(node.blob), 0, node.size):
            digest.update(piece)
        files.append(StoredFile(node.path[len(folder) + 1 :], node.size, digest.hexdigest()))
    return files
