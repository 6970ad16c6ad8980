"""Can a scenario tell the Node server from the reference server? By what it measures only."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from e2e_running import HERE, ROOT, Result

from loadtest.analysis.validity import INVALID, judge

pytestmark = pytest.mark.usefixtures("node")

TARGETS = ("reference", "node")
SECONDS = 15
RUN = ("-u", 20, "-r", 20, "-t", f"{SECONDS}s", "--rt-warmup", "1s", "--rt-drain", "4s", "--rt-rate", "60/m")
ENOUGH = 100
Moments = dict[str, list[int]]


def moments(diary: Path) -> Moments:
    """When each user of a run was to act, in ns from the begin."""
    found: Moments = defaultdict(list)
    for line in diary.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        found[one["user"]].append(one["at_ns"])
    return found


def lost(result: Result) -> int:
    """Whatever did not come, in any row that may not lose anything."""
    return sum(row.lost for row in result.run.series)


def test_mixed_runs_on_the_node_server_and_nothing_is_lost(serve: Any, run_locust: Any) -> None:
    server = serve("--target", "node", "--rate-limit", "0")
    result = run_locust("-f", ROOT / "scenarios" / "mixed.py", *RUN, "-H", server.url)
    assert lost(result) == 0
    assert result.run.manifest.complete and result.run.manifest.harness_errors == []
    # On a machine that is busy otherwise, the run says itself that it cannot be believed.
    assert result.code == 0 or (result.code == 5 and judge(result.run).state == INVALID), result.output
    accepted = server.stats()["accepted"]
    assert accepted["message:send"] == result.counters["sent"] + result.counters.get("probes", 0) > ENOUGH
    assert accepted["call:initiate"] > 0 and accepted["liveChat:start"] > 0


@pytest.mark.proof
def test_the_same_seed_plans_the_same_moments_on_both(serve: Any, start_locust: Any, tmp_path: Path) -> None:
    diaries = {target: tmp_path / f"{target}.jsonl" for target in TARGETS}
    runs = []
    for target, diary in diaries.items():
        server = serve("--target", target, "--rate-limit", "0")
        flags = ("-f", HERE / "planner.py", *RUN, "--rt-seed", 7, "-H", server.url)
        runs.append(start_locust(*flags, env={"PLANNER_DIARY": str(diary)}))
    assert all(run.result().run.manifest.complete for run in runs)
    ours, theirs = (moments(diaries[target]) for target in TARGETS)
    assert set(ours) == set(theirs)
    compared = 0
    for user in ours:
        # Who came a moment later was not asked for the moment before; and one run may have ended earlier.
        first = max(ours[user][0], theirs[user][0])
        last = min(ours[user][-1], theirs[user][-1])
        mine, other = ([at for at in one[user] if first <= at <= last] for one in (ours, theirs))
        assert mine == other, f"{user}: to the nanosecond"
        compared += len(mine)
    assert compared > ENOUGH
