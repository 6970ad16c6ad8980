"""Which results of a session are set above the floors of the harness: what came by push, and how fast?

Beside them a floor decides whether 20 ms are the server's or our own. What waits for a poll takes hundreds of
times as long as the harness does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadtest.analysis.claim_statistics import STATISTICS
from loadtest.analysis.series import pooled
from loadtest.analysis.validity import INVALID, judge
from loadtest.analysis.verdict import MS_UNIT
from loadtest.cli import beneath
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.report.sections.floors import Pooled

if TYPE_CHECKING:
    from loadtest.cli.claims_session import Session
    from loadtest.contract.claims import Claim

RESULTS = {
    "messaging": ("Messages by push", "push", Operation.MESSAGE_DELIVER),
    "calls": ("Rings by push", "push", Operation.CALL_RING),
    "live-chat": ("Live chat by push", "push", Operation.CHAT_DELIVER),
    "devices": ("Messages to people with two devices", "two-devices", Operation.MESSAGE_DELIVER),
}
"""By experiment, in the order of the page: what it is called, of which arm, and what is measured."""


def section(session: Session, asked: Sequence[Claim], quiet: bool) -> beneath.Section:
    """Measure the floors at the load of the first such run. Raises RunError if a run of the session is gone."""
    of, results = _results(session, asked)
    return beneath.Section(None) if of is None else beneath.section(of, results, session.path, quiet)


def tightest_ms(asked: Sequence[Claim], experiment: str, arm: str) -> float | None:
    """The lowest limit that a claim sets to a time of this arm; None: they set none."""
    limits = [
        float(part.limit)  # type: ignore[arg-type]  # a part whose limit is no number is refused when read
        for claim in asked
        for part in claim.part
        if claim.experiment == experiment
        and arm in part.arms
        and part.compare == "<="
        and STATISTICS[part.statistic].unit == MS_UNIT
    ]
    return min(limits, default=None)


def _results(session: Session, asked: Sequence[Claim]) -> tuple[Run | None, dict[str, Pooled]]:
    """(the first run, what each experiment came to): all trials of an arm together, but those nobody believes."""
    first, found = None, dict[str, Pooled]()
    for experiment, (name, arm, operation) in RESULTS.items():
        recipe = session.plan.experiments.get(experiment, {}).get(arm)
        made = [runs.read(session.path / one.path) for one in session.record.done if one.recipe == recipe]
        believed = [run for run in made if judge(run).state != INVALID]
        whole = pooled(believed, operation)
        if whole.expected:
            first = first or believed[0]
            found[name] = Pooled(whole, tightest_ms(asked, experiment, arm))
    return first, found
