# Written by `python -m aihub_sync._generate` from aihub_async/resources/removed/queries.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.removed.queries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub_sync._facade import Facade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub_async.models import QueryStatusResponse, RunQueryResponse, SourceApp
    from aihub_async.resources.removed import queries


class Queries(Facade):
    """Questions that are answered in the background.

    Deprecated: queries left AI Hub in February 2026. The first call warns (`DeprecationWarning`), and servers without
    them answer 404.
    """

    _async: queries.Queries

    def run(
        self,
        query: str,
        source_app: SourceApp | Mapping[str, str],
        include_source_info: bool = False,
        model_name: str = "multistep-lite",
        filters: Mapping[str, Any] | None = None,
    ) -> RunQueryResponse:
        """Send a question to a chatbot or a conversation and return immediately.

        Deprecated: left AI Hub in February 2026.

        Args:
            query: the question.
            source_app: the target, such as ``{"type": "CONVERSE", "id": "…"}``; the other type is ``"CHATBOT"``.
            include_source_info: include the documents that the answer refers to, and with ``"multistep"`` the pages.
            model_name: ``"multistep-lite"``, or ``"multistep"`` for the research mode.
            filters: ``{"document_ids": […]}`` narrows a question to a conversation down to these.

        Raises:
            NotFoundError: the server has no queries any more.
            InvalidRequestError: an argument is none of what is allowed.
            OutcomeUnknownError: the connection broke and the query may or may not have been accepted.

        Example:
            >>> def ask(client, conversation_id, question):
            ...     query = client.queries.run(question, {"type": "CONVERSE", "id": conversation_id})
            ...     return client.queries.wait(query.query_id).results[0].response
        """
        return self._lease.run(self._async.run(query, source_app, include_source_info, model_name, filters))

    def status(self, query_id: str) -> QueryStatusResponse:
        """Return the state of a query and, once it is COMPLETE, the answer.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such query, or the server has none any more.
        """
        return self._lease.run(self._async.status(query_id))

    def wait(self, query_id: str, *, timeout: float | None = None) -> QueryStatusResponse:
        """Wait for the answer.

        Deprecated: left AI Hub in February 2026.

        Args:
            query_id: the query.
            timeout: seconds; None waits as long as it takes.

        Raises:
            JobFailedError: the query FAILED.
            WaitTimeoutError: it has not ended after `timeout` seconds.
            NotFoundError: there is no such query, or the server has none any more.
        """
        return self._lease.run(self._async.wait(query_id, timeout=timeout))
