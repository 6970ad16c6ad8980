"""Every statistic of a claim on runs whose answer is known, and p against the slow way."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadtest.analysis import claim_server
from loadtest.analysis.claim_estimates import Asked, Estimate, all_together, drawn, of_trials, share, side
from loadtest.analysis.claim_latency import sample, value_ms
from loadtest.analysis.claim_statistics import STATISTICS, estimate, say
from loadtest.analysis.summary import summarise
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS
from loadtest.measure import run as runs
from loadtest.measure.histogram import Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.rows import SeriesRow, ServerRow, TrafficRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.units import MS, SECOND

DELIVER = "message.deliver"


def asked(statistic: str, compare: str = "<=", limit: float = 1.0, **more: Any) -> Asked:
    return Asked(statistic, ("here",), compare, limit, **more)


def of(statistic: str, *some: Run, compare: str = "<=", limit: float = 1.0, **more: Any) -> Estimate:
    """A statistic of these runs."""
    return estimate(asked(statistic, compare, limit, **more), {"here": list(some)})


def row(second: int, *latencies_ms: float, operation: str = DELIVER, **counts: int) -> SeriesRow:
    """A second of the measured phase."""
    histogram = Histogram()
    for one in latencies_ms:
        histogram.record(round(one * MS))
    phases = {"own_device": histogram.counts()} if operation == DELIVER else {}
    return SeriesRow(
        operation, "websocket", "measure", second, latency=histogram.counts(), phases=phases, **counts
    )


def a_run(made: ModuleType, rows: list[Any], drops: Any = (), name: str = "run", **changes: Any) -> Run:
    """These rows and drops in a run that measures from second 5 to 27."""
    return Run(Path(f"/{name}"), made.manifest(**changes), rows, list(drops), [])


# -- on which side, and how surely ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compare", "limit", "ends", "state"),
    [
        ("<=", 100, (90, 100), PASS),
        ("<=", 100, (90, 100.1), INCONCLUSIVE),
        ("<=", 100, (100, 120), INCONCLUSIVE),
        ("<=", 100, (100.1, 120), FAIL),
        (">=", 15, (15, 20), PASS),
        (">=", 15, (10, 15), INCONCLUSIVE),
        (">=", 15, (10, 14.9), FAIL),
        (">=", 15, (0.0, math.inf), INCONCLUSIVE),
        ("==", 100, (100, 100), PASS),
        ("==", 100, (99, 99), FAIL),
        ("==", 100, (99, 101), INCONCLUSIVE),
    ],
)
def test_a_part_is_decided_by_its_whole_interval(
    compare: str, limit: float, ends: tuple[float, float], state: str
) -> None:
    assert side(compare, limit, *ends) == state


@given(st.integers(1, 400), st.data(), st.sampled_from([0.01, 0.5, 0.95, 0.99, 0.999]))
def test_p_of_a_share_is_the_exact_test(n: int, data: st.DataObject, limit: float) -> None:
    hits = data.draw(st.integers(0, n))
    found = share(asked("recovered_share", ">=", limit), hits, n, "drops")
    sides = [stats.binomtest(hits, n, limit, alternative=which).pvalue for which in ("less", "greater")]
    assert found.p == pytest.approx(min(1.0, 2 * min(sides)))
    # Clopper and Pearson's interval is that test turned around.
    assert (found.low > limit or found.high < limit) == (found.p < 0.05) or found.p == pytest.approx(0.05)


def test_p_of_trials_is_students() -> None:
    values = [80.0, 90.0, 95.0, 85.0, 99.0, 91.0]
    found = of_trials(asked("p95_ms", limit=100.0), values, "ms")
    assert found is not None
    assert (found.low, found.high, found.value) == (80.0, 99.0, 90.5)
    assert found.p == pytest.approx(float(stats.ttest_1samp(np.log(values), math.log(100.0)).pvalue))


def test_equal_trials_and_trials_that_never_came_have_a_p() -> None:
    equal = of_trials(asked("p95_ms", limit=100.0), [5.0] * 6, "ms")
    lost = of_trials(asked("p95_ms", limit=100.0), [math.inf] * 6, "ms")
    assert equal is not None and lost is not None
    assert equal.p == 0.0
    assert (lost.value, lost.low, lost.p) == (None, math.inf, pytest.approx(2 / 64))


def test_few_trials_on_both_sides_of_a_limit_decide_nothing() -> None:
    below, above = Estimate(90.0, 85, 95, 0.001, "ms"), Estimate(110.0, 105, 115, 0.001, "ms")
    found = all_together(asked("p95_ms", limit=100.0), [below, above])
    assert (found.low, found.high, found.p) == (85, 115, 1.0)
    assert all_together(asked("p95_ms", limit=100.0), [below, below]).p == 0.001


def test_resampling_never_makes_a_p_of_zero() -> None:
    assert drawn(np.full(499, 5.0), 100.0) == (1 / 500, 1.0)


# -- latency ----------------------------------------------------------------------------------------------


def steady(made: ModuleType, ms: float, name: str = "run", lost: int = 0, seed: int = 1) -> Run:
    """Ten a second, all about as fast."""
    rows = [row(second, *[ms + n / 100 for n in range(10)], lost=lost) for second in range(5, 27)]
    return a_run(made, rows, name=name, seed=seed)


@pytest.mark.parametrize(("name", "exact"), [("mean", 50.045), ("p50", 50.04), ("p95", 50.09)])
def test_figures_of_one_run(made: ModuleType, name: str, exact: float) -> None:
    found = of(f"{name}_ms", steady(made, 50.0), limit=100.0, of=DELIVER)
    assert found.value == pytest.approx(exact, rel=0.008)
    assert 0 < found.p < 0.01
    assert 49 < found.low <= found.high < 51


def test_lost_ones_are_infinitely_slow(made: ModuleType) -> None:
    found = of("p95_ms", steady(made, 50.0, lost=2), limit=100.0, of=DELIVER)
    assert found.value is None
    assert side("<=", 100.0, found.low, found.high) == FAIL


def test_too_few_values_say_how_many_it_takes(made: ModuleType) -> None:
    found = of("p95_ms", a_run(made, [row(6, 5.0)]), limit=100.0, of=DELIVER)
    assert (found.why, found.p) == ("n=1 in the smallest trial", 1.0)
    assert found.needed.startswith("59 values")


def ratio(made: ModuleType, trials: int, limit: float = 15.0) -> Estimate:
    fast = [steady(made, 5.0 + n / 10, f"fast-{n}", seed=n) for n in range(trials)]
    slow = [steady(made, 500.0 + n, f"slow-{n}", seed=n) for n in range(trials)]
    return estimate(
        asked("ratio_of_means", ">=", limit, against="there", of=DELIVER), {"here": fast, "there": slow}
    )


@pytest.mark.parametrize("trials", [1, 2, 6])
def test_a_ratio_is_slow_over_fast(made: ModuleType, trials: int) -> None:
    found = ratio(made, trials)
    assert found.value == pytest.approx(500 / (5 + (trials - 1) / 20), rel=0.03)
    assert 15 < found.low <= found.value <= found.high
    assert len(found.each) == 2 * trials


def test_few_trials_are_held_against_the_one_of_the_same_seed(made: ModuleType) -> None:
    part = asked("ratio_of_means", ">=", 15.0, against="there", of=DELIVER)
    fast = [steady(made, 5.0, "fast-2", seed=2)]
    slow = [steady(made, 500.0, "slow-1", seed=1), steady(made, 250.0, "slow-2", seed=2)]
    found = estimate(part, {"here": fast, "there": slow})
    assert found.value == pytest.approx(50, rel=0.03)
    other = estimate(part, {"here": fast, "there": slow[:1]})
    assert other.why == "no trial of one arm has the seed of one of the other"


def test_the_p_of_a_ratio_of_six_trials_is_the_least_there_is(made: ModuleType) -> None:
    assert ratio(made, 6).p == pytest.approx(2 / math.comb(12, 6))
    assert ratio(made, 6, limit=96.0).p > 0.05


# -- who came back ----------------------------------------------------------------------------------------


def returning(made: ModuleType, drops: list[Any], rows: list[Any] | None = None, **changes: Any) -> Run:
    told = made.manifest().parameters | made.RETURNING
    return a_run(made, rows or [], drops, parameters=told, **changes)


def test_who_came_back_of_those_who_came_back_or_gave_up(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8.0) for n in range(9)]
    drops += [made.drop("u9", 8.0, (1.0, 2.0), "gave_up"), made.drop("u10", 8.0, (), "stayed")]
    found = of("recovered_share", returning(made, drops), compare=">=", limit=0.99)
    assert (found.value, found.detail) == (0.9, "9 of 10 lost connections")


def test_a_room_is_joined_again_once_it_delivers(made: ModuleType) -> None:
    drops = [made.drop("u1", 8.0, rooms=2, proven=2), made.drop("u2", 8.0, rooms=2, proven=1)]
    assert of("rejoin_share", returning(made, drops), compare=">=", limit=0.999).value == 0.75


def test_waits_are_judged_by_number(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8.0, (1.0, 2.0)) for n in range(3)] + [made.drop("u3", 8.0, (1.0, 2.5))]
    run = returning(made, drops)
    first, second = (of("in_band_share", run, compare=">=", limit=0.95, attempt=n) for n in (1, 2))
    assert (first.value, second.value) == (1.0, 0.75)
    assert of("in_band_share", run, compare=">=", limit=0.95).value == 7 / 8
    assert of("attempts_most", run, limit=5).value == 2


def test_an_attempt_that_the_generator_began_late_is_no_fault_of_the_policy(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8.0) for n in range(3)] + [made.drop("u3", 8.0, (1.4,), late_s=0.4)]
    found = of("in_band_share", returning(made, drops), compare=">=", limit=0.95, attempt=1)
    assert found.value == 1.0
    assert found.detail.endswith("; 1 that the generator itself began late are left out")


def test_without_a_drop_there_is_nothing_to_judge(made: ModuleType) -> None:
    run = returning(made, [])
    for statistic in ("recovered_share", "rejoin_share", "in_band_share", "attempts_most", "longest_gap_ms"):
        found = of(statistic, run)
        assert found.why and found.p == 1.0


def test_what_was_lost_twice_or_out_of_order_of_what_came_while_away(made: ModuleType) -> None:
    rows = [
        row(9, *[1000.0] * 97, operation="message.resync", lost=2, late=1, expected=100),
        row(10, 5.0, duplicate=1, reordered=1, expected=1),
    ]
    found = of("broken_share", returning(made, [], rows), limit=0.001)
    assert (found.value, side("<=", 0.001, found.low, found.high)) == (0.05, FAIL)


def test_none_of_many_lost_is_bounded_by_three_in_n(made: ModuleType) -> None:
    rows = [row(9, *[1000.0] * 400, operation="message.resync", expected=400)]
    found = of("broken_share", returning(made, [], rows), limit=0.001)
    assert found.value == 0
    assert "fewer than 0.7 % with 95 % (3 / n)" in found.detail
    assert found.needed.startswith(
        "3,688 messages to people who were away without a bad one would confirm it"
    )


def test_the_longest_gap_is_that_of_a_user(made: ModuleType) -> None:
    drops = [made.drop("u1", 8.0), made.drop("u2", 9.0, (1.0, 2.0))]
    found = of("longest_gap_ms", returning(made, drops), limit=2000)
    # 1 s, an attempt of 20 ms that fails, 2 s, one that works, and the probe 50 ms later.
    assert found.value == pytest.approx(3090)
    assert (found.low, found.p) == (found.value, 0)


def test_unprovoked_drops_are_those_without_a_fault(made: ModuleType) -> None:
    drops = [made.drop("u1", 8.0), made.drop("u2", 8.0, fault="abort#0")]
    assert of("unprovoked_drops", returning(made, drops), limit=0).value == 1


# -- what reached whom ------------------------------------------------------------------------------------


def test_delivered_counts_copies_and_is_as_sure_as_its_messages(made: ModuleType) -> None:
    rows = [row(second, *[5.0] * 90, expected=90) for second in range(5, 27)]
    rows += [row(second, *[2.0] * 10, operation="message.ack", expected=10) for second in range(5, 27)]
    found = of("delivered_share", a_run(made, rows), compare=">=", limit=0.99, of=DELIVER)
    assert (found.value, found.detail) == (1.0, "1,980 of 1,980 copies, of 220 messages")
    assert found.low == pytest.approx(0.025 ** (1 / 220))


def test_in_time_is_within_the_deadline_of_availability(made: ModuleType) -> None:
    rows = [row(second, *[5.0] * 9, 2500.0, expected=10) for second in range(5, 27)]
    found = of("in_time_share", returning(made, [], rows), compare=">=", limit=0.999)
    assert found.value == pytest.approx(0.9)
    assert found.each[0].column == "within 2 s"


def test_the_other_device_is_owed_every_message(made: ModuleType) -> None:
    rows = [row(second, *[5.0] * 9, expected=9) for second in range(5, 27)]
    rows += [row(second, *[2.0] * 10, operation="message.ack", expected=10) for second in range(5, 27)]
    told = made.manifest().parameters | {"devices": 2}
    run = a_run(made, rows, parameters=told)
    assert of("second_device_share", run, compare=">=", limit=0.999).value == 0.9
    assert of("second_device_p95_ms", run, limit=100.0).value == pytest.approx(5.0, rel=0.008)


def test_connects(made: ModuleType) -> None:
    run = a_run(made, [], counters={"connections.established": 995, "connections.failed": 5})
    assert of("connect_share", run, compare=">=", limit=0.99).value == 0.995


# -- the server and its limit -----------------------------------------------------------------------------


def test_memory_of_a_short_run_says_how_long_it_takes(made: ModuleType) -> None:
    rows = [ServerRow(second, rss_bytes=10**8) for second in range(5, 27)]
    assert "60 needed" in of("memory_percent_per_hour", a_run(made, rows), limit=1.0).why


def test_memory_that_grows_is_found(made: ModuleType) -> None:
    edges = Edges(2 * SECOND, 5 * SECOND, 605 * SECOND, 610 * SECOND)
    rows = [ServerRow(second, rss_bytes=10**8 + 10**4 * second) for second in range(5, 605)]
    found = of("memory_percent_per_hour", a_run(made, rows, edges=edges), limit=1.0)
    assert found.value == pytest.approx(36, rel=0.1)
    assert side("<=", 1.0, found.low, found.high) == FAIL


def limited(made: ModuleType, before: tuple[int, int], after: tuple[int, int]) -> Run:
    """(processed, refused) of one talker in a room of two, before a drop at second 15 and after it."""
    acks = "message.ack"
    rows = [
        row(10, *[2.0] * before[0], operation=acks, failed=before[1]),
        row(20, *[2.0] * after[0], operation=acks, failed=after[1]),
    ]
    drops = [made.drop(user, 15.5, fault="abort#0") for user in ("talker", "listener")]
    return returning(made, drops, rows, users=2)


def test_processed_and_refused_on_each_socket(made: ModuleType) -> None:
    run = limited(made, (100, 10), (99, 11))
    names = ("processed_count", "refused_count", "processed_after_reconnect", "refused_after_reconnect")
    assert [of(name, run, compare="==", limit=100).value for name in names] == [100, 10, 100, 11]


def test_the_run_farthest_from_the_claim_speaks_for_all(made: ModuleType) -> None:
    some = [limited(made, (100, 10), (99, 11)), limited(made, (103, 7), (99, 11))]
    assert of("processed_count", *some, compare="==", limit=100).value == 103


def test_who_did_not_say_all_of_it_was_not_refused_too_little(made: ModuleType) -> None:
    short = limited(made, (100, 7), (99, 11))
    found = of("refused_count", short, compare="==", limit=10)
    assert (found.value, found.why) == (None, "107 messages were said where 110 were meant to be")
    assert of("refused_after_reconnect", short, compare="==", limit=11).value == 11
    both = [short, limited(made, (100, 10), (99, 11))]
    assert of("refused_count", *both, compare="==", limit=10).value == 10


def test_the_scenario_says_as_many_as_are_judged() -> None:
    """Read, not imported: a scenario sets the defaults of the whole process."""
    scenario = Path(__file__).parents[2] / "scenarios" / "rate_limit.py"
    assert f"\nSAYS = {claim_server.SAYS}\n" in scenario.read_text(encoding="utf-8")


# -- bytes ------------------------------------------------------------------------------------------------


def carrying(made: ModuleType, transport: str, per_user_s: int, name: str, said: int = 400) -> Run:
    """20 users for 22 s, so many bytes each and second, without segments' headers to speak of."""
    talk = 20 * 22 * per_user_s
    traffic = TrafficRow(transport, "active", "tcp_info", 20, 20 * 22 * SECOND, talk, 0, 1, 0)
    rows = [row(9, *[2.0] * said, operation="message.ack"), row(9, *[2.0] * said), traffic]
    return a_run(made, rows, name=name, transport=transport)


def saved(made: ModuleType, push: int, poll: int, trials: int = 1, limit: float = 0.9) -> Estimate:
    here = [carrying(made, "websocket", push + n, f"push-{n}") for n in range(trials)]
    there = [carrying(made, "interval-polling", poll + n, f"poll-{n}") for n in range(trials)]
    return estimate(asked("saving_share", ">=", limit, against="there"), {"here": here, "there": there})


@pytest.mark.parametrize(("push", "state"), [(500, PASS), (1000, INCONCLUSIVE), (3000, FAIL), (12_000, FAIL)])
def test_a_saving_is_what_is_not_spent(made: ModuleType, push: int, state: str) -> None:
    found = saved(made, push, 10_000)
    assert found.value == pytest.approx(1 - push / 10_000, abs=0.001)
    assert side(">=", 0.9, found.low, found.high) == state
    assert (found.p < 0.05) == (state != INCONCLUSIVE)


def test_a_saving_of_several_trials_is_a_ratio_of_trials(made: ModuleType) -> None:
    found = saved(made, 500, 10_000, trials=6)
    assert found.value is not None
    assert 0.9 < found.low < found.value < found.high < 0.951
    assert found.p < 1e-9


@pytest.mark.parametrize(("push", "state"), [(870, PASS), (1300, FAIL)])
def test_four_trials_a_side_decide_among_four_parts(made: ModuleType, push: int, state: str) -> None:
    """By their order alone they never could: 2 of 70 deals is more than a quarter of 5 %."""
    found = saved(made, push, 10_000, trials=4)
    assert side(">=", 0.9, found.low, found.high) == state
    assert found.p < 0.05 / 4 < 2 / math.comb(8, 4)


def test_bytes_that_are_the_same_to_the_last_one_are_no_chance(made: ModuleType) -> None:
    def of_same(push: int) -> float:
        here = [carrying(made, "websocket", push, f"push-{n}") for n in range(4)]
        there = [carrying(made, "interval-polling", 10_000, f"poll-{n}") for n in range(4)]
        arms = {"here": here, "there": there}
        return estimate(asked("saving_share", ">=", 0.9, against="there"), arms).p

    assert of_same(500) == 0.0


# -- the registry -----------------------------------------------------------------------------------------


def test_every_statistic_has_a_name_in_words() -> None:
    for name in STATISTICS:
        words = say(Asked(name, ("push",), "<=", 1.0, "polling", DELIVER, 2))
        assert "push" in words and "{" not in words


def test_without_a_run_there_is_no_estimate() -> None:
    for name in STATISTICS:
        found = estimate(Asked(name, ("push",), "<=", 1.0, "polling", DELIVER), {})
        assert (found.value, found.p) == (None, 1.0)
        assert "push" in found.why


def test_figures_are_those_of_the_summary(made: ModuleType, tmp_path: Path) -> None:
    run = runs.read(made.Maker(users=40, seed=3, lost=0.01).write(tmp_path))
    (told,) = [one for one in summarise(run).operations if (one.name, one.phase) == (DELIVER, "measure")]
    one = sample(run, Operation.MESSAGE_DELIVER)
    for name in ("mean", "p50", "p95"):
        assert value_ms(one, name) == getattr(told.latency_ms, name)
