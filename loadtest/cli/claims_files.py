"""What does a session of claims leave behind, and with which code does it end?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from loadtest.analysis.claims import Outcome
from loadtest.analysis.exit_code import RUN_INVALID, USAGE, first_of
from loadtest.analysis.exit_code import codes_of as codes_of_verdicts
from loadtest.analysis.validity import INVALID, VALID
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS
from loadtest.cli.claims_session import INCOMPLETE
from loadtest.cli.telling import write_junit
from loadtest.measure import run as runs
from loadtest.report.claims_page import Asked, claims_page
from loadtest.report.render import write_file, write_page
from loadtest.report.suite import Suite

if TYPE_CHECKING:
    from loadtest.cli.beneath import Section
    from loadtest.cli.claims_session import Session


def codes_of(outcomes: Sequence[Outcome], session: Session, strict: bool) -> set[int]:
    """All codes that apply."""
    applying = codes_of_verdicts([one.verdict for one in outcomes], strict)
    if not any(one.validity != INVALID for outcome in outcomes for one in outcome.trials):
        applying.add(RUN_INVALID)
    if session.record.failed:
        applying.add(USAGE)
    return applying


def write(
    session: Session,
    outcomes: Sequence[Outcome],
    codes: set[int],
    whole: bool,
    beneath: Section | None = None,
) -> tuple[dict[str, Any], list[Suite]]:
    """Write all files of the session; (summary.json as data, what CI is told). Raises RunError.

    beneath: what its page says of the floors, which have a file of their own.
    """
    record = session.record
    record.exit_code = first_of(codes)
    record.state = _state(outcomes, whole and not record.failed)
    summary = {
        "format": 1,
        "session": {"id": session.path.name, "started": record.started, "quick": record.quick},
        "state": record.state,
        "exit_code": record.exit_code,
        "notes": record.failed,
        "claims": outcomes,
    }
    suite = _suite(session, outcomes, RUN_INVALID in codes)
    write_file(
        session.path / runs.SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    )
    write_junit(session.path / runs.JUNIT, [suite])
    asked = Asked(
        record.started,
        record.quick,
        record.host or "a reference server of its own for each run",
        "" if whole else "Cut short: what is missing counts as not decided.",
        list(record.failed),
        shlex.join(["loadtest", *sys.argv[1:]]),
    )
    write_page(session.path / runs.REPORT, claims_page(outcomes, asked, *(beneath or ())))
    session.save()
    return summary, [suite]


def _suite(session: Session, outcomes: Sequence[Outcome], invalid: bool) -> Suite:
    return Suite(
        name="claims",
        scenario="claims",
        started=session.record.started,
        seconds=sum(one.measured_s for one in _each(outcomes)),
        verdicts=[one.verdict for one in outcomes],
        validity=INVALID if invalid else VALID,
        reasons=["no run of this session can be believed"] if invalid else [],
        properties={"session": session.path.name},
    )


def _state(outcomes: Sequence[Outcome], whole: bool) -> str:
    states = {one.state for one in outcomes}
    if FAIL in states:
        return FAIL
    if not whole:
        return INCOMPLETE
    return INCONCLUSIVE if INCONCLUSIVE in states else PASS


def _each(outcomes: Sequence[Outcome]) -> list[Any]:
    """Every trial once, though several claims may share it."""
    return list({one.path: one for outcome in outcomes for one in outcome.trials}.values())
