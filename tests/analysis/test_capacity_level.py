"""What several trials of one number of users say together."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import msgspec
import pytest

from loadtest.analysis.capacity_level import Trial, delivered_share, judge, pool
from loadtest.analysis.capacity_search import FAIL, GENERATOR, OPEN, PASS
from loadtest.analysis.figures import Lag
from loadtest.analysis.series import grouped, measured_seconds, total
from loadtest.analysis.slo import verdicts
from loadtest.analysis.steadiness import DRIFTING, STEADY, UNSETTLED, Steadiness
from loadtest.analysis.summary import summarise
from loadtest.analysis.validity import INVALID, VALID, Validity
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.slo import Slo
from loadtest.measure.units import MS, SECOND

P95 = [Slo("message.deliver", "p(95)<10")]
BELIEVED = Validity(VALID, [], Lag(), Lag(), None, None)


@pytest.fixture(scope="module")
def take(made: ModuleType) -> Any:
    """``take(median_ms, ...)``: a trial of 30 s whose deliveries take about so long; more is of the maker."""

    def make(median_ms: float, seed: int = 1, **told: Any) -> Trial:
        class Slow(made.Maker):  # type: ignore[name-defined, misc]
            def delay_ns(self) -> int:
                return round(self.random.lognormvariate(0, 0.3) * median_ms * MS)

        run = made.in_memory(Slow(seed=seed, **told).play())
        summary = summarise(run)
        steady = Steadiness(STEADY)
        return run, msgspec.structs.replace(summary, steadiness=steady, validity=BELIEVED)

    return make


def with_steadiness(trial: Trial, steady: Steadiness) -> Trial:
    return trial[0], msgspec.structs.replace(trial[1], steadiness=steady)


def invalid(trial: Trial, why: str) -> Trial:
    run, summary = trial
    return run, msgspec.structs.replace(summary, validity=Validity(INVALID, [why], Lag(), Lag(), None, None))


def test_kept_by_its_whole_interval(take: Any) -> None:
    found = judge([take(3)], P95)
    assert (found.state, found.why) == (PASS, "")
    assert [one.state for one in found.verdicts] == ["pass"]


def test_broken_by_its_whole_interval(take: Any) -> None:
    found = judge([take(30)], P95)
    assert (found.state, found.why) == (FAIL, "broken: message.deliver: p(95)<10")


def test_pooling_decides_what_one_trial_does_not(take: Any) -> None:
    """As one sample: side by side, the span of three intervals is never narrower than one of them."""
    trials = [take(6.0, seed) for seed in range(1, 4)]
    alone = [judge([one], P95) for one in trials]
    together = judge(trials, P95)
    low, high = together.verdicts[0].ci95 or (0, 0)
    assert low is not None and high is not None
    for one in alone:
        its_low, its_high = one.verdicts[0].ci95 or (0, 0)
        assert its_low is not None and its_high is not None
        assert high - low < its_high - its_low


def test_a_limit_within_the_interval_is_open(take: Any) -> None:
    trial = take(6.0)
    observed = judge([trial], P95).verdicts[0].observed
    found = judge([trial], [Slo("message.deliver", f"p(95)<{observed}")])
    assert found.state == OPEN
    assert found.why.startswith("not decided: ")


def test_what_is_lost_fails_whatever_the_slo_says(take: Any) -> None:
    found = judge([take(3, lost=0.05)], [Slo("message.deliver", "p(50)<10")])
    assert found.state == FAIL
    assert "delivered by the end" in found.why


def test_what_was_still_on_its_way_at_the_end_was_not_delivered(made: ModuleType, take: Any) -> None:
    run, _ = take(3)
    assert delivered_share([run]) == 1
    queued = SeriesRow("message.deliver", "websocket", "measure", 20, open=run_deliveries(run) // 10)
    behind = Run(run.path, run.manifest, [*run.series, queued], [], [])
    share = delivered_share([behind])
    assert share is not None and 0.90 < share < 0.92


def run_deliveries(run: Run) -> int:
    return sum(
        row.latency.n for row in run.series if row.operation == "message.deliver" and row.phase == "measure"
    )


RISING = Steadiness(DRIFTING, 0, 20.0, (10.0, 30.0), "p50 rose by 20 %")
FALLING = Steadiness(DRIFTING, 0, -20.0, (-30.0, -10.0), "p50 fell by 20 %")
NEVER = Steadiness(UNSETTLED, None, None, None, "it never settled")


@pytest.mark.parametrize("steady", [RISING, NEVER])
def test_latency_that_rises_is_asked_again_and_then_fails(take: Any, steady: Steadiness) -> None:
    first, second, calm = (take(1, seed) for seed in (1, 2, 3))
    first, second = with_steadiness(first, steady), with_steadiness(second, steady)
    assert judge([first], P95).state == OPEN
    assert judge([first, second], P95).state == FAIL
    assert judge([first, second], P95).why == f"not steady: {steady.why}"
    assert judge([first, calm], P95).state == PASS


def test_latency_that_falls_is_no_queue(take: Any) -> None:
    assert judge([with_steadiness(take(1), FALLING)], P95).state == PASS


def test_a_generator_at_its_limit_says_nothing_of_the_server(take: Any) -> None:
    found = judge([take(3), invalid(take(300), "generator CPU p95 91 %")], P95)
    assert found == (GENERATOR, "generator CPU p95 91 %", [])


def test_whom_the_server_did_not_let_in_is_its_failure(made: ModuleType, take: Any) -> None:
    _, summary = take(3)
    edges = Edges(None, None, None, 30 * SECOND)
    nobody = made.in_memory(edges=edges)
    found = judge([invalid((nobody, summary), "no measured second: not every user had joined")], P95)
    assert found.state == FAIL
    assert found.why.startswith("not everybody got in: ")


def test_an_slo_on_what_nobody_did_is_broken(take: Any) -> None:
    assert judge([take(3)], [Slo("call.ring", "p(95)<50")]).state == FAIL


def test_pooled_runs_are_their_sum(take: Any) -> None:
    runs = [take(3, seed)[0] for seed in (1, 2, 3)]
    whole = pool(runs)
    assert measured_seconds(whole) == sum(measured_seconds(run) for run in runs)
    for name, rows in grouped(whole.series).items():
        of_each = [
            total(row for row in run.series if (row.operation, row.phase) == (name.operation, name.phase))
            for run in runs
        ]
        found = total(rows)
        assert found.latency.n == sum(one.latency.n for one in of_each)
        assert found.counts == {key: sum(one.counts[key] for one in of_each) for key in found.counts}


def test_a_pool_of_one_says_what_the_run_says(take: Any) -> None:
    run, _ = take(6)
    steady = Steadiness(STEADY)
    slos = [*P95, Slo("session.connect", "p(95)<100"), Slo("message.deliver", "rate<0.01")]
    assert verdicts(pool([run]), slos, BELIEVED, steady) == verdicts(run, slos, BELIEVED, steady)


def test_a_pool_keeps_measure_in_one_piece(take: Any) -> None:
    whole = pool([take(3, seed)[0] for seed in (1, 2)])
    edges = whole.manifest.edges
    assert edges.measure_ns is not None and edges.drain_ns is not None
    seconds = {
        row.second for row in whole.series if row.phase == "measure" and row.operation == "message.deliver"
    }
    assert seconds == set(range(edges.measure_ns // SECOND, edges.drain_ns // SECOND))


def test_a_pool_remembers_who_was_stopped(take: Any) -> None:
    first, second = take(3, 1)[0], take(3, 2)[0]
    stopped = msgspec.structs.replace(second.manifest, stopped_by=P95[0].name)
    cut = Run(second.path, stopped, second.series, [], [])
    assert pool([first, cut]).manifest.stopped_by == P95[0].name
