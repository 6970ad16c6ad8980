"""``loadtest bandwidth`` on grids that are there already, and what it refuses; tests/e2e has it run one."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from lxml import html
from typer.testing import CliRunner

from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET
from loadtest.cli.app import app
from loadtest.cli.bandwidth_grid import GRID, LANES, seconds
from loadtest.cli.bandwidth_points import BEATS, Plan, before_s, run_time_s, spots, window_s
from loadtest.report.shelf import GROUPS, blocks

grids = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("grids.py"))))
QUICK, FULL = Plan(True, 1), Plan(False, 4)


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bandwidth", *map(str, arguments)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A whole quick grid."""
    found: Path = grids.write_grid(tmp_path / "reports" / "20261126T120000Z-bandwidth-aaaaaa")
    return found


def test_what_is_there_is_judged_and_not_run_again(place: Path) -> None:
    result = run_cli("--quick", "--resume", place)
    assert result.exit_code == 0, result.output
    assert "all of it is there already" in result.stderr
    assert "interval polling, library, one feed: confirmed idle" in result.stdout
    assert "within 5 % of the closed form" in result.stdout
    page = html.fromstring((place / "report.html").read_text())
    links = page.xpath("//ul[@class='runs']//a/@href")
    assert len(links) == 9
    assert all((place / link).parent.is_dir() for link in links)
    summary = json.loads((place / "summary.json").read_text())
    assert summary["state"] == "pass" and len(summary["points"]) == 2 * 4 * 2
    record = json.loads((place / "bandwidth.json").read_text())
    assert (record["kind"], record["runs"], record["exit_code"]) == ("bandwidth", 9, 0)


def test_the_index_knows_it(place: Path) -> None:
    run_cli("--quick", "--resume", place)
    assert GROUPS["bandwidth.json"] == "bandwidth"
    (block,) = blocks(place.parent)
    assert block.group is not None and block.group.page and len(block.entries) == 9
    assert "bandwidth comparison" in (place.parent / "index.html").read_text()


def test_json_alone(place: Path) -> None:
    result = run_cli("--quick", "--resume", place, "--json")
    told = json.loads(result.stdout)
    assert {one["kind"] for one in told["verdicts"]} == {"claim"}
    assert {one["saving"] for one in told["crossings"]} == {0.9, 0.0}


def test_another_claim_has_another_answer(place: Path) -> None:
    told = json.loads(run_cli("--quick", "--resume", place, "--claim", 40, "--json").stdout)
    assert {one["limit"] for one in told["verdicts"]} == {0.4}
    talking = [one for one in told["verdicts"] if "rate:1," in one["name"]]
    assert {one["state"] for one in talking} == {"pass"}


def test_the_same_grid_gives_the_same_bytes(place: Path) -> None:
    pages = []
    for _ in range(2):
        run_cli("--quick", "--resume", place)
        page = (place / "report.html").read_text()
        pages.append(page[page.index("<section") :].partition("How to reproduce")[0])
    assert pages[0] == pages[1]


def test_a_run_that_is_no_measurement_does_not_count(tmp_path: Path) -> None:
    place = grids.write_grid(tmp_path / "grid", counters={"connections.failed": 3})
    result = run_cli("--quick", "--resume", place)
    assert result.exit_code == 5
    assert "does not count: users that could not connect: 3" in result.stdout
    assert json.loads((place / "bandwidth.json").read_text())["state"] == "incomplete"
    assert json.loads((place / "runs" / GRID).read_text())["runs"] == {}, "whoever goes on runs it again"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume", "nowhere"], "nowhere: not a comparison of bytes: there is no runs/grid.json in it"),
        (["--trials", "0"], "--trials"),
        (["--claim", "120"], "--claim"),
    ],
)
def test_bad_input_gets_one_line(arguments: list[str], said: str) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_another_grid_is_not_gone_on_with(place: Path) -> None:
    result = run_cli("--resume", place)
    assert result.exit_code == 2
    assert "of another comparison (quick, against a server of its own); this one is full" in result.stderr
    result = run_cli("--quick", "--host", "http://127.0.0.1:9", "--resume", place)
    assert result.exit_code == 2
    assert "this one is quick, against http://127.0.0.1:9" in result.stderr


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"plan": 3}'])
def test_a_damaged_record_is_said(place: Path, content: bytes) -> None:
    (place / "runs" / GRID).write_bytes(content)
    result = run_cli("--quick", "--resume", place)
    assert result.exit_code == 2
    assert "damaged" in result.stderr and "Traceback" not in result.output


def test_a_host_that_is_not_this_machine_is_not_loaded(tmp_path: Path) -> None:
    """The address is one of documentation (RFC 5737): nobody is asked, as it is refused before."""
    result = run_cli("--quick", "--host", "http://192.0.2.1:3000", "--out", tmp_path)
    assert result.exit_code == 2
    assert "--allow-remote says that you may" in result.stderr


def test_a_host_where_nobody_is(tmp_path: Path) -> None:
    result = run_cli("--quick", "--host", "http://127.0.0.1:9", "--out", tmp_path)
    assert result.exit_code == 2
    assert "connect_refused" in result.stderr
    assert "Traceback" not in result.output


# -- the grid --------------------------------------------------------------------------------------------


def test_the_full_grid_has_every_way_at_every_rate() -> None:
    found = spots(FULL)
    assert len({one.name for one in found}) == len(found) == 4 * 8 * 5
    assert {one.rate for one in found} == {0, 0.01, 0.1, 1, 5}
    ways = {(one.arm.transport, one.arm.headers, one.arm.feeds, one.arm.compression) for one in found}
    assert ways == {
        (WEBSOCKET, "library", 1, False),
        (WEBSOCKET, "library", 1, True),
        *(
            (INTERVAL_POLLING, headers, feeds, False)
            for headers in ("library", "browser")
            for feeds in (1, 3)
        ),
        *((LONG_POLLING, headers, 1, False) for headers in ("library", "browser")),
    }


def test_the_quick_grid_is_quick() -> None:
    assert len(spots(QUICK)) <= LANES
    assert seconds(QUICK) < 120
    assert seconds(FULL) < 3600


@pytest.mark.parametrize("plan", [QUICK, FULL, Plan(True, 1, "http://127.0.0.1:9")])
@pytest.mark.parametrize("period_s", [1.0, 25.0, 60.0])
def test_a_window_holds_whole_heartbeats_and_begins_after_the_first(plan: Plan, period_s: float) -> None:
    for spot in spots(plan):
        window, idle_s = window_s(spot, plan, period_s), min(5, period_s) if plan.quick else period_s
        if spot.rate:
            assert window / period_s == round(window / period_s) >= 1
            assert before_s(spot, plan, period_s) > period_s
        else:
            period = period_s if plan.host else idle_s
            assert window > BEATS * period
            assert before_s(spot, plan, period_s) > period
        assert run_time_s(spot, plan, period_s) > window + before_s(spot, plan, period_s)


def test_what_is_there_takes_no_time(place: Path, tmp_path: Path) -> None:
    assert seconds(QUICK, place / "runs") == 0
    missing = spots(QUICK)[0].name
    half = grids.write_grid(tmp_path / "half", without=(missing,))
    assert 30 < seconds(QUICK, half / "runs") < 60
