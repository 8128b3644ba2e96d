"""Decisions at their boundaries: what a change of one number or comparison in the policies would break."""

import datetime as dt

import pytest

from aihub_async.operations import Repeat
from aihub_async.policies.concurrency import START, AdaptiveLimit
from aihub_async.policies.outage import CircuitBreaker
from aihub_async.policies.pacing import RequestRate
from aihub_async.policies.polling import Durations, Pace, TokenBucket, WebhookHealth, backoff
from aihub_async.policies.retry import (
    Backoff,
    FailureKind,
    RetryQuota,
    Verdict,
    judge,
    leaves_unclear,
    parse_retry_after,
)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


class TestAdaptiveLimit:
    def window(self, limit: AdaptiveLimit, time: Time, seconds: float, *, size: int = 0) -> None:
        """Answer one whole window in so many seconds: the answer that opens it, and two for each place."""
        count = 2 * limit.current
        limit.succeeded(size, crowded=True)
        for _ in range(count - 1):
            limit.succeeded(size, crowded=True)
        time.now += seconds
        limit.succeeded(size, crowded=True)

    def test_one_window_is_two_answers_for_each_place(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        for _ in range(2 * START):
            time.now += 0.1
            limit.succeeded(crowded=True)
        assert limit.current == START
        limit.succeeded(crowded=True)
        assert limit.current == 2 * START

    def test_a_step_is_kept_for_a_tenth_more_and_taken_back_for_less(self, time: Time) -> None:
        for rate, expected in ((1.2, 4 * START), (1.05, START)):
            limit = AdaptiveLimit(64, time)
            self.window(limit, time, 16.0)
            assert limit.current == 2 * START
            self.window(limit, time, 32.0 / rate)
            assert limit.current == expected

    def test_what_is_sent_counts_and_not_only_how_often(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        self.window(limit, time, 16.0)
        # As many answers per second, each with 16 KiB more.
        self.window(limit, time, 32.0, size=16 * 1024)
        assert limit.current == 4 * START

    def test_a_step_that_was_taken_back_is_tried_again_after_32_windows(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        self.window(limit, time, 16.0)
        self.window(limit, time, 32.0)
        assert limit.current == START
        for _ in range(32):
            self.window(limit, time, 16.0)
            assert limit.current == START
        self.window(limit, time, 16.0)
        assert limit.current == 2 * START

    def test_the_maximum_is_never_passed(self, time: Time) -> None:
        limit = AdaptiveLimit(12, time)
        self.window(limit, time, 16.0)
        assert limit.current == 12
        self.window(limit, time, 1.0)
        self.window(limit, time, 0.1)
        assert limit.current == 12
        assert AdaptiveLimit(3, time).current == 3

    def test_answers_without_a_queue_end_the_window(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        for _ in range(100):
            time.now += 0.1
            limit.succeeded(crowded=True)
            limit.succeeded()
            assert limit.current == START

    def test_many_answers_in_one_moment_are_measured_too(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        self.window(limit, time, 0.0)
        assert limit.current == 2 * START
        # The rate of a window without time is finite, and so is what the next must beat: one of a second does not.
        self.window(limit, time, 1.0)
        assert limit.current == START

    def test_a_push_back_halves_once_in_a_second(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        limit.pushed_back()
        assert limit.current == 4
        time.now = 0.999
        limit.pushed_back()
        assert limit.current == 4
        time.now = 1.0
        limit.pushed_back()
        assert limit.current == 2
        for moment in (2.0, 3.0, 4.0):
            time.now = moment
            limit.pushed_back()
        assert limit.current == 1

    def test_after_push_backs_it_grows_by_one_per_window_to_where_it_was(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time)
        limit.pushed_back()
        time.now = 1.0
        limit.succeeded()
        limit.pushed_back()
        assert limit.current == 2
        for expected, answers in ((3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7)):
            for _ in range(answers - 1):
                limit.succeeded()
            assert limit.current == expected - 1
            limit.succeeded()
            assert limit.current == expected
        for _ in range(50):
            limit.succeeded()
        assert limit.current == START

    def test_no_step_follows_a_push_back_for_32_windows(self, time: Time) -> None:
        limit = AdaptiveLimit(64, time, minimum=START)
        self.window(limit, time, 16.0)
        limit.pushed_back()
        assert limit.current == START
        while limit.current < 2 * START:
            limit.succeeded()
        for _ in range(32):
            self.window(limit, time, 16.0)
            assert limit.current == 2 * START
        self.window(limit, time, 16.0)
        assert limit.current == 4 * START


class TestRequestRate:
    def test_requests_are_spaced_evenly_from_the_first(self, time: Time) -> None:
        rate = RequestRate(4, time)
        assert rate.is_free
        assert [rate.reserve() for _ in range(4)] == [0, 0.25, 0.5, 0.75]
        assert not rate.is_free

    def test_a_place_that_nobody_took_is_not_saved_up(self, time: Time) -> None:
        rate = RequestRate(4, time)
        rate.reserve()
        time.now = 10.0
        assert rate.is_free
        assert [rate.reserve() for _ in range(3)] == [0, 0.25, 0.5]
        time.now = 10.75
        assert rate.is_free
        assert rate.reserve() == 0


class TestCircuitBreaker:
    def test_eight_calls_open_it_by_default(self, time: Time) -> None:
        breaker = CircuitBreaker(time, lambda: 1.0)
        for call in range(7):
            breaker.failed(call)
        assert not breaker.is_open
        breaker.failed(7, 3.0)
        assert breaker.is_open
        assert breaker.probe_delay() == 3.0

    def test_the_delay_of_the_server_counts_from_its_answer_and_never_shortens_a_longer_one(self, time: Time) -> None:
        breaker = CircuitBreaker(time, lambda: 1.0, 1)
        breaker.failed(1)
        assert breaker.probe_delay() == 0.5
        time.now = 10.0
        assert breaker.probe_delay() == 0
        breaker.failed(1, 4.0)
        breaker.failed(1, 2.0)
        assert breaker.probe_delay() == 4.0

    def test_opening_it_twice_does_not_start_the_probes_again(self, time: Time) -> None:
        breaker = CircuitBreaker(time, lambda: 1.0, 1)
        breaker.open()
        breaker.probe_failed()
        breaker.probe_failed()
        assert breaker.probe_delay() == 2.0
        breaker.open(60.0)
        assert breaker.probe_delay() == 2.0

    def test_the_next_outage_begins_with_short_delays(self, time: Time) -> None:
        breaker = CircuitBreaker(time, lambda: 1.0, 1)
        breaker.open()
        for _ in range(5):
            breaker.probe_failed()
        assert breaker.succeeded()
        time.now = 100.0
        breaker.open()
        assert breaker.probe_delay() == 0.5

    def test_an_answer_forgets_the_calls_that_were_failing(self, time: Time) -> None:
        breaker = CircuitBreaker(time, lambda: 1.0, 2)
        breaker.failed(1)
        breaker.succeeded()
        breaker.failed(2)
        assert not breaker.is_open


class TestRetryQuota:
    def test_a_full_bucket_pays_for_a_hundred_retries_and_five_successes_for_one_more(self) -> None:
        quota = RetryQuota()
        assert [quota.take() for _ in range(101)] == [True] * 100 + [False]
        for _ in range(4):
            quota.give_back()
        assert not quota.take()
        quota.give_back()
        assert quota.take()
        assert quota.tokens == 0

    def test_successes_do_not_overfill_it(self) -> None:
        quota = RetryQuota(10)
        quota.give_back()
        assert quota.tokens == 10

    def test_the_end_of_an_outage_fills_a_fifth_and_takes_nothing(self) -> None:
        quota = RetryQuota(52)
        while quota.take():
            pass
        quota.refill()
        assert quota.tokens == 10
        quota.give_back()
        quota.refill()
        assert quota.tokens == 11


class TestRetries:
    def test_300_is_no_success(self) -> None:
        assert judge(Repeat.SAFE, 299, unclear_before=False) is Verdict.ACCEPT
        assert judge(Repeat.SAFE, 300, unclear_before=False) is Verdict.FAIL

    def test_a_delay_doubles_from_half_a_second_to_twenty(self) -> None:
        delays = [Backoff().delay(retry, lambda: 1.0) for retry in (1, 2, 3, 4, 5, 6, 7, 5000)]
        assert delays == [0.5, 1, 2, 4, 8, 16, 20, 20]
        assert Backoff().delay(3, lambda: 0.25) == 0.5

    @pytest.mark.parametrize(
        ("outcome", "unclear"),
        [(200, False), (400, False), (404, False), (429, False), (500, True), (503, True), (504, True), (408, True)],
    )
    def test_what_an_attempt_leaves_unclear(self, outcome: int, unclear: bool) -> None:
        assert leaves_unclear(outcome) is unclear
        assert leaves_unclear(FailureKind.LOST)
        assert not leaves_unclear(FailureKind.NOT_SENT)

    def test_a_date_is_a_number_of_seconds(self) -> None:
        now = dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC)
        assert parse_retry_after("Sat, 01 Aug 2026 12:00:07 GMT", now=now, maximum=60) == 7
        assert parse_retry_after("0", now=now, maximum=60) == 0
        assert parse_retry_after("61", now=now, maximum=60) == 60


class TestPolling:
    def test_jitter_is_the_same_share_on_both_sides(self) -> None:
        assert Pace().interval(40, lambda: 0.0) == pytest.approx(8)
        assert Pace().interval(40, lambda: 1.0) == pytest.approx(12)
        assert [backoff(2, lambda share=share: share) for share in (0.0, 0.25, 1.0)] == [2, 2.5, 4]

    def test_at_the_typical_duration_the_pace_is_that_of_a_beginning(self) -> None:
        assert Pace().interval(40, lambda: 0.5, typical=40) == 0.5
        assert Pace().interval(0.5, lambda: 0.5, typical=2.5) == 1

    def test_a_thousand_keys_are_remembered_the_newest_ones(self) -> None:
        durations = Durations()
        for number in range(1001):
            durations.learn(str(number), 1.0)
        assert durations.typical("0") is None
        assert durations.typical("1") == 1.0
        assert durations.typical("1000") == 1.0

    def test_what_ended_immediately_is_learned_too(self) -> None:
        durations = Durations()
        durations.learn("a", 0.0)
        durations.learn("b", 0.5)
        assert (durations.typical("a"), durations.typical("b")) == (0.0, 0.5)

    def test_learning_again_makes_a_key_the_newest(self) -> None:
        durations = Durations(size=2)
        for key in "abac":
            durations.learn(key, 1.0)
        assert durations.typical("a") == 1.0
        assert durations.typical("b") is None

    def test_webhooks_are_not_relied_on_after_three_misses(self) -> None:
        health = WebhookHealth()
        health.delivered()
        assert [health.missed() or health.good for _ in range(3)] == [True, True, False]

    def test_a_bucket_refills_by_time_up_to_its_burst(self, time: Time) -> None:
        bucket = TokenBucket(0.5, 2, time)
        assert [bucket.take() for _ in range(3)] == [True, True, False]
        time.now = 2.0
        assert [bucket.take() for _ in range(2)] == [True, False]
        time.now = 1000.0
        assert [bucket.take() for _ in range(3)] == [True, True, False]
        time.now = 900.0
        assert not bucket.take()
