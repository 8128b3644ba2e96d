"""A share of the mutated answers in every run of the suite, a million in the slow one."""

import pytest

from tests.fuzz.targets import run_case


@pytest.mark.parametrize("start", range(0, 40_000, 5_000))
def test_mutated_answers(start: int) -> None:
    for seed in range(start, start + 5_000):
        run_case(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1_000_000, 2_000_000, 50_000))
def test_a_million_mutated_answers(start: int) -> None:
    for seed in range(start, start + 50_000):
        run_case(seed)
