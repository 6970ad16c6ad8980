"""Did clients wait as their policy says, and what did the server bear when all came back at once?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.analysis.backoff import ENOUGH, IN_BAND, INCONCLUSIVE, OUT_OF_BAND, Attempt
from loadtest.analysis.figures import say_share
from loadtest.analysis.storm import GENERATOR_BOUND, OK, Storm
from loadtest.measure.units import say_ms
from loadtest.report.subject import Subject
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN, count

TONES = {IN_BAND: "good", OUT_OF_BAND: "bad", INCONCLUSIVE: "warn"}
VERDICTS = {OK: ("ok", "good"), GENERATOR_BOUND: ("generator-bound", "warn")}


def band(low_s: float, high_s: float) -> str:
    """``1``, ``0.551 to 1.5``: seconds, without the unit."""
    return f"{high_s:.3g}" if low_s == high_s else f"{low_s:.3g} to {high_s:.3g}"


def backoff_table(subjects: Sequence[Subject], heads: list[str]) -> Table:
    """What was waited before each attempt, and whether the policy says so."""
    columns = ["waits", "shortest", "median", "longest", "policy", "in band", "verdict"]
    found = [(one, row) for one in subjects for row in one.summary.reconnection.backoff]
    found.sort(key=lambda pair: pair[1].attempt)
    return table(
        "Waits between attempts", ["attempt", *heads], columns, [_attempt(one, row) for one, row in found]
    )


def _attempt(subject: Subject, row: Attempt) -> Row:
    policy = UNKNOWN
    if row.band_s is not None:
        policy = f"{band(*row.band_s)} s"
    share = UNKNOWN if row.in_band is None else say_share(row.in_band)
    return Row(
        [Cell(str(row.attempt)), *subject.who],
        [
            Cell(count(row.n)),
            Cell(_seconds(row.min_s)),
            Cell(_seconds(row.p50_s)),
            Cell(_seconds(row.max_s)),
            Cell(policy, tone="quiet"),
            Cell(share),
            Cell(row.state or UNKNOWN, _too_few(row), TONES.get(row.state or "", "quiet")),
        ],
    )


def _too_few(row: Attempt) -> str:
    return f"said of {ENOUGH} waits and more" if row.state == INCONCLUSIVE and row.n < ENOUGH else ""


def _seconds(value: float | None) -> str:
    """``1.02 s``, or milliseconds below one."""
    return UNKNOWN if value is None else say_ms(value * 1000)


def storm_table(subjects: Sequence[Subject], heads: list[str]) -> Table:
    """A row per fault that cut off a crowd."""
    columns = [
        "lost",
        "back",
        "T50",
        "T95",
        "T99",
        "attempts",
        "peak per s",
        "failed",
        "one took, p99",
        "verdict",
    ]
    found = [(one, row) for one in subjects for row in one.summary.reconnection.storms]
    return table(
        "Storms: many lost at once", ["fault", *heads], columns, [_storm(one, row) for one, row in found]
    )


def _storm(subject: Subject, row: Storm) -> Row:
    word, tone = VERDICTS.get(row.verdict or "", (UNKNOWN, "quiet"))
    times = [
        known(_seconds(getattr(row, name)), row.why.get(name, "")) for name in ("t50_s", "t95_s", "t99_s")
    ]
    return Row(
        [Cell(f"{row.fault} at {row.at_s:.1f} s"), *subject.who],
        [
            Cell(count(row.n)),
            Cell(count(row.back), tone="" if row.back == row.returning else "warn"),
            *times,
            Cell(count(row.attempts)),
            Cell(count(row.peak_per_s)),
            known(
                UNKNOWN if row.failed_share is None else say_share(row.failed_share),
                row.why.get("failed_share", ""),
            ),
            known(say_ms(row.took_p99_ms), row.why.get("took_p99_ms", "")),
            known(word, row.why.get("verdict", "") if row.verdict is None else "", tone),
        ],
    )


def storm_notes(subject: Subject) -> list[str]:
    """The verdict of each storm in words, and what it cost those who kept their connections."""
    return [
        f"{subject.intro}{row.fault}: {row.words}.{_bystanders(row)}"
        for row in subject.summary.reconnection.storms
    ]


def _bystanders(row: Storm) -> str:
    """What deliveries took from sending to receipt, while the storm went on and before it."""
    before, during = row.bystanders.before, row.bystanders.during
    then, now = before.service_ms.p95 if before is not None else None, during.service_ms.p95
    if then is None or now is None:
        return ""
    settled = row.bystanders.settled_s
    after = f", within 10 % of that again after {_seconds(settled)}" if settled is not None else ""
    return (
        f" Meanwhile a delivery took {say_ms(now)} from sending to receipt (p95), before the fault "
        f"{say_ms(then)}{after}."
    )
