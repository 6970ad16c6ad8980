"""Does the benchmark still run, and does it still say everything it is read for? Its numbers are no test's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Whole sessions of the benchmark: long for what they tell.
pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(170)]


PARTS = ("events", "memory", "recorder", "ledger", "codec", "intervals", "page", "server")
RUNS = ("mixed", "storm")

Bench = tuple[str, dict[str, Any]]
"""(what it printed, what it wrote)."""


def run(*arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """``python -m bench`` as ``make bench`` starts it."""
    command = [*before, sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=160, check=False)


def session(path: Path, *arguments: str, before: Sequence[str] = ()) -> Bench:
    """A tiny session."""
    done = run("--quick", *arguments, "--json", str(path), before=before)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Everything that is compared or timed by itself."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    return session(path, "--users", "10", "--seconds", "1", "--only", *PARTS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The parts that are whole runs; a storm is one of twenty users at least."""
    path = tmp_path_factory.mktemp("runs") / "bench.json"
    return session(path, "--users", "20", "--seconds", "2", "--only", *RUNS)


def test_every_part_is_there(bench: Bench) -> None:
    printed, written = bench
    assert list(written["parts"]) == list(PARTS)
    for title in (*(f"{part}:" for part in PARTS), "requirements"):
        assert title in printed


def test_the_machine_is_named(bench: Bench) -> None:
    printed, written = bench
    assert f"{written['machine']['cores']} cores" in printed
    assert written["machine"]["cpu"] in printed
    assert f"Python {written['machine']['python']}" in printed


def test_both_arms_received_what_both_sent(bench: Bench) -> None:
    arms = bench[1]["parts"]["events"]["arms"]
    assert [(arm["arm"], arm["rate"]) for arm in arms] == [
        ("native", 1),
        ("stock", 1),
        ("native", 3),
        ("stock", 3),
    ]
    for arm in arms:
        for window in arm["windows"]:
            assert window["failures"] == 0
            assert window["sent"] > 0
            assert window["deliveries"] > window["acks"] > 0
        assert arm["service_ms"]["0.99"] >= arm["service_ms"]["0.5"] > 0


def test_only_the_native_arm_has_a_record_of_its_own(bench: Bench) -> None:
    for arm in bench[1]["parts"]["events"]["arms"]:
        assert (arm["own_service_ms"] is not None) == (arm["arm"] == "native")


def test_users_were_there_when_memory_was_read(bench: Bench) -> None:
    memory = bench[1]["parts"]["memory"]
    assert set(memory) == {"native", "stock", "interval-polling"}
    for kind in memory.values():
        assert kind["users"] == 10
        assert kind["failures"] == 0
        assert kind["rss_with"] > kind["rss_before"] > 0


def test_each_requirement_has_a_verdict(bench: Bench) -> None:
    printed, written = bench
    requirements = written["requirements"]
    assert [one["part"] for one in requirements] == ["events"] * 4 + [
        "memory",
        "recorder",
        "ledger",
        "intervals",
        "page",
        "page",
        "server",
    ]
    for one in requirements:
        assert one["verdict"] in ("PASS", "FAIL")
        assert one["measured"] in printed


def test_a_delivery_costs_what_its_parts_cost(bench: Bench) -> None:
    rooms = bench[1]["parts"]["ledger"]["rooms"]
    assert [one["members"] for one in rooms] == [10, 100]
    for one in rooms:
        sent, told, heard, taken = (one[f"{name}_ns"] for name in ("sent", "told", "heard", "taken"))
        assert min(sent, told, heard, taken) > 0
        assert one["ledger_ns"] == pytest.approx(sent + told + taken)
        assert one["whole_ns"] == pytest.approx(sent + heard + taken)


def test_a_series_and_a_page_of_a_run_that_nobody_waited_for(bench: Bench) -> None:
    parts = bench[1]["parts"]
    assert parts["intervals"]["samples"] == 60 * 1667
    assert min(parts["intervals"]["seconds"].values()) > 0
    page = parts["page"]
    assert page["page_bytes"] > 50_000
    assert page["peak_bytes"] > 50e6, "that of the report, not of what started it"
    assert page["cpu_s"] > 0 and page["elapsed_s"] > 0


def test_everybody_did_everything_at_once(runs: Bench) -> None:
    printed, written = runs
    mixed = written["parts"]["mixed"]
    assert mixed["run"]["users"] == 20
    delivered = [row for row in mixed["operations"] if row["name"] == "message.deliver"]
    assert sum(row["n"] for row in delivered) > 0
    assert "mixed: 20 users in one process" in printed


def test_everybody_was_cut_off_and_came_back(runs: Bench) -> None:
    way_back = runs[1]["parts"]["storm"]["reconnection"]
    assert way_back["policy"] == "js"
    assert way_back["drops"] == 20
    assert way_back["recovered"] > 0
    (storm,) = way_back["storms"]
    assert storm["n"] == storm["returning"] == 20
    assert storm["back"] >= way_back["recovered"]


def test_a_run_is_judged_by_its_summary(runs: Bench) -> None:
    printed, written = runs
    requirements = {one["name"]: one for one in written["requirements"]}
    assert [one["part"] for one in requirements.values()] == ["mixed"] * 4 + ["storm"] * 3
    for part in RUNS:
        state = written["parts"][part]["validity"]["state"]
        judged = requirements[f"{part}: the run itself"]
        assert judged["measured"].startswith(state)
        assert judged["verdict"] == ("FAIL" if state == "invalid" else "PASS")
    all_back = written["parts"]["storm"]["reconnection"]["recovered"] == 20
    assert requirements["storm: recovered"]["verdict"] == ("PASS" if all_back else "FAIL")
    # So short a run has too few of them for a percentile, and that is no failure.
    ring = requirements["mixed: call.ring p95"]
    assert ring["verdict"] in ("UNKNOWN", "FAIL")
    assert ring["verdict"] in printed


def test_what_the_machine_does_not_allow_is_said_in_one_line(tmp_path: Path) -> None:
    few_descriptors = ["sh", "-c", 'ulimit -n 300 && exec "$0" "$@"']
    printed, written = session(
        tmp_path / "bench.json", "--users", "500", "--only", "storm", before=few_descriptors
    )
    said = written["parts"]["storm"]["not_run"]
    assert "may need 825 file descriptors, the limit is 300" in said
    assert "\n" not in said
    assert "storm: not run" in printed
    assert [one["verdict"] for one in written["requirements"]] == ["UNKNOWN"]


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    done = run("--only", "everything")
    assert done.returncode == 2
    assert "codec" in done.stderr
