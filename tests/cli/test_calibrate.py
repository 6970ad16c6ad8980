"""``loadtest calibrate`` where it runs nothing, C0 on known answers, and the runs that it would make."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from loadtest.analysis.floors import C1, C2, Load
from loadtest.cli import echo, floor_runs, sizing
from loadtest.cli.app import app
from loadtest.cli.calibrate import UsageError, load_of, load_of_run
from loadtest.cli.floor_runs import CannotMeasure, Step, steps, whole_s
from loadtest.measure import run as runs


@pytest.fixture(scope="module")
def made() -> ModuleType:
    path = Path(__file__).parents[1] / "analysis" / "made.py"
    spec = importlib.util.spec_from_file_location("loadtest_tests_made", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_what_a_load_needs_without_running_anything(tmp_path: Path) -> None:
    result = run_cli("--users", 1000, "--rate", "6/m", "--no-run", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.stdout.splitlines()[:6]] == [
        "events per second", "CPU", "processes", "file descriptors", "local ports", "memory",
    ]  # fmt: skip
    assert "2,273 (183 sends, 150 acks, 1,900 deliveries, 40 pings)" in result.stdout
    assert list(tmp_path.iterdir()) == []
    told = json.loads(run_cli("--users", 1000, "--no-run", "--json", "--out", tmp_path).stdout)
    assert told["needs"]["need"]["users"] == 1000
    assert told["floors"] is None


def test_what_cannot_run_at_all_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = tmp_path / "ports"
    ports.write_text("1000 1009")
    monkeypatch.setattr(sizing, "_PORT_RANGE", ports)
    result = run_cli("--users", 641, "--out", tmp_path)
    assert result.exit_code == 2
    assert "local ports: 641 devices, and 640 ports towards one server" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rate", "often"], "--rate: 'often' is no rate"),
        (["--room-size", "1"], "--room-size: '1': a conversation needs at least 2 members"),
        (
            ["--room-size", "20", "--users", "10"],
            "--room-size: conversations of 20 need at least that many users",
        ),
        (["--transport", "pigeon"], "--transport pigeon: none of websocket, upgrade"),
        (["--client", "pigeon"], "--client pigeon: none of native, python-socketio"),
        (["--client", "python-socketio", "--transport", "upgrade"], "only with --transport websocket"),
        (
            ["--transport", "interval-polling"],
            "so it has no floor worth measuring; see what it needs with --no-run",
        ),
        (["--beside", "no-such-run"], "no-such-run: no such run directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    result = run_cli(*arguments, "--out", tmp_path / "reports")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "reports").exists()


def test_beside_a_run_the_load_is_that_of_the_run(tmp_path: Path, made: ModuleType) -> None:
    path = made.Maker(users=20).write(tmp_path)
    result = run_cli("--beside", path, "--users", 5)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --users: with --beside the load is that of the run\n",
    )
    result = run_cli("--beside", path, "--no-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["needs"]["need"]["sends_per_s"] == pytest.approx(20 * 22 / 12)


def test_a_run_s_load(tmp_path: Path, made: ModuleType) -> None:
    plain = runs.read(made.Maker(users=20, workers=2).write(tmp_path / "a"))
    assert load_of_run(plain) == Load(20, 1.0, "10", processes=2)
    parameters = made.manifest().parameters | {
        "room_size": {"2": 0.8, "20": 0.2}, "devices": 2, "payload_bytes": 99, "rate_per_min": 6.0,
    }  # fmt: skip
    skewed = runs.read(made.Maker(users=40).write(tmp_path / "b", parameters=parameters, transport="upgrade"))
    assert load_of_run(skewed) == Load(40, 0.1, "2:0.8,20:0.2", "upgrade", 2, payload_bytes=99)
    silent = made.in_memory(scenario="calls", users=30)
    assert load_of_run(silent) == Load(30, 1.0, "2")
    few = runs.read(made.Maker(users=4).write(tmp_path / "c"))
    assert load_of_run(few).room_size == "4"


def test_what_was_not_typed_is_as_in_a_run() -> None:
    assert load_of({"users": None, "rate": None}) == Load(100, 0.1)
    assert load_of({"users": 5}) == Load(5, 0.1)  # rooms of ten that are not full, as locust does it
    with pytest.raises(UsageError):
        load_of({"users": 5, "room-size": "10"})


def test_c2_has_the_load_that_was_asked_for_and_c1_hardly_any() -> None:
    load = Load(500, 0.2, "2:50,20:50", "upgrade", 2, payload_bytes=99, processes=2)
    light, full = steps(load)
    assert [light.name, full.name] == [C1, C2]
    assert (light.load.users, light.load.transport, light.load.processes) == (10, "upgrade", 1)
    assert full.load == load
    given = floor_runs.flags(full, "http://127.0.0.1:1")
    pairs = dict(zip(given[::2], given[1::2], strict=True))
    assert (pairs["-u"], pairs["--rt-rate"], pairs["--rt-room-size"]) == ("500", "0.2/s", "2:50,20:50")
    assert (pairs["--rt-devices"], pairs["--rt-payload-bytes"], pairs["--processes"]) == ("2", "99", "2")
    assert pairs["--master-bind-port"] == pairs["--master-port"] != "5557"
    assert "--processes" not in floor_runs.flags(light, "http://127.0.0.1:1")


def test_a_small_load_is_measured_until_it_has_a_p99_but_not_for_ever() -> None:
    def seconds(load: Load) -> float:
        return steps(load, 10.0)[1].seconds

    assert seconds(Load(100, 0.1)) == 10.0
    slow = Load(20, 0.1, "2")
    assert (
        seconds(slow) * 20 * 0.1 == pytest.approx(floor_runs.ENOUGH) or seconds(slow) == floor_runs.LONGEST_S
    )
    assert seconds(Load(30, 0.1)) == pytest.approx(floor_runs.ENOUGH / 27)
    assert seconds(Load(2, 0.01, "2")) == floor_runs.LONGEST_S


def test_the_cost_needs_a_busy_run_unless_c2_is_one() -> None:
    assert [step.name for step in steps(Load(100, 0.1), with_cost=True)] == [C1, C2, ""]
    assert [step.name for step in steps(Load(1000, 0.1), with_cost=True)] == [C1, C2]


def test_runs_last_whole_seconds_and_add_up() -> None:
    planned = steps(Load(333, 0.1))
    assert all(step.run_time_s == int(step.run_time_s) for step in planned)
    assert whole_s(planned) > sum(step.run_time_s for step in planned)
    assert Step(C2, "", Load(10_000, 0.1), 10.0).spawn_rate == 300


def test_polling_has_no_floor() -> None:
    with pytest.raises(CannotMeasure, match="waits there for the next poll by design"):
        steps(Load(10, 0.1, transport="interval-polling"))


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """One end of a connection; the other is answered by a thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    thread = threading.Thread(target=answer, args=(theirs,), daemon=True)
    thread.start()
    with ours:
        yield ours
    thread.join(10)
    theirs.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "WARM", 2)


def exchange(connection: socket.socket, times: int) -> Any:
    class Plain:
        """A Unix socket has no Nagle to switch off."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def setsockopt(self, *_option: int) -> None:
            pass

    return echo.exchange(Plain(), 150, times, lambda passed_s: None)  # type: ignore[arg-type]


def test_c0_is_all_the_time_that_an_answer_takes_not_half_of_it() -> None:
    def late(other: socket.socket) -> None:
        while data := other.recv(4096):
            time.sleep(0.01)  # the known answer
            other.sendall(data[:100])
            other.sendall(data[100:])  # all of it must be back, not only its beginning

    with answering(late) as connection:
        found = exchange(connection, 20)
    assert found.n == 20
    assert found.min_ns >= 10_000_000


def test_c0_of_a_server_that_hangs_up_is_none() -> None:
    with (
        answering(lambda other: (other.recv(4096), other.shutdown(socket.SHUT_RDWR))[1]) as connection,
        pytest.raises(echo.EchoFailed, match="hung up"),
    ):
        exchange(connection, 20)
