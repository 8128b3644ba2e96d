"""Batches by name, secrets by alias, legacy jobs by id and multipart commits, with the server as a function."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aihub_async.errors import CertificateError, ConnectError, LegacyAPIError, OutcomeUnknownError, StatusError
from aihub_async.models import Batch, BatchInfo
from aihub_async.reconcile.commits import commit_once
from aihub_async.reconcile.jobs import JobFinder
from aihub_async.reconcile.named import BatchFinder, SecretFinder, find_batches
from aihub_async.reconcile.once import Inconclusive, NotCreated, Undecidable, UnreadableList
from aihub_async.transport.messages import Response
from tests.reconcile.conftest import DETAILS, SERVER, PassingTime, Script, refused, unknown

AMBIGUOUS = "the one of this name may have been there before"
NO_LISTS = [
    b"<html>",
    b"[]",
    b"{}",
    b'{"error": "try later"}',
    b'{"batches": null}',
    b'{"batches": 5}',
    b'{"batches": {}}',
]
UNDATED = "the server does not report when the one of this name was created"


class Batches:
    """A server's batches, `size` on a page."""

    def __init__(self, time: PassingTime, size: int = 2) -> None:
        self.time = time
        self.size = size
        self.batches: list[dict[str, Any]] = []
        self.offsets: list[int] = []
        self.dated = True

    def add(self, name: str | None, created: float | None = 0.0, id: int | None = None) -> int:
        """Add a batch that was created so many seconds after the test began."""
        number = id or len(self.batches) + 1
        milliseconds = None if created is None else (SERVER + created) * 1000
        self.batches.append({"id": number, "name": name, "created_at_ms": milliseconds and int(milliseconds)})
        return number

    async def page(self, offset: int) -> Response:
        self.offsets.append(offset)
        return self.time.answer({"batches": self.batches[offset : offset + self.size]}, date=self.dated)

    def finder(self, name: str = "march", *, unique_name: bool = False) -> BatchFinder:
        return BatchFinder(self.page, name, self.time.time, self.time.clock, unique_name)


@pytest.fixture
def batches(time: PassingTime) -> Batches:
    return Batches(time)


# Batches


async def test_the_batch_of_this_name_is_found_on_any_page(batches: Batches) -> None:
    for name in ("a", None, "b", "march", "marching", "c"):
        batches.add(name)
    assert await batches.finder()(thorough=False) == Batch(id=4)
    assert batches.offsets == [0, 2, 4, 6]


async def test_without_one_of_this_name_there_is_none(batches: Batches) -> None:
    batches.add("other")
    with pytest.raises(NotCreated):
        await batches.finder()(thorough=True)


async def test_a_batch_that_moves_to_the_next_page_is_one_batch(batches: Batches) -> None:
    batches.add("march", id=7)
    batches.add("a")
    batches.add("march", id=7)
    assert await batches.finder()(thorough=True) == Batch(id=7)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-61, NotCreated),
        (-60, AMBIGUOUS),
        (-3, AMBIGUOUS),
        (-2, None),
        (0, None),
        (5, None),
        (120, None),
    ],
)
async def test_only_what_was_created_since_may_be_the_effect(batches: Batches, age: float, expected: Any) -> None:
    """Clocks of the server's machines may disagree by a minute, and its Date header counts whole seconds."""
    batch = batches.add("march", age)
    if expected is None:
        assert await batches.finder()(thorough=True) == Batch(id=batch)
    elif expected is NotCreated:
        with pytest.raises(NotCreated):
            await batches.finder()(thorough=True)
    else:
        with pytest.raises(Undecidable, match=f"^{expected}$"):
            await batches.finder()(thorough=True)


async def test_an_older_batch_of_the_same_name_does_not_count(batches: Batches) -> None:
    batches.add("march", -3600)
    batch = batches.add("march", 1)
    assert await batches.finder()(thorough=True) == Batch(id=batch)


async def test_the_age_is_measured_from_when_the_request_was_first_sent(batches: Batches, time: PassingTime) -> None:
    finder = batches.finder()
    batch = batches.add("march", 1)
    time.time += 50
    assert await finder(thorough=True) == Batch(id=batch)


async def test_two_at_about_this_time_cannot_be_told_apart(batches: Batches) -> None:
    batches.add("march")
    batches.add("march", -10)
    with pytest.raises(Undecidable, match=r"^2 of this name were created at about this time$"):
        await batches.finder()(thorough=True)


@pytest.mark.parametrize("dated", [True, False])
async def test_without_times_of_the_server_nothing_is_decided(batches: Batches, dated: bool) -> None:
    batches.dated = dated
    batches.add("march")
    batches.add("march", None if dated else 0.0)
    with pytest.raises(Undecidable, match=f"^{UNDATED}$"):
        await batches.finder()(thorough=True)


async def test_a_batch_that_appears_later_may_be_somebody_elses(batches: Batches) -> None:
    finder = batches.finder()
    with pytest.raises(NotCreated):
        await finder(thorough=True)
    batch = batches.add("march")
    with pytest.raises(
        Undecidable,
        match=f"^batch {batch} of this name has appeared since, and may have been created by another client$",
    ):
        await finder(thorough=True)


async def test_a_batch_that_appears_after_a_new_request_is_adopted(batches: Batches) -> None:
    finder = batches.finder()
    with pytest.raises(NotCreated):
        await finder(thorough=True)
    batch = batches.add("march")
    finder.resent()
    assert await finder(thorough=True) == Batch(id=batch)


async def test_a_unique_name_is_nobody_elses(batches: Batches) -> None:
    finder = batches.finder(unique_name=True)
    with pytest.raises(NotCreated):
        await finder(thorough=True)
    batch = batches.add("march")
    assert await finder(thorough=True) == Batch(id=batch)


@pytest.mark.parametrize("body", NO_LISTS)
async def test_a_page_that_is_no_list_of_batches_is_unreadable(time: PassingTime, body: bytes) -> None:
    finder = BatchFinder(Script([time.answer(body)]), "march", time.time, time.clock)
    with pytest.raises(UnreadableList):
        await finder(thorough=True)


async def test_a_later_page_that_is_no_list_is_not_the_end(time: PassingTime) -> None:
    pages = Script([time.answer({"batches": [{"id": 1, "name": "other"}]}), time.answer({"error": "try later"})])
    with pytest.raises(UnreadableList):
        await BatchFinder(pages, "march", time.time, time.clock)(thorough=True)


async def test_a_list_without_an_end_ends(time: PassingTime) -> None:
    endless = Script([time.answer({"batches": [{"id": 1, "name": "march", "created_at_ms": SERVER * 1000}]})])
    with pytest.raises(Undecidable, match=r"^the list of batches has no end$"):
        await BatchFinder(endless, "march", time.time, time.clock)(thorough=True)
    assert endless.calls <= 1001


async def test_the_batches_of_a_job_are_found_by_their_prefix() -> None:
    async def listed() -> AsyncIterator[BatchInfo]:
        for number, name in enumerate(["job-1-0", None, "job-2-0", "my job-1-0", "job-1-1"]):
            yield BatchInfo(number, name)

    found = await find_batches(listed(), "job-1-")
    assert found == {"job-1-0": BatchInfo(0, "job-1-0"), "job-1-1": BatchInfo(4, "job-1-1")}


# Secrets


def secret(alias: str, created: float | None = 0.0) -> dict[str, Any]:
    return {"alias": alias, "created_at": None if created is None else (SERVER + created) * 1000}


async def find_secret(time: PassingTime, *secrets: dict[str, Any], date: bool = True) -> None:
    finder = SecretFinder(Script([time.answer({"secrets": secrets}, date=date)]), "token", time.time, time.clock)
    await finder(thorough=True)


async def test_the_secret_of_this_alias_is_found(time: PassingTime) -> None:
    await find_secret(time, secret("other", -3), secret("token"), secret("tokens", -3), secret("token", -100))


@pytest.mark.parametrize("secrets", [[], [secret("other")], [secret("token", -61)]])
async def test_no_new_secret_of_this_alias_is_none(time: PassingTime, secrets: list[dict[str, Any]]) -> None:
    with pytest.raises(NotCreated):
        await find_secret(time, *secrets)


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ([secret("token", -10)], AMBIGUOUS),
        ([secret("token", None)], UNDATED),
        ([secret("token"), secret("token", 1)], "2 of this name were created at about this time"),
    ],
)
async def test_a_secret_that_may_be_older_decides_nothing(
    time: PassingTime, secrets: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(Undecidable, match=f"^{message}$"):
        await find_secret(time, *secrets)


async def test_the_age_of_a_secret_is_by_the_servers_clock(time: PassingTime) -> None:
    with pytest.raises(Undecidable, match=UNDATED):
        await find_secret(time, secret("token"), date=False)
    finder = SecretFinder(Script([time.answer({"secrets": [secret("token")]}, ahead=30)]), "token", 1000.0, time.clock)
    with pytest.raises(Undecidable, match=AMBIGUOUS):
        await finder(thorough=True)
    time.time += 30
    await finder(thorough=True)


@pytest.mark.parametrize("body", NO_LISTS)
async def test_an_unreadable_list_of_secrets(time: PassingTime, body: bytes) -> None:
    finder = SecretFinder(Script([time.answer(body.replace(b"batches", b"secrets"))]), "token", time.time, time.clock)
    with pytest.raises(UnreadableList):
        await finder(thorough=True)


# Legacy jobs


async def test_a_job_that_the_server_knows_is_found_by_its_id() -> None:
    status = Script([{}])
    assert await JobFinder(status, "job-1")(thorough=True) == "job-1"
    assert status.arguments == [("job-1",)]


@pytest.mark.parametrize("error", [refused(404), LegacyAPIError("no such job", DETAILS)])
async def test_the_absence_of_a_job_is_never_proven(error: Exception) -> None:
    with pytest.raises(Inconclusive):
        await JobFinder(Script([error]), "job-1")(thorough=True)


async def test_a_refused_lookup_of_a_job_is_raised() -> None:
    with pytest.raises(StatusError):
        await JobFinder(Script([refused(500)]), "job-1")(thorough=True)


# Multipart commits


async def test_a_clear_commit_compares_nothing(time: PassingTime) -> None:
    commit, size_of = Script([None]), Script([None])
    await commit_once(commit, size_of, 10, time.clock)
    assert (commit.calls, size_of.calls, time.slept) == (1, 0, [])


@pytest.mark.parametrize("error", [unknown(), ConnectError("refused", DETAILS)])
async def test_an_unclear_commit_is_repeated_ever_more_rarely(time: PassingTime, error: Exception) -> None:
    commit, size_of = Script([error] * 7 + [None]), Script([None])
    await commit_once(commit, size_of, 10, time.clock)
    assert (commit.calls, size_of.calls) == (8, 0)
    assert time.slept == [0.375, 0.75, 1.5, 3, 6, 11.25, 11.25]
    time.chance = 1.0
    time.slept.clear()
    await commit_once(Script([error, None]), size_of, 10, time.clock)
    assert time.slept == [0.5]


@pytest.mark.parametrize("later", [unknown("later"), ConnectError("refused", DETAILS)])
async def test_a_commit_that_stays_unclear_is_raised_in_the_end(time: PassingTime, later: Exception) -> None:
    commit = Script([unknown("first"), later])
    with pytest.raises(OutcomeUnknownError) as caught:
        await commit_once(commit, Script([10]), 10, time.clock)
    assert caught.value.args == (("later",) if isinstance(later, OutcomeUnknownError) else ("first",))
    assert commit.calls == 20
    assert 150 < time.passed < 250, "about four minutes at the longest"


async def test_a_commit_that_never_reaches_the_server_has_failed(time: PassingTime) -> None:
    error = ConnectError("refused", DETAILS)
    commit = Script([error])
    with pytest.raises(ConnectError) as caught:
        await commit_once(commit, Script([10]), 10, time.clock)
    assert caught.value is error
    assert commit.calls == 20


async def test_a_certificate_error_is_raised_at_once(time: PassingTime) -> None:
    commit = Script([CertificateError("expired", DETAILS)])
    with pytest.raises(CertificateError):
        await commit_once(commit, Script([10]), 10, time.clock)
    assert commit.calls == 1


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
@pytest.mark.parametrize(("size", "succeeds"), [(10, True), (9, False), (None, False)])
async def test_a_session_that_is_closed_was_committed_if_the_file_is_there(
    time: PassingTime, status: int, size: int | None, succeeds: bool
) -> None:
    first, second = unknown(), refused(status)
    commit = Script([first, second])
    if succeeds:
        await commit_once(commit, Script([size]), 10, time.clock)
    else:
        with pytest.raises(OutcomeUnknownError) as caught:
            await commit_once(commit, Script([size]), 10, time.clock)
        assert caught.value is first
        assert caught.value.__cause__ is second
    assert commit.calls == 2


async def test_another_refusal_says_nothing_about_the_session(time: PassingTime) -> None:
    size_of = Script([10])
    with pytest.raises(OutcomeUnknownError):
        await commit_once(Script([unknown(), refused(403)]), size_of, 10, time.clock)
    assert size_of.calls == 0


async def test_a_push_back_or_a_failing_lookup_says_nothing_now(time: PassingTime) -> None:
    commit, size_of = Script([unknown(), refused(429), refused(409)]), Script([refused(503), 10])
    await commit_once(commit, size_of, 10, time.clock)
    assert (commit.calls, size_of.calls) == (4, 2)


@pytest.mark.parametrize("status", [400, 404, 409, 429])
async def test_a_first_commit_that_is_refused_has_failed(time: PassingTime, status: int) -> None:
    error = refused(status)
    size_of = Script([10])
    with pytest.raises(StatusError) as caught:
        await commit_once(Script([error]), size_of, 10, time.clock)
    assert caught.value is error
    assert size_of.calls == 0
