from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aihub_async.policies.concurrency import START, AdaptiveLimit


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def serve(limit: AdaptiveLimit, time: Time, answers: int, seconds_each, size: int = 20_000) -> None:
    """Answers of a server, each after `seconds_each(requests in flight)`, while others wait."""
    for _ in range(answers):
        time.now += seconds_each(limit.current)
        limit.succeeded(size, crowded=True)


def test_a_distant_server_gets_all_connections_soon():
    time = Time()
    limit = AdaptiveLimit(64, time)
    serve(limit, time, 120, lambda in_flight: 0.025 / in_flight)
    assert limit.current == 64


def test_where_more_gains_nothing_it_stays_low_and_looks_again_later():
    time = Time()
    limit = AdaptiveLimit(64, time)
    seen: Counter[int] = Counter()
    for _ in range(3000):
        serve(limit, time, 1, lambda in_flight: 0.001)
        seen[limit.current] += 1
    assert set(seen) == {START, 2 * START}
    assert seen[START] > 0.9 * seen.total()


def test_a_server_that_becomes_faster_is_noticed():
    time = Time()
    limit = AdaptiveLimit(64, time)
    serve(limit, time, 300, lambda in_flight: 0.001)
    assert limit.current == START
    serve(limit, time, 2000, lambda in_flight: 0.025 / in_flight)
    assert limit.current == 64


def test_sizes_do_not_matter_to_the_search():
    time = Time()
    limit = AdaptiveLimit(64, time)
    sizes = [1_000, 10_000_000, 50_000]
    for number in range(400):
        time.now += sizes[number % 3] / 1e8
        limit.succeeded(sizes[number % 3], crowded=True)
    assert limit.current <= 2 * START


def test_without_a_queue_it_does_not_move():
    time = Time()
    limit = AdaptiveLimit(64, time)
    for _ in range(1000):
        time.now += 0.01
        limit.succeeded(1000)
    assert limit.current == START


def test_a_cut_halves_and_successes_win_back_one_by_one():
    time = Time()
    limit = AdaptiveLimit(64, time)
    serve(limit, time, 120, lambda in_flight: 0.025 / in_flight)
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
    assert limit.current == START // 2
    time.now += 1
    limit.pushed_back()
    assert limit.current == START // 4


@given(st.integers(1, 100), st.lists(st.sampled_from(["success", "crowded", "cut", "wait"]), max_size=300))
def test_it_stays_between_one_and_the_maximum(maximum, events):
    time = Time()
    limit = AdaptiveLimit(maximum, time)
    for event in events:
        if event == "success":
            limit.succeeded()
        elif event == "crowded":
            limit.succeeded(1000, crowded=True)
        elif event == "cut":
            limit.pushed_back()
        else:
            time.now += 1
        assert 1 <= limit.current <= maximum
