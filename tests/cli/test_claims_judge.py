"""What runs that were made for something else say of the claims: those of the demo, above all."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from loadtest.analysis.claims import Outcome
from loadtest.cli.claims_judge import judge_runs
from loadtest.measure.rows import FaultRow
from loadtest.measure.run import RunError
from loadtest.measure.units import SECOND

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "made.py")))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Of one run over each transport; in that over WebSocket twelve people lose their connection."""
    reports = tmp_path_factory.mktemp("reports")
    paths = []
    for transport in ("websocket", "interval-polling"):
        maker = made.Maker(transport=transport, users=40, seed=5)
        maker.book.add_fault(FaultRow("abort#0", "abort", 8 * SECOND, argument="abort@3~0.3", struck=12))
        maker.book.drops += [
            made.drop(f"user-{n}", 8.0, fault="abort#0", transport=transport) for n in range(12)
        ]
        told = made.manifest().parameters | made.RETURNING
        paths.append(maker.write(reports, parameters=told, id=f"{transport}-"))
    return {one.name: one for one in judge_runs(paths)}


def test_every_claim_has_an_outcome(judged: dict[str, Outcome]) -> None:
    assert len(judged) == 11


def test_what_two_runs_can_tell_is_decided(judged: dict[str, Outcome]) -> None:
    assert judged["messaging"].state == "pass"
    assert judged["messaging"].only_on_loopback
    assert [one.arm for one in judged["messaging"].trials] == ["push", "interval-polling"]


def test_what_they_cannot_says_the_sample_it_would_take(judged: dict[str, Outcome]) -> None:
    rooms = judged["rooms-rejoined"]
    assert rooms.state == "inconclusive"
    assert rooms.parts[0].verdict.observed == 1.0
    assert "3,688 rooms without a bad one would confirm it; there were 12" in rooms.why


def test_a_drop_over_polling_is_no_trial_of_reconnection(judged: dict[str, Outcome]) -> None:
    (trial,) = judged["backoff"].trials
    assert (trial.arm, "websocket" in trial.path) == ("abort", True)


def test_what_no_run_was_made_for_says_who_makes_one(judged: dict[str, Outcome]) -> None:
    for name in ("calls", "live-chat", "bandwidth", "thousand-users", "zero-downtime", "rate-limit"):
        outcome = judged[name]
        assert (outcome.state, outcome.trials) == ("inconclusive", [])
        assert outcome.why == f"no run here can tell; loadtest claims --only {name} makes those that can"


def test_a_run_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run directory"):
        judge_runs([tmp_path / "none"])
