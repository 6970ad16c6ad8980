"""Twenty real comparisons of a build with itself block at most one; a real delay is caught."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from e2e_running import Program

from loadtest.analysis.regression import changes
from loadtest.analysis.summary import Summary, summarise
from loadtest.analysis.verdict import FAIL
from loadtest.measure.run import Run

POOL, SIDE, PAIRS = 18, 6, 20
DELAY_MS = 20
LOAD = ("-u", 20, "-r", 40, "-t", "7s", "--rt-rate", "1/s", "--rt-warmup", "1s", "--rt-drain", "1s")


def failed(before: list[Summary], after: list[Summary]) -> list[str]:
    return [one.name for one in changes(before, after) if one.verdict.state == FAIL]


@pytest.mark.proof
@pytest.mark.calm
@pytest.mark.timeout(900)
def test_a_build_is_told_from_itself_only_when_it_changed(
    run_locust: Any, serve: Any, programs: list[Program], tmp_path: Path
) -> None:
    pool: list[Run] = []
    for seed in range(1, POOL + 1):
        server = serve()  # fresh processes for every trial: what a restart changes is part of the noise
        pool.append(run_locust("-H", server.url, *LOAD, "--rt-seed", seed).run)
        server.end()
    summaries = [summarise(run) for run in pool]
    # Trials of one build may be dealt to the two sides in any way: every deal compares it with itself, really.
    deal = random.Random(20261126)
    blocked = []
    for _ in range(PAIRS):
        dealt = deal.sample(summaries, 2 * SIDE)
        blocked.append(failed(dealt[:SIDE], dealt[SIDE:]))
    assert sum(bool(one) for one in blocked) <= 1, blocked

    slow: list[Summary] = []
    for seed in range(1, SIDE + 1):
        server = serve()
        server.fault("delay", ms=DELAY_MS)
        slow.append(summarise(run_locust("-H", server.url, *LOAD, "--rt-seed", seed).run))
        server.end()
    found = failed(summaries[:SIDE], slow)
    assert "message.deliver p95_ms" in found
    assert "message.deliver service_p50_ms" in found
    assert "loss_share" not in found
