"""Does ``loadtest capacity`` find a limit that is known, and keep what it knows when it is cut short?"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_running import HERE, Program, Server, wait_until

from loadtest.analysis.capacity import Capacity
from loadtest.measure import run as runs

Serve = Callable[..., Server]
RATE, ROOM, PER_SECOND = 2, 2, 200
LIMIT = PER_SECOND / (RATE * ROOM)
"""Users: each sends RATE messages a second, and each of them goes to everybody in its room, the sender too."""
STEADY = ("--scenario", HERE / "steady.py")
QUICK = ("--level", "5", "--rate", "2/s")


class Search(Program):
    """``loadtest capacity``, its plan and its exit code."""

    def __init__(self, out: Path, log: Path, *args: object) -> None:
        self.out = out
        words = [sys.executable, "-m", "loadtest", "capacity", *STEADY, "--no-floors", "--out", out, *args]
        super().__init__(words, log)

    @property
    def directory(self) -> Path:
        """Of the plan; there is one."""
        (found,) = self.out.glob("*-capacity-*")
        return found

    def runs(self) -> list[Path]:
        """Runs that are there by now."""
        return [path.parent for path in self.out.glob(f"*-capacity-*/levels/2*/{runs.MANIFEST}")]

    def summary(self) -> dict[str, Any]:
        """What it wrote in the end, with its page and its record for the index."""
        assert (self.directory / "report.html").is_file()
        record = json.loads((self.directory / "capacity.json").read_text())
        told: dict[str, Any] = json.loads((self.directory / "summary.json").read_text())
        assert {key: told[key] for key in record} == record
        assert self.directory.name in (self.out / "index.html").read_text()
        return told

    def plan(self) -> Capacity:
        """The same, as a plan."""
        import msgspec

        return msgspec.convert(self.summary()["plan"], Capacity)


@pytest.fixture
def search(tmp_path: Path, programs: list[Program]) -> Callable[..., Search]:
    """``search("--users", "20..30", ...)`` starts one and returns it at once."""

    def start(*args: object, name: str = "plan") -> Search:
        found = Search(tmp_path / name, tmp_path / f"{name}.log", *args)
        programs.append(found)
        return found

    return start


@pytest.mark.proof
@pytest.mark.calm
@pytest.mark.timeout(1500)
def test_it_lands_within_one_step_of_a_known_limit_twice_in_a_row(
    serve: Serve, search: Callable[..., Search]
) -> None:
    slo = ("--slo", "message.deliver: p(95)<200", "--level", "8", "--rate", f"{RATE}/s", "--users", "20..200")
    for name in ("first", "second"):
        server = serve()
        server.fault("limitThroughput", perSecond=PER_SECOND)
        one = search("--host", server.url, *slo, "--", "--rt-room-size", ROOM, name=name)
        assert one.wait(700) == 0, one.output
        found = one.plan()
        assert found.kind == "bracket", one.output
        assert found.passed is not None and found.failed is not None
        assert found.passed <= 1.1 * LIMIT and found.failed >= LIMIT / 1.1, one.output
        assert found.failed <= 1.1 * 1.1 * found.passed
        assert found.broke is not None and found.broke.name == "message.deliver: p(95)<200"
        assert found.resource is not None and found.resource.name == "other", (
            "it is not the CPU that is limited"
        )
        for trial in found.tried:
            assert runs.read(one.directory / trial.path).manifest.users == trial.users


@pytest.fixture
def slow(serve: Serve) -> Server:
    """A server that takes 300 ms for everything: beside that a busy machine makes no generator late."""
    server = serve()
    server.fault("delay", ms=300)
    return server


@pytest.mark.proof
def test_what_no_level_can_meet_is_said_with_the_level(slow: Server, search: Callable[..., Search]) -> None:
    one = search("--users", "20..200", "--slo", "message.deliver: p(50)<100", "--host", slow.url, *QUICK)
    assert one.wait(120) == 3, one.output
    found = one.plan()
    assert (found.kind, found.passed, found.failed) == ("lowest_fails", None, 20)
    assert {trial.users for trial in found.tried} == {20}
    assert "does not carry 20 users, the lowest level: p(50)<100 of message.deliver breaks" in one.output


@pytest.mark.proof
def test_a_target_that_dies_leaves_the_plan_so_far(slow: Server, search: Callable[..., Search]) -> None:
    one = search("--users", "20..200", "--slo", "message.deliver: p(95)<1000", "--host", slow.url, *QUICK)
    in_the_second_level(one, slow)
    slow.signal(signal.SIGKILL)
    assert one.wait(120) == 2, one.output
    told = one.summary()
    assert (told["state"], told["complete"], told["exit_code"]) == ("incomplete", False, 2)
    found = one.plan()
    assert (found.passed, found.failed) == (20, None), "a level in which it died says nothing of its capacity"
    assert [trial.state for trial in found.tried] == ["pass", "died"]
    assert f"{slow.url} died at 30 users" in one.output


@pytest.mark.proof
def test_ctrl_c_keeps_what_was_found(slow: Server, search: Callable[..., Search]) -> None:
    one = search("--users", "20..200", "--slo", "message.deliver: p(95)<1000", "--host", slow.url, *QUICK)
    in_the_second_level(one, slow)
    one.signal(signal.SIGTERM)
    assert one.wait(120) == 0, one.output
    found = one.plan()
    assert found.cut == "interrupted"
    assert found.passed in (20, 30)
    assert found.tried[0].state == "pass"
    assert "so far" in one.output


def in_the_second_level(one: Search, server: Server) -> None:
    wait_until(lambda: one.ended or len(one.runs()) == 1, "the first level is over")
    wait_until(lambda: one.ended or server.stats()["sockets"] == 30, "all of the second level are there")
    assert not one.ended, one.output


def test_before_anything_was_measured_there_is_nothing(search: Callable[..., Search]) -> None:
    one = search("--users", "20..200", "--slo", "message.deliver: p(95)<1000", *QUICK)
    wait_until(lambda: one.ended or len(below(one)) > 1, "its server runs, and locust")
    children = below(one)
    one.signal(signal.SIGTERM)
    assert one.wait(120) == 5, one.output
    assert one.summary()["state"] == "incomplete"
    assert not [child for child in children if child.is_running()]


def below(one: Search) -> list[psutil.Process]:
    """Processes that it started: a server of its own, and locust."""
    try:
        return psutil.Process(one.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def test_no_server_there_is_a_line_and_no_plan(free_port: int, search: Callable[..., Search]) -> None:
    one = search(
        "--users", "20..200", "--slo", "message.deliver: p(95)<200", "--host", f"http://127.0.0.1:{free_port}"
    )
    assert one.wait() == 2
    assert "no server there" in one.output
    assert not list(one.out.glob("*-capacity-*/summary.json"))


def test_help_is_light() -> None:
    heavy = "{'numpy', 'scipy', 'matplotlib'} & set(sys.modules)"
    code = f"import sys; import loadtest.cli.app; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
