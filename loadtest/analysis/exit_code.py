"""With which code does a report end, so that a CI job can tell why?"""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.analysis.summary import Summary
from loadtest.analysis.validity import INVALID

PASS, FAILURES, USAGE, BROKEN, REGRESSION, RUN_INVALID, INCONCLUSIVE = range(7)

PRECEDENCE = (USAGE, RUN_INVALID, BROKEN, REGRESSION, FAILURES, INCONCLUSIVE, PASS)
"""The first of these that applies."""

_OF_VERDICT = {
    ("slo", "fail"): BROKEN,
    ("claim", "fail"): BROKEN,
    ("regression", "fail"): REGRESSION,
}


def exit_code(summaries: Iterable[Summary], locust_failures: int, strict: bool = False) -> int:
    """The code for these runs together. Suspect runs keep theirs; inconclusive counts only if ``strict``."""
    applying = {PASS}
    if locust_failures:
        applying.add(FAILURES)
    for summary in summaries:
        if summary.validity.state == INVALID:
            applying.add(RUN_INVALID)
        for verdict in summary.verdicts:
            if verdict.state == "inconclusive" and strict:
                applying.add(INCONCLUSIVE)
            elif (verdict.kind, verdict.state) in _OF_VERDICT:
                applying.add(_OF_VERDICT[verdict.kind, verdict.state])
    return next(code for code in PRECEDENCE if code in applying)
