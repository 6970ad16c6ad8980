"""Floors of real runs: a known delay comes back as itself, the null server loses nothing, the command tells it."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2e_counting import repeated
from e2e_running import ROOT, Program, Result, wait_until

from loadtest.analysis.event_cost import used
from loadtest.analysis.floors import C0, C1, C2, Floor, Load, run_floor
from loadtest.cli.floor_runs import run_step, steps
from loadtest.cli.floors import read_floors
from loadtest.measure import run as runs
from loadtest.measure.run import FLOORS, Run

pytestmark = pytest.mark.calm

DELIVERED = ("message.deliver", "message.echo")
NULL = ("--target", "null")


class Ran(NamedTuple):
    """A run of C2, and what its floor says."""

    run: Run
    floor: Floor

    @property
    def mean_ms(self) -> float:
        return self.floor.latency.sum_ns / self.floor.latency.n / 1e6


@pytest.mark.proof
def test_c2_moves_by_exactly_the_delay_that_the_null_server_has(tmp_path: Path) -> None:
    [_, step] = steps(Load(10, 3.0, "5"), 4.0)
    number = itertools.count()

    def measure() -> list[Ran]:
        found = []
        for delay_ms in ("0", "20"):
            where = tmp_path / f"run{next(number)}"
            run = runs.read(run_step(step, where, lambda passed_s: None, {"NULL_DELAY_MS": delay_ms}))
            found.append(Ran(run, run_floor(C2, run, "")))
        return found

    def check(found: list[Ran]) -> None:
        plain, delayed = found
        assert abs(delayed.mean_ms - plain.mean_ms - 20) <= 1 + 0.01 * 20, (plain.mean_ms, delayed.mean_ms)
        for one in found:
            assert one.floor.n == one.floor.latency.n > 299

    repeated(measure, check, lambda found: found)


@pytest.mark.parametrize("transport", ["upgrade", "long-polling"])
def test_the_null_server_passes_the_preflight_and_serves_every_transport_it_offers(
    serve: Any, run_locust: Any, transport: str
) -> None:
    flags = ("-u", 10, "-r", 10, "-t", "5s", "--rt-rate", "2/s", "--rt-warmup", "1s", "--rt-drain", "1s")
    result: Result = run_locust(*flags, "--rt-transport", transport, "-H", serve(*NULL).url)
    counts = result.totals.counts(*DELIVERED)
    assert result.code != 2, result.output
    assert counts["n"] == counts["expected"] > 300, counts
    assert counts["duplicate"] == counts["leaked"] == counts["reordered"] == counts["failed"] == 0


def test_the_null_server_has_no_feeds_to_poll(serve: Any, start_locust: Any) -> None:
    locust = start_locust("-u", 2, "-t", "5s", "--rt-transport", "interval-polling", "-H", serve(*NULL).url)
    assert locust.wait() == 2
    assert 'feed "messages" answered HTTP 404' in locust.output


def test_the_null_server_drops_nothing_of_two_thousand_deliveries_a_second(
    serve: Any, run_locust: Any
) -> None:
    load = Load(100, 1.0, "20")
    server = serve(*NULL)
    flags = ("-u", load.users, "-r", 100, "-t", "9s", "--rt-rate", "1/s", "--rt-room-size", load.room_size)
    result: Result = run_locust(*flags, "--rt-warmup", "1s", "--rt-drain", "1s", "-H", server.url)
    counts = result.totals.counts(*DELIVERED)
    assert counts["n"] == counts["expected"] > 5_000, counts
    assert counts["late"] == counts["lost"] == counts["duplicate"] == counts["leaked"] == 0
    emitted = server.stats()["emitted"]["message:new"]
    # Each copy was owed to somebody, or went to somebody who was just coming or going; signals did, too.
    assert counts["n"] <= emitted <= counts["n"] + result.counters.get("tolerated", 0)
    # The sizing had said so before: but for the end of the typing, which the null server does not announce.
    spent, need = used(result.run), load.need()
    assert spent is not None
    expected = need.events_per_s - load.users * load.rate_per_s * load.fan_out / 3
    assert spent.events_per_s == pytest.approx(expected, rel=0.25)


def calibrate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "calibrate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=170,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a calibration."""
    out = tmp_path_factory.mktemp("reports")
    done = calibrate("--users", 20, "--rate", "2/s", "--time", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    assert [line[:2] for line in done.stdout.splitlines() if line.startswith(("C0:", "C1:", "C2:"))] == [
        C0,
        C1,
        C2,
    ]
    [where] = [path for path in out.iterdir() if path.is_dir()]
    assert f"page: {where / 'report.html'}" in done.stdout
    return where


@pytest.mark.proof
def test_a_calibration_has_a_page_and_a_cost_for_the_next_command(calibrated: Path) -> None:
    where, out = calibrated, calibrated.parent
    left = {path.name for path in where.iterdir()}
    assert {FLOORS, "report.html", "calibration.json", "c1", "c2", "cost"} == left
    floors = read_floors(where)
    assert floors is not None
    assert floors.load == Load(20, 2.0)
    assert floors.cost is not None
    assert 1e-6 < floors.cost.event_s < 1e-2
    for one in floors.floors[1:]:
        assert one.latency.n == one.n > 299
        assert runs.read(where / one.run).manifest.scenario == "messaging"
    assert "calibration" in (out / "index.html").read_text()
    told = json.loads(calibrate("--users", 500, "--no-run", "--json", "--out", out).stdout)
    assert told["needs"]["need"]["cost"]["event_s"] == floors.cost.event_s


@pytest.mark.proof
def test_floors_beside_a_run_are_on_its_page(calibrated: Path, tmp_path: Path) -> None:
    """Any run will do; here it is one whose server was the null server itself."""
    [path] = (calibrated / "c1").glob("2*")
    done = calibrate("--beside", path, "--time", 3, "--out", tmp_path / "reports")
    # The same thing measured twice: whether the second is a fifth of the first depends on the machine.
    assert done.returncode in (0, 5), done.stderr
    floors = read_floors(path)
    assert floors is not None
    assert floors.load == Load(10, 1.0)
    assert (path / floors.floors[-1].run / "manifest.json").is_file()
    assert f"page: {path.resolve() / 'report.html'}" in done.stdout
    page = (path / "report.html").read_bytes()
    assert b'id="floors"' in page
    assert report(path).returncode in (0, 5)
    assert (path / "report.html").read_bytes() == page
    (path / FLOORS).write_text("{")
    broken = report(path)
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
    assert "not a file of floors" in broken.stderr


def report(path: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "loadtest", "report", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


@pytest.mark.proof
def test_what_was_measured_before_ctrl_c_is_kept(programs: list[Program], tmp_path: Path) -> None:
    args = [sys.executable, "-m", "loadtest", "calibrate", "--users", 10, "--time", 3, "--out", tmp_path]
    program = Program(args, tmp_path / "log")
    programs.append(program)
    wait_until(lambda: list(tmp_path.glob("*-calibration-*/c1/messaging.log")), "C0 is over, and C1 runs")
    program.signal(signal.SIGTERM)
    assert program.wait() == 5
    [where] = tmp_path.glob("*-calibration-*")
    floors = read_floors(where)
    assert floors is not None
    assert [one.name for one in floors.floors] == [C0]
    assert "C2 was not measured" in (where / "report.html").read_text()
    assert len(program.session()) == 0
