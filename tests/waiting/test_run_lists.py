"""Runs from lists: how far a round reads, what it learns about the server, and when it gives up."""

import json
from typing import Any

import attrs
import msgspec
import pytest

from aihub_async.errors import BadRequestError, NotFoundError, ProtocolError, RequestDetails, UnprocessableError
from aihub_async.models import Run
from aihub_async.models.decode import DecodeError
from aihub_async.transport.messages import Response
from aihub_async.waiting.entries import Watch
from aihub_async.waiting.pollables import RunPollable
from aihub_async.waiting.run_lists import ListReader, run_summaries

DETAILS = RequestDetails("listRuns", "GET", "/v2/apps/runs")


@attrs.define(eq=False)
class Server:
    """Lists `runs`, at most `most` on a page."""

    runs: list[str]
    most: int = 1000
    pages: list[tuple[int | None, int, int]] = attrs.field(factory=list)
    failures: list[Exception | bytes] = attrs.field(factory=list)
    ignores_offset: bool = False

    async def _page(self, since: int | None, limit: int, offset: int, newest_first: bool) -> Response:
        assert not newest_first
        self.pages.append((since, limit, offset))
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            return Response(200, "OK", {}, failure)
        first = 0 if self.ignores_offset else offset
        listed = self.runs[first : first + min(limit, self.most)]
        return Response(200, "OK", {}, msgspec.json.encode({"runs": [{"id": run} for run in listed]}))

    async def _one(self, run_id: str) -> Run:
        raise AssertionError(run_id)

    def reader(self, **options: Any) -> ListReader[Run]:
        return ListReader(RunPollable(self, self._one, self._page, **options))

    @property
    def offsets(self) -> list[int]:
        return [offset for _, _, offset in self.pages]


def watches(*ids: str, starts: dict[str, int] | None = None, due: dict[str, float] | None = None) -> dict[str, Any]:
    pollable = RunPollable(object(), Server([])._one, Server([])._page)
    return {run: Watch(pollable, run, 0.0, (due or {}).get(run, 0.0), start=(starts or {}).get(run)) for run in ids}


async def read(reader: ListReader[Run], *ids: str, **options: Any) -> tuple[list[str], list[str], int]:
    """Return the runs that were found and missed, and the requests left."""
    found: list[str] = []
    missing, left = await reader.read(watches(*ids, **options), lambda watch, summary: found.append(summary.id))
    return found, [watch.id for watch in missing], left


def names(count: int) -> list[str]:
    return [f"run-{number}" for number in range(count)]


# Decoding


ODD = ['"msg":"caf\\ud83d"', '"score":NaN', '"note":"\\ud83d\\ud83d","n":1e999', f'"n":{"9" * 5000}']


@pytest.mark.parametrize("odd", ODD, ids=["surrogate", "nan", "infinite", "digits"])
def test_one_odd_run_does_not_hide_the_others(odd: str) -> None:
    """Servers written in Python send what msgspec refuses; then every poll would need a request of its own."""
    body = f'{{"runs":[{{"id":"a","status":"RUNNING",{odd}}},{{"id":"b","status":"COMPLETE"}}]}}'
    found = run_summaries(body.encode())
    assert [(run.id, run.status) for run in found] == [("a", "RUNNING"), ("b", "COMPLETE")]
    assert [run.run().status for run in found] == ["RUNNING", "COMPLETE"]


def test_a_run_without_an_id_is_left_out() -> None:
    body = json.dumps({"runs": [{"status": "RUNNING"}, {"id": "b", "n": float("nan")}, 7, None]})
    assert [run.id for run in run_summaries(body.encode())] == ["b"]


def test_a_page_is_decoded_as_far_as_polling_needs() -> None:
    body = {
        "runs": [
            {"id": "a", "status": "RUNNING", "start_timestamp": 5, "tags": ["x"], "msg": "m"},
            {"id": "b"},
            {"id": "c", "status": None, "start_timestamp": "not a number"},
            {"status": "RUNNING"},
            {"id": None},
            "no run",
        ]
    }
    found = run_summaries(msgspec.json.encode(body))
    assert [(each.id, each.status, each.start_timestamp, each.tags) for each in found] == [
        ("a", "RUNNING", 5, ["x"]),
        ("b", None, None, None),
        ("c", None, None, None),
    ]
    assert (found[0].run().msg, found[0].run().id) == ("m", "a")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"",
        b'{"runs": null}',
        b'{"runs": {}}',
        b"\xff",
        b'{"runs": [',
        b'{"runs": {"a": NaN}}',
        b"[NaN]",
    ],
)
@pytest.mark.parametrize("as_proof", [True, False])
def test_what_is_no_list_is_refused(body: bytes, as_proof: bool) -> None:
    with pytest.raises(DecodeError):
        run_summaries(body, as_proof=as_proof)


def test_an_answer_without_runs_is_empty_but_no_proof() -> None:
    assert run_summaries(b"{}") == []
    assert run_summaries(b'{"runs": []}', as_proof=True) == []
    with pytest.raises(DecodeError, match=r"^not a list of runs: it has no `runs`$"):
        run_summaries(b"{}", as_proof=True)


# Reading


async def test_a_round_ends_when_everything_was_found() -> None:
    server = Server(names(100), most=10)
    reader = server.reader()
    assert await read(reader, "run-0", "run-15") == (["run-0", "run-15"], [], 18)
    assert (server.offsets, reader.pages) == ([0, 10], 2)


async def test_it_begins_a_second_before_the_oldest_start() -> None:
    server = Server(names(3))
    await read(server.reader(), "run-1", "run-2", starts={"run-1": 70, "run-2": 50})
    await read(server.reader(), "run-1", "run-2", starts={"run-2": 60})
    await read(server.reader(), "run-1")
    assert server.pages == [(49, 1000, 0), (59, 1000, 0), (None, 1000, 0)]


async def test_what_is_missing_is_returned_with_the_longest_unpolled_first() -> None:
    server = Server(names(2))
    due = {"a": 3.0, "b": 1.0, "c": 2.0, "run-1": 0.0}
    assert await read(server.reader(), "a", "b", "c", "run-1", due=due) == (["run-1"], ["b", "c", "a"], 18)
    assert server.offsets == [0, 2], "the end is an empty page, as the server may cap the limit"


async def test_the_cap_of_the_server_is_learned() -> None:
    server = Server(names(25), most=10)
    reader = server.reader()
    for _ in range(2):
        server.pages.clear()
        assert await read(reader, "none") == ([], ["none"], 17)
        assert server.offsets == [0, 10, 20], "a page that is shorter than others were is the last"
    server.runs = names(10)
    server.pages.clear()
    await read(reader, "none")
    assert server.offsets == [0, 10]


async def test_a_server_that_ignores_the_offset_is_not_read_for_ever() -> None:
    server = Server(names(5), ignores_offset=True)
    assert await read(server.reader(), "none", "run-2") == (["run-2"], ["none"], 18)
    assert len(server.pages) == 2


async def test_a_round_reads_19_pages_and_the_next_continues_there() -> None:
    server = Server(names(50), most=2)
    reader = server.reader()
    assert await read(reader, "none", "run-45") == ([], ["none", "run-45"], 1)
    assert server.offsets == list(range(0, 38, 2))
    server.pages.clear()
    assert await read(reader, "none", "run-45") == (["run-45"], ["none"], 13)
    assert server.offsets == list(range(38, 52, 2))
    server.pages.clear()
    await read(reader, "run-0")
    assert server.offsets == [0], "the one after the end begins again"


async def test_a_round_that_found_everything_on_its_last_page_begins_again() -> None:
    server = Server(names(50), most=2)
    reader = server.reader()
    assert await read(reader, "run-37") == (["run-37"], [], 1)
    server.pages.clear()
    await read(reader, "run-0")
    assert server.offsets == [0]


async def test_without_lists_nothing_is_read() -> None:
    assert not Server([]).reader(supports_list=False).is_usable
    assert Server([]).reader().is_usable
    assert Server([]).reader().pages == 1


# Refusals


@pytest.mark.parametrize("kind", [BadRequestError, UnprocessableError, NotFoundError])
async def test_a_refused_page_makes_later_ones_smaller(kind: Any) -> None:
    server = Server(names(3), failures=[kind("refused", DETAILS) for _ in range(5)])
    reader = server.reader()
    for _ in range(4):
        assert await read(reader, "run-0") == ([], ["run-0"], 19)
        assert reader.is_usable
    await read(reader, "run-0")
    assert not reader.is_usable
    assert [limit for _, limit, _ in server.pages] == [1000, 500, 250, 125, 62]


async def test_another_failure_is_raised() -> None:
    server = Server(names(3), failures=[ProtocolError("redirected", DETAILS)])
    with pytest.raises(ProtocolError, match="redirected"):
        await read(server.reader(), "run-0")


async def test_eight_unreadable_lists_in_a_row_end_lists() -> None:
    server = Server(names(3), failures=[*[b"<html>"] * 7, b'{"runs": []}', *[b"<html>"] * 8])
    reader = server.reader()
    for number in range(16):
        assert reader.is_usable
        if number == 7:
            await read(reader, "run-0")
            continue
        with pytest.raises(ProtocolError) as caught:
            await read(reader, "run-0")
        assert caught.value.details == DETAILS
    assert not reader.is_usable
