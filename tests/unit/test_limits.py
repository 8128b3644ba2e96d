from hypothesis import given
from hypothesis import strategies as st

from aihub_async.policies.limits import AdaptiveLimit


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_cut_halves_and_successes_win_back_one_by_one():
    limit = AdaptiveLimit(64, Time())
    limit.pushed_back()
    assert limit.current == 32
    for _ in range(31):
        limit.succeeded()
    assert limit.current == 32
    limit.succeeded()
    assert limit.current == 33


def test_answers_of_one_burst_cut_once():
    time = Time()
    limit = AdaptiveLimit(64, time, cooldown=1)
    for _ in range(10):
        limit.pushed_back()
    assert limit.current == 32
    time.now += 1
    limit.pushed_back()
    assert limit.current == 16


@given(st.integers(1, 100), st.lists(st.sampled_from(["success", "cut", "wait"]), max_size=300))
def test_it_stays_between_one_and_the_maximum(maximum, events):
    time = Time()
    limit = AdaptiveLimit(maximum, time)
    for event in events:
        if event == "success":
            limit.succeeded()
        elif event == "cut":
            limit.pushed_back()
        else:
            time.now += 1
        assert 1 <= limit.current <= maximum
