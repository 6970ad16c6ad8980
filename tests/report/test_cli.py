"""``loadtest report`` on real run directories."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli.report import report

app = typer.Typer()
app.command()(report)


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def path(made: ModuleType, tmp_path: Path) -> Path:
    written: Path = made.Maker(seconds=14).write(tmp_path / "reports")
    return written


def test_one_run(path: Path) -> None:
    result = run_cli(path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "VALID: messaging over websocket, 20 users, 6.0 s measured"
    assert lines[-1] == f"page: {path / 'report.html'}"
    assert len(lines) == 6
    assert json.loads((path / "summary.json").read_bytes())["format"] == 1
    assert (path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_second_time_changes_nothing(path: Path) -> None:
    run_cli(path)
    before = {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}
    run_cli(path)
    assert {name: (path / name).read_bytes() for name in sorted(os.listdir(path))} == before


def test_several_runs_keep_their_own_pages(made: ModuleType, path: Path) -> None:
    other = made.Maker(transport="interval-polling", seconds=14).write(path.parent)
    result = run_cli(path, other)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "validity:  interval polling VALID, WebSocket VALID; 20 users each"
    assert lines[1].startswith("delivered: ")
    assert lines[2].startswith("latency:   mean ")
    assert lines[-1] == f"page: {path / 'compare.html'}"
    assert len(lines) == 6
    assert "Side by side" in (path / "compare.html").read_text(encoding="utf-8")
    for one in (path, other):
        assert "Side by side" not in (one / "report.html").read_text(encoding="utf-8")
        assert (one / "summary.json").is_file()
    assert not (other / "compare.html").exists()


def test_out_names_the_page(made: ModuleType, path: Path, tmp_path: Path) -> None:
    other = made.Maker(transport="interval-polling", seconds=14).write(path.parent)
    out = tmp_path / "both.html"
    assert run_cli(path, other, "--out", out).exit_code == 0
    assert out.is_file()
    assert not (path / "compare.html").exists()


def test_json_is_the_summary_and_nothing_else(made: ModuleType, path: Path) -> None:
    result = run_cli(path, "--json")
    assert json.loads(result.stdout) == json.loads((path / "summary.json").read_bytes())
    other = made.Maker(transport="interval-polling", seconds=14).write(path.parent)
    both = json.loads(run_cli(path, other, "--json").stdout)
    assert [one["run"]["transport"] for one in both] == ["websocket", "interval-polling"]


def test_failures_of_the_run_end_with_1(made: ModuleType, tmp_path: Path) -> None:
    assert run_cli(made.Maker(seconds=14).write(tmp_path, locust_failures=2)).exit_code == 1


def test_an_invalid_run_ends_with_5_and_says_why(made: ModuleType, tmp_path: Path) -> None:
    path = made.Maker(seconds=14).write(tmp_path, locust_failures=2, harness_errors=["KeyError in a watcher"])
    result = run_cli(path)
    assert result.exit_code == 5
    assert result.stdout.splitlines()[:2] == [
        "INVALID: messaging over websocket, 20 users, 6.0 s measured",
        "  - the generator failed: KeyError in a watcher",
    ]


def test_a_suspect_run_keeps_its_code_and_is_named_first(made: ModuleType, tmp_path: Path) -> None:
    result = run_cli(made.Maker(seconds=14, busy=65.0).write(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.startswith("SUSPECT: ")
    assert "  - generator CPU p95" in result.stdout


def damage_nothing_there(path: Path) -> None:
    for one in path.iterdir():
        one.unlink()
    path.rmdir()


def damage_no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def damage_truncated(path: Path) -> None:
    content = (path / "intervals.jsonl.gz").read_bytes()
    (path / "intervals.jsonl.gz").write_bytes(content[: len(content) // 2])


def damage_half_a_line(path: Path) -> None:
    (path / "intervals.jsonl.gz").write_bytes(gzip.compress(b'{"kind":"series","operation":"mess'))


def damage_newer(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_nothing_there, "no such run directory"),
        (damage_no_manifest, "no manifest.json there"),
        (damage_truncated, "truncated or damaged"),
        (damage_half_a_line, "truncated or damaged"),
        (damage_newer, "written in format 99 by a newer version"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_bad_run_is_one_line_and_2(path: Path, damage: object, said: str) -> None:
    assert callable(damage)
    damage(path)
    result = run_cli(path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    assert str(path) in result.stderr


def test_a_page_that_cannot_be_written_is_one_line_and_2(path: Path, tmp_path: Path) -> None:
    result = run_cli(path, "--out", tmp_path / "no" / "such" / "page.html")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be written" in result.stderr


def test_the_report_loads_neither_gevent_nor_locust() -> None:
    program = (
        "import sys, loadtest.report, loadtest.report.render, loadtest.cli.report\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(found.stdout.split())
    assert "matplotlib" in loaded
    assert not loaded & {"gevent", "locust", "socketio", "engineio", "uvicorn", "greenlet"}
