"""Change points: what Apache Otava is given, what it answers, and that nothing it does can break a history."""

from __future__ import annotations

import csv
import io
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lacking import lacking

from loadtest.analysis.history import Figure, Night, series, watched
from loadtest.cli import history_csv, otava
from loadtest.cli.otava import OtavaError, look, parse

HERE = Path(__file__).parent
made = SimpleNamespace(**runpy.run_path(str(HERE.parent / "analysis" / "nights.py")))
RECORDED = HERE / "golden" / "otava-0.8.0.txt"
LEVELS = {"message.deliver p95_ms": 41.0, "server_cpu_s_per_1000": 0.31, "loss, in all_share": 0.00002}
P95, CPU, LOSS = LEVELS
KEY = ("messaging", made.MACHINE, P95)


def stepped() -> list[Night]:
    """Up by 20 % on night 40; this is what was recorded."""
    return made.nights(60, levels=LEVELS, step_at=40)


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """One with a real Otava in it, installed and ready."""
    try:
        tool = otava.locate({name: value for name, value in os.environ.items() if name != "PATH"})
    except OtavaError as error:
        lacking(str(error))
    return {**os.environ, otava.EXECUTABLE: tool.command[0]}


# What it is given


def test_one_file_for_each_job_and_machine() -> None:
    nights = [*made.nights(4, moved_at=2), *made.nights(3, job="mixed soak/1")]
    assert [sheet.name for sheet in history_csv.sheets(series(nights))] == [
        f"messaging-{made.MACHINE}",
        f"messaging-{made.OTHER_MACHINE}",
        f"mixed-soak-1-{made.MACHINE}",
    ]


def test_names_that_look_alike_as_files_are_told_apart() -> None:
    nights = [night for job in ("a b", "a-b", "A B", "a/b") for night in made.nights(2, job=job)]
    names = [sheet.name.lower() for sheet in history_csv.sheets(series(nights))]
    assert len(set(names)) == 4
    assert all("/" not in name and " " not in name for name in names)


def test_a_metric_that_some_nights_lack_has_a_file_of_its_own() -> None:
    nights = made.nights(5, levels=LEVELS)
    nights[1] = nights[1]._replace(figures={name: nights[1].figures[name] for name in (P95, LOSS)})
    found = history_csv.sheets(series(nights))
    assert [[one.metric for one in sheet.series] for sheet in found] == [[P95, LOSS], [CPU]]
    for sheet in found:
        rows = list(csv.DictReader(io.StringIO(history_csv.table(sheet))))
        assert all(row[one.metric] for row in rows for one in sheet.series)
    assert sum(len(sheet.series[0].nights) for sheet in found) == 5 + 4


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=10),
)
def test_the_csv_has_the_very_values(values: list[float], metric: str) -> None:
    nights = made.series_of(values, metric=f"{metric}_ms", commit=None)
    (sheet,) = history_csv.sheets(series(nights))
    head, *rows = csv.reader(io.StringIO(history_csv.table(sheet), newline=""))
    assert head == [*history_csv.FACTS, f"{metric}_ms", f"{metric}_ms low", f"{metric}_ms high"]
    assert [float(row[5]) for row in rows] == values
    assert [row[0] for row in rows] == [night.at for night in nights]
    assert {(row[1], row[6], row[7]) for row in rows} == {("", "", "")}


# What it answers


def test_a_recorded_answer() -> None:
    found = history_csv.sheets(watched(stepped()))
    answers = parse(RECORDED.read_text(), found)
    assert answers == {("messaging", made.MACHINE, metric): {40: 0.0} for metric in LEVELS}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "", "no result for messaging"),
        (lambda text: text.replace(f"messaging-{made.MACHINE}", "another"), "no result for messaging"),
        (lambda text: text.replace("{", "{{", 1), "not understood"),
        (lambda text: text.replace('"index": 40', '"index": 39'), "left nights out"),
        (lambda text: text.replace('"index": 40', '"index": 60'), "not understood"),
        (lambda text: text.replace('"index": 40', '"index": -1'), "not understood"),
        (lambda text: text.replace('"0.000000"', '"small"'), "not understood"),
        (lambda text: text.replace("loss, in all_share", "joy"), "not understood"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(change: Callable[[str], str], said: str) -> None:
    text = RECORDED.read_text()
    assert change(text) != text
    with pytest.raises(OtavaError, match=said):
        parse(change(text), history_csv.sheets(watched(stepped())))


# How it is started


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    cache, tools = tmp_path / "cache", tmp_path / "tools"
    environ = {"XDG_CACHE_HOME": str(cache), "PATH": str(tools)}
    with pytest.raises(OtavaError, match="not installed; `loadtest history --install-otava`"):
        otava.locate(environ)
    uvx = program(tools / "uvx", "")
    assert otava.locate(environ).command == [str(uvx), "--from", "apache-otava==0.8.0", "otava"]
    own = program(cache / "realtime-loadtest" / "otava-0.8.0" / "bin" / "otava", "")
    assert otava.locate(environ).command == [str(own)]
    named = program(tmp_path / "named", "")
    assert otava.locate({**environ, "LOADTEST_OTAVA": str(named)}).command == [str(named)]
    with pytest.raises(OtavaError, match="LOADTEST_OTAVA names /nowhere, which cannot be run"):
        otava.locate({**environ, "LOADTEST_OTAVA": "/nowhere"})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "failed (exit code 3)"),
        ("echo 'it broke' >&2; exit 1", "failed (it broke)"),
        ("echo 'ERROR: no such column' >&2", "failed (no such column)"),
        ("true", "gave no result"),
        ("echo '{'", "not understood"),
        ("echo '[]'", "gave no result"),
        ("echo '{}'", "gave no result"),
        (r"printf '\377\376{'", "gave no result"),
    ],
)
def test_whatever_goes_wrong_with_it_change_points_are_off(tmp_path: Path, script: str, said: str) -> None:
    found = look(stepped(), {"LOADTEST_OTAVA": str(program(tmp_path / "otava", script)), "PATH": os.defpath})
    assert found.points == {}
    assert said in found.off
    assert "\n" not in found.off


def test_what_cannot_be_started_is_off(tmp_path: Path) -> None:
    no_program = tmp_path / "otava"
    no_program.write_bytes(b"\0\1\2")
    no_program.chmod(0o755)
    assert "cannot be started" in look(stepped(), {"LOADTEST_OTAVA": str(no_program)}).off


def test_one_that_does_not_end_is_stopped_with_all_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otava, "TIMEOUT_S", 0.2)
    # The child holds the pipes: were it left, waiting for their end would take as long as it does.
    script = program(tmp_path / "otava", "sleep 600 & wait")
    found = look(stepped(), {"LOADTEST_OTAVA": str(script), "PATH": os.defpath})
    assert found.off == "otava was stopped after 0 s"


def test_it_gets_its_files_and_not_our_environment(tmp_path: Path) -> None:
    script = program(tmp_path / "otava", f'echo "$BRANCH|$PYTHONPATH|$HOME|$*|$(ls)" > {tmp_path}/got')
    environ = {
        "LOADTEST_OTAVA": str(script), "PATH": os.defpath, "HOME": "/home",
        "BRANCH": "main", "PYTHONPATH": "/ours",
    }  # fmt: skip
    look(stepped(), environ)
    branch, ours, home, arguments, files = (tmp_path / "got").read_text().split("|")
    assert (branch, ours, home) == ("", "", "/home")
    assert arguments.startswith(f"analyze messaging-{made.MACHINE} --config-file otava.yaml --output json")
    assert files.split() == [f"messaging-{made.MACHINE}.csv", "otava.yaml"]


def test_too_few_nights_do_not_even_start_it(tmp_path: Path) -> None:
    found = look(made.nights(19), {"LOADTEST_OTAVA": str(tmp_path / "none")})
    assert found == ({}, "no series has 20 nights yet")


def test_an_installation_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OtavaError, match="cannot be installed"):
        otava.install({**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")})


# What it finds: the real one


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(3))
def test_a_step_is_found_within_two_nights(environ: dict[str, str], seed: int) -> None:
    found = look(made.nights(60, seed=seed, levels=LEVELS, step_at=40), environ)
    assert found.off == ""
    assert len(found.points) == len(LEVELS)
    for points in found.points.values():
        (point,) = points
        assert abs(point.index - 40) <= 2
        assert point.percent == pytest.approx(20, abs=4)


@pytest.mark.e2e
def test_a_step_is_found_as_soon_as_it_may_be_shown(environ: dict[str, str]) -> None:
    """Two nights after the first slow one, and not before."""
    nights = made.nights(60, levels=LEVELS, step_at=40, step=1.3)
    points = [look(nights[:count], environ).points[KEY] for count in (41, 42, 43)]
    assert [[point.index for point in one] for one in points] == [[], [], [40]]


@pytest.mark.e2e
def test_a_steady_series_has_no_change(environ: dict[str, str]) -> None:
    nights = [
        night for seed in range(4) for night in made.nights(60, seed=seed, levels=LEVELS, job=f"job {seed}")
    ]
    found = look(nights, environ)
    assert found.off == ""
    assert len(found.points) == 4 * len(LEVELS)
    assert [key for key, points in found.points.items() if points] == []


@pytest.mark.e2e
def test_our_means_are_its_means(environ: dict[str, str], tmp_path: Path) -> None:
    """Where six decimals are enough for its own, and it has dropped no point between."""
    nights = made.nights(60, levels=LEVELS, step_at=20)
    for night in nights[45:]:
        night.figures[P95] = Figure(night.figures[P95].value * 0.7, None, None, 6)
    found = history_csv.write(tmp_path, watched(nights))
    text = otava._run(otava.locate(environ), found, tmp_path, environ)
    points = look(nights, environ).points[KEY]
    assert [point.index for point in points] == [20, 45]
    for point in points:
        assert f'"mean_before": "{point.before:.6f}"' in text
        assert f'"mean_after": "{point.after:.6f}"' in text


@pytest.mark.e2e
def test_a_loss_where_there_was_none_is_found(environ: dict[str, str]) -> None:
    nights = made.series_of([0.0] * 30 + [0.00001 * (1 + day % 3) for day in range(10)], metric="loss_share")
    (points,) = look(nights, environ).points.values()
    assert [(point.index, point.before, point.percent) for point in points] == [(30, 0.0, None)]


@pytest.mark.e2e
def test_old_nights_future_nights_and_branches_are_no_matter(environ: dict[str, str]) -> None:
    """By itself Otava looks at the last year, and takes BRANCH for a flag."""
    for year in ("1999", "2199"):
        nights = [night._replace(at=year + night.at[4:]) for night in stepped()]
        found = look(nights, {**environ, "BRANCH": "main", "TZ": "America/New_York"})
        assert found.off == ""
        assert [point.index for point in found.points[KEY]] == [40]
        assert found.points[KEY][0].at.startswith(year)


@pytest.mark.e2e
def test_lost_nights_and_lacking_metrics_are_no_matter(environ: dict[str, str]) -> None:
    nights = made.nights(60, levels=LEVELS, step_at=40, lost={3, 4, 20}, invalid={11, 30})
    for night in nights[5:8]:
        del night.figures[CPU]
    found = look(nights, environ)
    assert found.off == ""
    assert {points[0].at for points in found.points.values()} == {made.at(40)}
