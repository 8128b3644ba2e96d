"""`client.queries`: questions to chatbots and conversations, which left the service in February 2026."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError, JobFailedError
from aihub_async.models import QueryStatus, QueryStatusResponse, RunQueryResponse, SourceApp
from aihub_async.resources._base import given
from aihub_async.resources.removed._base import RemovedResource


class Queries(RemovedResource):
    """Questions that are answered in the background.

    Deprecated: queries left AI Hub in February 2026. The first call warns (`DeprecationWarning`), and servers without
    them answer 404.
    """

    async def run(
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
            >>> async def ask(client, conversation_id, question):
            ...     query = await client.queries.run(question, {"type": "CONVERSE", "id": conversation_id})
            ...     return (await client.queries.wait(query.query_id)).results[0].response
        """
        source = source_app.to_dict() if isinstance(source_app, SourceApp) else dict(source_app)
        if source.get("type") not in {"CHATBOT", "CONVERSE"} or not source.get("id"):
            raise InvalidRequestError("source_app has a type ('CHATBOT' or 'CONVERSE') and an id")
        if model_name not in {"multistep", "multistep-lite"}:
            raise InvalidRequestError(f"model_name is 'multistep' or 'multistep-lite', not {model_name!r}")
        body = {
            "query": query,
            "source_app": source,
            "include_source_info": include_source_info,
            "model_name": model_name,
            **given(filters=None if filters is None else dict(filters)),
        }
        response = await self._ask(ops.RUN_QUERY, json=body)
        return self._read(RunQueryResponse, ops.RUN_QUERY, response)

    async def status(self, query_id: str) -> QueryStatusResponse:
        """Return the state of a query and, once it is COMPLETE, the answer.

        Deprecated: left AI Hub in February 2026.

        Raises:
            NotFoundError: there is no such query, or the server has none any more.
        """
        response = await self._ask(ops.GET_QUERY_STATUS, query_id=query_id)
        return self._read(QueryStatusResponse, ops.GET_QUERY_STATUS, response, query_id=query_id)

    async def wait(self, query_id: str, *, timeout: float | None = None) -> QueryStatusResponse:
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
        what = ("query", "client.queries.wait")
        return await self._wait(query_id, what, self.status, lambda state: state.status, _has_ended, timeout)


def _has_ended(answer: QueryStatusResponse) -> bool:
    if answer.status == QueryStatus.FAILED:
        message = f"query {answer.query_id} FAILED: {answer.error or 'no reason was given'}"
        raise JobFailedError(message, job_id=answer.query_id, state="FAILED", job_message=answer.error)
    return answer.status == QueryStatus.COMPLETE
