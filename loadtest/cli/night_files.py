"""What does a night leave behind: its files, its row in the history, its exit code?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from loadtest.analysis import history as nights
from loadtest.analysis.exit_code import FAILURES, INCONCLUSIVE, RUN_INVALID, USAGE, codes_of, first_of
from loadtest.analysis.history import inconclusive_in_a_row
from loadtest.analysis.night import INCOMPLETE, Judged
from loadtest.analysis.validity import INVALID
from loadtest.analysis.verdict import INCONCLUSIVE as UNDECIDED
from loadtest.cli.history_file import HistoryError, append, read
from loadtest.cli.telling import write_junit
from loadtest.measure import run as runs
from loadtest.measure.run import RunError
from loadtest.report.night_page import SERIOUS, night_page
from loadtest.report.render import write_file, write_page
from loadtest.report.suite import Suite

if TYPE_CHECKING:
    from loadtest.cli.night import Ran
    from loadtest.cli.nightly import Night

NIGHT = "night.json"


def append_history(path: Path, night: Night, judged: Sequence[Judged]) -> tuple[list[str], int]:
    """Add a row for each job; (lines to tell, nights in a row that the worst job could not decide).

    A history that cannot be written loses the row, not the night: it is said, and the page is written.
    """
    rows = [_row(night, one) for one in judged if one.outcome.trials or one.outcome.state == INCOMPLETE]
    try:
        said = append(path, rows, night.path.name[:16])
        known = read(path)
    except HistoryError as error:
        return [f"error: {error}"], 0
    jobs = {one.job for one in rows if one.state == UNDECIDED}
    streaks = [inconclusive_in_a_row([one for one in known if one.job == job]) for job in jobs]
    return said, max(streaks, default=0)


def _row(night: Night, judged: Judged) -> nights.Night:
    outcome = judged.outcome
    return nights.Night(
        night.started,
        outcome.job,
        night.target,
        str(outcome.facts.get("fingerprint", "")),
        outcome.facts.get("commit"),
        outcome.used,
        outcome.state,  # type: ignore[arg-type]  # the states of an outcome are those of a night
        outcome.why,
        night.path.name,
        {name: nights.Figure(one.value, one.low, one.high, one.n) for name, one in outcome.figures.items()},
    )


def code_of(ran: Sequence[Ran], judged: Sequence[Judged], strict: bool) -> set[int]:
    """All codes that apply."""
    applying: set[int] = set()
    for one, it in zip(ran, judged, strict=True):
        outcome = it.outcome
        applying |= codes_of(outcome.verdicts, strict)
        if outcome.failures:
            applying.add(FAILURES)
        if one.cut and not one.interrupted:
            applying.add(USAGE)
        if outcome.state == INVALID or (one.interrupted and not outcome.used):
            applying.add(RUN_INVALID)
        if outcome.state == UNDECIDED and strict:
            applying.add(INCONCLUSIVE)
    return applying


def write_night(
    night: Night, judged: Sequence[Judged], codes: set[int], lines: Sequence[str]
) -> tuple[dict[str, Any], list[Suite]]:
    """summary.json, junit.xml, night.json and report.html. Raises RunError."""
    if any(line.startswith("error: ") for line in lines):
        codes = codes | {USAGE}
    summary = _summary(night, judged, first_of(codes), lines)
    suites = [_suite(night, one) for one in judged]
    try:
        night.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{night.path}: cannot be made ({error.strerror})") from None
    write_file(night.path / runs.SUMMARY, _json(summary))
    write_junit(night.path / runs.JUNIT, suites)
    shelf = {
        "kind": "nightly",
        "name": ", ".join(one.outcome.job for one in judged),
        "started": night.started,
        "state": summary["state"],
        "exit_code": summary["exit_code"],
        "page": runs.REPORT,
        "runs": sum(len(one.outcome.trials) for one in judged),
    }
    write_file(night.path / NIGHT, _json(shelf))
    page = night_page(judged, night.started, night.target, lines, night.command)
    write_page(night.path / runs.REPORT, page)
    return summary, suites


def _summary(night: Night, judged: Sequence[Judged], code: int, lines: Sequence[str]) -> dict[str, Any]:
    states = {one.outcome.state for one in judged}
    return {
        "format": 1,
        "night": {"id": night.path.name, "started": night.started, "target": night.target},
        "state": next((state for state in SERIOUS if state in states), INCOMPLETE),
        "exit_code": code,
        "notes": list(lines),
        "jobs": [one.outcome for one in judged],
    }


def _suite(night: Night, judged: Judged) -> Suite:
    outcome = judged.outcome
    invalid = outcome.state in (INVALID, INCOMPLETE)
    facts = {
        "night": night.path.name,
        "trials": str(outcome.used),
        "commit": str(outcome.facts.get("commit") or ""),
    }
    return Suite(
        name=f"nightly {outcome.job}",
        scenario=outcome.job,
        started=night.started,
        seconds=sum(summary.run.duration_s for _, summary in judged.candidate),
        verdicts=outcome.verdicts,
        validity=INVALID if invalid else "valid",
        reasons=[outcome.why] if invalid else [],
        failures=outcome.failures,
        properties={name: value for name, value in facts.items() if value},
    )


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
