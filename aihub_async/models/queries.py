"""Queries of chatbots and conversations, which left the service in February 2026."""

import enum

import attrs

from aihub_async.models.base import Model


class QueryStatus(enum.StrEnum):
    """The published states of a query."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"

    @property
    def is_terminal(self) -> bool:
        """True when the query will not change any more."""
        return self is not QueryStatus.RUNNING


@attrs.frozen
class SourceApp(Model):
    """The target of a query: `type` is ``"CHATBOT"`` or ``"CONVERSE"``, `id` the id in its URL."""

    type: str
    id: str


@attrs.frozen
class RunQueryResponse(Model):
    """A query that was accepted."""

    query_id: str


@attrs.frozen
class BoundingBox(Model):
    """A rectangle on a page."""

    top_x: float | None = None
    top_y: float | None = None
    bottom_x: float | None = None
    bottom_y: float | None = None


@attrs.frozen
class SourcePage(Model):
    """A page that an answer refers to."""

    page_number: int | None = None
    bboxes: list[BoundingBox] = attrs.field(factory=list)


@attrs.frozen
class SourceDocument(Model):
    """A document that an answer refers to; only the model ``"multistep"`` reports `pages`."""

    name: str | None = None
    pages: list[SourcePage] = attrs.field(factory=list)


@attrs.frozen
class QueryResult(Model):
    """One answer."""

    response: str | None = None
    source_documents: list[SourceDocument] = attrs.field(factory=list)


@attrs.frozen
class QueryStatusResponse(Model):
    """A query; `status` compares equal to the members of `QueryStatus`. `error` is why it FAILED."""

    query_id: str
    status: str | None = None
    results: list[QueryResult] = attrs.field(factory=list)
    error: str | None = None

    @property
    def is_terminal(self) -> bool:
        """True when the query is COMPLETE or FAILED."""
        return self.status in {QueryStatus.COMPLETE, QueryStatus.FAILED}
