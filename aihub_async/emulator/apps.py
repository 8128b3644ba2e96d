"""Automation apps and deployments, and the registry of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from aihub_async.emulator.documents import Document, ExtractedDocument, Field
from aihub_async.emulator.packets import PacketField, RunDocument
from aihub_async.emulator.settings import stable_id
from aihub_async.emulator.wire import ApiError

Outcome = Literal["COMPLETE", "FAILED", "STOPPED_AT_CHECKPOINT"]
Extracted = Mapping[str, Any] | Iterable[Field] | Iterable[ExtractedDocument]
Extract = Callable[[Document], Extracted]
Packet = Callable[[Sequence[RunDocument]], Iterable[PacketField]]

PUBLISHER = "instabase"
"""Owner of the apps of the AI Hub Marketplace."""


@attrs.frozen
class App:
    """A registered app.

    Attributes:
        name: What runs name it by.
        extract: Called with each file.
        class_name: Class of the documents, unless `extract` sets its own.
        outcome: How runs end, unless a blocking validation stops them.
        run_seconds: Least duration of a run; None is the emulator's setting.
        owner: User id, or `instabase` for a published app; None is every caller's own and published as well.
        version: Version; the last one registered is the latest production version.
        packet_blocks: Whether a failed cross-class validation stops the run for human review.
        packet: Called with all documents of a run; returns its cross-class fields.
        agent: Agent mode: values that do not occur in the text are computed ones, with `ocr` 1.0 and `model` null.
    """

    name: str
    extract: Extract
    class_name: str | None = None
    outcome: Outcome = "COMPLETE"
    run_seconds: float | None = None
    owner: str | None = None
    version: str = "1.0.0"
    packet: Packet | None = None
    packet_blocks: bool = False
    agent: bool = False

    @property
    def id(self) -> str:
        """The app's id: the same for the same owner and name."""
        return stable_id("app", self.name if self.owner is None else f"{self.owner}/{self.name}")


@attrs.frozen
class Deployment:
    """A deployed app with what is configured on it rather than on each run.

    Attributes:
        id: What runs name it by.
        app_name: The app.
        webhook: `{"url", "headers", "format"}`, notified of the end of each run.
        upstream_dir: Folder that `manual_upstream_integration` reads.
        mailbox: Whether the upstream integration is a mailbox, which needs `from_timestamp` and `to_timestamp`.
        keys: `{"custom", "secret"}`; the keys of a run win over them.
        output_workspace: Workspace of the outputs.
    """

    id: str
    app_name: str
    webhook: Mapping[str, Any] | None = None
    upstream_dir: str | None = None
    mailbox: bool = False
    keys: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    output_workspace: str | None = None


class Apps:
    """The registry of apps and deployments."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str | None, str], dict[str, App]] = {}
        self._deployments: dict[str, Deployment] = {}

    def add(self, app: App) -> None:
        """Register an app as the latest version, in the place of one of the same owner, name and version."""
        versions = self._versions.setdefault((app.owner, app.name), {})
        versions.pop(app.version, None)
        versions[app.version] = app

    @property
    def names(self) -> list[str]:
        """The names of all apps."""
        return sorted({name for _, name in self._versions})

    @property
    def deployment_ids(self) -> list[str]:
        """The ids of all deployments."""
        return sorted(self._deployments)

    def deploy(self, deployment: Deployment) -> None:
        """Register a deployment, in the place of one of the same id."""
        self._deployments[deployment.id] = deployment

    def by_id(self, app_id: str, version: str | None = None) -> App | None:
        """Return a version of the app of an id, or the latest."""
        found = (versions for versions in self._versions.values() if _latest(versions).id == app_id)
        versions = next(found, None)
        if versions is None:
            return None
        return versions.get(version) if version else _latest(versions)

    def choose(
        self, name: str | None, app_id: str | None, *, user: str, owner: str | None = None, version: str | None = None
    ) -> App:
        """Return the app that a request names.

        Args:
            name: Name of the app.
            app_id: Id of the app.
            user: The caller.
            owner: Whose app it is; the caller's own by default.
            version: The latest by default.

        Raises:
            ApiError: 400, neither or both of name and id; 404, no such app, or no such version of it.
        """
        if (name is None) == (app_id is None):
            raise ApiError(400, "Pass one of app_name and app_id.")
        visible = [versions for (of, _), versions in self._versions.items() if _visible(of, user, owner)]
        matching = [
            versions for versions in visible if name == _latest(versions).name or app_id == _latest(versions).id
        ]
        if not matching:
            known = ", ".join(repr(_latest(versions).name) for versions in visible)
            whose = f" of {owner!r}" if owner else ""
            raise ApiError(404, f"There is no app {name or app_id!r}{whose}, or access is denied. Known apps: {known}.")
        # The caller's own app is taken before a built-in one of the same name.
        versions = max(matching, key=lambda versions: _latest(versions).owner is not None)
        if version is None:
            return _latest(versions)
        if version not in versions:
            known = ", ".join(repr(known) for known in versions)
            raise ApiError(404, f"The app {_latest(versions).name!r} has no version {version!r}. Versions: {known}.")
        return versions[version]

    def latest(self, name: str) -> App:
        """Return the latest version of the app of a name, whoever owns it.

        Raises:
            ApiError: 404, no such app.
        """
        for (_, known), versions in self._versions.items():
            if known == name:
                return _latest(versions)
        known_names = ", ".join(repr(known) for _, known in self._versions)
        raise ApiError(404, f"There is no app {name!r}. Known apps: {known_names}.")

    def deployment(self, deployment_id: str | None) -> Deployment | None:
        """Return the deployment of an id, if there is one."""
        return self._deployments.get(deployment_id) if deployment_id else None

    def deployed(self, deployment_id: str) -> Deployment:
        """Return the deployment of an id.

        Raises:
            ApiError: 404, no such deployment.
        """
        if deployment_id not in self._deployments:
            known = ", ".join(repr(known) for known in self._deployments)
            raise ApiError(404, f"There is no deployment {deployment_id!r}. Known deployments: {known}.")
        return self._deployments[deployment_id]


def _latest(versions: Mapping[str, App]) -> App:
    return versions[next(reversed(list(versions)))]


def _visible(app_owner: str | None, user: str, owner: str | None) -> bool:
    if app_owner is None:
        return owner in {None, user, PUBLISHER}
    return app_owner == (owner or user)


def extracted_documents(app: App, document: Document) -> list[ExtractedDocument]:
    """Call an app with a document and return the result as extracted documents.

    Raises:
        TypeError: the app returned something else.
    """
    returned: Any = app.extract(document)
    items = [_field(*item) for item in returned.items()] if isinstance(returned, Mapping) else list(returned)
    documents = [item for item in items if isinstance(item, ExtractedDocument)]
    fields = [item for item in items if isinstance(item, Field)]
    if len(documents) + len(fields) != len(items) or (documents and fields):
        raise TypeError("an app returns a mapping, Fields or ExtractedDocuments")
    if documents:
        return [attrs.evolve(each, class_name=each.class_name or app.class_name) for each in documents]
    return [ExtractedDocument(fields, class_name=app.class_name)]


def _field(name: str, value: Any) -> Field:
    return attrs.evolve(value, name=name) if isinstance(value, Field) else Field(name, value)
