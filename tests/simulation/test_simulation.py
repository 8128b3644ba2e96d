"""Two hundred seeds in every run of the suite, ten thousand in the slow one, and the faults that they must find."""

import pytest

from tests.simulation.broken import BROKEN, SCENARIO, broken
from tests.simulation.run import simulate


def check(start: int, seeds: int) -> None:
    for seed in range(start, start + seeds):
        story = simulate(seed)
        if story.error is not None:
            print("\n".join(story.log))
            raise AssertionError(f"python -m tests.simulation --seed {seed}") from story.error


@pytest.mark.parametrize("start", range(0, 200, 10))
def test_seeds(start: int) -> None:
    check(start, 10)


@pytest.mark.parametrize("seed", [0, 1, 2, 27, 51])
def test_a_seed_is_always_the_same_story(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert first.fingerprint == second.fingerprint
    assert first.log == second.log


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1_000, 11_000, 250))
def test_ten_thousand_seeds(start: int) -> None:
    check(start, 250)


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_that_is_put_back_is_found(name: str) -> None:
    with broken(name):
        for seed in range(1_000):
            story = simulate(seed, SCENARIO[name])
            if story.error is not None:
                print(f"{name}: found by seed {seed}, the {seed + 1}th: {story.error!r}")
                return
    raise AssertionError(f"1,000 seeds did not find: {name}")
