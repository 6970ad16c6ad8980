"""``loadtest history`` on real files of nights."""

from __future__ import annotations

import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli.app import app
from loadtest.cli.history_file import append

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "nights.py")))
STAMP = "20261123T081500Z"
LEVELS = {"message.deliver p95_ms": 41.0, "loss_share": 0.002}
RECORDED = Path(__file__).parent / "golden" / "otava-0.8.0.txt"


def run_cli(*arguments: object, **environ: str) -> Result:
    """In an environment that has no Otava, unless ``environ`` says so."""
    without = {"LOADTEST_OTAVA": "", "PATH": os.defpath, "XDG_CACHE_HOME": os.devnull}
    return CliRunner().invoke(app, ["history", *map(str, arguments)], env=without | environ)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two jobs; the first one moved, lost two nights, and had one that nothing follows from."""
    path = tmp_path / "reports" / "history.sqlite"
    append(path, made.nights(30, levels=LEVELS, moved_at=25, lost={4, 5}, invalid={9}), STAMP)
    append(path, made.nights(3, levels=LEVELS, job="soak"), STAMP)
    return path


def test_a_page_and_files_for_otava_beside_the_history(path: Path) -> None:
    before = path.read_bytes()
    result = run_cli("--history", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "messaging: 28 nights, 1 September to 30 September 2026; the newest: pass",
        "  - 2 missing, 1 without values",
        "soak: 3 nights, 1 September to 3 September 2026; the newest: pass",
        "change points are off: Apache Otava is not installed; "
        "`loadtest history --install-otava` installs it (300 MB)",
        f"csv:  {path.parent / 'history'} (3 for Apache Otava or a spreadsheet)",
        f"page: {path.parent / 'history.html'}",
    ]
    assert path.read_bytes() == before
    assert sorted(one.name for one in (path.parent / "history").iterdir()) == [
        f"messaging-{made.MACHINE}.csv",
        f"messaging-{made.OTHER_MACHINE}.csv",
        "otava.yaml",
        f"soak-{made.MACHINE}.csv",
    ]
    with (path.parent / "history" / f"messaging-{made.OTHER_MACHINE}.csv").open(newline="") as rows:
        assert [row["time"] for row in csv.DictReader(rows)] == [made.at(day) for day in range(25, 30)]


def test_a_second_time_changes_nothing(path: Path) -> None:
    run_cli("--history", path)
    before = {one: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()}
    run_cli("--history", path)
    assert {one: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()} == before


def test_one_job_where_it_is_asked_for(path: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "soak.html", tmp_path / "sheets"
    result = run_cli("--history", path, "--job", "soak", "--out", out, "--csv", folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("soak: 3 nights")
    assert "messaging" not in out.read_text(encoding="utf-8")
    assert sorted(one.name for one in folder.iterdir()) == ["otava.yaml", f"soak-{made.MACHINE}.csv"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["history.sqlite"]


def test_without_change_points_otava_is_not_started(path: Path, tmp_path: Path) -> None:
    program = tmp_path / "otava"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    result = run_cli("--history", path, "--no-change-points", LOADTEST_OTAVA=str(program))
    assert result.exit_code == 0
    assert "change points are off: --no-change-points was asked for" in result.stdout
    assert not (tmp_path / "started").exists()


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, str]:
    """The nights of a recorded answer, and a program that gives it."""
    path = tmp_path / "recorded" / "history.sqlite"
    levels = {"message.deliver p95_ms": 41.0, "server_cpu_s_per_1000": 0.31, "loss, in all_share": 0.00002}
    append(path, made.nights(60, levels=levels, step_at=40), STAMP)
    program = tmp_path / "otava"
    program.write_text(f"#!/bin/sh\ncat {RECORDED}\n")
    program.chmod(0o755)
    return path, str(program)


def test_changes_are_said_and_drawn(recorded: tuple[Path, str]) -> None:
    path, program = recorded
    result = run_cli("--history", path, LOADTEST_OTAVA=program)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "messaging: 60 nights, 1 September to 30 October 2026; the newest: pass",
        "  - message.deliver p95 +19 % since 11 October 2026: 41.1 ms before, 48.8 ms since",
    ]
    page = path.with_name("history.html").read_text(encoding="utf-8")
    assert "3 changes" in page and "+19 %" in page


def test_json_is_the_nights_and_nothing_else(recorded: tuple[Path, str]) -> None:
    path, program = recorded
    told = json.loads(run_cli("--history", path, "--json", LOADTEST_OTAVA=program).stdout)
    (job,) = told["jobs"]
    assert (job["job"], len(job["nights"]), job["gaps"], job["inconclusive_in_a_row"]) == (
        "messaging",
        60,
        [],
        0,
    )
    assert list(job["nights"][0]["figures"]["server_cpu_s_per_1000"]) == ["value", "low", "high", "n"]
    assert told["change_points_off"] is None
    assert [
        (one["metric"], [point["index"] for point in one["points"]]) for one in told["change_points"]
    ] == [
        ("message.deliver p95_ms", [40]),
        ("server_cpu_s_per_1000", [40]),
        ("loss, in all_share", [40]),
    ]


def damage_nothing_there(path: Path) -> None:
    path.unlink()


def damage_no_night(path: Path) -> None:
    path.write_bytes(b"")


def damage_no_database(path: Path) -> None:
    path.write_bytes(b"nights, all of them")


def damage_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_nothing_there, "no history yet: `loadtest nightly`"),
        (damage_no_night, "no night in it yet: `loadtest nightly`"),
        (damage_no_database, "damaged (file is not a database)"),
        (damage_truncated, "damaged ("),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_bad_history_is_one_line_and_2_and_left_alone(path: Path, damage: object, said: str) -> None:
    assert callable(damage)
    damage(path)
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    result = run_cli("--history", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr and str(path) in result.stderr
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before


def test_a_job_that_is_not_there_is_one_line_and_2(path: Path) -> None:
    result = run_cli("--history", path, "--job", "messages")
    assert result.exit_code == 2
    assert result.stderr == f"error: {path}: no job 'messages' in it: there is messaging, soak\n"


def test_a_page_or_folder_that_cannot_be_written_is_one_line_and_2(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for flag in ("--out", "--csv"):
        result = run_cli("--history", path, flag, tmp_path / "file" / "there")
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert "cannot be written" in result.stderr


def test_otava_that_is_there_is_not_installed_again(tmp_path: Path) -> None:
    own = tmp_path / "realtime-loadtest" / "otava-0.8.0" / "bin" / "otava"
    own.parent.mkdir(parents=True)
    own.touch()
    result = run_cli("--install-otava", XDG_CACHE_HOME=str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"Apache Otava 0.8.0 is there already: {own}\n")


def test_an_installation_that_fails_is_one_line_and_2(tmp_path: Path) -> None:
    result = run_cli("--install-otava", XDG_CACHE_HOME=os.devnull)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: Apache Otava cannot be installed (")


def test_the_command_loads_nothing_heavy_before_it_runs() -> None:
    program = "import sys, loadtest.cli.history\nprint(*sorted({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(found.stdout.split()) & {"numpy", "matplotlib", "scipy", "msgspec", "jinja2", "sqlite3"}
