"""``loadtest check`` on real run directories: what it says, its exit code, and what it leaves alone."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from click.testing import Result
from junitparser import JUnitXml
from lxml import etree
from typer.testing import CliRunner

from loadtest.cli.check import check
from loadtest.cli.indexing import rebuild_indexes
from loadtest.cli.telling import GITHUB
from loadtest.measure.slo import Slo
from loadtest.report.index import rebuild

TESTS = Path(__file__).parents[1]
made = SimpleNamespace(**runpy.run_path(str(TESTS / "analysis" / "made.py")))
app = typer.Typer()
app.command()(check)

KEPT, BROKEN, OPEN = "message.deliver: p(95)<100", "message.deliver: p(95)<1", "message.deliver: rate<0.00001"


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GITHUB:
        monkeypatch.delenv(name, raising=False)


def written(reports: Path, **changes: Any) -> Path:
    path: Path = made.Maker(seconds=14).write(reports, **changes)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "reports")


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


# -- verdicts and codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slos", "flags", "code"),
    [
        ([KEPT], [], 0),
        ([KEPT], ["--strict"], 0),
        ([KEPT, BROKEN], [], 3),
        ([KEPT, OPEN], [], 0),
        ([KEPT, OPEN], ["--strict"], 6),
        ([BROKEN, OPEN], ["--strict"], 3),
        (["typing.deliver: p(95)<100"], [], 3),
    ],
)
def test_the_code_says_how_it_came_out(path: Path, slos: list[str], flags: list[str], code: int) -> None:
    result = run_cli(path, *(word for slo in slos for word in ("--slo", slo)), *flags)
    assert result.exit_code == code, result.output


def test_failures_of_the_run_end_with_1_and_come_after_a_broken_slo(tmp_path: Path) -> None:
    path = written(tmp_path, locust_failures=2)
    assert run_cli(path, "--slo", KEPT).exit_code == 1
    assert run_cli(path, "--slo", BROKEN).exit_code == 3
    assert run_cli(path, "--slo", OPEN, "--strict").exit_code == 1


def test_an_invalid_run_ends_with_5_and_decides_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, harness_errors=["KeyError in a watcher"], locust_failures=1)
    result = run_cli(path, "--slo", BROKEN, "--slo", KEPT)
    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    assert lines[0] == "INVALID: messaging over websocket, 20 users, 6.0 s measured"
    assert lines[2] == f"  not decided  {BROKEN}"
    assert lines[4] == f"  not decided  {KEPT}"
    assert lines[6] == "slo:       0 of 2 SLOs kept, 2 not decided"
    assert result.stdout.count("the run is invalid: the generator failed") == 2


def test_what_is_said_at_the_terminal(path: Path) -> None:
    lines = run_cli(path, "--slo", KEPT, "--slo", BROKEN, "--slo", OPEN).stdout.splitlines()
    assert lines[0] == "VALID: messaging over websocket, 20 users, 6.0 s measured"
    assert lines[1] == f"  kept         {KEPT}"
    assert lines[2].startswith("               p(95) ")
    assert ", limit 100 ms, 95 % interval " in lines[2]
    assert lines[3] == f"  broken       {BROKEN}"
    assert lines[5] == f"  not decided  {OPEN}"
    assert "would decide it" in lines[6]
    assert lines[7:] == ["slo:       1 of 3 SLOs kept, 1 broken, 1 not decided"]


def test_several_runs_are_judged_each(tmp_path: Path, path: Path) -> None:
    slow = made.Maker(seconds=14, transport="interval-polling").write(tmp_path / "reports")
    result = run_cli(path, slow, "--slo", KEPT)
    assert result.exit_code == 3
    assert "1 of 1 SLO kept" in result.stdout
    assert "0 of 1 SLO kept, 1 broken" in result.stdout


def test_a_file_and_expressions_together(tmp_path: Path, path: Path) -> None:
    file = tmp_path / "slo.toml"
    file.write_text('[slo]\n"message.echo" = ["lost==0", {threshold = "p(95)<1", abort_on_fail = true}]\n')
    result = run_cli(path, "--slo", file, "--slo", KEPT)
    assert result.exit_code == 3
    said = [
        line.split(maxsplit=1)
        for line in result.stdout.splitlines()
        if line.startswith(("  kept", "  broken"))
    ]
    assert said == [
        ["kept", "message.echo: lost==0"], ["broken", "message.echo: p(95)<1"], ["kept", KEPT],
    ]  # fmt: skip


def test_without_slos_a_run_is_judged_by_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path, slos=[Slo(*KEPT.split(": ")), Slo(*OPEN.split(": "))], stopped_by=OPEN, complete=False
    )
    result = run_cli(path)
    assert result.exit_code == 3
    assert f"  broken  {OPEN}" in result.stdout
    assert "it ended the run" in result.stdout
    assert ", cut short" in result.stdout.splitlines()[0]
    assert run_cli(path, "--slo", KEPT).exit_code == 0, "those that are named, and no others"


# -- what is wrong -------------------------------------------------------------------------------------------


def refused(*arguments: object) -> list[str]:
    result = run_cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()


def test_a_run_that_had_no_slos_asks_for_some(path: Path) -> None:
    assert refused(path) == [
        f"error: {path}: the run had no SLOs of its own; name some with --slo FILE or EXPR"
    ]


def test_what_cannot_be_read_is_shown_with_its_place(path: Path, tmp_path: Path) -> None:
    missing = tmp_path / "slo.toml"
    assert refused(path, "--slo", "message.deliver: p(95)<100ms", "--slo", missing, "--slo", KEPT) == [
        "error: nothing may follow the number; times are milliseconds, without a unit",
        "  message.deliver: p(95)<100ms",
        "                            ^",
        f"{missing}: cannot be read (No such file or directory)",
    ]


def test_an_operation_that_there_is_not_is_no_empty_metric(path: Path) -> None:
    lines = refused(path, "--slo", "message.delivery: p(95)<100")
    assert lines[0].startswith("error: no such operation; there are session.connect, ")


def test_no_run_there(path: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert refused(path, nowhere, "--slo", KEPT) == [f"error: {nowhere}: no such run directory"]


def test_a_damaged_run(path: Path) -> None:
    (path / "intervals.jsonl.gz").write_bytes(b"\x1f\x8bnothing")
    (line,) = refused(path, "--slo", KEPT)
    assert line.startswith(f"error: {path / 'intervals.jsonl.gz'}: truncated or damaged (")


def test_a_place_where_nothing_can_be_written(path: Path, tmp_path: Path) -> None:
    there = tmp_path / "no" / "junit.xml"
    assert refused(path, "--slo", KEPT, "--junit", there) == [
        f"error: {there}: cannot be written (No such file or directory)"
    ]


# -- what others are told ------------------------------------------------------------------------------------


def test_nothing_in_the_run_changes(path: Path) -> None:
    (path / "summary.json").write_text('{"format": 1, "mine": true}')
    before = content(path)
    assert run_cli(path, "--slo", KEPT, "--slo", BROKEN).exit_code == 3
    assert content(path) == before


def test_json_is_the_verdicts_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = run_cli(path, "--slo", KEPT, "--slo", BROKEN, "--json")
    assert result.exit_code == 3
    (one,) = json.loads(result.stdout)
    assert one["run"] == "7c1e9b60"
    kept, broken = one["verdicts"]
    assert (kept["name"], kept["state"], kept["limit"], kept["unit"]) == (KEPT, "pass", 100.0, "ms")
    assert (broken["name"], broken["kind"], broken["state"]) == (BROKEN, "slo", "fail")
    assert broken["ci95"][0] > 1


def test_junit_has_a_case_for_each(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.xml"
    run_cli(path, "--slo", KEPT, "--slo", BROKEN, "--slo", OPEN, "--junit", file)
    schema = etree.XMLSchema(etree.parse(TESTS / "report" / "junit.xsd"))
    schema.assertValid(etree.parse(file))
    (suite,) = JUnitXml.fromfile(str(file))
    cases = {case.name: [type(one).__name__ for one in case.result] for case in suite}
    assert {name: cases[name] for name in (KEPT, BROKEN, OPEN)} == {
        KEPT: [],
        BROKEN: ["Failure"],
        OPEN: ["Skipped"],
    }


def test_github_is_told_where_it_listens(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# of an earlier step\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    lines = run_cli(path, "--slo", KEPT, "--slo", BROKEN, "--slo", OPEN).stdout.splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert [line.split()[0] for line in commands] == ["::error", "::warning"]
    assert "p(95)<1" in commands[0]
    told = summary.read_text()
    assert told.startswith("# of an earlier step\n## Service level objectives\n")
    assert "3 verdicts: 1 failed, 1 inconclusive, 1 passed." in told


def test_nobody_else_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert "::" not in run_cli(path, "--slo", BROKEN).stdout


def test_a_job_summary_that_cannot_be_written_is_a_warning(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    result = run_cli(path, "--slo", KEPT)
    assert result.exit_code == 0
    assert result.stderr == f"warning: {tmp_path}: no job summary there (Is a directory)\n"


# -- indexes -------------------------------------------------------------------------------------------------


def test_the_index_of_the_reports_is_made_anew(path: Path) -> None:
    index = path.parent / "index.html"
    assert not index.exists()
    run_cli(path, "--slo", KEPT)
    assert path.name in index.read_text()


def test_a_run_that_was_copied_elsewhere_makes_no_index_there(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a" / "b" / "c"
    shutil.copytree(path, elsewhere / path.name)
    rebuild_indexes([elsewhere / path.name])
    assert [one.name for one in tmp_path.rglob("index.html")] == []


def test_somebody_elses_index_is_left_alone(path: Path) -> None:
    index = path.parent / "index.html"
    index.write_text("<title>My own page</title>")
    rebuild_indexes([path])
    assert index.read_text() == "<title>My own page</title>"


def test_an_index_of_ours_is_kept_up_without_a_latest(path: Path) -> None:
    rebuild(path.parent)
    (path.parent / "latest").unlink()
    other = written(path.parent, id="ffff0000")
    rebuild_indexes([path])
    assert other.name in (path.parent / "index.html").read_text()


def test_a_trial_of_a_night_is_listed_two_levels_up(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    (reports / "night" / "candidate").mkdir(parents=True)
    (reports / "latest").symlink_to("night")
    trial = written(tmp_path / "elsewhere")
    trial = trial.rename(reports / "night" / "candidate" / trial.name)
    rebuild_indexes([trial])
    assert [one.parent for one in tmp_path.rglob("index.html")] == [reports]
    assert trial.name in (reports / "index.html").read_text()


def test_a_directory_of_that_name_is_left_alone(path: Path) -> None:
    (path.parent / "index.html").mkdir()
    rebuild_indexes([path])
    assert list((path.parent / "index.html").iterdir()) == []
