"""Does a run with stages have the users that were asked for, by the server's count too, and lose nothing by it?"""

from __future__ import annotations

import signal
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from e2e_counting import repeated
from e2e_running import HERE, ROOT, Locust, Result, Server, wait_until

from loadtest.analysis.stages import cuts, stage_rows
from loadtest.analysis.validity import INVALID, judge
from loadtest.measure import run as runs
from loadtest.measure.run import Run

STAGED = ROOT / "scenarios" / "stages.py"
USERS = (6, 20, 4)
STAGES = "6s:6,6s:20,10s:4"
FLAGS = ("-f", STAGED, "-r", 20, "--rt-stages", STAGES, "--rt-rate", "2/s", "--rt-room-size", 5)
PHASES = ("--rt-warmup", "1s", "--rt-drain", "4s")


def agrees(run: Run, server: Server, sockets: bool = True) -> None:
    """Every stage had its users, nobody was owed anything that did not come, and the server took what was sent."""
    manifest = run.manifest
    asked = manifest.parameters["stages"]
    assert [one["users"] for one in asked] == list(USERS)
    assert [one["duration_s"] for one in asked] == [6.0, 6.0, 10.0]
    begins = [one["begins_s"] for one in asked]
    assert begins[0] < 1 and begins[1] > 5.9 and begins[2] > 11.9
    assert (manifest.users, manifest.parameters["run_time_s"], manifest.complete) == (20, 22.0, True)
    for row, cut in zip(stage_rows(run), cuts(run), strict=True):
        assert row.seconds, row.why
        if sockets:
            told = [one.sockets for one in run.server if one.second in cut.seconds]
            assert median(told) == row.connections == row.users
    for series in run.series:
        wrong = series.late, series.lost, series.duplicate, series.reordered, series.leaked, series.failed
        assert not any(wrong), series
    assert manifest.locust_failures == 0
    assert manifest.harness_errors == manifest.gaps == run.drops == []
    assert manifest.counters["sent"] == server.accepted() > 50
    assert all(worker.final for worker in manifest.workers)


@pytest.mark.proof
def test_users_come_and_go_as_asked_and_nothing_is_lost(serve: Any, start_locust: Any) -> None:
    """In one process and in two, over WebSocket; and over polling, where whoever leaves has to ask once more."""
    arms: tuple[tuple[object, ...], ...] = (
        (),
        ("--processes", 2),
        ("--processes", 2, "--rt-transport", "interval-polling"),
    )

    def measure() -> list[tuple[Result, Server, bool]]:
        started: list[tuple[Locust, Server, bool]] = []
        for flags in arms:
            server = serve()
            locust = start_locust(*FLAGS, *PHASES, *flags, "-H", server.url)
            started.append((locust, server, "interval-polling" not in flags))
        return [(locust.result(), server, sockets) for locust, server, sockets in started]

    def check(measured: list[tuple[Result, Server, bool]]) -> None:
        for result, server, sockets in measured:
            agrees(result.run, server, sockets)
            assert result.code == (5 if judge(result.run).state == INVALID else 0), result.output
            assert server.stats()["sockets"] == 0

    repeated(measure, check, lambda measured: [result for result, _, _ in measured])


@pytest.mark.proof
def test_a_signal_in_the_middle_leaves_what_was_measured(serve: Any, start_locust: Any) -> None:
    """Locust's main program must hear it, and wait until all is written, in the middle of a stage too."""
    arms = []
    for number, flags in ((signal.SIGTERM, ()), (signal.SIGINT, ("--processes", 2))):
        server = serve()
        stages = "6s:6,30s:12,30s:4"
        locust = start_locust(
            *("-f", STAGED, "-r", 20, "--rt-stages", stages, "--rt-rate", "2/s", "--rt-warmup", "1s"),
            *(*flags, "-H", server.url),
        )
        arms.append((number, server, locust))
    for number, server, locust in arms:
        wait_until(partial(_has_sockets, server, 12, locust), "the second stage has its users")
        locust.signal(number)
        result = locust.result()
        assert result.code in (0, 5), result.output
        assert not result.run.manifest.complete
        begins = [one["begins_s"] for one in result.run.manifest.parameters["stages"]]
        assert begins[1] is not None and begins[2] is None
        assert sum(row.lost + row.failed for row in result.run.series) == 0
        assert server.stats()["sockets"] == 0


def _has_sockets(server: Server, number: int, locust: Locust) -> bool:
    return locust.ended or server.stats()["sockets"] == number


@pytest.mark.proof
def test_the_web_ui_ends_a_run_after_its_last_stage(serve: Any, start_locust: Any, free_port: int) -> None:
    server = serve()
    locust = start_locust(
        *("--web-port", free_port, "-f", STAGED, "--rt-stages", "60s:1"),
        *("--rt-rate", "2/s", "--rt-room-size", 3, *PHASES, "-H", server.url),
    )
    url = f"http://127.0.0.1:{free_port}"
    wait_until(lambda: _answers(url) or locust.ended, "the web UI is there")
    for number, stages in enumerate(("4s:3,5s:100%", "9s:3"), 1):
        form = {"user_count": 6, "spawn_rate": 6, "host": server.url, "rt_stages": stages}
        wait_until(partial(_started, locust, url, form, number), f"run {number} has begun")
        wait_until(partial(_wrote, locust, number), f"run {number} is written")
        wait_until(lambda: server.stats()["sockets"] == 0, "all users have left")
    first, second = sorted(_written(locust), key=lambda run: run.manifest.users, reverse=True)
    assert [one["users"] for one in first.manifest.parameters["stages"]] == [3, 6]
    assert [one["users"] for one in second.manifest.parameters["stages"]] == [3]
    assert (first.manifest.users, second.manifest.users) == (6, 3)
    for run in (first, second):
        assert run.manifest.complete
        assert run.manifest.parameters["stages"][0]["begins_s"] == 0
        assert sum(row.lost + row.failed for row in run.series) == 0


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def _started(locust: Locust, url: str, form: dict[str, object], number: int) -> bool:
    """Press the form's button; Locust says no as long as it is busy with the end of the run before."""
    urllib.request.urlopen(f"{url}/swarm", urllib.parse.urlencode(form).encode(), timeout=10).read()
    return locust.output.count("Shape test starting.") == number


def _whole(locust: Locust) -> Iterator[Path]:
    found = locust.out.iterdir() if locust.out.is_dir() else ()
    return (one for one in found if not one.is_symlink() and (one / runs.SUMMARY).is_file())


def _wrote(locust: Locust, number: int) -> bool:
    return len(list(_whole(locust))) == number


def _written(locust: Locust) -> list[Run]:
    return [runs.read(path) for path in _whole(locust)]


def test_what_makes_no_sense_is_refused_before_the_run(serve: Any, start_locust: Any) -> None:
    server = serve()
    calls = ROOT / "scenarios" / "calls.py"
    cases: dict[str, tuple[object, ...]] = {
        "--rt-stages: not with CallerUser: a call": ("-f", calls, "--rt-stages", "20s:5"),
        "--rt-stages: 'ten' is no stage": ("-f", STAGED, "--rt-stages", "ten"),
        "--rt-stages: a stage has 9 users, -u says 5": ("-r", 9, "-u", 5, "--rt-stages", "20s:9"),
        "--rt-stages: stage 1 lasts 20 s, but 90 users come at -r 1": (
            *("-f", HERE / "steady.py", "--rt-stages", "20s:90"),
            *("--processes", 2),
        ),
    }
    started = [(line, start_locust(*args, "-H", server.url)) for line, args in cases.items()]
    for line, locust in started:
        assert locust.wait() == 2, locust.output
        assert line in locust.output
        assert "Traceback" not in locust.output
        assert not locust.out.exists()
