"""Does the benchmark still run, and does it still say everything it is read for? Its numbers are no test's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(170)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m bench`` as ``make bench`` starts it."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=160, check=False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """(what it printed, what it wrote) of one tiny session."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    done = run("--quick", "--users", "10", "--seconds", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


def test_every_part_is_there(bench: tuple[str, dict[str, Any]]) -> None:
    printed, written = bench
    assert list(written["parts"]) == ["events", "memory", "recorder", "codec", "server"]
    for title in ("events:", "memory:", "recorder:", "codec:", "server:", "requirements"):
        assert title in printed


def test_the_machine_is_named(bench: tuple[str, dict[str, Any]]) -> None:
    printed, written = bench
    assert f"{written['machine']['cores']} cores" in printed
    assert written["machine"]["cpu"] in printed
    assert f"Python {written['machine']['python']}" in printed


def test_both_arms_received_what_both_sent(bench: tuple[str, dict[str, Any]]) -> None:
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


def test_only_the_native_arm_has_a_record_of_its_own(bench: tuple[str, dict[str, Any]]) -> None:
    for arm in bench[1]["parts"]["events"]["arms"]:
        assert (arm["own_service_ms"] is not None) == (arm["arm"] == "native")


def test_users_were_there_when_memory_was_read(bench: tuple[str, dict[str, Any]]) -> None:
    memory = bench[1]["parts"]["memory"]
    assert set(memory) == {"native", "stock", "interval-polling"}
    for kind in memory.values():
        assert kind["users"] == 10
        assert kind["failures"] == 0
        assert kind["rss_with"] > kind["rss_before"] > 0


def test_each_requirement_has_a_verdict(bench: tuple[str, dict[str, Any]]) -> None:
    printed, written = bench
    requirements = written["requirements"]
    assert [one["part"] for one in requirements] == ["events"] * 4 + ["memory", "recorder", "server"]
    for one in requirements:
        assert one["verdict"] in ("PASS", "FAIL")
        assert one["measured"] in printed


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    done = run("--only", "everything")
    assert done.returncode == 2
    assert "codec" in done.stderr
