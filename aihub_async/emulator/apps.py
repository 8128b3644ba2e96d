"""Automation apps: what they are given, what they give back, and the registry of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from aihub_async.emulator.settings import stable_id
from aihub_async.emulator.wire import ApiError

Outcome = Literal["COMPLETE", "FAILED", "STOPPED_AT_CHECKPOINT"]


@attrs.frozen
class Box:
    """A rectangle on a page, in points from the top left corner; `page` counts from 1."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


@attrs.frozen
class Fragment:
    """A piece of text with its place on the page, in points from the top left corner."""

    text: str
    left: float
    top: float
    width: float
    height: float


@attrs.frozen
class Page:
    """One page: `number` counts from 1, `width` and `height` are points."""

    number: int
    text: str
    width: float = 612.0
    height: float = 792.0
    fragments: tuple[Fragment, ...] = ()

    def find(self, value: str) -> Box | None:
        """Where a text first stands on the page, if it stands in one fragment."""
        boxes = (self.box(fragment, value) for fragment in self.fragments)
        return next((box for box in boxes if box is not None), None)

    def box(self, fragment: Fragment, value: str) -> Box | None:
        """Where a text first stands in a fragment of the page."""
        at = fragment.text.find(value)
        if at < 0 or not value:
            return None
        per_character = fragment.width / len(fragment.text)
        left = fragment.left + at * per_character
        right = left + len(value) * per_character
        return Box(self.number, left, fragment.top, right, fragment.top + fragment.height)


@attrs.frozen
class Document:
    """One input file as an app sees it.

    `rows` holds the records of a CSV or of a JSON list of objects, each a mapping of column to value; it is empty for
    everything else. `settings` is what the run was started with.

    Example:
        >>> @hub.app("Invoices")
        ... def extract(document: Document) -> dict[str, str]:
        ...     return {"lines": str(len(document.text.splitlines()))}
    """

    name: str
    pages: tuple[Page, ...]
    rows: tuple[Mapping[str, str], ...] = ()
    settings: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    local_path: str = attrs.field(default="", repr=False)

    @property
    def text(self) -> str:
        """The text of all pages."""
        return "\n".join(page.text for page in self.pages)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return Path(self.local_path).read_bytes()

    def find(self, value: str) -> Box | None:
        """Where a text first stands in the document."""
        return next((box for page in self.pages if (box := page.find(value))), None)


@attrs.frozen
class Field:
    """One extracted field. Only a name and a value are needed.

    `box` tells where the value stands; where it is None the value is looked for in the text, except in tables.
    `error` makes the field a failed one, whose value the API gives as `ERROR`. `alerts` are messages of failed
    validations.
    """

    name: str
    value: str | None
    type: str = "TEXT"
    confidence: float | None = None
    box: Box | None = None
    error: str | None = None
    alerts: tuple[str, ...] = ()


@attrs.frozen
class ExtractedDocument:
    """One document found in a file; `pages` are page numbers counted from 1, all of the file's where empty."""

    fields: Sequence[Field]
    class_name: str | None = None
    confidence: float | None = None
    pages: tuple[int, ...] = ()


Extracted = Mapping[str, Any] | Iterable[Field] | Iterable[ExtractedDocument]
Extract = Callable[[Document], Extracted]


@attrs.frozen
class App:
    """A registered app. `run_seconds` None means the emulator's own."""

    name: str
    extract: Extract
    class_name: str | None = None
    outcome: Outcome = "COMPLETE"
    run_seconds: float | None = None

    @property
    def id(self) -> str:
        """The app's id: the same for the same name."""
        return stable_id("app", self.name)


@attrs.frozen
class Deployment:
    """A deployed app with what is configured on it rather than on each run."""

    id: str
    app_name: str
    webhook: Mapping[str, Any] | None = None
    upstream_dir: str | None = None


class Apps:
    """The registry of apps and deployments."""

    def __init__(self) -> None:
        self._by_name: dict[str, App] = {}
        self._deployments: dict[str, Deployment] = {}

    def add(self, app: App) -> None:
        """Register an app, in the place of one of the same name."""
        self._by_name[app.name] = app

    def deploy(self, deployment: Deployment) -> None:
        """Register a deployment, in the place of one of the same id."""
        self._deployments[deployment.id] = deployment

    def get(self, name: str) -> App | None:
        """The app of a name."""
        return self._by_name.get(name)

    def named(self, name: str | None, app_id: str | None) -> App:
        """The app that a request asks for.

        Raises:
            ApiError: 400, neither or both given; 404, no such app.
        """
        if (name is None) == (app_id is None):
            raise ApiError(400, "Give one of app_name and app_id.")
        for app in self._by_name.values():
            if app.name == name or app.id == app_id:
                return app
        known = ", ".join(repr(app) for app in self._by_name)
        raise ApiError(404, f"There is no app {name or app_id!r}. Known apps: {known}.")

    def deployment(self, deployment_id: str | None) -> Deployment | None:
        """The deployment of an id."""
        return self._deployments.get(deployment_id) if deployment_id else None

    def deployed(self, deployment_id: str) -> Deployment:
        """The deployment of an id.

        Raises:
            ApiError: 404, no such deployment.
        """
        if deployment_id not in self._deployments:
            known = ", ".join(repr(known) for known in self._deployments)
            raise ApiError(404, f"There is no deployment {deployment_id!r}. Known deployments: {known}.")
        return self._deployments[deployment_id]


def extracted_documents(app: App, document: Document) -> list[ExtractedDocument]:
    """Run an app on a document and bring what it gives into one shape."""
    given: Any = app.extract(document)
    items = [_field(name, value) for name, value in given.items()] if isinstance(given, Mapping) else list(given)
    documents = [item for item in items if isinstance(item, ExtractedDocument)]
    fields = [item for item in items if isinstance(item, Field)]
    if len(documents) + len(fields) != len(items) or (documents and fields):
        raise TypeError("an app returns a mapping, Fields or ExtractedDocuments")
    if documents:
        return [attrs.evolve(each, class_name=each.class_name or app.class_name) for each in documents]
    return [ExtractedDocument(fields, class_name=app.class_name)]


def _field(name: str, value: Any) -> Field:
    if isinstance(value, Field):
        return attrs.evolve(value, name=name)
    return Field(name, None if value is None else str(value))
