"""Is a build that became dearer told from chance, and chance from a build?"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from msgspec.structs import replace

from loadtest.analysis import regression
from loadtest.analysis.comparable import differences
from loadtest.analysis.gauges import LOSS, Gauge, gauges, main_operations, together
from loadtest.analysis.night import Asked, Taken, Told, judge
from loadtest.analysis.regression import FEWEST, LOST_MORE, TOLERANCE, changes
from loadtest.analysis.summary import Summary, summarise
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS
from loadtest.analysis.within import apart
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.measure.slo import Slo
from loadtest.measure.units import MS

P95 = "message.deliver p95_ms"


def trial(made: ModuleType, folder: Path, seed: int, slower: float = 1.0, lost: float = 0.0) -> Run:
    """A short run whose deliveries take ``slower`` times as long."""

    class Slowed(made.Maker):  # type: ignore[name-defined,misc]
        def delay_ns(self) -> int:
            return round(self.random.lognormvariate(0.7, 0.3) * MS * slower)

    maker = Slowed(seconds=20, users=10, seed=seed, lost=lost)
    return runs.read(maker.write(folder / f"{seed}-{slower}-{lost}", id=f"{seed:06x}", seed=seed))


@pytest.fixture(scope="module")
def sets(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Run]]:
    folder = tmp_path_factory.mktemp("trials")
    return {
        "old": [trial(made, folder, seed) for seed in range(1, 7)],
        "same": [trial(made, folder, seed) for seed in range(11, 17)],
        "slow": [trial(made, folder, seed, slower=1.3) for seed in range(1, 7)],
        "lossy": [trial(made, folder, seed, lost=0.02) for seed in range(1, 7)],
    }


def summaries(some: list[Run]) -> list[Summary]:
    return [summarise(run) for run in some]


def state_of(found: list[regression.Change], name: str) -> str:
    return next(one.verdict.state for one in found if one.name == name)


# -- gauges --------------------------------------------------------------------------------------------------


def test_the_gauges_of_a_run_are_few_and_in_order(sets: dict[str, list[Run]]) -> None:
    names = [one.name for one in gauges(summaries(sets["old"])[0])]
    assert names[:4] == [
        "server_cpu_s_per_1000",
        "message.deliver service_p50_ms",
        "message.deliver p95_ms",
        "message.deliver p99_ms",
    ]
    assert names[4:] == ["loss_share", "bytes_per_delivery"]


def test_a_gauge_that_one_run_lacks_is_not_compared(sets: dict[str, list[Run]]) -> None:
    first, second = summaries(sets["old"])[:2]
    lacking = replace(second, server=None)
    assert "server_cpu_s_per_1000" in together([first, second])
    assert "server_cpu_s_per_1000" not in together([first, lacking])
    assert together([]) == {}


def test_loss_is_over_everything_that_people_mostly_do(sets: dict[str, list[Run]]) -> None:
    summary = summaries(sets["lossy"])[0]
    row = next(row for row in summary.operations if (row.name, row.phase) == ("message.deliver", "measure"))
    assert main_operations(summary) == [Operation.MESSAGE_DELIVER]
    assert Gauge(LOSS, row.lost / row.expected) in gauges(summary)


# -- changes -------------------------------------------------------------------------------------------------


def test_a_slower_build_is_a_regression_in_what_became_slower_only(sets: dict[str, list[Run]]) -> None:
    found = changes(summaries(sets["old"]), summaries(sets["slow"]))
    by_name = {one.name: one for one in found}
    assert by_name[P95].verdict.state == FAIL
    assert by_name[P95].effect.estimate == pytest.approx(1.3, rel=0.1)
    assert by_name[P95].verdict.limit == 1 + TOLERANCE
    low, high = by_name[P95].verdict.ci95 or (None, None)
    assert low is not None
    assert high is not None
    assert 1.05 < low < by_name[P95].effect.estimate < high
    assert by_name["bytes_per_delivery"].verdict.state != FAIL


def test_the_other_way_round_it_became_cheaper(sets: dict[str, list[Run]]) -> None:
    found = changes(summaries(sets["slow"]), summaries(sets["old"]))
    assert state_of(found, P95) == PASS


def test_two_sets_of_one_build_block_nothing(sets: dict[str, list[Run]]) -> None:
    found = changes(summaries(sets["old"]), summaries(sets["same"]))
    assert all(one.verdict.state != FAIL for one in found)


def test_losses_are_compared_as_differences(sets: dict[str, list[Run]]) -> None:
    found = changes(summaries(sets["old"]), summaries(sets["lossy"]))
    loss = next(one for one in found if one.name == LOSS)
    assert loss.verdict.state == FAIL
    assert loss.verdict.unit == "share"
    assert loss.verdict.limit == LOST_MORE
    assert loss.effect.estimate == pytest.approx(0.02, abs=0.01)
    assert loss.detectable is None
    assert state_of(changes(summaries(sets["lossy"]), summaries(sets["old"])), LOSS) == PASS


def test_no_loss_on_either_side_is_no_change(sets: dict[str, list[Run]]) -> None:
    assert state_of(changes(summaries(sets["old"]), summaries(sets["same"])), LOSS) == PASS


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_trials_decide_nothing(sets: dict[str, list[Run]], n: int) -> None:
    found = changes(summaries(sets["old"])[:n], summaries(sets["slow"])[:n])
    assert {one.verdict.state for one in found} == {INCONCLUSIVE}
    assert all(f"{FEWEST} are the fewest" in one.verdict.why for one in found)
    assert all(one.verdict.ci95 is None for one in found)


def test_a_wider_tolerance_lets_a_slower_build_pass(sets: dict[str, list[Run]]) -> None:
    found = changes(summaries(sets["old"]), summaries(sets["slow"]), tolerance=1.0)
    assert state_of(found, P95) == PASS


def _gate(generator: np.random.Generator, n: int, figures: int, times: float, cv: float = 0.05) -> bool:
    """Whether one simulated comparison of ``figures`` figures, of which the first changed, is blocked."""
    names = [f"figure-{index} p95_ms" for index in range(figures)]
    before = {name: generator.normal(100, 100 * cv, n).tolist() for name in names}
    after = {name: generator.normal(100, 100 * cv, n).tolist() for name in names}
    after[names[0]] = [value * times for value in after[names[0]]]
    effects = {name: regression._effect(name, before[name], after[name]) for name in names}
    adjusted = regression.holm([regression._dearer_by_chance(name, effects[name]) for name in names])
    states = [
        regression._change(name, before[name], after[name], effects[name], p, TOLERANCE).verdict.state
        for name, p in zip(names, adjusted, strict=True)
    ]
    return FAIL in states


def test_a_hundred_comparisons_of_one_build_block_at_most_five() -> None:
    generator = np.random.default_rng(20261126)
    assert sum(_gate(generator, 6, figures=1, times=1.0) for _ in range(100)) <= 5


def test_six_figures_at_once_block_no_more_often() -> None:
    generator, n = np.random.default_rng(20261126), 600
    blocked = sum(_gate(generator, 6, figures=6, times=1.0) for _ in range(n)) / n
    assert blocked <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / n)


@pytest.mark.parametrize(("n", "share"), [(5, 0.79), (7, 0.91)])
def test_ten_percent_is_found_as_often_as_the_theory_says(n: int, share: float) -> None:
    generator = np.random.default_rng(n)
    found = sum(_gate(generator, n, figures=1, times=1.1) for _ in range(300)) / 300
    assert found >= share - 3 * math.sqrt(share * (1 - share) / 300)


# -- what may be compared ------------------------------------------------------------------------------------


def test_equal_sets_may_be_compared(sets: dict[str, list[Run]]) -> None:
    assert differences(sets["old"], sets["slow"]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scenario": "calls"}, "scenario: messaging against calls"),
        ({"users": 30}, "users: 10 against 30"),
        ({"transport": "interval-polling"}, "transport: websocket against interval-polling"),
        ({"seed": 9}, "seeds: 1 against 9"),
        ({"format": 0}, "format: 1 against 0"),
    ],
)
def test_what_differs_is_said(sets: dict[str, list[Run]], change: dict[str, object], said: str) -> None:
    one = sets["old"][0]
    other = Run(one.path, replace(one.manifest, **change), [], [], [])
    assert said in differences([one], [other])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rate_per_min", 6.0, "rate (messages per user and minute): 60.0 against 6.0"),
        ("payload_bytes", 1000, "payload (bytes in a message body): 150 against 1000"),
        ("faults", ["abort@5"], "faults: not known against ['abort@5']"),
    ],
)
def test_parameters_that_differ_are_said(
    sets: dict[str, list[Run]], key: str, value: object, said: str
) -> None:
    one = sets["old"][0]
    told = {**one.manifest.parameters, key: value}
    other = Run(one.path, replace(one.manifest, parameters=told), [], [], [])
    assert differences([one], [other]) == [said]


def test_another_machine_is_said(sets: dict[str, list[Run]]) -> None:
    one = sets["old"][0]
    elsewhere = {**one.manifest.environment, "fingerprint": "ffff"}
    other = Run(one.path, replace(one.manifest, environment=elsewhere), [], [], [])
    assert differences([one], [other]) == ["machine (host fingerprint): b1f0c2d4 against ffff"]


# -- two single runs -----------------------------------------------------------------------------------------


def test_two_runs_tell_what_the_noise_within_them_explains(sets: dict[str, list[Run]]) -> None:
    found = {one.statistic: one for one in apart(sets["old"][0], sets["slow"][0], Operation.MESSAGE_DELIVER)}
    for name in ("mean", "p50", "p95"):
        one = found[name]
        assert one.ends is not None
        assert one.ratio is not None
        assert one.ends[0] <= one.ratio <= one.ends[1]
        assert one.ends[0] < 1.3 < one.ends[1] * 1.1
    assert found["p50"].ends[0] > 1.1  # type: ignore[index]


def test_a_run_of_itself_is_alike(sets: dict[str, list[Run]]) -> None:
    one = sets["old"][0]
    for it in apart(one, one, Operation.MESSAGE_DELIVER):
        assert it.ratio == 1
        assert it.ends is not None
        assert it.ends[0] < 1 < it.ends[1]


def test_what_was_not_measured_is_not_compared(sets: dict[str, list[Run]]) -> None:
    assert {one.why for one in apart(*sets["old"][:2], Operation.CALL_RING)} == {"not measured in both"}


# -- a job of a night ----------------------------------------------------------------------------------------


def taken(some: list[Run], arm: str, noisy: int = 0) -> list[Taken]:
    return [
        Taken(
            Told(
                arm,
                run.manifest.seed,
                str(run.path),
                0,
                "noise" if index < noisy else "",
                index >= noisy,
                "valid",
                0,
            ),
            run,
        )
        for index, run in enumerate(some)
    ]


KEPT = Slo("message.deliver", "p(95)<1000")


def test_a_job_that_keeps_its_slos_passes(sets: dict[str, list[Run]]) -> None:
    outcome = judge(Asked("chat", [KEPT], False), taken(sets["old"], "candidate")).outcome
    assert (outcome.state, outcome.used, [one.state for one in outcome.verdicts]) == (PASS, 6, [PASS])
    figure = outcome.figures[P95]
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low <= figure.value <= figure.high
    assert figure.n == 6


def test_a_slower_candidate_fails_against_its_baseline(sets: dict[str, list[Run]]) -> None:
    both = taken(sets["old"], "baseline") + taken(sets["slow"], "candidate")
    judged = judge(Asked("chat", [KEPT], True), both)
    assert judged.outcome.state == FAIL
    assert state_of(judged.changes, P95) == FAIL
    assert "p95_ms" in judged.outcome.why or "service_p50_ms" in judged.outcome.why


def test_trials_that_do_not_count_are_left_out_with_their_pair(sets: dict[str, list[Run]]) -> None:
    both = taken(sets["old"], "baseline", noisy=1) + taken(sets["slow"], "candidate", noisy=0)
    judged = judge(Asked("chat", [], True), both)
    assert {len(one.before) for one in judged.changes} == {5}
    assert {len(one.after) for one in judged.changes} == {5}


def test_too_many_noisy_trials_leave_no_comparison(sets: dict[str, list[Run]]) -> None:
    both = taken(sets["old"], "baseline", noisy=3) + taken(sets["slow"], "candidate")
    outcome = judge(Asked("chat", [], True), both).outcome
    assert outcome.state == INCONCLUSIVE
    assert "3 pairs of trials count" in outcome.verdicts[0].why


def test_a_job_without_a_trial_that_counts_is_not_decided(sets: dict[str, list[Run]]) -> None:
    outcome = judge(Asked("chat", [KEPT], False), taken(sets["old"], "candidate", noisy=6)).outcome
    assert (outcome.state, outcome.verdicts) == (INCONCLUSIVE, [])


def test_a_job_that_was_cut_is_incomplete_but_keeps_its_verdicts(sets: dict[str, list[Run]]) -> None:
    outcome = judge(
        Asked("chat", [KEPT], False), taken(sets["old"][:2], "candidate"), "the target died"
    ).outcome
    assert (outcome.state, outcome.why) == ("incomplete", "the target died")
    assert len(outcome.verdicts) == 1


def test_memory_is_judged_where_the_plan_asks(sets: dict[str, list[Run]]) -> None:
    asked = Asked("soak", [], False, memory_percent_per_hour=1.0)
    outcome = judge(asked, taken(sets["old"][:1], "candidate")).outcome
    [verdict] = outcome.verdicts
    assert verdict.state == FAIL  # these runs tell no memory: what measures nothing is not kept
    assert "nothing was measured" in verdict.why
