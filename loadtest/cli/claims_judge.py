"""What do the runs of a session, or any runs at all, say of the claims?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, Arm, trouble
from loadtest.analysis.claims import Outcome, Question, Trial, judge
from loadtest.analysis.validity import INVALID, VALID
from loadtest.analysis.validity import judge as judge_run
from loadtest.cli.experiments import GRID, ONLY_FULL, TRANSPORTS, known, plan
from loadtest.contract.claims import Claim, load
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run

if TYPE_CHECKING:
    from loadtest.cli.claims_session import Session

OWN_SERVER = "it needs a server of our own, not --host"
_MADE_FOR = {
    "messaging": Operation.MESSAGE_DELIVER,
    "calls": Operation.CALL_RING,
    "live-chat": Operation.CHAT_DELIVER,
}
"""Experiments that any run of a transport says something about, by what it must have measured."""


def judge_session(session: Session, claims: Sequence[Claim]) -> list[Outcome]:
    """A claim after the other; runs that neighbours share are read once. Raises RunError."""
    read: dict[str, tuple[Run, str, str]] = {}
    found: list[Outcome] = []
    for claim in claims:
        if found and found[-1].experiment != claim.experiment:
            read.clear()  # all runs of a full session would not fit into the memory of a small machine
        arms = session.plan.experiments.get(claim.experiment, {})
        trials = [
            Trial(arm, done.seed, done.path, *_read(session.path, done.path, claim.experiment == GRID, read))
            for arm, recipe in arms.items()
            for done in session.record.done
            if done.recipe == recipe
        ]
        found.append(judge(_question(claim), trials, _left(session, claim.experiment)))
    return found


def judge_runs(given: Iterable[Path], claims: Sequence[Claim] | None = None) -> list[Outcome]:
    """What runs that are there already say of the claims (by default those of the package), and no further runs.

    A run is taken for the arm of its transport, in every experiment whose operation it measured; one over
    WebSocket in which connections were cut is one of reconnection too. Raises RunError.
    """
    shown = [runs.read(path) for path in given]
    placed = [(*place, run) for run in shown for place in _places(run)]
    validity = {run.path: _validity(run) for run in shown}
    found = []
    for claim in load(None, known()) if claims is None else claims:
        trials = [
            Trial(
                arm,
                run.manifest.seed,
                run.path.name,
                run,
                *validity[run.path],
            )
            for experiment, arm, run in placed
            if experiment == claim.experiment
        ]
        have = {one.arm for one in trials}
        why = f"no run here can tell; loadtest claims --only {claim.name} makes those that can"
        arms = known().experiments[claim.experiment]
        found.append(judge(_question(claim), trials, dict.fromkeys(arms - have, why)))
    return found


def _places(run: Run) -> list[tuple[str, str]]:
    """(experiment, arm) of a run that was made for something else."""
    arms = [arm for arm, transport in TRANSPORTS.items() if transport == run.manifest.transport]
    measured = {row.operation for row in run.series if row.phase == Phase.MEASURE and row.latency.n}
    found = [(name, arm) for name, operation in _MADE_FOR.items() for arm in arms if operation in measured]
    if arms == ["push"] and any(row.fault == "abort" for row in run.faults):
        found.append(("reconnection", "abort"))
    return found


def _question(claim: Claim) -> Question:
    return msgspec.convert(claim, Question, from_attributes=True)


def _read(
    root: Path, path: str, only_bytes: bool, known_runs: dict[str, tuple[Run, str, str]]
) -> tuple[Run, str, str]:
    if path not in known_runs:
        run = runs.read(root / path)
        known_runs[path] = run, *(_validity_of_bytes(run) if only_bytes else _validity(run))
    return known_runs[path]


def _validity(run: Run) -> tuple[str, str]:
    """(what it says of itself, the first reason)."""
    found = judge_run(run)
    why = next(iter(found.reasons), "")
    # What to do about it is for who chose the flags of the run; here the experiment did.
    return found.state, why.partition("): ")[0] + ")" if "): " in why else why


def _validity_of_bytes(run: Run) -> tuple[str, str]:
    """A generator that reads late bills the same bytes, so that is no reason here; polling too rarely is."""
    transport = run.manifest.transport
    interval_s = run.manifest.target.get("poll_interval_s")
    polls = 1 / float(interval_s) if transport == INTERVAL_POLLING and interval_s else 0.0
    why = trouble(run, Arm(transport), polls)
    return (INVALID if why else VALID), why


def _left(session: Session, experiment: str) -> Mapping[str, str]:
    """Arms that this session has not, and why."""
    here = session.plan.experiments.get(experiment, {})
    every = plan(quick=False).experiments[experiment]
    left = {arm: ONLY_FULL for arm in every if arm not in here}
    if session.record.host is not None:
        recipes = session.plan.recipes
        left |= {arm: OWN_SERVER for arm, name in here.items() if name in recipes and recipes[name].serve}
    return left
