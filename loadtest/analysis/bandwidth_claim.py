"""Is it true that push saves so much of the bytes of polling?"""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.analysis.bandwidth import ACTIVE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING
from loadtest.analysis.bandwidth_surface import ENOUGH, Point
from loadtest.analysis.verdict import CLAIM, FAIL, INCONCLUSIVE, PASS, SHARE, Verdict


def saving_verdict(points: Iterable[Point], claim_percent: float) -> list[Verdict]:
    """Of each point: does push save that much? Confirmed, refuted, or inconclusive, by the interval.

    A claim of -90 % is a statement about one rate, one set of headers and one number of feeds, so each has an
    answer of its own, and on each level.
    """
    return [_verdict(point, claim_percent / 100) for point in points]


def _verdict(point: Point, claim: float) -> Verdict:
    state, why = INCONCLUSIVE, ""
    if point.low is None or point.high is None:
        why = f"one run says nothing of how much this varies: {ENOUGH} trials would"
    elif point.low >= claim:
        state = PASS
    elif point.high < claim:
        state = FAIL
    else:
        why = "the interval holds the limit: more trials would tell, or a rate further from where the claim ends"
    ends = None if point.low is None or point.high is None else (point.low, point.high)
    return Verdict(name_of(point), CLAIM, state, point.saving, claim, ends, SHARE, why)


def name_of(point: Point) -> str:
    """``bandwidth{regime:active,rate:0.1,transport:interval-polling,headers:library,feeds:1,level:wire}``."""
    arm = point.polling
    parts = [f"regime:{point.regime}"]
    parts += [f"rate:{point.rate:g}"] if point.regime == ACTIVE else []
    parts += [f"transport:{arm.transport}", f"headers:{arm.headers}"]
    parts += [f"feeds:{arm.feeds}"] if arm.transport == INTERVAL_POLLING else []
    parts += ["compression:on"] if point.compression else []
    return f"bandwidth{{{','.join([*parts, f'level:{point.level}'])}}}"
