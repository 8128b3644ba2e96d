import pytest

from aihub_async.policies.polling import Durations, Pace, TokenBucket, WebhookHealth, backoff

EVEN = 0.5  # a random number in the middle: no jitter


def middle() -> float:
    return EVEN


def test_intervals_are_quick_at_first_then_longer() -> None:
    pace = Pace()
    found = [pace.interval(elapsed, middle) for elapsed in (0, 2, 10, 60, 3600)]
    assert found == [0.5, 0.5, 2.5, 15.0, 30.0]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    assert Pace().interval(-100, middle) == 0.5


def test_a_typical_duration_is_slept_through_by_halves() -> None:
    pace = Pace()
    assert pace.interval(0, middle, typical=40) == 20
    assert pace.interval(20, middle, typical=40) == 10
    assert pace.interval(39.9, middle, typical=40) == 0.5
    assert pace.interval(48, middle, typical=40) == 2.0


def test_jitter_stays_within_a_fifth() -> None:
    pace = Pace()
    assert pace.interval(20, lambda: 0.0) == pytest.approx(4.0)
    assert pace.interval(20, lambda: 0.999) == pytest.approx(6.0, rel=0.01)


def test_a_floor_is_a_floor() -> None:
    assert Pace().interval(0, lambda: 0.0, min_interval=7) == 7
    assert Pace().interval(3600, middle, min_interval=7) == 30


def test_polling_is_slower_while_webhooks_come() -> None:
    assert Pace().interval(10, middle, expects_webhook=True) == 4 * Pace().interval(10, middle)


def test_durations_are_learned_per_app_and_follow_changes() -> None:
    durations = Durations(size=2)
    assert durations.typical("a") is None
    durations.learn("a", 10)
    durations.learn("a", 20)
    assert durations.typical("a") == pytest.approx(13)
    durations.learn("b", 1)
    durations.learn("c", 1)
    assert durations.typical("a") is None, "the oldest is forgotten"
    assert durations.typical(None) is None


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_nonsense_teaches_nothing(seconds: float) -> None:
    durations = Durations()
    durations.learn("a", seconds)
    assert durations.typical("a") is None


def test_webhooks_prove_healthy_and_lose_it() -> None:
    health = WebhookHealth(patience=2)
    assert not health.good
    health.delivered()
    assert health.good
    health.missed()
    assert health.good
    health.missed()
    assert not health.good


def test_backoff_grows_to_a_cap() -> None:
    assert [backoff(failures, lambda: 1.0) for failures in (1, 2, 3, 50)] == [2, 4, 8, 30]


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(2, 3, lambda: now)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now = 0.5
    assert [bucket.take(), bucket.take()] == [True, False]
    now = -1000.0
    assert not bucket.take()
