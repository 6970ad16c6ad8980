"""``loadtest capacity``: what it refuses, what it asks of a level, and what it shows of its command line."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from loadtest.analysis.capacity_search import Search
from loadtest.cli.capacity import Asked, capacity, fresh, understand, without_secrets
from loadtest.cli.capacity_generator import given, guard
from loadtest.cli.capacity_levels import backlog_s, silent, times
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS

TESTS = Path(__file__).parents[1]
made = SimpleNamespace(**runpy.run_path(str(TESTS / "analysis" / "made.py")))
app = typer.Typer()
app.command()(capacity)
SLO = ("--slo", "message.deliver: p(95)<100")


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--users", "2000..50", *SLO), "--users 2000..50: the range ends below its begin; write 50..2000"),
        (("--users", "many", *SLO), "--users many: not a range of users; write 50..2000"),
        (("--users", "50-2000", *SLO), "--users 50-2000: not a range of users"),
        (("--users", "1..10", *SLO), "--users 1..10: begin with two users at least"),
        (("--users", "50..2000", "--slo", "message.deliver: p(95)"), "expected one of"),
        (("--users", "50..2000", "--slo", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("--users", "50..2000", *SLO, "--rate", "often"), "--rate: 'often' is no rate"),
        (("--users", "50..2000", *SLO, "--scenario", "juggling"), "--scenario juggling: there is no"),
        (
            ("--users", "50..2000", *SLO, "--cluster-throughput", "2:5"),
            "--cluster-throughput: '2:5': one server",
        ),
        (("--users", "50..2000", *SLO, "--", "--rt-rate=6/m"), "--rt-rate=6/m is set by each level"),
        (("--users", "50..2000", *SLO, "--", "-u", "7"), "-u is set by each level"),
        (("--users", "50..2000", *SLO, "--server-metrics", "pid:1"), "without --host the server is our own"),
        (("--users", "50..2000", *SLO, "--", "--rt-server-metrics=pid:1"), "or by a flag of this command"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_runs(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    out = tmp_path / "reports"
    done = run_cli("--out", out, *arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert not out.exists()


def test_every_fault_is_said_at_once(tmp_path: Path) -> None:
    done = run_cli("--out", tmp_path, "--users", "9..3", "--slo", "nothing", "--rate", "x")
    assert done.exit_code == 2
    assert done.output.count("error: ") >= 3


@pytest.mark.parametrize("missing", ["--users", "--slo"])
def test_a_range_and_an_slo_are_needed(tmp_path: Path, missing: str) -> None:
    arguments = {"--users": "50..100", "--slo": "message.deliver: p(95)<100"}
    del arguments[missing]
    done = run_cli("--out", tmp_path, *[word for pair in arguments.items() for word in pair])
    assert done.exit_code == 2
    assert missing in done.output


def test_short_levels_are_confirmed_by_fewer_trials() -> None:
    assert [fresh(level_s) for level_s in (8, 29, 30, 59, 60, 90)] == [1, 1, 2, 2, 3, 3]
    assert Search(50, 2000).confirm == fresh(90)


@pytest.mark.parametrize("users", [2, 20, 500, 2000])
@pytest.mark.parametrize("level_s", [5, 8, 30, 90, 900])
def test_a_level_is_measured_for_as_long_as_was_asked(users: int, level_s: float) -> None:
    how = times(users, level_s)
    assert how.measure == level_s
    assert how.whole == math.ceil(how.whole), "locust takes no half seconds"
    assert how.whole >= how.joining + how.warmup + level_s + how.drain
    assert users / how.joining <= 100, "joining is no storm"
    assert how.warmup >= 2 and how.drain >= 2


def test_the_default_level_has_the_usual_warmup_and_drain() -> None:
    assert times(200, 90) == (5.0, 30.0, 90, 10.0)


def test_the_server_s_figures_are_asked_for_in_every_run_and_its_password_is_not_shown(
    tmp_path: Path,
) -> None:
    url = "http://ann:hush@127.0.0.1:9/metrics"
    slo = ["message.deliver: p(95)<100"]
    asked = Asked(slo, "50..100", None, 30, "http://127.0.0.1:9", "messaging", None, False, [], url)
    job, _ = understand(asked, tmp_path)
    assert job.flags == ("--rt-server-metrics", url)
    assert without_secrets(["--server-metrics", url, f"--server-metrics={url}"]) == [
        "--server-metrics",
        "http://***@127.0.0.1:9/metrics",
        "--server-metrics=http://***@127.0.0.1:9/metrics",
    ]


def test_a_secret_is_not_shown() -> None:
    words = ["capacity", "--", "--rt-token-secret", "hush", "--rt-tok=hush", "--rt-transport", "upgrade"]
    shown = without_secrets(words)
    assert shown == [
        "capacity",
        "--",
        "--rt-token-secret",
        "***",
        "--rt-tok=***",
        "--rt-transport",
        "upgrade",
    ]


def test_a_flag_is_what_was_typed_last_or_what_the_environment_says() -> None:
    flags = ["--rt-room-size", "5", "--rt-room-size=20", "--rt-devices"]
    assert given("room-size", flags, {}) == "20"
    assert given("room-size", [], {"LOCUST_RT_ROOM_SIZE": "3"}) == "3"
    assert given("rate", [], {}) == "6/m"
    assert given("devices", flags, {}) == "1", "locust will say that it lacks its value"


def test_what_no_machine_can_make_is_not_run(tmp_path: Path) -> None:
    assert guard(100, "messaging", [], tmp_path, shared=True).refused == ""
    assert guard(5_000_000, "messaging", [], tmp_path, shared=False).refused
    assert guard(5_000_000, "calls", [], tmp_path, shared=False).refused == "", "nobody knows its events"


def test_a_large_load_gets_processes_unless_somebody_chose(tmp_path: Path) -> None:
    small = guard(10, "messaging", [], tmp_path, shared=True)
    assert small.flags == []
    chosen = guard(2000, "messaging", ["--rt-rate", "5/s", "--processes", "2"], tmp_path, shared=False)
    assert chosen.flags == []
    assert guard(2000, "messaging", ["--rt-rate", "5/s"], tmp_path, shared=False).short


def test_a_target_rests_for_what_it_owes() -> None:
    """200 beside 400 that were delivered within the 30 s of the run: 15 s more at that rate, and one for luck."""
    came = Histogram()
    for _ in range(400):
        came.record(5 * MS)
    row = SeriesRow("message.deliver", "websocket", "measure", 20, open=150, lost=50, latency=came.counts())
    nobody = made.in_memory(Book())
    behind = Run(nobody.path, nobody.manifest, [row], [], [])
    assert backlog_s(behind) == 16
    calm = Run(nobody.path, nobody.manifest, [msgspec.structs.replace(row, open=0, lost=0)], [], [])
    assert backlog_s(calm) == 1
    assert backlog_s(nobody) == 30, "where nothing came nobody knows"


def test_nobody_there_is_found_out() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert silent(f"http://127.0.0.1:{port}") == ""
    assert "no longer answers" in silent(f"http://127.0.0.1:{port}")
