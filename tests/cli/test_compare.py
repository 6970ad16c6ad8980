"""``loadtest compare`` on real run directories: what it says, writes, refuses, and ends with."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli.compare import compare, run_directories
from loadtest.measure.run import RunError
from loadtest.measure.units import MS

app = typer.Typer()
app.command()(compare)


def made() -> ModuleType:
    path = Path(__file__).parents[1] / "analysis" / "made.py"
    spec = importlib.util.spec_from_file_location("compare_made", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = made()


class Slowed(MADE.Maker):  # type: ignore[name-defined,misc]
    slower = 1.0

    def delay_ns(self) -> int:
        return round(self.random.lognormvariate(0.7, 0.3) * MS * self.slower)


def trial(folder: Path, seed: int, slower: float = 1.0, **changes: object) -> Path:
    maker = Slowed(seconds=16, users=8, seed=seed)
    maker.slower = slower
    told = {"id": f"{seed:02x}{round(slower * 100):04x}", "seed": seed} | changes
    written: Path = maker.write(folder, **told)
    return written


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    for seed in range(1, 7):
        trial(folder / "old", seed)
        trial(folder / "new", seed, slower=1.4)
    for seed in range(1, 7):
        trial(folder / "again", seed, slower=1.02)
    return folder


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_slower_build_ends_with_four(trials: Path, tmp_path: Path) -> None:
    result = run_cli(trials / "old", trials / "new", "--out", tmp_path / "page")
    assert result.exit_code == 4, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "REGRESSION"
    assert any("message.deliver p95" in line and "(regression)" in line for line in lines)
    assert lines[-1] == f"page: {tmp_path / 'page' / 'report.html'}"
    assert sorted(one.name for one in (tmp_path / "page").iterdir()) == [
        "comparison.json", "junit.xml", "report.html", "summary.json",
    ]  # fmt: skip
    record = json.loads((tmp_path / "page" / "comparison.json").read_bytes())
    assert (record["kind"], record["state"], record["exit_code"], record["runs"]) == (
        "comparison",
        "fail",
        4,
        12,
    )
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "Regression" in page
    assert "Holm" in page


def test_the_same_twice_gives_the_same_bytes(trials: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_cli(trials / "old", trials / "new", "--out", tmp_path / name)
    for file in ("junit.xml", "comparison.json", "summary.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_wide_tolerance_passes(trials: Path, tmp_path: Path) -> None:
    result = run_cli(trials / "old", trials / "again", "--tolerance", 60, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("NO REGRESSION")


def test_what_is_not_decided_ends_with_six_only_if_strict(trials: Path, tmp_path: Path) -> None:
    pair = [run_directories(trials / side)[0] for side in ("old", "new")]
    assert run_cli(*pair, "--out", tmp_path).exit_code == 0
    result = run_cli(*pair, "--strict", "--out", tmp_path)
    assert result.exit_code == 6
    assert result.stdout.startswith("NOT DECIDED: one run of each is no verdict on a build")
    assert "95 % interval within these runs" in (tmp_path / "report.html").read_text("utf-8")


def test_json_is_all_that_is_printed(trials: Path, tmp_path: Path) -> None:
    result = run_cli(trials / "old", trials / "new", "--json", "--out", tmp_path)
    told = json.loads(result.stdout)
    assert (told["state"], told["exit_code"]) == ("fail", 4)
    assert {one["kind"] for one in told["verdicts"]} == {"regression"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scenario": "calls"}, "not comparable: scenario: messaging against calls"),
        ({"users": 9}, "not comparable: users: 8 against 9"),
        ({"format": 0}, "not comparable: format: 1 against 0"),
        ({"environment": {"fingerprint": "ffff"}}, "machine (host fingerprint)"),
        ({"transport": "upgrade"}, "transports are set side by side by: loadtest report A B"),
    ],
)
def test_what_is_not_alike_is_refused_in_one_line(
    trials: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    other = trial(tmp_path / "other", 1, **change)
    result = run_cli(run_directories(trials / "old")[0], other, "--out", tmp_path / "page")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "page").exists()


def test_another_seed_set_is_refused(trials: Path, tmp_path: Path) -> None:
    for seed in range(2, 8):
        trial(tmp_path / "shifted", seed)
    result = run_cli(trials / "old", tmp_path / "shifted", "--out", tmp_path / "page")
    assert result.exit_code == 2
    assert "seeds: 1, 2, 3, 4, 5, 6 against 2, 3, 4, 5, 6, 7" in result.stderr


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_what_is_no_run_is_refused(trials: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run_cli(trials / "old", tmp_path / name)
    assert result.exit_code == 2
    assert str(tmp_path / name) in result.stderr
    with pytest.raises(RunError):
        run_directories(tmp_path / name)


def test_runs_that_may_not_be_believed_do_not_count(trials: Path, tmp_path: Path) -> None:
    shutil.copytree(trials / "new", tmp_path / "new", symlinks=True)
    spoilt = run_directories(tmp_path / "new")[0] / "manifest.json"
    told = json.loads(spoilt.read_bytes())
    spoilt.write_text(json.dumps(told | {"harness_errors": ["ValueError: planted"]}))
    result = run_cli(trials / "old", tmp_path / "new", "--out", tmp_path / "page")
    assert result.exit_code == 4
    assert "does not count: the generator failed: ValueError: planted" in result.stdout


def test_nothing_that_may_be_believed_ends_with_five(trials: Path, tmp_path: Path) -> None:
    invalid = trial(tmp_path / "runs", 1, harness_errors=["ValueError: planted"])
    result = run_cli(run_directories(trials / "old")[0], invalid, "--out", tmp_path / "page")
    assert result.exit_code == 5
    assert "no run there may be believed" in result.stderr


def test_a_repeated_trial_replaces_the_one_before_it(trials: Path, tmp_path: Path) -> None:
    shutil.copytree(trials / "old", tmp_path / "old", symlinks=True)
    trial(tmp_path / "old", 1, slower=1.01, started="2026-11-23T09:00:00Z")
    result = run_cli(tmp_path / "old", trials / "new", "--out", tmp_path / "page")
    assert result.exit_code == 4
    assert "6 against 6 trials" in (tmp_path / "page" / "report.html").read_text("utf-8")


def test_the_index_of_the_reports_lists_the_comparison(trials: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    one, other = trial(reports, 1), trial(reports, 1, slower=1.2)
    run_cli(one, other)
    assert "comparison" in (reports / "index.html").read_text("utf-8").lower()
