"""The rules of once-only requests, without a network: what is sent, what is looked up and when, and what is raised."""

import attrs
import pytest

from aihub_async import AsyncAIHub
from aihub_async.errors import (
    ConflictError,
    OutcomeUnknownError,
    ProtocolError,
    RedirectError,
    RequestError,
    UnreadableAnswerError,
)
from aihub_async.reconcile.once import (
    Inconclusive,
    NotCreated,
    OncePolicy,
    Undecidable,
    UnreadableList,
    look_up,
    send_once,
    server_time_at,
)
from tests.reconcile.conftest import DETAILS, SERVER, PassingTime, Script, refused, unknown

# With the random number 0.5 each pause is the middle of its range.
MOMENTS = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5, 60]


def test_a_policy_comes_from_the_settings_of_a_client(time: PassingTime) -> None:
    client = AsyncAIHub(api_root="https://hub.example", api_key="key", max_retries=7, deadline=90, reconcile_for=33)
    assert OncePolicy.of(client._transport.settings, time.clock) == OncePolicy(time.clock, 7, 90, 33)


# Looking up


async def test_what_is_there_is_found_without_a_pause(time: PassingTime) -> None:
    find = Script(["run"])
    assert await look_up(find, time.policy()) == "run"
    assert (find.arguments, time.slept) == ([{"thorough": False}], [])


async def test_lookups_become_rarer_and_only_the_last_is_thorough(time: PassingTime) -> None:
    find = Script([NotCreated()], time)
    with pytest.raises(NotCreated):
        await look_up(find, time.policy())
    assert find.moments == MOMENTS
    assert [given["thorough"] for given in find.arguments] == [False] * 8 + [True]


@pytest.mark.parametrize(
    ("chance", "pauses"), [(0.0, [0.4, 0.8, 1.6]), (0.75, [0.55, 1.1, 2.2]), (1.0, [0.6, 1.2, 2.4])]
)
async def test_pauses_vary_by_a_fifth(time: PassingTime, chance: float, pauses: list[float]) -> None:
    time.chance = chance
    assert await look_up(Script([NotCreated()] * 3 + ["run"]), time.policy()) == "run"
    assert time.slept == pytest.approx(pauses)


async def test_without_time_for_lookups_there_is_one_thorough_lookup(time: PassingTime) -> None:
    find = Script([NotCreated()])
    with pytest.raises(NotCreated):
        await look_up(find, time.policy(reconcile_for=0))
    assert (find.arguments, time.slept) == ([{"thorough": True}], [])


async def test_time_that_lookups_themselves_take_counts(time: PassingTime) -> None:
    def slow() -> Exception:
        time.time += 50
        return NotCreated()

    find = Script([slow], time)
    with pytest.raises(NotCreated):
        await look_up(find, time.policy())
    assert find.moments == [0, 50.5, 100.5]
    assert [given["thorough"] for given in find.arguments] == [False, False, True]


async def test_the_last_lookup_decides_what_is_raised(time: PassingTime) -> None:
    answer = Inconclusive("runs without tags")
    with pytest.raises(Inconclusive) as caught:
        await look_up(Script([NotCreated(), refused(503), answer]), time.policy())
    assert caught.value is answer
    with pytest.raises(NotCreated):
        await look_up(Script([Inconclusive()] * 8 + [NotCreated()]), time.policy())


async def test_a_list_that_is_refused_to_the_end_proves_nothing(time: PassingTime) -> None:
    find = Script([refused(503)], time)
    with pytest.raises(Inconclusive) as caught:
        await look_up(find, time.policy())
    assert find.moments == MOMENTS
    assert caught.value.__suppress_context__, "an answer to a lookup may echo secrets"


async def test_what_no_later_lookup_can_decide_ends_them(time: PassingTime) -> None:
    find = Script([NotCreated(), Undecidable("two"), "run"])
    with pytest.raises(Undecidable, match="two"):
        await look_up(find, time.policy())
    assert find.calls == 2


@pytest.mark.parametrize(("seconds", "lookups"), [(0, 0), (0.5, 1), (0.51, 2), (30.5, 6), (60, 8), (61, 9)])
async def test_no_lookup_starts_when_the_time_of_the_call_has_expired(
    time: PassingTime, seconds: float, lookups: int
) -> None:
    find = Script([NotCreated()])
    with pytest.raises((Inconclusive, NotCreated)) as caught:
        await look_up(find, time.policy(), expires=time.time + seconds)
    assert find.calls == lookups
    assert time.passed <= max(seconds, 0)
    assert isinstance(caught.value, NotCreated) is (seconds > 60)


@pytest.mark.parametrize("unreadable", [UnreadableList(), ProtocolError("HTML", DETAILS)])
async def test_unreadable_lists_after_an_unreadable_answer_end_the_lookups_early(
    time: PassingTime, unreadable: Exception
) -> None:
    find = Script([unreadable])
    with pytest.raises(UnreadableList):
        await look_up(find, time.policy(), unreadable=True)
    assert find.calls == 4


@pytest.mark.parametrize("readable", [NotCreated(), Inconclusive(), refused(503)])
@pytest.mark.parametrize("position", range(4))
async def test_one_other_answer_among_them_does_not(time: PassingTime, readable: Exception, position: int) -> None:
    outcomes: list[Exception] = [UnreadableList()] * 12
    outcomes[position] = readable
    find = Script(outcomes)
    with pytest.raises(UnreadableList):
        await look_up(find, time.policy(), unreadable=True)
    assert find.calls == 9


async def test_unreadable_lists_after_a_lost_answer_do_not(time: PassingTime) -> None:
    find = Script([UnreadableList()])
    with pytest.raises(UnreadableList):
        await look_up(find, time.policy())
    assert find.calls == 9


# Sending


async def test_a_clear_success_is_not_looked_up(time: PassingTime) -> None:
    send, find = Script(["run"]), Script(["other"])
    assert await send_once(send, find, time.policy()) == "run"
    assert (send.calls, find.calls) == (1, 0)


@pytest.mark.parametrize("error", [refused(400), refused(409), RedirectError("moved", DETAILS)])
async def test_a_clear_refusal_is_raised_as_it_is(time: PassingTime, error: RequestError) -> None:
    send, find = Script([error]), Script(["other"])
    with pytest.raises(RequestError) as caught:
        await send_once(send, find, time.policy())
    assert caught.value is error
    assert (send.calls, find.calls) == (1, 0)


@pytest.mark.parametrize("error", [unknown(), ProtocolError("HTML", DETAILS)])
async def test_what_an_unclear_request_has_created_is_returned(time: PassingTime, error: RequestError) -> None:
    send, find = Script([error]), Script([NotCreated(), "run"])
    assert await send_once(send, find, time.policy()) == "run"
    assert (send.calls, find.calls) == (1, 2)


async def test_it_is_sent_again_only_after_all_lookups(time: PassingTime) -> None:
    send, find = Script([unknown(), "run"], time), Script([NotCreated()], time)
    assert await send_once(send, find, time.policy()) == "run"
    assert (send.moments, find.moments) == ([0, 60], MOMENTS)


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_it_is_sent_again_so_many_times(time: PassingTime, retries: int) -> None:
    errors = [unknown(str(number)) for number in range(5)]
    send, find = Script(list(errors)), Script([NotCreated()])
    with pytest.raises(OutcomeUnknownError) as caught:
        await send_once(send, find, time.policy(retries))
    assert caught.value is errors[retries], "the last one"
    assert send.calls == 1 + retries
    assert find.calls == 9 * (1 + retries)


async def test_an_unreadable_success_is_never_sent_again(time: PassingTime) -> None:
    send, find = Script([ProtocolError("HTML", DETAILS)]), Script([NotCreated()])
    with pytest.raises(UnreadableAnswerError) as caught:
        await send_once(send, find, time.policy())
    assert send.calls == 1
    assert (caught.value.args, caught.value.details, caught.value.cause) == (("HTML",), DETAILS, "unreadable")
    assert caught.value.__context__ is None, "the answer to a lookup may echo secrets"


@pytest.mark.parametrize(("error", "lookups"), [(unknown(), 9), (ProtocolError("HTML", DETAILS), 4)])
async def test_a_login_page_everywhere_is_noticed_early(time: PassingTime, error: RequestError, lookups: int) -> None:
    find = Script([UnreadableList()])
    with pytest.raises(OutcomeUnknownError):
        await send_once(Script([error]), find, time.policy())
    assert find.calls == lookups


async def test_a_conflict_after_an_unclear_attempt_may_be_with_its_effect(time: PassingTime) -> None:
    first = unknown()
    send, find = Script([first, refused(409)]), Script([NotCreated()] * 9 + ["run"])
    with pytest.raises(OutcomeUnknownError) as caught:
        await send_once(send, find, time.policy())
    assert caught.value is first
    assert caught.value.__suppress_context__
    assert caught.value.reconcile is not None
    assert await caught.value.reconcile() == "run"


async def test_a_refusal_after_an_unclear_attempt_is_raised(time: PassingTime) -> None:
    error = refused(403)
    with pytest.raises(RequestError) as caught:
        await send_once(Script([unknown(), error]), Script([NotCreated()]), time.policy())
    assert caught.value is error
    assert not isinstance(error, ConflictError)


@pytest.mark.parametrize(("deadline", "sent"), [(None, 4), (59, 1), (61, 2), (1000, 4)])
async def test_the_deadline_is_of_the_whole_call(time: PassingTime, deadline: float | None, sent: int) -> None:
    send, find = Script([unknown()]), Script([NotCreated()])
    with pytest.raises(OutcomeUnknownError):
        await send_once(send, find, time.policy(deadline=deadline))
    assert send.calls == sent


async def test_no_lookup_starts_after_the_deadline(time: PassingTime) -> None:
    find = Script([NotCreated()], time)
    with pytest.raises(OutcomeUnknownError):
        await send_once(Script([unknown()]), find, time.policy(deadline=40))
    assert find.moments == MOMENTS[:7]


@pytest.mark.parametrize(("deadline", "sent"), [(60.0, 1), (60.01, 2)])
async def test_nothing_is_sent_again_when_a_lookup_has_used_up_the_deadline(
    time: PassingTime, deadline: float, sent: int
) -> None:
    def slow() -> Exception:
        time.time += 60
        return NotCreated()

    send = Script([unknown(), "run"])
    call = send_once(send, Script([slow]), time.policy(deadline=deadline, reconcile_for=0))
    if sent == 2:
        assert await call == "run"
    else:
        with pytest.raises(OutcomeUnknownError):
            await call
    assert send.calls == sent


async def test_an_error_says_what_the_server_shows(time: PassingTime) -> None:
    send = Script([unknown("no answer", "timeout")])
    with pytest.raises(OutcomeUnknownError) as caught:
        await send_once(send, Script([Undecidable("2 of this name")]), time.policy())
    error = caught.value
    assert (error.args, error.details, error.cause) == (("no answer; 2 of this name",), DETAILS, "timeout")
    assert error.reconcile is not None
    assert error.__context__ is None


async def test_the_type_of_an_error_is_kept_when_it_says_more(time: PassingTime) -> None:
    with pytest.raises(UnreadableAnswerError, match="HTML; two"):
        await send_once(Script([ProtocolError("HTML", DETAILS)]), Script([Undecidable("two")]), time.policy())


async def test_an_answer_without_a_text_adds_nothing(time: PassingTime) -> None:
    error = unknown()
    with pytest.raises(OutcomeUnknownError) as caught:
        await send_once(Script([error]), Script([Inconclusive()]), time.policy())
    assert caught.value is error


# Reconciling


async def raised(time: PassingTime, find: Script) -> OutcomeUnknownError:
    with pytest.raises(OutcomeUnknownError) as caught:
        await send_once(Script([unknown("no answer", "timeout")]), find, time.policy())
    return caught.value


async def test_reconcile_returns_what_is_found_later(time: PassingTime) -> None:
    find = Script([Inconclusive()] * 9 + [NotCreated(), "run"])
    error = await raised(time, find)
    assert error.reconcile is not None
    assert await error.reconcile() == "run"


async def test_reconcile_proves_absence_by_a_whole_lookup(time: PassingTime) -> None:
    find = Script([Inconclusive()] * 9 + [NotCreated()])
    error = await raised(time, find)
    assert error.reconcile is not None
    with pytest.raises(LookupError, match=r"^nothing of the request is on the server: it may be sent again$") as caught:
        await error.reconcile()
    assert find.calls == 18
    assert caught.value.__context__ is None


async def test_reconcile_that_finds_nothing_out_can_be_repeated(time: PassingTime) -> None:
    find = Script([Inconclusive()] * 18 + ["run"])
    error = await raised(time, find)
    assert error.reconcile is not None
    with pytest.raises(OutcomeUnknownError) as caught:
        await error.reconcile()
    again = caught.value
    assert (again.args, again.details, again.cause) == (error.args, error.details, "timeout")
    assert again.__context__ is None
    assert again.reconcile is not None
    assert await again.reconcile() == "run"


# The server's clock


def test_a_moment_by_the_clock_of_the_server(time: PassingTime) -> None:
    began = time.time
    time.time += 7
    assert server_time_at(began, time.answer(), time.clock) == SERVER
    assert server_time_at(began, time.answer(ahead=3600), time.clock) == SERVER + 3600
    assert server_time_at(began, time.answer(date=False), time.clock) is None
    assert server_time_at(began, attrs.evolve(time.answer(), headers={"Date": "yesterday"}), time.clock) is None
