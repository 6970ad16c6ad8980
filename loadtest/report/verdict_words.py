"""How is a verdict put into words?

A limit is worded as exactly as it was asked for. What was observed, and the ends of its interval, are worded in
about three figures, unless that would read like the limit: "p(95) 100 ms, limit 100 ms" does not say what failed.
"""

from __future__ import annotations

import math

from loadtest.analysis.figures import say_share
from loadtest.analysis.verdict import MS_UNIT, PER_HOUR, RATIO, SHARE, Verdict
from loadtest.measure.threshold import ThresholdError, parse_slo
from loadtest.measure.units import say_ms
from loadtest.report.words import UNKNOWN, times

_MOST_DECIMALS = 6


def say(verdict: Verdict) -> str:
    """``p(95) 312 ms, limit 100 ms, 95 % interval 290 ms to 330 ms: why``; what is not known is left out."""
    subject = _subject(verdict)
    said = [f"no {subject}" if verdict.observed is None else f"{subject} {observed(verdict)}"]
    if verdict.limit is not None:
        said.append(f"limit {limit(verdict)}")
    if verdict.ci95 is not None and verdict.ci95[0] is not None:
        said.append(f"95 % interval {interval(verdict)}")
    return ", ".join(said) + (f": {verdict.why}" if verdict.why else "")


def observed(verdict: Verdict) -> str:
    """``312 ms``, ``1.4 %``, ``12,345``, ``1.12×``; an en dash for what is not known."""
    return UNKNOWN if verdict.observed is None else _beside_limit(verdict.observed, verdict)


def limit(verdict: Verdict) -> str:
    """``100 ms``, ``0.25 %``, ``1,000``, ``1.05×``, with every digit that was asked for; or an en dash."""
    if verdict.limit is None:
        return UNKNOWN
    factor, suffix = _scale(verdict)
    return f"{_plain(verdict.limit * factor)}{suffix}"


def interval(verdict: Verdict) -> str:
    """``290 ms to 330 ms``; ``290 ms or more`` if the sample bounds only one end; or an en dash."""
    if verdict.ci95 is None:
        return UNKNOWN
    low, high = verdict.ci95
    if low is None:  # all of it lies among what never came
        return "not reached"
    if low == -math.inf:  # a difference between too few trials
        return "not bounded" if high is None else f"{_beside_limit(high, verdict)} or less"
    if high is None:
        return f"{_beside_limit(low, verdict)} or more"
    return f"{_beside_limit(low, verdict)} to {_beside_limit(high, verdict)}"


def _subject(verdict: Verdict) -> str:
    """What was looked at: ``p(95)`` of an SLO; of other questions the name says it."""
    try:
        return parse_slo(verdict.name)[1].aggregate
    except ThresholdError:
        return "observation" if verdict.observed is None else "observed"


def _beside_limit(value: float, verdict: Verdict) -> str:
    asked, unit = verdict.limit, verdict.unit
    if asked is None or _roughly(value, unit) != _roughly(asked, unit):
        return _roughly(value, unit)
    if value == asked:
        return limit(verdict)
    factor, suffix = _scale(verdict)
    for decimals in range(_MOST_DECIMALS):
        said = f"{value * factor:,.{decimals}f}"
        if said != f"{asked * factor:,.{decimals}f}":
            return said + suffix
    return _plain(value * factor) + suffix


def _roughly(value: float, unit: str) -> str:
    if unit == MS_UNIT:
        return say_ms(value)
    if unit == SHARE:
        return say_share(value) if value >= 0 else f"-{say_share(-value)}"  # a difference between two shares
    if unit == PER_HOUR:
        return f"{_plain(value, 1)} %"
    return times(value) if unit == RATIO else _plain(value, 3)


def _scale(verdict: Verdict) -> tuple[float, str]:
    """(factor, suffix) in which a limit is worded, and what must be told apart from it."""
    if verdict.unit == MS_UNIT:
        return (0.001, " s") if abs(verdict.limit or 0) >= 1000 else (1, " ms")
    return {SHARE: (100, " %"), RATIO: (1, "×"), PER_HOUR: (1, " %")}.get(verdict.unit, (1, ""))


def _plain(value: float, decimals: int = _MOST_DECIMALS) -> str:
    """``1,234.5``: no zeros at the end, and never 0 for what is not."""
    said = f"{value:,.{decimals}f}"
    said = said.rstrip("0").rstrip(".") if "." in said else said
    return f"{value:g}" if said in ("0", "-0") and value else said
