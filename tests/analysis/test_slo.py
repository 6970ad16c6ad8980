"""Verdicts of runs whose answer is known: made ones, and simulated ones whose truth was chosen."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from asking import CALM, Numbers, believed, judged, row, run, seconds
from msgspec.structs import replace

from loadtest.analysis.intervals import needed_for_share
from loadtest.analysis.slo import verdicts
from loadtest.analysis.steadiness import DRIFTING, UNSETTLED, Steadiness, steadiness
from loadtest.analysis.validity import SUSPECT
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, Verdict
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.slo import Slo
from loadtest.measure.units import SECOND


def hundreds(made: ModuleType, lost: int = 0, late: int = 0, **changes: object) -> Run:
    """60 s of 1, 2, .. 100 ms each; beside them some are lost or late in every second."""
    return run(made, [row(second, np.arange(1.0, 101.0), lost, late) for second in range(60)], **changes)


# -- the three answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "state", "observed"),
    [
        ("p(95)<200", PASS, 95.0),
        ("p(95)<50", FAIL, 95.0),
        ("p(95)<96", INCONCLUSIVE, 95.0),
        ("p(95)>=50", PASS, 95.0),
        ("p(95)>=200", FAIL, 95.0),
        ("p(95)>96", INCONCLUSIVE, 95.0),
        ("med<60", PASS, 50.0),
        ("p(99.9)<=101", PASS, 100.0),
        ("avg<60", PASS, 50.5),
        ("avg<40", FAIL, 50.5),
        ("avg<50.6", INCONCLUSIVE, 50.5),
        ("avg>40", PASS, 50.5),
        ("rate<0.01", PASS, 0.0),
        ("rate<0.0001", INCONCLUSIVE, 0.0),
        ("rate>0.01", FAIL, 0.0),
        ("rate<=0", PASS, 0.0),  # says the same as the next
        ("rate==0", PASS, 0.0),
        ("rate<1", PASS, 0.0),
        ("rate<0", FAIL, 0.0),
        ("max<101", PASS, 100.0),
        ("max<100", FAIL, 100.0),
        ("min>=1", PASS, 1.0),
        ("min>1", FAIL, 1.0),
        ("count==6000", PASS, 6000.0),
        ("count>6000", FAIL, 6000.0),
        ("lost==0", PASS, 0.0),
        ("expected>=6000", PASS, 6000.0),
        ("failed!=0", FAIL, 0.0),
        ("max==100", PASS, 100.0),
        ("p(95)==1", FAIL, 95.0),
        ("p(95)!=1", PASS, 95.0),
    ],
)
def test_known_answers(made: ModuleType, text: str, state: str, observed: float) -> None:
    (verdict,) = judged(hundreds(made), text)
    assert (verdict.state, verdict.kind) == (state, "slo")
    # The bucket of a histogram is .8 % wide.
    assert verdict.observed == pytest.approx(observed, rel=0.008)
    assert verdict.name == f"message.deliver: {text}"


def test_units_limits_and_intervals(made: ModuleType) -> None:
    by_text = {
        one.name: one
        for one in judged(hundreds(made), "p(95)<200", "avg<60", "rate<0.01", "lost==0", "max<101")
    }
    told = [(one.unit, one.limit) for one in by_text.values()]
    assert told == [("ms", 200.0), ("ms", 60.0), ("share", 0.01), ("count", 0.0), ("ms", 101.0)]
    p95, avg, rate, lost, most = by_text.values()
    assert p95.ci95 is not None and p95.ci95[0] is not None and p95.ci95[1] is not None
    assert 93 < p95.ci95[0] < 95.5 < p95.ci95[1] < 98
    assert avg.ci95 is not None and avg.ci95 == (
        pytest.approx(49.77, abs=0.02),
        pytest.approx(51.23, abs=0.02),
    )
    assert rate.ci95 == (0.0, pytest.approx(-math.expm1(math.log(0.025) / 6000), abs=2e-6))
    assert lost.ci95 is most.ci95 is None, "a number that was counted has no interval"


def test_verdicts_stand_in_the_order_of_what_was_asked(made: ModuleType) -> None:
    texts = ["lost==0", "p(95)<50", "avg<60"]
    assert [one.name for one in judged(hundreds(made), *texts)] == [
        f"message.deliver: {text}" for text in texts
    ]
    assert judged(hundreds(made)) == []


def test_the_same_run_gets_the_same_verdicts(made: ModuleType) -> None:
    texts = ("p(95)<96", "avg<50.6", "rate<0.0001")
    assert judged(hundreds(made), *texts) == judged(hundreds(made), *texts)


# -- what never came -----------------------------------------------------------------------------------------


def test_what_never_came_is_slower_than_any_limit(made: ModuleType) -> None:
    p95, p50, most, least, share = judged(
        hundreds(made, lost=10, late=1), "p(95)<1000000", "p(50)<60", "max<1000000", "min<2", "rate<0.01"
    )
    assert [one.state for one in (p95, p50, most, least, share)] == [FAIL, PASS, FAIL, PASS, FAIL]
    assert p95.observed is most.observed is None
    assert p95.ci95 == (None, None)
    assert p95.why == most.why == "not reached: 9.9 % of 6,660 did not come in time"
    assert least.why == "of the 6,000 that came; 660 did not come in time"
    assert share.observed == pytest.approx(660 / 6660, abs=1e-6)


def test_an_upper_end_among_what_never_came_is_no_bound(made: ModuleType) -> None:
    """.9 % lost of 2,000: p(99) is seen, and may as well be among the lost."""
    rows = [
        row(second, [5.0] * 99 + [7.0] * (second % 10 > 0), lost=second % 10 == 0) for second in range(20)
    ]
    rows.append(row(3, lost=16))
    (verdict,) = judged(run(made, rows), "p(99)<100")
    assert verdict.state == INCONCLUSIVE
    assert verdict.observed == pytest.approx(7.0, rel=0.01)
    assert verdict.ci95 is not None and verdict.ci95[1] is None
    assert re.match(r"n=2,016 messages; about 8,100 would decide it, 1 min 20 s at this rate", verdict.why), (
        verdict.why
    )


@pytest.mark.parametrize("text", ["avg<100", "min<100", "avg>0", "min>0"])
def test_a_mean_of_nothing_that_came_is_broken(made: ModuleType, text: str) -> None:
    (verdict,) = judged(run(made, [row(second, lost=3, late=1) for second in range(10)]), text)
    assert (verdict.state, verdict.observed) == (FAIL, None)
    assert verdict.why == "nothing of it came in time: 40 late or lost"


# -- nothing there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["p(95)<100", "avg<100", "rate<0.5", "lost==0", "count>=0", "max<1", "p(95)>0"]
)
@pytest.mark.parametrize("open_ones", [None, 7])
def test_an_empty_metric_is_broken(made: ModuleType, text: str, open_ones: int | None) -> None:
    """Also if all there is of it was still under way when the run ended."""
    rows = [] if open_ones is None else [replace(row(3), open=open_ones)]
    (verdict,) = judged(run(made, rows, 10), text)
    assert (verdict.state, verdict.why) == (FAIL, "nothing was measured: the run has no message.deliver")


def test_another_transport_or_phase_is_another_metric(made: ModuleType) -> None:
    here, elsewhere, later = judged(
        hundreds(made),
        *(
            "message.deliver{transport:websocket}: lost==0",
            "message.deliver{transport:long-polling}: lost==0",
        ),
        "message.deliver{phase:drain}: lost==0",
    )
    assert [one.state for one in (here, elsewhere, later)] == [PASS, FAIL, FAIL]
    assert elsewhere.why == "nothing was measured: the run has no message.deliver{transport:long-polling}"


def test_failures_alone_are_something(made: ModuleType) -> None:
    failed = replace(row(3, operation="message.ack"), failed=9)
    share, count = judged(run(made, [failed]), "message.ack: rate<0.5", "message.ack: failed<10")
    assert (share.state, share.observed) == (FAIL, 1.0)
    assert (count.state, count.observed) == (PASS, 9.0)


# -- runs that say little ------------------------------------------------------------------------------------


def test_an_invalid_run_decides_nothing(made: ModuleType) -> None:
    validity = believed("invalid", "the generator failed", "and so on")
    of = hundreds(made, stopped_by="message.deliver: lost==0")
    found = judged(of, "p(95)<50", "lost==0", "message.echo: lost==0", validity=validity)
    assert {(one.state, one.why) for one in found} == {
        (INCONCLUSIVE, "the run is invalid: the generator failed")
    }
    assert found[0].observed == pytest.approx(95, rel=0.01)


def test_a_suspect_run_is_judged(made: ModuleType) -> None:
    assert judged(hundreds(made), "p(95)<50", validity=believed(SUSPECT, "CPU"))[0].state == FAIL


def test_what_ended_the_run_is_broken_whatever_its_interval_says(made: ModuleType) -> None:
    of = hundreds(made, stopped_by="message.deliver: p(95)<96", complete=False)
    ended, other = judged(of, "p(95)<96", "p(95)<200")
    assert (ended.state, ended.why) == (FAIL, "it ended the run")
    assert ended.ci95 is not None
    assert ended.observed == pytest.approx(95, rel=0.01)
    assert other.state == PASS


def rising(start_ms: float, end_ms: float, measured_s: int = 100, seed: int = 5) -> Numbers:
    """Latency that rises evenly, with noise; (W, 50)."""
    noise = np.random.RandomState(seed).lognormal(0, 0.1, (measured_s, 50))
    return np.linspace(start_ms, end_ms, measured_s)[:, np.newaxis] * noise


def test_a_run_that_drifts_towards_its_limit_has_not_kept_it(made: ModuleType) -> None:
    of = run(made, seconds(rising(40, 80)))
    assert steadiness(of).state == DRIFTING
    near, far, broken = judged(of, "p(50)<70", "p(50)<200", "p(50)<30", steady=None)
    assert [one.state for one in (near, far, broken)] == [INCONCLUSIVE, PASS, FAIL]
    assert re.match(
        r"p\d\d of message.deliver rose by .* %\); going on like that it would not stay ", near.why
    )
    assert judged(of, "p(50)<70")[0].state == PASS, "had it been steady"


def test_a_drift_away_from_the_limit_saves_nothing(made: ModuleType) -> None:
    of = run(made, seconds(rising(80, 40)))
    kept, broken = judged(of, "p(50)<70", "p(50)<50", steady=None)
    assert [kept.state, broken.state] == [PASS, INCONCLUSIVE], "it fell, and would fall below its limit"


def test_counts_and_shares_do_not_ask_whether_it_was_steady(made: ModuleType) -> None:
    of = run(made, seconds(rising(40, 80)))
    assert [one.state for one in judged(of, "rate<0.01", "lost==0", "max<1000", steady=None)] == [PASS] * 3


def test_of_a_run_that_had_not_settled_the_rest_must_say_the_same(made: ModuleType) -> None:
    values = rising(40, 40)
    values[:20] *= 3
    of = run(made, seconds(values))
    known = steadiness(of)
    assert (known.state, known.cut_s) == (UNSETTLED, 20)
    far, flattered, broken = judged(of, "avg<100", "avg>43", "avg<43", steady=None)
    assert [one.state for one in (far, flattered, broken)] == [PASS, INCONCLUSIVE, INCONCLUSIVE]
    for one in (flattered, broken):
        assert one.why.endswith("the rest alone does not say the same: use a longer --rt-warmup")
    assert [one.state for one in judged(of, "avg>43", "avg<43")] == [PASS, FAIL], "had it been steady"


def test_of_a_run_that_never_settled_the_second_half_counts(made: ModuleType) -> None:
    values = rising(40, 40)
    values[:50] *= 3
    never = Steadiness(UNSETTLED, None, why="it never settled")
    first_half, both = judged(run(made, seconds(values)), "avg>60", "avg>30", steady=never)
    assert [first_half.state, both.state] == [INCONCLUSIVE, PASS]


def test_nothing_left_after_it_had_settled_decides_nothing(made: ModuleType) -> None:
    late = Steadiness(UNSETTLED, 50, why="it was slow")
    of = run(made, seconds(rising(40, 40)[:50]), 100)
    assert judged(of, "avg<100", steady=late)[0].state == INCONCLUSIVE


# -- what it takes -------------------------------------------------------------------------------------------


def asked_for(verdict: Verdict) -> tuple[int, int]:
    """(n it has, n it asks for)."""
    found = re.match(r"n=([\d,]+)(?: messages)?; about ([\d,]+) would decide it", verdict.why)
    assert found, verdict
    has, needs = (int(one.replace(",", "")) for one in found.groups())
    return has, needs


def repeated(rows: list[SeriesRow], times: int) -> list[SeriesRow]:
    """The run, so many times in a row."""
    length = max(one.second for one in rows) + 1
    return [replace(one, second=one.second + turn * length) for turn in range(times) for one in rows]


def drawn(seed: int, lost: float = 0.0) -> list[SeriesRow]:
    """40 s of 30 deliveries, about a lognormal with mean 20 ms; ``lost`` of them never came."""
    stream = np.random.RandomState(seed)
    rows = []
    for second in range(40):
        gone = int(stream.binomial(30, lost))
        rows.append(row(second, stream.lognormal(3, 0.5, 30 - gone), lost=gone))
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("aggregate", "compare"), [("p(50)", "<"), ("p(95)", "<"), ("p(95)", ">"), ("avg", "<"), ("rate", "<")]
)
@pytest.mark.parametrize("part", [0.35, 0.6])
def test_as_many_as_it_asks_for_decide_it(
    made: ModuleType, seed: int, aggregate: str, compare: str, part: float
) -> None:
    """A limit inside the interval. Repeated, the run says the same, and surer; percentiles go in leaps there."""
    rows = drawn(seed, 0.05 if aggregate == "rate" else 0.0)
    (at_first,) = judged(run(made, rows), f"{aggregate}{compare}0.5")
    assert at_first.observed is not None and at_first.ci95 is not None and at_first.ci95[1] is not None
    limit = at_first.observed + part * (at_first.ci95[1] - at_first.observed)
    text = f"{aggregate}{compare}{limit!r}"
    (open_one,) = judged(run(made, rows), text)
    assert open_one.state == INCONCLUSIVE
    has, needs = asked_for(open_one)
    assert has == 1200
    factor = 4 if aggregate == "p(95)" else 2
    decided = judged(run(made, repeated(rows, math.ceil(factor * needs / has))), text)[0]
    assert decided.state == (PASS if compare == "<" else FAIL)
    too_few = max(1, math.floor(needs / has / factor))
    assert judged(run(made, repeated(rows, too_few)), text)[0].state == INCONCLUSIVE


def test_a_rate_without_a_bad_one_asks_for_the_rule_of_three(made: ModuleType) -> None:
    """3,688 good ones show .001 at 95 %, two-sided; 3,687 do not."""
    assert needed_for_share(0.001) == 3688
    few = run(made, seconds(np.full((29, 100), 5.0)))
    has, needs = asked_for(judged(few, "rate<=0.001")[0])
    assert (has, needs) == (2900, 3700)
    for n, state in ((3687, INCONCLUSIVE), (3688, PASS)):
        exactly = run(made, [*seconds(np.full((36, 100), 5.0)), row(36, [5.0] * (n - 3600))])
        assert judged(exactly, "rate<=0.001")[0].state == state


@pytest.mark.parametrize(
    ("q", "n", "needs"), [(0.5, 5, 6), (0.95, 71, 72), (0.99, 300, 370), (0.999, 3000, 3700)]
)
def test_a_sample_that_has_no_upper_end_asks_for_one(made: ModuleType, q: float, n: int, needs: int) -> None:
    """q**n <= .025 at n = 6, 72, 367, 3,688 (to two digits); below that no limit is low enough to be kept."""
    text = f"p({100 * q:g})<1000000"
    (verdict,) = judged(run(made, [row(0, [5.0] * n)]), text)
    assert verdict.state == INCONCLUSIVE
    assert asked_for(verdict) == (n, needs)
    assert judged(run(made, [row(0, [5.0] * needs)]), text)[0].state == PASS


@pytest.mark.parametrize("text", ["avg<100", "p(50)<100", "rate<0.5"])
def test_one_delivery_decides_nothing_and_says_so(made: ModuleType, text: str) -> None:
    (verdict,) = judged(run(made, [row(0, [5.0])]), text)
    assert verdict.state == INCONCLUSIVE
    has, needs = asked_for(verdict)
    assert has == 1 < needs < 10


def test_how_long_it_would_take_at_this_rate(made: ModuleType) -> None:
    (verdict,) = judged(run(made, seconds(np.full((29, 100), 5.0))), "rate<=0.001")
    assert verdict.why == "n=2,900 messages; about 3,700 would decide it, 37 s at this rate"


def test_deliveries_of_one_message_count_once(made: ModuleType) -> None:
    """A hundred messages to ten each: a thousand deliveries, and as sure as a hundred."""
    said = [row(second, [1.0] * 10, operation="message.ack") for second in range(10)]
    heard = seconds(np.full((10, 100), 5.0))
    (alone,) = judged(run(made, heard), "rate<0.01")
    (shared,) = judged(run(made, [*said, *heard]), "rate<0.01")
    assert alone.state == PASS
    assert shared.state == INCONCLUSIVE
    assert asked_for(shared)[0] == 100


# -- how often it is wrong -----------------------------------------------------------------------------------

RUNS = 100
SIGMA = 0.5


def lognormal(stream: np.random.RandomState) -> list[SeriesRow]:
    """60 s of 20 independent deliveries each, median 20 ms."""
    return seconds(20 * stream.lognormal(0, SIGMA, (60, 20)))


def fanned_out(stream: np.random.RandomState) -> list[SeriesRow]:
    """The same, each told to nine who all hear it at the same moment."""
    values = 20 * stream.lognormal(0, SIGMA, (60, 20))
    said = [row(second, [1.0] * 20, operation="message.ack") for second in range(60)]
    return [*said, *seconds(np.repeat(values, 9, axis=1))]


def lossy(stream: np.random.RandomState) -> list[SeriesRow]:
    """60 s of 20, 2 % of which are lost."""
    gone = stream.binomial(20, 0.02, 60)
    return [row(second, [5.0] * (20 - n), lost=int(n)) for second, n in enumerate(gone)]


P95 = 20 * math.exp(1.6448536269514722 * SIGMA)
MEAN = 20 * math.exp(SIGMA**2 / 2)


@pytest.mark.parametrize(
    ("draw", "aggregate", "truth", "grain"),
    [
        (lognormal, "p(50)", 20.0, 0.008),
        (lognormal, "p(95)", P95, 0.008),
        (lognormal, "avg", MEAN, 0.0),
        (fanned_out, "p(95)", P95, 0.008),
        (fanned_out, "avg", MEAN, 0.0),
        (lossy, "rate", 0.02, 0.0),
    ],
)
def test_wrong_verdicts_are_rare_when_the_limit_is_the_truth(
    made: ModuleType,
    draw: Callable[[np.random.RandomState], list[SeriesRow]],
    aggregate: str,
    truth: float,
    grain: float,
) -> None:
    """The hardest limit there is, just above the truth and just below it; a bucket is ``grain`` wide."""
    stream = np.random.RandomState(20_261_126)
    asked = [
        Slo("message.deliver", f"{aggregate}<{limit!r}")
        for limit in (truth * (1 + grain), truth * (1 - grain))
    ]
    above: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for _ in range(RUNS):
        kept, broken = verdicts(run(made, draw(stream)), asked, believed(), CALM)
        above[kept.state] += 1
        below[broken.state] += 1
    assert above[FAIL] <= RUNS / 20
    assert below[PASS] <= RUNS / 20
    assert 0 < above[FAIL] + above[PASS] < RUNS / 10, "and it is no interval that holds everything"


def test_far_limits_are_decided(made: ModuleType) -> None:
    stream = np.random.RandomState(7)
    texts = (f"p(95)<{1.3 * P95!r}", f"p(95)<{0.75 * P95!r}")
    states = [tuple(one.state for one in judged(run(made, lognormal(stream)), *texts)) for _ in range(40)]
    assert states.count((PASS, FAIL)) >= 38


def test_an_slo_of_connects_is_about_the_phase_in_which_people_connect(made: ModuleType) -> None:
    edges = Edges(10 * SECOND, 12 * SECOND, 20 * SECOND, 20 * SECOND)
    rows = [row(second, [5.0] * 50, operation="session.connect", phase="connect") for second in range(10)]
    drifting = Steadiness(DRIFTING, 0, 900.0, (800.0, 1000.0), "it rose")
    (verdict,) = judged(run(made, rows, edges=edges), "session.connect: p(95)<20", steady=drifting)
    assert verdict.state == PASS, "how deliveries went on in measure says nothing about it"
