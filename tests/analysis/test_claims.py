"""How often is a claim judged wrongly, if one knows the truth? And does it say what it stands on?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from loadtest.analysis.claim_estimates import Asked, Estimate, nothing, of_trials, share
from loadtest.analysis.claim_latency import _of_trials as ratio_of_trials
from loadtest.analysis.claims import Outcome, Part, Question, Trial, decide, judge
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS
from loadtest.measure import run as runs
from loadtest.measure.rows import FaultRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

ALPHA = 0.05
TIMES = 600
Draw = Callable[[np.random.Generator], Estimate]


def p95(limit: float = 100.0) -> Part:
    return Part("p95_ms", ("push",), "<=", limit, of="message.deliver")


def ratio(limit: float = 15.0) -> Part:
    return Part("ratio_of_means", ("push",), ">=", limit, against="polling", of="message.deliver")


def recovered(limit: float = 0.99) -> Part:
    return Part("recovered_share", ("push",), ">=", limit)


def trials_of(part: Part, truth: float, cv: float = 0.05, n: int = 6) -> Draw:
    """n trials around the truth; the median is the truth."""

    def draw(rng: np.random.Generator) -> Estimate:
        found = of_trials(part.asked, (truth * np.exp(rng.normal(0, cv, n))).tolist(), "ms")
        assert found is not None
        return found

    return draw


def ratio_of(part: Part, truth: float, cv: float = 0.05, n: int = 6) -> Draw:
    def draw(rng: np.random.Generator) -> Estimate:
        fast, slow = np.exp(rng.normal(0, cv, n)), truth * np.exp(rng.normal(0, cv, n))
        return ratio_of_trials(part.asked, fast.tolist(), slow.tolist(), ())

    return draw


def share_of(part: Part, truth: float, n: int = 400) -> Draw:
    return lambda rng: share(part.asked, int(rng.binomial(n, truth)), n, "drops")


def outcomes(
    parts: Sequence[Part], draws: Sequence[Draw], seed: int = 1, times: int = TIMES
) -> dict[str, float]:
    """How often a claim of these parts comes out each way."""
    rng = np.random.default_rng(seed)
    counts = {PASS: 0, FAIL: 0, INCONCLUSIVE: 0}
    for _ in range(times):
        states = [state for state, _ in decide(parts, [draw(rng) for draw in draws])]
        whole = FAIL if FAIL in states else PASS if set(states) == {PASS} else INCONCLUSIVE
        counts[whole] += 1
    return {state: n / times for state, n in counts.items()}


def within(rate: float, most: float = ALPHA, times: int = TIMES) -> bool:
    """Not above ``most`` by more than chance makes of it in so many simulations."""
    return rate <= most + 3 * math.sqrt(most * (1 - most) / times)


@pytest.mark.parametrize(
    ("part", "draw"),
    [
        (p95(), trials_of(p95(), 100.0)),
        (p95(), trials_of(p95(), 100.0, cv=0.5)),
        (ratio(), ratio_of(ratio(), 15.0)),
        (ratio(), ratio_of(ratio(), 15.0, n=4)),
        (recovered(), share_of(recovered(), 0.99)),
        (recovered(), share_of(recovered(), 0.99, 3000)),
    ],
)
def test_on_its_very_limit_a_claim_is_hardly_ever_decided_at_all(part: Part, draw: Draw) -> None:
    """There neither verdict is right; each of them has half of what may go wrong."""
    found = outcomes([part], [draw])
    assert within(found[PASS], ALPHA / 2)
    assert within(found[FAIL], ALPHA / 2)


def test_a_false_part_among_true_ones_is_hardly_ever_confirmed() -> None:
    parts = [p95(), ratio(), ratio(), recovered()]
    draws = [
        trials_of(parts[0], 5.0),
        ratio_of(parts[1], 300.0),
        ratio_of(parts[2], 14.9),
        share_of(parts[3], 1.0),
    ]
    assert within(outcomes(parts, draws)[PASS])


def test_of_many_parts_that_are_only_just_true_one_is_hardly_ever_refuted() -> None:
    """Without Holm's rule ten parts at 2.5 % each would come to 22 %."""
    parts = [ratio()] * 10
    assert within(outcomes(parts, [ratio_of(ratio(), 15.0)] * 10, times=300)[FAIL], times=300)


def test_what_is_clear_is_decided() -> None:
    parts = [p95(), ratio(), ratio(), recovered()]
    good = [
        trials_of(parts[0], 5.0, cv=0.3),
        ratio_of(parts[1], 100.0, cv=0.3),
        ratio_of(parts[2], 60.0, cv=0.3),
        share_of(parts[3], 1.0),
    ]
    assert outcomes(parts, good, times=200)[PASS] == 1
    bad = [*good[:2], ratio_of(parts[2], 7.5), good[3]]
    assert outcomes(parts, bad, times=200)[FAIL] == 1


def test_one_part_without_a_value_leaves_the_claim_open() -> None:
    found = decide(
        [p95(), ratio()], [trials_of(p95(), 5.0)(np.random.default_rng(1)), nothing("ratio", "no run")]
    )
    assert [state for state, _ in found] == [PASS, INCONCLUSIVE]


def test_what_is_only_told_does_not_weigh_on_the_others() -> None:
    told = Part("p95_ms", ("push",), "<=", 100.0, of="message.deliver", decides=False)
    rng = np.random.default_rng(1)
    alone = decide([ratio()], [ratio_of(ratio(), 100.0)(np.random.default_rng(2))])[0]
    beside = decide(
        [ratio(), told], [ratio_of(ratio(), 100.0)(np.random.default_rng(2)), trials_of(told, 500.0)(rng)]
    )
    assert beside[0] == alone
    assert beside[1] == (FAIL, None)


# -- whole claims, on runs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taken(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """One run of 30 s of each arm: push within some ms, polling over 1.5 s."""
    root = tmp_path_factory.mktemp("claims")
    found = []
    for arm, transport in (("push", "websocket"), ("interval-polling", "interval-polling")):
        path = made.Maker(transport=transport, users=40, seed=5).write(root, id=f"{arm}-{arm}")
        found.append(Trial(arm, 1, f"runs/{path.name}", runs.read(path), "valid"))
    return found


def question(*parts: Part) -> Question:
    return Question("messaging", "15x", "15 times", "messaging", parts)


FAST = Part("p95_ms", ("push",), "<=", 100.0, of="message.deliver", says="p95")
TIMES_15 = Part("ratio_of_means", ("push",), ">=", 15.0, against="interval-polling", of="message.deliver")


def judged(taken: Sequence[Trial], *parts: Part, left: dict[str, str] | None = None) -> Outcome:
    return judge(question(*parts), taken, left)


def test_a_claim_on_loopback_is_confirmed_there_and_says_so(taken: list[Trial]) -> None:
    outcome = judged(taken, FAST, TIMES_15)
    assert outcome.state == PASS
    assert outcome.only_on_loopback
    assert outcome.scope is not None
    assert (outcome.scope.round_trips_ms, outcome.scope.trials) == ([0.0], 1)
    first, second = outcome.parts
    assert first.verdict.ci95 is not None
    low, high = first.verdict.ci95
    assert low is not None and high is not None and first.verdict.observed is not None
    assert 0 < low <= first.verdict.observed <= high < 100
    # By hand: the limit is reached where slow + r = 15 (fast + r).
    fast, slow = (one.values["mean message.deliver"].value for one in outcome.trials)
    assert fast is not None and slow is not None
    assert second.round_trip_ms == pytest.approx((slow - 15 * fast) / 14)


def test_a_refuted_part_refutes_the_claim(taken: list[Trial]) -> None:
    outcome = judged(
        taken, FAST, TIMES_15, Part("p95_ms", ("interval-polling",), "<=", 100, of="message.deliver")
    )
    assert [one.verdict.state for one in outcome.parts] == [PASS, PASS, FAIL]
    assert outcome.state == FAIL
    assert outcome.verdict.kind == "claim"
    assert not outcome.only_on_loopback


def test_an_invalid_run_counts_for_nothing_and_says_why(taken: list[Trial]) -> None:
    spoilt = [taken[0]._replace(validity="invalid", reason="loop lag p99 40 ms"), taken[1]]
    outcome = judged(spoilt, FAST)
    assert outcome.state == INCONCLUSIVE
    assert outcome.why == "p95: no run of push can be believed: loop lag p99 40 ms"


def test_a_run_that_is_still_to_be_made_is_not_called_spoilt(taken: list[Trial]) -> None:
    outcome = judged([taken[1]], FAST)
    assert (outcome.state, outcome.why) == (INCONCLUSIVE, "p95: no run of push was made")


def test_arms_that_are_left_out_do_not_decide(taken: list[Trial]) -> None:
    far = Part("p95_ms", ("push-rtt-80",), "<=", 100.0, of="message.deliver")
    outcome = judged(taken, FAST, far, left={"push-rtt-80": "only the full run has it"})
    assert outcome.state == PASS
    assert outcome.parts[1].left_out == "only the full run has it"
    alone = judged(taken, far, left={"push-rtt-80": "only the full run has it"})
    assert (alone.state, alone.why) == (INCONCLUSIVE, "only the full run has it")


def test_a_delay_on_the_way_is_part_of_the_scope(taken: list[Trial], made: ModuleType) -> None:
    run = taken[0].run
    far = Run(Path("/far"), run.manifest, [*run.series, *run.health], [], [])
    far.faults.append(FaultRow("delay#0", "delay", 0, 60 * SECOND, argument="delay@0:15ms/60s"))
    outcome = judged([taken[0]._replace(run=far)], FAST)
    assert outcome.scope is not None
    assert outcome.scope.round_trips_ms == [30.0]
    assert not outcome.only_on_loopback


def test_asked_is_what_stands_in_the_part() -> None:
    assert TIMES_15.asked == Asked(
        "ratio_of_means", ("push",), ">=", 15.0, "interval-polling", "message.deliver"
    )
