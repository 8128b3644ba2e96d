"""Reading the state and the results of runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from aihub_async import models
from aihub_async import operations as ops
from aihub_async.models import Run
from aihub_async.pagination import Page, Pages, listed
from aihub_async.resources._base import Resource, given

if TYPE_CHECKING:
    from aihub_async.models import CaseInfo, ResultFile, RunResults
    from aihub_async.results.processed import Processed
    from aihub_async.results.tables import Table


class RunResultsAPI(Resource):
    """The state and the results of runs, by their id."""

    async def status(self, run_id: str) -> Run:
        """Return the state of a run.

        COMPLETE, FAILED and CANCELLED are final; STOPPED_AT_CHECKPOINT waits for a person.
        """
        return await self._fetch(Run, ops.GET_RUN_STATUS, run_id=run_id)

    async def results(
        self,
        run_id: str,
        file_offset: int | None = None,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "RunResults":
        """Return one page of a run's results; `iter_results()` iterates over the files of all pages.

        Field names are those of the app with everything but letters, digits and underscores replaced by ``_``, and
        ``_`` doubled. `page_numbers` begin at 1, but those of `source_coordinates` and `page_layouts` at 0.

        Args:
            run_id: the run.
            file_offset: index of the first file, from 0. The next page begins at `file_offset + len(files)`.
            include_confidence_scores: confidences of classification, model and OCR.
            include_source_info: coordinates, page layouts and paths of post-processed files.
            include_review_results: the history of human edits.
            include_validation_results: results of validation rules.

        Raises:
            ProtocolError: The answer has neither files nor the run's id: it is an error, not the end of the results.
        """
        answer = await self._fetch(
            models.RunResults,
            ops.GET_RUN_RESULTS,
            query=given(
                file_offset=file_offset,
                include_confidence_scores=include_confidence_scores or None,
                include_source_info=include_source_info or None,
                include_review_results=include_review_results or None,
                include_validation_results=include_validation_results or None,
            ),
            run_id=run_id,
        )
        listed(ops.GET_RUN_RESULTS, answer, answer.files, "files", "id", "case_info")
        return answer

    async def collect_results(
        self,
        run_id: str,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "RunResults":
        """Return a run's results with the files of all pages and the fields of the packet (`case_info`).

        Arguments as for `results()`. Everything is held in memory; `iter_results()` holds two pages.
        """
        include = (
            include_confidence_scores,
            include_source_info,
            include_review_results,
            include_validation_results,
        )

        async def fetch(cursor: str | int | None) -> "Page[RunResults]":
            answer, following = await self._answer(run_id, cursor, include)
            return Page([answer], following)

        answers = [answer async for answer in Pages(ops.GET_RUN_RESULTS, fetch, start=0)]
        cases = [answer.case_info for answer in answers if answer.case_info is not None]
        files = [file for answer in answers for file in answer.files]
        # Not `answers[0].evolve`: its `raw` would be that of the first page.
        return attrs.evolve(answers[-1], files=files, case_info=cases[-1] if cases else None)

    async def processed(
        self,
        run_id: str,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "Processed":
        """Return a finished run with all of its results, as `client.process()` does; arguments as for `results()`.

        Confidences are included by default, because they cost nothing.

        Example:
            >>> async def totals(client, run_id):
            ...     processed = await client.apps.runs.processed(run_id)
            ...     return {row.file: row.confidence for row in processed if row.field == "total"}
        """
        from aihub_async.results.processed import Processed  # noqa: PLC0415 - needed only now

        run = await self.status(run_id)
        results = await self.collect_results(
            run_id,
            include_confidence_scores,
            include_source_info,
            include_review_results,
            include_validation_results,
        )
        return Processed(run, run.batch_id, results.files, None, results.case_info)

    async def table(
        self,
        run_id: str,
        rows: str = "document",
        columns: str | None = None,
        include: str | Sequence[str] = (),
    ) -> "Table":
        """Return the results of a run as a table: `to_arrow()`, `to_pandas()`, `to_polars()` or `write("x.csv")`.

        Args:
            run_id: the run.
            rows: one row per ``"document"`` or one per ``"field"``.
            columns: for documents, ``"wide"`` (one column per field) or ``"long"`` (all values in ``fields``).
            include: what else to have for each field, which is requested from the server: ``"error"``,
                ``"confidence"``, ``"ocr"``, ``"valid"``, ``"alerts"``, ``"page"``, ``"boxes"`` or ``"edits"``.

        Example:
            >>> async def frame(client, run_id):
            ...     table = await client.apps.runs.table(run_id, include=["confidence"])
            ...     return table.to_pandas()
        """
        from aihub_async.results.rows import Shape  # noqa: PLC0415 - needed only now

        shape = Shape.of(rows, columns, include)
        processed = await self.processed(run_id, **shape.request)
        return processed.table(rows, columns, include)

    def iter_results(
        self,
        run_id: str,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "Pages[ResultFile]":
        """Iterate over the files of a run's results, all pages; arguments as for `results()`.

        The fields of the packet are in `pages.answer.case_info` of the returned pages, once they arrived.
        """
        case_info: CaseInfo | None = None
        include = (
            include_confidence_scores,
            include_source_info,
            include_review_results,
            include_validation_results,
        )

        async def fetch(cursor: str | int | None) -> "Page[ResultFile]":
            nonlocal case_info
            answer, following = await self._answer(run_id, cursor, include)
            if answer.case_info is None and case_info is not None:
                answer = answer.evolve(case_info=case_info)
            case_info = answer.case_info
            return Page(answer.files, following, answer=answer)

        return Pages(ops.GET_RUN_RESULTS, fetch, start=file_offset)

    async def _answer(
        self, run_id: str, cursor: str | int | None, include: tuple[bool, bool, bool, bool]
    ) -> "tuple[RunResults, int | None]":
        """Return one page of results and the offset of the next."""
        offset = int(cursor or 0)
        answer = await self.results(run_id, offset, *include)
        # An empty page that promises more must not look like a cursor given twice.
        step = len(answer.files) or 1
        return answer, offset + step if answer.has_more else None
