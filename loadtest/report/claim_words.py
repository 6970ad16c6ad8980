"""How is what became of a claim put into words?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.analysis.claim_estimates import AT_MOST, EXACTLY
from loadtest.analysis.claim_scope import Scope
from loadtest.analysis.claims import Found, Outcome
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS
from loadtest.measure.units import say_ms, say_rate, say_seconds
from loadtest.report.sections.verdicts import WORDS
from loadtest.report.verdict_words import limit, observed
from loadtest.report.words import count, plural, transport_name

_MOST = 2
"""Numbers that the first line of a claim shows."""
_LOOPBACK = "loopback alone cannot confirm it for users: their round trip comes on top"


def word(outcome: Outcome) -> str:
    """``confirmed``, ``refuted``, ``inconclusive``; a confirmation where the way costs nothing says so."""
    said = WORDS["claim"][outcome.state]
    return f"{said} at RTT 0" if outcome.only_on_loopback else said


def measured(outcome: Outcome) -> str:
    """The numbers that the verdict hangs on: those that refute it, or else the first that decide."""
    deciding = [one for one in outcome.parts if one.decides and not one.left_out]
    shown = [one for one in deciding if one.verdict.state == outcome.state] or deciding
    known = [one for one in shown if one.verdict.observed is not None] or [
        one for one in deciding if one.verdict.observed is not None
    ]
    said = [f"{one.verdict.name}: {observed(one.verdict)} (claimed {asked(one)})" for one in known[:_MOST]]
    return "; ".join(said) or "nothing"


def reason(outcome: Outcome) -> str:
    """What would decide it, and what a confirmation on loopback is worth; empty where the numbers say it all."""
    if outcome.state == INCONCLUSIVE:
        return outcome.why
    return _LOOPBACK if outcome.only_on_loopback else ""


def asked(found: Found) -> str:
    """``≤ 100 ms``."""
    sign = {AT_MOST: "≤", EXACTLY: "="}.get(found.compare, "≥")
    return f"{sign} {limit(found.verdict)}"


def scope(of: Scope | None, quick: bool, server: str) -> str:
    """For what the verdict holds, in a sentence."""
    if of is None:
        return "Nothing: there is no run of it that can be believed."
    trips = ", ".join(f"{trip:g}" for trip in of.round_trips_ms)
    said = [
        f"round trip {trips} ms" + (" (loopback)" if of.loopback else ""),
        _several([count(one) for one in of.users]) + " users",
        _several([say_rate(round(one, 2) / 60) for one in of.rates_per_min if round(one, 2)]) + " each",
        f"rooms of {_several(of.rooms)}",
        f"{_several([count(one) for one in of.payload_bytes])} B of text",
        _several([transport_name(one) for one in of.transports]),
        server,
        _several(of.hardware),
        "quick, one trial" if quick else f"up to {plural(of.trials, 'trial')} of an arm",
        f"{say_seconds(of.measured_s)} measured",
    ]
    return "; ".join(said) + "."


def changes(outcome: Outcome) -> list[str]:
    """What would change the verdict, a sentence each."""
    found = [outcome.would_change] if outcome.would_change else []
    return found + [
        f"{one.verdict.name}: a round trip longer by {say_ms(one.round_trip_ms)} would use up all that is left to "
        f"{limit(one.verdict)}, by arithmetic."
        for one in outcome.parts
        if one.round_trip_ms is not None and one.verdict.state == PASS and one.decides
    ]


def hypotheses(outcome: Outcome) -> list[tuple[str, str]]:
    """(part, what theory expects of it), of the parts that were measured."""
    return [(one.verdict.name, one.expects) for one in outcome.parts if one.expects and not one.left_out]


def tally(outcomes: Sequence[Outcome]) -> str:
    """``8 claims: 5 confirmed, 2 refuted, 1 inconclusive``."""
    counts = {state: sum(one.state == state for one in outcomes) for state in (PASS, FAIL, INCONCLUSIVE)}
    said = [f"{n} {WORDS['claim'][state]}" for state, n in counts.items() if n]
    return f"{plural(len(outcomes), 'claim')}: {', '.join(said)}"


def _several(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
