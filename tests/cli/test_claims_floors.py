"""What a session of claims sets above its floors, and beside which limit."""

from __future__ import annotations

import pytest

from loadtest.cli.claims_floors import RESULTS, tightest_ms
from loadtest.cli.experiments import known, plan
from loadtest.contract.claims import Claim, Part, load

OWN = Claim(
    name="fast",
    sentence="Fast",
    restatement="Fast.",
    experiment="messaging",
    part=(
        Part(statistic="p95_ms", arms=("push",), compare="<=", limit=40),
        Part(statistic="mean_ms", arms=("push", "long-polling"), compare="<=", limit=25.5),
        Part(statistic="p50_ms", arms=("push",), compare=">=", limit=1),
        Part(statistic="ratio_of_p95", arms=("push",), against="long-polling", compare="<=", limit=2),
    ),
)


@pytest.mark.parametrize(
    ("experiment", "arm", "limit_ms"),
    [
        ("messaging", "push", 25.5),
        ("messaging", "long-polling", 25.5),
        ("messaging", "interval-polling", None),
        ("calls", "push", None),
    ],
)
def test_the_tightest_time_that_a_claim_allows(experiment: str, arm: str, limit_ms: float | None) -> None:
    assert tightest_ms([OWN], experiment, arm) == limit_ms


def test_each_result_of_the_built_in_claims_has_a_limit() -> None:
    limits = {name: tightest_ms(load(None, known()), name, arm) for name, (_, arm, _) in RESULTS.items()}
    assert limits == {"messaging": 100, "calls": 50, "live-chat": 100, "devices": 100}
    assert all(
        arm in plan(quick).experiments[name]
        for quick in (True, False)
        for name, (_, arm, _) in RESULTS.items()
    )
