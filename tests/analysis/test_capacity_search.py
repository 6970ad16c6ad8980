"""Does the search find what is there? Played against servers whose capacity is known, with noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.analysis.capacity_search import (
    AT_LEAST,
    BRACKET,
    CONFIRM,
    CONTRAST,
    FAIL,
    GENERATOR,
    GENERATOR_BOUND,
    LOWEST_FAILS,
    OPEN,
    PASS,
    SEARCH,
    UNFINISHED,
    Done,
    Search,
    Step,
    next_step,
    so_far,
    trials_left,
)

WIDE = Search(50, 2000)
Answer = Callable[[Step, int], str]


def play(search: Search, answer: Answer) -> tuple[Done, list[Step], list[str]]:
    """The whole search; ``answer`` gives what a visit says after its n-th trial, n from 1."""
    steps: list[Step] = []
    outcomes: list[str] = []
    while isinstance(step := next_step(search, outcomes), Step):
        steps.append(step)
        outcomes.append(answer(step, sum(one.visit == step.visit for one in steps)))
        assert len(steps) < 500, "the search does not end"
    return step, steps, outcomes


def edge(capacity: int) -> Answer:
    """A server that carries so many, and says so at once."""
    return lambda step, _: PASS if step.users <= capacity else FAIL


def test_without_noise_the_bracket_encloses_the_truth_and_is_confirmed() -> None:
    done, steps, _ = play(WIDE, edge(640))
    assert done.kind == BRACKET
    assert done.confirmed
    assert done.passed is not None and done.failed is not None
    assert done.passed <= 640 < done.failed <= 1.1 * done.passed
    assert [step.users for step in steps[:8]] == [50, 75, 112, 168, 252, 378, 567, 850]
    assert steps[8].users == 1275, "two levels in a row must fail"


@given(
    capacity=st.integers(2, 3000), low=st.integers(1, 400), times=st.floats(1, 40), confirm=st.integers(1, 3)
)
def test_a_sharp_edge_is_always_found(capacity: int, low: int, times: float, confirm: int) -> None:
    search = Search(low, round(low * times), confirm=confirm)
    done, steps, _ = play(search, edge(capacity))
    assert all(search.low <= step.users <= search.high for step in steps)
    if capacity < low:
        assert done == Done(LOWEST_FAILS, failed=low)
        assert len(steps) == 2
    elif capacity >= search.high:
        assert done == Done(AT_LEAST, search.high, confirmed=True)
    else:
        assert done.kind == BRACKET and done.confirmed
        assert done.passed is not None and done.failed is not None
        assert done.passed <= capacity < done.failed
        assert done.failed <= 1.1 * done.passed or done.failed == done.passed + 1


def test_it_is_confirmed_by_fresh_trials_on_both_sides() -> None:
    done, steps, _ = play(WIDE, edge(640))
    confirming = [step.users for step in steps if step.role == CONFIRM]
    contrasting = [step.users for step in steps if step.role == CONTRAST]
    assert confirming == [done.passed] * 3
    assert done.passed and done.failed
    # One that fails by its whole interval needs no second.
    assert contrasting == [max(done.failed, math.ceil(1.1 * done.passed))]


def test_an_undecided_level_gets_three_trials_and_then_counts_as_failed() -> None:
    def answer(step: Step, number: int) -> str:
        return OPEN if step.users > 100 else PASS

    done, steps, _ = play(Search(50, 200), answer)
    assert done.passed is not None and done.passed <= 100
    assert sum(step.users == 112 and step.role == SEARCH for step in steps) == 3


def test_a_level_that_becomes_clear_needs_no_third_trial() -> None:
    def answer(step: Step, number: int) -> str:
        return OPEN if number == 1 else edge(100)(step, number)

    _, steps, _ = play(Search(50, 200, confirm=1), answer)
    visits = [sum(one.visit == visit for one in steps) for visit in {step.visit for step in steps}]
    assert set(visits) == {2}


def test_a_single_unlucky_level_on_the_way_up_is_passed_over() -> None:
    def answer(step: Step, number: int) -> str:
        return FAIL if step.visit == 3 else edge(640)(step, number)

    done, _, _ = play(WIDE, answer)
    assert done.confirmed
    assert done.passed and done.failed
    assert done.passed <= 640 < done.failed


def test_an_unlucky_lowest_level_is_asked_again() -> None:
    done, steps, _ = play(WIDE, lambda step, n: FAIL if step.visit == 1 else edge(640)(step, n))
    assert [step.users for step in steps[:2]] == [50, 50]
    assert done.kind == BRACKET


def test_what_a_confirmation_contradicts_is_taken_back() -> None:
    """One lucky level far above the truth would double the result."""

    def answer(step: Step, number: int) -> str:
        return PASS if step.role == SEARCH and step.users == 567 else edge(400)(step, number)

    done, steps, _ = play(WIDE, answer)
    assert any(step.role == CONFIRM and step.users >= 567 for step in steps)
    assert done.passed and done.failed
    assert done.passed <= 400 < done.failed
    assert done.confirmed


def test_a_contrast_that_holds_sends_the_search_up_again() -> None:
    unlucky = {9, 10}

    def answer(step: Step, number: int) -> str:
        return FAIL if step.visit in unlucky else edge(1500)(step, number)

    done, _, _ = play(WIDE, answer)
    assert done.passed and done.failed
    assert done.passed <= 1500 < done.failed


def test_one_that_contradicts_itself_for_ever_ends_unconfirmed() -> None:
    done, _, _ = play(WIDE, lambda step, _: PASS if step.role != SEARCH or step.users < 300 else FAIL)
    assert not done.confirmed


def test_a_generator_at_its_limit_gives_a_lower_bound_and_no_maximum() -> None:
    done, steps, _ = play(WIDE, lambda step, _: PASS if step.users < 300 else GENERATOR)
    assert done == Done(GENERATOR_BOUND, passed=252)
    assert [step.users for step in steps[-4:]] == [252, 378, 378, 378], "one may be bad luck, three are not"


def test_one_invalid_trial_is_run_again_and_does_not_count() -> None:
    done, steps, _ = play(
        WIDE, lambda step, n: GENERATOR if step.visit == 2 and n == 1 else edge(640)(step, n)
    )
    assert done.kind == BRACKET and done.confirmed
    assert sum(step.users == 75 for step in steps) == 2


def test_nothing_valid_at_the_lowest_level() -> None:
    assert play(WIDE, lambda *_: GENERATOR)[0] == Done(GENERATOR_BOUND)


def test_a_search_that_is_ended_keeps_what_it_knows() -> None:
    assert so_far(WIDE, []) == Done(UNFINISHED)
    assert so_far(WIDE, [PASS] * 3) == Done(UNFINISHED, 112)
    assert so_far(WIDE, [PASS] * 3 + [FAIL]) == Done(UNFINISHED, 112, 168)
    assert so_far(WIDE, [FAIL]) == Done(UNFINISHED, None, 50)


def test_the_trials_left_never_end_before_the_search() -> None:
    _, _, outcomes = play(WIDE, edge(640))
    left = [trials_left(WIDE, outcomes[:number]) for number in range(len(outcomes) + 1)]
    assert left[-1] == 0
    assert all(left[:-1])


@pytest.mark.parametrize(
    ("search", "outcomes"),
    [
        (Search(2000, 50), []),
        (Search(0, 5), []),
        (WIDE, ["maybe"]),
        (Search(5, 5, confirm=1), [PASS, PASS, PASS]),
    ],
)
def test_what_makes_no_sense_is_refused(search: Search, outcomes: list[str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        next_step(search, outcomes)


class Noisy:
    """A server whose p95 doubles with every seventh more users; a trial is off by a fifth, and says so."""

    def __init__(self, capacity: float, seed: int) -> None:
        self.capacity = capacity
        self.random = random.Random(seed)
        self.seen: list[float] = []

    def __call__(self, step: Step, number: int) -> str:
        if number == 1:
            self.seen = []
        beyond = math.log(step.users / self.capacity) / math.log(1.15) * math.log(2)
        self.seen.append(beyond + self.random.gauss(0, 0.2))
        middle = math.fsum(self.seen) / len(self.seen)
        half = 1.96 * 0.2 / math.sqrt(len(self.seen))
        return PASS if middle + half <= 0 else FAIL if middle - half > 0 else OPEN


def within_a_step(done: Done, capacity: float) -> bool:
    """The bracket touches what is at most a step of ten percent from the truth, on either side."""
    assert done.passed is not None and done.failed is not None
    return done.passed <= 1.1 * capacity and done.failed >= capacity / 1.1


@settings(max_examples=8, deadline=None)
@given(capacity=st.floats(80, 1500))
def test_with_noise_it_lands_within_one_step_of_the_truth(capacity: float) -> None:
    """Wrong answers stay at or below 5 %, and two searches in a row agree within a step."""
    wrong = apart = 0
    searches = 40
    for seed in range(searches):
        done, again = (play(WIDE, Noisy(capacity, 2 * seed + one))[0] for one in (0, 1))
        wrong += not within_a_step(done, capacity)
        assert done.passed and again.passed
        apart += max(done.passed, again.passed) / min(done.passed, again.passed) > 1.1**2
    assert wrong <= 0.05 * searches
    assert apart <= 0.05 * searches


def test_a_lucky_level_hardly_ever_doubles_the_result() -> None:
    """Failures by chance of a logistic: halfway at the truth, one in fifty at a tenth away from it."""
    chance = random.Random(7)

    def answer(step: Step, number: int) -> str:
        if number > 1:
            return OPEN if chance.random() < 0.2 else answer(step, 1)
        failure = 1 / (1 + math.exp(-40 * math.log(step.users / 500)))
        return FAIL if chance.random() < failure else PASS

    results = [play(WIDE, answer)[0] for _ in range(400)]
    assert sum(not within_a_step(one, 500) for one in results) <= 0.05 * len(results)
