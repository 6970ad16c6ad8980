"""With which code does a command end, so that a CI job can tell why?"""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.analysis.summary import Summary
from loadtest.analysis.validity import INVALID
from loadtest.analysis.verdict import CLAIM, FAIL, REGRESSION, SLO, Verdict
from loadtest.analysis.verdict import INCONCLUSIVE as UNDECIDED

PASS, FAILURES, USAGE, BROKEN, REGRESSED, RUN_INVALID, INCONCLUSIVE = range(7)

PRECEDENCE = (USAGE, RUN_INVALID, BROKEN, REGRESSED, FAILURES, INCONCLUSIVE, PASS)
"""The first of these that applies."""

_OF_VERDICT = {
    (SLO, FAIL): BROKEN,
    (CLAIM, FAIL): BROKEN,
    (REGRESSION, FAIL): REGRESSED,
}


def exit_code(summaries: Iterable[Summary], locust_failures: int, strict: bool = False) -> int:
    """The code for these runs together. Suspect runs keep theirs; inconclusive counts only if ``strict``."""
    applying = {FAILURES} if locust_failures else set()
    for summary in summaries:
        if summary.validity.state == INVALID:
            applying.add(RUN_INVALID)
        applying |= codes_of(summary.verdicts, strict)
    return first_of(applying)


def codes_of(verdicts: Iterable[Verdict], strict: bool = False) -> set[int]:
    """What these verdicts ask for."""
    applying = set()
    for verdict in verdicts:
        if verdict.state == UNDECIDED and strict:
            applying.add(INCONCLUSIVE)
        elif (verdict.kind, verdict.state) in _OF_VERDICT:
            applying.add(_OF_VERDICT[verdict.kind, verdict.state])
    return applying


def first_of(applying: Iterable[int]) -> int:
    """The code that counts of several."""
    found = {PASS, *applying}
    return next(code for code in PRECEDENCE if code in found)
