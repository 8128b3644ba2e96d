"""What a test may do with a running emulator apart from HTTP: register, inspect, and steer."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import attrs

from aihub_async.emulator.access import Access
from aihub_async.emulator.apps import App, Apps, Deployment, Extract, Outcome, Packet
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.inspection import Event, StoredFile, TimeControl, add_event, batch_files, events_of
from aihub_async.emulator.recordings import Recording, load_recordings
from aihub_async.emulator.runs import run_settings
from aihub_async.emulator.settings import EmulatorSettings, stable_id
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.webhooks import Delivery, WebhookPlan, check_target
from aihub_async.emulator.worker import Email
from aihub_async.emulator.world import Account, User, World

_T = TypeVar("_T")


class EmulatorControls:
    """The part of `Emulator` that registers, inspects and steers; all methods may be called from any thread."""

    def __init__(self, world: World, settings: EmulatorSettings, apps: Apps) -> None:
        self.settings = settings
        self.time = TimeControl(settings.clock, self._call)
        self._apps = apps
        self._world = world
        self._access = Access(world, settings.clock)
        self._state: EmulatorState | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: list[Event] = []
        self._recordings: list[tuple[Recording, Account]] = []

    # Registering

    def app(
        self,
        name: str,
        *,
        class_name: str | None = None,
        outcome: Outcome = "COMPLETE",
        run_seconds: float | None = None,
        owner: str | None = None,
        version: str = "1.0.0",
        packet: Packet | None = None,
        packet_blocks: bool = False,
        agent: bool = False,
    ) -> Callable[[Extract], Extract]:
        """Register a callable as an app; it is called on a worker thread, once per file.

        Register apps before the start if interrupted runs in `data_dir` are to continue.

        Args:
            name: What runs name as `app_name`.
            class_name: Class of the documents, unless the callable sets its own.
            outcome: How runs of this app end.
            run_seconds: Least duration of a run of this app.
            owner: User id of the owner, or `instabase` for a published app; None is every caller's own.
            version: Version; the one registered last is the latest production version.
            packet: Called with all documents of a run; returns its cross-class fields (`PacketField`).
            packet_blocks: Whether a failed cross-class validation stops the run for review.
            agent: Agent mode: values that do not occur in the text have `ocr` 1.0 and `model` null.

        Example:
            >>> @hub.app("Lines")
            ... def lines(document):
            ...     return {"lines": len(document.text.splitlines())}
        """

        def register(extract: Extract) -> Extract:
            app = App(name, extract, class_name, outcome, run_seconds, owner, version, packet, packet_blocks, agent)
            self._apps.add(app)
            self._record("app_v2", "createApp", owner)
            return extract

        return register

    @property
    def app_names(self) -> list[str]:
        """The names of all apps, those of your own included."""
        return self._apps.names

    def app_id(self, name: str) -> str:
        """Return the id of the app of a name; it is the same in every emulator."""
        return stable_id("app", name)

    def deployment(
        self,
        deployment_id: str,
        *,
        app: str,
        webhook: Mapping[str, Any] | None = None,
        upstream_dir: str | None = None,
        mailbox: bool = False,
        keys: Mapping[str, Mapping[str, Any]] | None = None,
        output_workspace: str | None = None,
    ) -> str:
        """Register a deployment of an app; return its id.

        Args:
            deployment_id: What runs name.
            app: Name of the app that runs.
            webhook: `{"url": ..., "headers": {...}, "format": "json" or "event_grid"}`, notified of the end of each
                run.
            upstream_dir: Folder that `manual_upstream_integration` reads.
            mailbox: Makes the upstream integration a mailbox, filled by `deliver_mail`; runs then need
                `from_timestamp` and `to_timestamp`.
            keys: `{"custom": {...}, "secret": {...}}`; the keys of a run win over them.
            output_workspace: Workspace of the outputs.

        Raises:
            ApiError: the webhook is malformed, or not on this machine.
        """
        check_target(webhook)
        folder = upstream_dir
        if mailbox and folder is None:
            folder = f"{self._home().context.folder('mailboxes')}/{deployment_id}"
        deployment = Deployment(deployment_id, app, webhook, folder, mailbox, keys or {}, output_workspace)
        self._apps.deploy(deployment)
        self._record("app_deployment_v2", "createDeployment", None)
        return deployment_id

    def deliver_mail(self, deployment_id: str, name: str, content: bytes, *, at: datetime | None = None) -> None:
        """Put a file into the mailbox of a deployment.

        Args:
            deployment_id: A deployment with an upstream integration.
            name: Name of the file.
            content: Its bytes.
            at: When it arrived; now by default.

        Raises:
            ApiError: no such deployment.
            ValueError: the deployment has no mailbox.
        """
        deployment = self._apps.deployed(deployment_id)
        if deployment.upstream_dir is None:
            raise ValueError(f"the deployment {deployment_id!r} has no mailbox; register it with mailbox=True")
        path = clean_path(f"{deployment.upstream_dir}/{name}")
        when = None if at is None else int(at.astimezone(UTC).timestamp() * 1000) * (NANOSECONDS // 1000)
        self._on_loop(lambda state: state.drive.put(path, *state.drive.blobs.save(content), modified_ns=when))

    def add_token(
        self,
        token: str,
        *,
        user: str | None = None,
        service: bool = False,
        admin: bool = True,
        expires_in: float | None = None,
    ) -> None:
        """Accept another token.

        Args:
            token: The token.
            user: Whose it is; the default user's if omitted.
            service: Makes it that of a service account, without a personal workspace.
            admin: Whether the user is an admin of the organization.
            expires_in: Age in seconds at which the token expires.
        """
        known = self._access.users.get(user or self.settings.user)
        name = user or self.settings.user
        new = User(id=name, token=token, service=service, token_seconds=expires_in)
        self._access.add_user(new if known is None else attrs.evolve(new, email=known.email, units=known.units))
        for organization in self._access.organizations:
            if organization.open:
                self._access.join(organization.id, name, admin=admin)

    def load(self, folder: Path | str, *, context: str | None = None) -> list[str]:
        """Serve recorded runs again (see `aihub_async.emulator.recordings`), also before the start; return their ids.

        Args:
            folder: A folder with recordings.
            context: Organization or user that the runs belong to; the default one if omitted.

        Raises:
            ValueError: the folder holds no recording, or one that cannot be read.
        """
        recordings = load_recordings(Path(folder))
        account = self._home(context)
        if self._state is None:
            self._recordings += [(each, account) for each in recordings]
        else:
            self._on_loop(lambda state: _restore(state, [(each, account) for each in recordings]))
        return [str(each.run["id"]) for each in recordings]

    # Inspecting

    def batch_files(self, batch_id: int) -> list[StoredFile]:
        """Return the files of a batch, in order of name, with the digests of what is stored.

        Raises:
            KeyError: no such batch.
        """
        return self._on_loop(lambda state: batch_files(state, batch_id))

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs in the shape of the API, oldest first, each with its `settings` and used `units`."""
        return self._on_loop(
            lambda state: [
                {**state.runs.view(row), "settings": run_settings(row), "units": state.usage.of_run(row["id"])}
                for row in state.db.all("SELECT * FROM runs ORDER BY position")
            ]
        )

    def usage(self, context: str | None = None) -> int:
        """Return the consumption units that an organization or a community account has used."""
        name = context or self._home().context.id
        return self._on_loop(lambda state: state.usage.of_context(name))

    @property
    def webhook_deliveries(self) -> list[Delivery]:
        """Every attempt to deliver a webhook, oldest first."""
        return self._on_loop(lambda state: list(state.webhooks.deliveries))

    @property
    def sent_emails(self) -> list[Email]:
        """The notifications to `settings.notification_emails`, oldest first; none leaves the emulator."""
        return self._on_loop(lambda state: list(state.worker.emails))

    # Steering

    def misdeliver(self, plan: WebhookPlan) -> None:
        """Deliver webhooks wrongly from now on; an empty plan delivers them correctly."""
        self._on_loop(lambda state: setattr(state.webhooks, "plan", plan))

    def hold_runs(self) -> None:
        """Keep runs RUNNING, once they have done their work, until `release_runs`."""
        self._on_loop(lambda state: state.worker.released.clear())

    def release_runs(self) -> None:
        """Let runs end."""
        self._on_loop(lambda state: state.worker.released.set())

    def complete_review(
        self,
        run_id: str,
        corrections: Mapping[Any, str] | None = None,
        *,
        classes: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """End the human review of a run that is STOPPED_AT_CHECKPOINT: it becomes COMPLETE.

        Args:
            run_id: The run.
            corrections: New values by field name as the API reports it, or by pair of file name and field name.
            classes: New classes by file name.
            user: User id of the reviewer.

        Raises:
            ApiError: no such run, or it waits for no review.
        """
        reviewer = user or self.settings.user

        def complete(state: EmulatorState) -> None:
            state.runs.complete_review(run_id, reviewer, corrections or {}, classes or {})
            state.worker.announce(run_id)

        self._on_loop(complete)
        self._record("review_v2", "completeReview", reviewer)

    def cancel_run(self, run_id: str) -> None:
        """End a run as CANCELLED; one that has ended stays as it is.

        Raises:
            ApiError: no such run.
        """
        self._on_loop(lambda state: state.worker.cancel(run_id))

    async def idle(self) -> None:
        """Wait until no run, job or notification is in progress. Only from the emulator's own event loop."""
        await self._required().background.idle()

    # Underneath

    def _home(self, context: str | None = None) -> Account:
        """Return the account that owns what a test puts into the emulator."""
        known = self._access.users.get(self.settings.user)
        user = known or next(iter(self._access.users.values()))
        member_of = (each.id for each in self._access.organizations if each.has(user.id))
        return self._access.account(user, context or self._world.default_context or next(member_of, user.id))

    def _record(self, log_type: str, operation: str, user: str | None) -> None:
        account = self._home()
        known = self._access.users.get(user or account.user)
        event = (log_type, operation, account.context.id, known.email if known else account.email)
        if self._state is None:
            self._events.append(event)
        else:
            self._on_loop(lambda state: add_event(state, event))

    def _apply_pending(self, state: EmulatorState) -> None:
        """Apply what happened before the start: the audit log of the world and of apps, and the recorded runs."""
        for event in [*events_of(self._world), *self._events]:
            add_event(state, event)
        self._events = []
        _restore(state, self._recordings)
        self._recordings = []

    def _required(self) -> EmulatorState:
        if self._state is None:
            raise RuntimeError("the emulator is not running")
        return self._state

    def _on_loop(self, work: Callable[[EmulatorState], _T]) -> _T:
        state = self._required()
        return self._call(lambda: work(state))

    def _call(self, work: Callable[[], _T]) -> _T:
        """Call a function on the emulator's own event loop, from any thread."""
        loop = self._loop
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None:
            return work()

        async def there() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(there(), loop).result()


def _restore(state: EmulatorState, recordings: list[tuple[Recording, Account]]) -> None:
    for each, account in recordings:
        state.runs.restore(each.run, account, each.files)
