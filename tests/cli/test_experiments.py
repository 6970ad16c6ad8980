"""Experiments: what a file of claims names is there, and what is run fits into the time that was promised."""

from __future__ import annotations

import pytest

from loadtest.cli.claims_run import OVERHEAD_S
from loadtest.cli.experiments import OUTAGES_S, Plan, _back_after, known, plan
from loadtest.cli.locust_run import scenario
from loadtest.contract.claims import load
from loadtest.measure.faults import parse
from loadtest.measure.units import SECOND

SETTLES_S = 2.0
"""Of a start, until everybody is in."""


def minutes(of: Plan) -> float:
    return sum((one.run_time_s + OVERHEAD_S) * one.trials for one in of.recipes.values()) / 60


def test_the_built_in_claims_name_what_there_is() -> None:
    claims = load(None, known())
    assert {one.experiment for one in claims} == set(plan(quick=False).experiments)
    used = {
        (claim.experiment, arm)
        for claim in claims
        for part in claim.part
        for arm in (*part.arms, *([part.against] if part.against else []))
    }
    there = {(name, arm) for name, arms in plan(quick=False).experiments.items() for arm in arms}
    assert used <= there


def test_quick_takes_ten_minutes_and_full_three_hours() -> None:
    # A page at the end, and a run or two made again, need their part of it.
    assert minutes(plan(quick=True)) < 9.3
    assert minutes(plan(quick=False)) < 165


def test_every_claim_has_something_to_decide_in_short() -> None:
    quick = plan(quick=True).experiments
    for claim in load(None, known()):
        arms = set(quick[claim.experiment])
        assert any(
            one.decides and {*one.arms, *([one.against] if one.against else [])} <= arms for one in claim.part
        )


def test_the_arms_of_the_quick_plan_are_some_of_the_full_one() -> None:
    full = plan(quick=False).experiments
    for name, arms in plan(quick=True).experiments.items():
        assert set(arms) <= set(full[name])


@pytest.mark.parametrize("quick", [True, False])
def test_every_recipe_leaves_time_to_measure_and_its_faults_strike_in_it(quick: bool) -> None:
    for recipe in plan(quick).recipes.values():
        assert scenario(recipe.scenario).is_file()
        flags = dict(zip(recipe.flags, recipe.flags[1:], strict=False))
        spent = sum(float(flags.get(f"--rt-{name}", "0s").removesuffix("s")) for name in ("warmup", "drain"))
        measured_s = recipe.run_time_s - spent - recipe.users / recipe.spawn_rate
        assert measured_s > 2, recipe
        for fault in parse(flags.get("--rt-fault", "none")):
            assert fault.last_ns / SECOND < measured_s - 1, recipe


@pytest.mark.parametrize(("outage_s", "back_s"), [(0.5, 1), (2, 3), (6, 7), (14, 15), (28, 31), (35, 31)])
def test_when_somebody_is_back_after_an_outage(outage_s: float, back_s: float) -> None:
    assert outage_s in OUTAGES_S
    assert _back_after(outage_s) == back_s


def test_experiments_share_the_runs_of_a_recipe() -> None:
    quick = plan(quick=True)
    assert len(quick.wanted(["messaging", "calls", "live-chat"])) == 3
