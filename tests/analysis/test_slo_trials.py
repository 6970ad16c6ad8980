"""Verdicts of several trials together, each against an answer known beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from asking import CALM, row, run, seconds
from msgspec.structs import replace

from loadtest.analysis.slo_trials import verdicts
from loadtest.analysis.steadiness import DRIFTING, Steadiness
from loadtest.analysis.summary import Summary, summarise
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, Verdict
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.slo import understand

SIX = (40.0, 41.0, 42.0, 43.0, 44.0, 45.0)


@pytest.fixture(scope="module")
def summary(made: ModuleType) -> Summary:
    """One that only has to say how steady its run was."""
    return replace(summarise(made.in_memory()), steadiness=CALM)


def at(level_ms: float, lost: int = 0, of: int = 100) -> list[SeriesRow]:
    """20 s of ``of`` deliveries that all take as long; ``lost`` beside them in each."""
    return [row(second, [level_ms] * of, lost=lost) for second in range(20)]


def judged(
    made: ModuleType, summary: Summary, trials: Sequence[Sequence[SeriesRow]], text: str, **told: Any
) -> Verdict:
    pairs: list[tuple[Run, Summary]] = [(run(made, rows, 20, **told), summary) for rows in trials]
    (verdict,) = verdicts(pairs, understand([f"message.deliver: {text}"], str))
    assert verdict.name == f"message.deliver: {text}"
    return verdict


@pytest.mark.parametrize("aggregate", ["p(95)", "avg"])
@pytest.mark.parametrize(
    ("compare", "limit", "state"),
    [("<", 46, PASS), ("<", 39, FAIL), ("<", 42.5, INCONCLUSIVE), (">", 39, PASS), (">", 46, FAIL)],
)
def test_six_trials_bound_their_median(
    made: ModuleType, summary: Summary, aggregate: str, compare: str, limit: float, state: str
) -> None:
    found = judged(made, summary, [at(level) for level in SIX], f"{aggregate}{compare}{limit}")
    assert (found.state, found.observed, found.ci95) == (state, 42.5, (40.0, 45.0))
    assert found.unit == "ms"


def test_what_would_decide_it(made: ModuleType, summary: Summary) -> None:
    found = judged(made, summary, [at(level) for level in SIX], "p(95)<42.5")
    assert found.why == (
        "the limit lies within their interval; more than 6 of them, or a calmer machine, would decide"
    )


def test_the_order_of_trials_does_not_matter(made: ModuleType, summary: Summary) -> None:
    trials = [at(level) for level in SIX]
    assert judged(made, summary, trials, "avg<50") == judged(made, summary, trials[::-1], "avg<50")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_are_as_sure_as_the_widest_span_of_their_own(
    made: ModuleType, summary: Summary, n: int
) -> None:
    stream = np.random.RandomState(n)
    trials = [seconds(20 * stream.lognormal(0, 0.5, (20, 50))) for _ in range(n)]
    alone = [judged(made, summary, [trial], "p(95)<100").ci95 for trial in trials]
    together = judged(made, summary, trials, "p(95)<100")
    known = [ends for ends in alone if ends is not None]
    assert len(known) == n
    assert together.ci95 == (min(low for low, _ in known if low), max(high for _, high in known if high))
    assert together.state == PASS


def test_an_empty_trial_breaks_it(made: ModuleType, summary: Summary) -> None:
    for text in ("p(95)<100", "lost==0", "rate<0.5", "avg>0", "count>=0"):
        found = judged(made, summary, [*(at(level) for level in SIX), []], text)
        assert (found.state, found.observed) == (FAIL, None)
        assert found.why == "nothing was measured in 1 of 7 trials: no message.deliver"


@pytest.mark.parametrize("text", ["avg<100", "avg>0", "min>0"])
def test_a_trial_in_which_nothing_came_breaks_a_mean(made: ModuleType, summary: Summary, text: str) -> None:
    found = judged(made, summary, [*(at(level) for level in SIX), at(1.0, lost=5, of=0)], text)
    assert (found.state, found.why) == (FAIL, "nothing of it came in time in 1 of 7 trials")


def test_one_that_it_ended_breaks_it(made: ModuleType, summary: Summary) -> None:
    name = "message.deliver: p(95)<100"
    pairs = [(run(made, at(level), 20), summary) for level in SIX]
    pairs.append((run(made, at(40.0), 20, stopped_by=name), summary))
    ended, other = verdicts(pairs, understand([name, "message.deliver: p(95)<101"], str))
    assert (ended.state, ended.why) == (FAIL, "it ended 1 of 7 trials")
    assert other.state == PASS


def test_counts_add_up(made: ModuleType, summary: Summary) -> None:
    trials = [at(level, lost=1) for level in SIX]
    for text, state, observed in (
        ("lost<=120", PASS, 120.0),
        ("lost<120", FAIL, 120.0),
        ("count==12000", PASS, 12000.0),
        ("min>=40", PASS, 40.0),
    ):
        found = judged(made, summary, trials, text)
        assert (found.state, found.observed, found.ci95) == (state, observed, None)


def test_the_slowest_of_all_trials_counts(made: ModuleType, summary: Summary) -> None:
    assert judged(made, summary, [at(level) for level in SIX], "max<46").observed == 45.0
    found = judged(made, summary, [*(at(level) for level in SIX), at(40.0, lost=1)], "max<46")
    assert (found.state, found.observed) == (FAIL, None)
    assert found.why == "not reached: 0.1 % of 14,020 did not come in time"


# -- shares --------------------------------------------------------------------------------------------------


def test_six_trials_without_a_loss_are_one_sample(made: ModuleType, summary: Summary) -> None:
    """12,000 good ones: .0004 is shown, .0003 is not, though every trial had none."""
    trials = [at(level) for level in SIX]
    kept, not_yet = (judged(made, summary, trials, f"rate<{limit}") for limit in (0.0004, 0.0003))
    assert (kept.state, kept.observed, kept.unit) == (PASS, 0.0, "share")
    assert not_yet.state == INCONCLUSIVE
    assert not_yet.why == "n=12,000; 12,295 without a bad one would show less than 0.03 %"
    assert kept.ci95 == not_yet.ci95 == (0.0, pytest.approx(0.000307, abs=1e-6))


def test_a_loss_in_every_trial_is_held_against_all_of_them(made: ModuleType, summary: Summary) -> None:
    trials = [at(level, lost=lost) for level, lost in zip(SIX, (1, 2, 3, 4, 5, 6), strict=True)]
    for limit, state in ((0.07, PASS), (0.005, FAIL), (0.03, INCONCLUSIVE)):
        found = judged(made, summary, trials, f"rate<{limit}")
        assert found.state == state
        assert found.ci95 == (pytest.approx(1 / 101, abs=1e-6), pytest.approx(6 / 106, abs=1e-6))


def test_deliveries_of_one_message_count_once(made: ModuleType, summary: Summary) -> None:
    """Ten hear each: 12,000 deliveries show what 1,200 messages do."""
    said = [row(second, [1.0] * 10, operation="message.ack") for second in range(20)]
    found = judged(made, summary, [[*said, *at(level)] for level in SIX], "rate<0.001")
    assert found.why == "n=1,200; 3,688 without a bad one would show less than 0.1 %"


def test_all_of_them_lost_is_no_doubt(made: ModuleType, summary: Summary) -> None:
    found = judged(made, summary, [at(1.0, lost=100, of=0) for _ in SIX], "rate<0.99")
    assert (found.state, found.observed) == (FAIL, 1.0)


def test_a_rate_of_none_is_a_count(made: ModuleType, summary: Summary) -> None:
    assert judged(made, summary, [at(level) for level in SIX], "rate<=0").state == PASS
    assert judged(made, summary, [at(SIX[0], lost=1), *(at(level) for level in SIX)], "rate<=0").state == FAIL


# -- trials that say little ----------------------------------------------------------------------------------


def test_a_trial_too_small_for_the_percentile(made: ModuleType, summary: Summary) -> None:
    few = [row(0, [5.0] * 58)]
    found = judged(made, summary, [*(at(level) for level in SIX), few], "p(95)<100")
    assert (found.state, found.observed) == (INCONCLUSIVE, None)
    assert found.why == "n=58 in the smallest trial, 59 needed: longer trials, or a higher rate"
    enough = [row(0, [5.0] * 59)]
    assert judged(made, summary, [*(at(level) for level in SIX), enough], "p(95)<100").state == PASS


def test_percentiles_among_what_never_came_are_slower_than_any_limit(
    made: ModuleType, summary: Summary
) -> None:
    found = judged(made, summary, [at(level, lost=100) for level in SIX], "p(95)<1000000")
    assert (found.state, found.observed, found.ci95) == (FAIL, None, (None, None))


@pytest.mark.parametrize(("unsteady", "state"), [(3, PASS), (4, INCONCLUSIVE)])
def test_times_of_trials_most_of_which_drifted_are_not_decided(
    made: ModuleType, summary: Summary, unsteady: int, state: str
) -> None:
    drifting = replace(summary, steadiness=Steadiness(DRIFTING, 0, 9.0, (8.0, 10.0), "p50 rose by 9 %"))
    pairs = [
        (run(made, at(level), 20), drifting if index < unsteady else summary)
        for index, level in enumerate(SIX)
    ]
    p95, rate = verdicts(pairs, understand(["message.deliver: p(95)<50", "message.deliver: rate<0.01"], str))
    assert p95.state == state
    assert p95.why == ("" if state == PASS else "4 of 6 trials were not steady: p50 rose by 9 %")
    assert rate.state == PASS, "what is lost does not depend on it"


# -- how often it is wrong -----------------------------------------------------------------------------------


def test_wrong_verdicts_are_rare_when_the_limit_is_the_truth(made: ModuleType, summary: Summary) -> None:
    """Trials differ by 5 % beside their noise; the median of all trials there could be is 20 ms."""
    stream = np.random.RandomState(20_261_126)
    states: Counter[str] = Counter()
    for _ in range(100):
        levels = 20 * np.exp(stream.normal(0, 0.05, 6))
        trials = [[row(0, level * stream.lognormal(0, 0.3, 400))] for level in levels]
        states[judged(made, summary, trials, "p(50)<20").state] += 1
    # The smallest or the largest of six misses a median once in 32.
    assert states[FAIL] + states[PASS] <= 10
    assert states[FAIL] <= 5
    assert states[INCONCLUSIVE] < 100
