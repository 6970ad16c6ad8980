"""What is a CI system told of a run?

The same facts go into JUnit's XML, into annotations and into the summary of a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from loadtest.analysis.validity import VALID
from loadtest.analysis.verdict import Verdict

if TYPE_CHECKING:
    from loadtest.analysis.summary import Summary


class Suite(NamedTuple):
    """One run, or one set of trials, with its verdicts.

    name: "messaging over websocket". started: an ISO 8601 moment, empty if unknown. seconds: how long it took.
    validity: valid, suspect or invalid, and the reasons against it. failures: what Locust counted. properties:
    what else to know, by name.
    """

    name: str
    scenario: str
    started: str
    seconds: float
    verdicts: Sequence[Verdict] = ()
    validity: str = VALID
    reasons: Sequence[str] = ()
    failures: int = 0
    properties: Mapping[str, str] = {}


def suite_of(summary: Summary, failures: int) -> Suite:
    """What CI is told of one run; failures: the manifest's ``locust_failures``."""
    run = summary.run
    known = {
        "run id": run.id,
        "seed": str(run.seed),
        "commit": run.commit or "",
        "fingerprint": str(run.environment.get("fingerprint", "")),
        "validity": summary.validity.state,
    }
    return Suite(
        name=f"{run.scenario} over {run.transport}",
        scenario=run.scenario,
        started=run.started,
        seconds=run.duration_s,
        verdicts=summary.verdicts,
        validity=summary.validity.state,
        reasons=summary.validity.reasons,
        failures=failures,
        properties={name: value for name, value in known.items() if value},
    )
