"""Does `loadtest export` write what was asked for, where it was asked for, and say in one line what it cannot?"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli.app import app
from loadtest.report.hlog import LEGEND
from loadtest.report.seconds_csv import COLUMNS


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """tests/analysis/made.py, a file of tests that is no package's member."""
    name = "loadtest_tests_made"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).parents[1] / "analysis" / "made.py"
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def path(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = made.Maker(users=10, seconds=12, rate_per_min=60.0).write(
        tmp_path_factory.mktemp("reports")
    )
    return written


def export(*words: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_both_files_at_once(path: Path, tmp_path: Path) -> None:
    seconds, log = tmp_path / "seconds.csv", tmp_path / "run.hlog"
    done = export(path, "--csv", seconds, "--hlog", log)
    assert (done.exit_code, done.output) == (0, "")
    assert seconds.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert LEGEND in log.read_text().splitlines()


def test_one_phase_to_standard_output(path: Path) -> None:
    done = export(path, "--csv", "-", "--phase", "measure")
    head, *rows = done.stdout.splitlines()
    assert done.exit_code == 0 and head == ",".join(COLUMNS)
    assert {row.split(",")[1] for row in rows} == {"measure"}
    assert len(export(path, "--csv", "-").stdout.splitlines()) > len(rows) + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to write: name a file with --csv FILE, --hlog FILE, or both"),
        (("--csv", "-", "--hlog", "-"), "two files need two names"),
        (("--csv", "-", "--phase", "lunch"), "--phase lunch: not one of connect, warmup, measure, drain"),
        (("--csv", "/nowhere/at/all.csv"), "/nowhere/at/all.csv: cannot be written"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(path: Path, words: tuple[str, ...], said: str) -> None:
    done = export(path, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_run(tmp_path: Path) -> None:
    done = export(tmp_path / "none", "--csv", "-")
    assert done.exit_code == 2 and "no such run directory" in done.stderr
