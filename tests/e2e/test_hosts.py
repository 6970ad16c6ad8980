"""Users on several machines: one run, one time axis, and no latency from one clock to another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from e2e_counting import DELIVERIES
from e2e_hosts import TARGET, Hosts, machines
from e2e_running import Program, Result, wait_until

from loadtest.analysis.summary import summarise
from loadtest.analysis.validity import INVALID, judge
from loadtest.measure import run as runs
from loadtest.measure.clocks import ClockOffset
from loadtest.measure.units import SECOND

pytestmark = pytest.mark.calm

AHEAD_S = 5000
LOAD = ("-u", 12, "-r", 12, "--rt-warmup", "1s", "--rt-drain", "3s", "--rt-rate", "2/s", "--rt-room-size", 3)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with machines(tmp_path) as made:
        yield made


def result_of(master: Program, out: Path, *workers: Program) -> Result:
    try:
        code = master.wait()
    except AssertionError as error:
        error.add_note("\n".join(one.output for one in workers))
        raise
    assert (out / runs.LATEST).exists(), master.output
    return Result(code, master.output, runs.read(out / runs.LATEST))


def process(member: str) -> str:
    """The worker's number, with which the name of each user begins."""
    return member.partition(".")[0]


def facts(result: Result) -> dict[str, dict[str, Any]]:
    return {one.name: one.facts for one in result.run.manifest.workers}


def test_two_machines_with_clocks_of_their_own_make_one_run(hosts: Hosts, tmp_path: Path) -> None:
    hosts.serve()
    master = hosts.master(tmp_path / "runs", *LOAD, "-t", "16s", "--expect-workers", 2)
    workers = [hosts.worker("a"), hosts.worker("b", ahead_s=AHEAD_S)]
    result = result_of(master, tmp_path / "runs", *workers)
    assert [one.wait() for one in workers] == [0, 0], [one.output for one in workers]
    assert result.code in (0, 5), result.output
    manifest = result.run.manifest
    assert [(one.name, one.final) for one in manifest.workers] == [("0", True), ("1", True)]
    assert manifest.gaps == manifest.harness_errors == []
    # The master has no way to the target; what the workers found there is in the run.
    assert manifest.target["url"] == TARGET
    assert manifest.target["ping_interval_s"] == 25.0
    _clocks_are_known(result)
    _one_time_axis(result)
    # Rooms stay within a process: had a stamp of one clock met one of the other, it would be 5000 s off.
    counts = result.totals.counts(*DELIVERIES)
    assert counts["expected"] == counts["n"] > 100
    assert counts["lost"] == counts["leaked"] == counts["duplicate"] == 0
    assert max(row.latency.max_ns for row in result.run.series if row.latency.n) < 5 * SECOND
    assert all(row.service.negative == 0 for row in result.run.series)
    assert result.run.exemplars
    assert all(process(one.sender) == process(one.receiver) for one in result.run.exemplars)
    verdict = judge(result.run)
    assert any("1 machine has a clock of its own" in note for note in verdict.notes)
    assert "Machines that the users ran on" in (result.run.path / runs.REPORT).read_text()


def _clocks_are_known(result: Result) -> None:
    (here,) = [one for one in facts(result).values() if one["clock_offset"] is None]
    (there,) = [one for one in facts(result).values() if one["clock_offset"] is not None]
    assert here["clock"] != there["clock"]
    offset = msgspec.convert(there["clock_offset"], ClockOffset)
    assert abs(offset.offset_ns - AHEAD_S * SECOND) <= offset.bound_ns < SECOND // 10
    assert offset.axis_ns is not None
    assert offset.axis_ns <= 2 * offset.bound_ns + SECOND // 1000, "one machine's clocks do not drift"
    assert offset.bursts >= 2
    assert abs(offset.wall_ns) < SECOND // 10, "a time namespace leaves the time of day alone"
    assert here["joined_ns"] is there["joined_ns"] is None
    told = {one.same_clock: one for one in summarise(result.run).hosts}
    assert told[False].offset_ms == pytest.approx(AHEAD_S * 1000, abs=100)
    assert told[True].offset_ms is None


def _one_time_axis(result: Result) -> None:
    """Both machines began at the moment that the master had announced, and measured in the same seconds."""
    edges = result.run.manifest.edges
    assert edges.measure_ns is not None
    assert edges.drain_ns is not None
    begins, ends = edges.measure_ns // SECOND, edges.drain_ns // SECOND
    for name in ("0", "1"):
        measured = [row.second for row in result.run.health if (row.worker, row.phase) == (name, "measure")]
        # A row belongs to the phase in which its second was begun to be watched, so there is one more or less.
        assert begins <= min(measured) <= begins + 1
        # A busy process may not come to write its last row. Off the axis they would be thousands of seconds away.
        assert ends - 2 <= max(measured) <= ends


@pytest.mark.proof
def test_who_comes_late_who_does_not_fit_and_who_dies(hosts: Hosts, tmp_path: Path) -> None:
    hosts.serve()
    master = hosts.master(tmp_path / "runs", *LOAD, "-t", "26s")
    hosts.worker("a")
    wait_until(lambda: "the load begins" in master.output or master.ended, "the run is on")
    misfit = hosts.worker("b", "--rt-rate", "9/s")
    assert misfit.wait() == 2, misfit.output
    (line,) = [one for one in misfit.output.splitlines() if "--rt-rate" in one]
    assert re.fullmatch(r"worker 1 on \S+: --rt-rate is 9/s, the master has 2/s; leave it out, .*", line)
    assert line in master.output
    late = hosts.worker("b", ahead_s=AHEAD_S)
    wait_until(lambda: "worker 2 came" in master.output or master.ended, "the late one is in")
    late.end()
    result = result_of(master, tmp_path / "runs")
    manifest = result.run.manifest
    assert [(one.name, one.final) for one in manifest.workers] == [("0", True), ("2", False)], result.output
    came = facts(result)["2"]
    assert came["joined_ns"] > (manifest.edges.warmup_ns or 0)
    offset = msgspec.convert(came["clock_offset"], ClockOffset)
    assert abs(offset.offset_ns - AHEAD_S * SECOND) <= offset.bound_ns < SECOND // 10
    verdict = judge(result.run)
    assert verdict.state == INVALID
    assert any("worker 2 came" in reason for reason in verdict.reasons)
    assert any("worker 2 ended without its last word" in reason for reason in verdict.reasons)
    assert any(line in note for note in manifest.target["notes"]), "and so were the users that it was given"
    assert result.code == 5, result.output
    assert all(row.service.negative == 0 for row in result.run.series)


def test_where_no_worker_reaches_the_target_there_is_no_run(hosts: Hosts, tmp_path: Path) -> None:
    master = hosts.master(tmp_path / "runs", *LOAD, "-t", "9s", "--expect-workers", 2)
    workers = [hosts.worker("a"), hosts.worker("b", ahead_s=AHEAD_S)]
    assert [one.wait() for one in (master, *workers)] == [2, 2, 2], master.output
    said = [line for line in master.output.splitlines() if TARGET in line]
    assert len(said) == 1, "said once, however many found it"
    assert re.fullmatch(rf"{TARGET}: no server there .*loadtest serve.*", said[0])
    assert all(said[0] in one.output.splitlines() for one in workers)
    assert not (tmp_path / "runs" / runs.LATEST).exists()
