"""The index in a real browser: headings sort, the filter hides, nothing is wider than the window."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loadtest.measure import run as runs
from loadtest.report.index import rebuild
from loadtest.report.line import COLUMNS


def beside(name: str) -> ModuleType:
    """A file of tests beside this one, which no import finds."""
    spec = importlib.util.spec_from_file_location(
        f"loadtest_tests_{name}", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


browser = beside("test_browser")
chromium = browser.chromium
pytestmark = pytest.mark.browser

STEPS = """
  const shown = () => [...document.querySelectorAll('tbody tr')]
    .filter(row => !row.hidden).map(row => row.querySelector('a').textContent);
  const button = title => [...document.querySelectorAll('thead button')].find(one => one.textContent === title);
  const found = [];
  const tell = step => found.push({
    step,
    shown: shown(),
    sorted: Object.fromEntries([...document.querySelectorAll('th[aria-sort]')]
      .map(head => [head.textContent, head.getAttribute('aria-sort')])),
    focus: document.activeElement.textContent,
    said: document.querySelector('output').value,
  });
  const press = title => { button(title).focus(); button(title).click(); tell(title); };
  const type = words => {
    const input = document.querySelector('input');
    input.value = words;
    input.dispatchEvent(new Event('input'));
    tell(words);
  };
"""


def put(directory: Path, scenario: str, started: str, p95: float | None, users: int, state: str) -> None:
    row = {"name": "message.deliver", "transport": "websocket", "phase": "measure", "expected": 10, "n": 10}
    told: dict[str, Any] = {
        "run": {"scenario": scenario, "transport": "websocket", "users": users, "started": started},
        "operations": [row | {"latency_ms": {"p95": p95}}],
        "verdicts": [{"name": "slo", "state": state}] if state else [],
    }
    directory.mkdir(parents=True)
    (directory / runs.MANIFEST).write_text("{}", encoding="utf-8")
    (directory / runs.SUMMARY).write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Four runs and a night with two more."""
    reports = tmp_path / "reports"
    put(reports / "1", "calls", "2026-11-21T08:00:00Z", 9.5, 20, "pass")
    put(reports / "2", "Drops", "2026-11-22T08:00:00Z", None, 20, "fail")
    put(reports / "3", "mixed", "2026-11-24T08:00:00Z", 100.0, 5, "")
    put(reports / "4", "undated", "", 1.0, 1000, "inconclusive")
    night = reports / "20261123T020000Z-nightly-ab"
    put(night / "candidate" / "5", "early", "2026-11-23T02:05:00Z", 20.0, 20, "pass")
    put(night / "baseline" / "6", "later", "2026-11-23T02:10:00Z", 3.0, 20, "pass")
    told = {"name": "night", "started": "2026-11-23T02:00:00Z", "state": "fail", "exit_code": 3}
    (night / "night.json").write_text(json.dumps(told), encoding="utf-8")
    return reports


def drive(chromium: str, reports: Path, steps: str) -> dict[str, dict[str, Any]]:
    """What the page shows after each step, by the step's name; the last of a name."""
    page = rebuild(reports).read_text(encoding="utf-8")
    script = f"<script>{STEPS}{steps}\ndocument.body.innerHTML = '<pre id=\"found\"></pre>';"
    script += "document.body.firstChild.textContent = JSON.stringify(found);</script></body>"
    driven = reports / "driven.html"
    driven.write_text(page.replace("</body>", script), encoding="utf-8")
    ended = subprocess.run(
        [chromium, *browser.FLAGS, f"--user-data-dir={reports / '.profile'}", "--dump-dom", driven.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = re.search(r'<pre id="found">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert told, ended.stderr[-2000:]
    assert "CONSOLE" not in ended.stderr
    return {one["step"]: one for one in json.loads(html.unescape(told[1]))}


NEWEST_FIRST = ["mixed", "night", "later", "early", "Drops", "calls", "undated"]


def test_headings_sort(chromium: str, reports: Path) -> None:
    found = drive(
        chromium, reports, "tell('before'); press('p95'); press('users'); press('verdict'); press('run');"
    )
    assert found["before"]["shown"] == NEWEST_FIRST
    assert found["before"]["sorted"] == {"started, UTC": "descending"}
    assert found["p95"]["shown"] == ["mixed", "early", "calls", "later", "undated", "night", "Drops"]
    assert found["p95"]["sorted"] == {"p95": "descending"}
    assert found["p95"]["focus"] == "p95", "whoever uses the keyboard stays where they were"
    assert found["users"]["shown"] == ["undated", "later", "early", "Drops", "calls", "mixed", "night"]
    assert found["verdict"]["shown"] == ["night", "Drops", "undated", "later", "early", "calls", "mixed"]
    assert found["run"]["shown"] == ["calls", "Drops", "early", "later", "mixed", "night", "undated"]


def test_a_second_press_turns_the_order_and_the_missing_stay_last(chromium: str, reports: Path) -> None:
    found = drive(chromium, reports, "press('p95'); press('p95');")
    assert found["p95"]["shown"] == ["undated", "later", "calls", "early", "mixed", "night", "Drops"]
    assert found["p95"]["sorted"] == {"p95": "ascending"}


def test_by_date_a_night_stays_above_its_runs(chromium: str, reports: Path) -> None:
    date = COLUMNS[0].title
    found = drive(chromium, reports, f"press('{date}');")
    assert found[date]["shown"] == ["calls", "Drops", "night", "early", "later", "mixed", "undated"]
    found = drive(chromium, reports, f"press('p95'); press('{date}');")
    assert found[date]["shown"] == NEWEST_FIRST


def test_every_heading_is_a_button(chromium: str, reports: Path) -> None:
    every = "".join(f"press({json.dumps(column.title)});" for column in COLUMNS)
    found = drive(chromium, reports, every)
    for column in COLUMNS:
        (told,) = found[column.title]["sorted"].items()
        turned = "ascending" if column is COLUMNS[0] else column.first
        assert told == (column.title, turned)
        assert sorted(found[column.title]["shown"]) == sorted(NEWEST_FIRST)


def test_words_hide_the_other_rows(chromium: str, reports: Path) -> None:
    found = drive(
        chromium, reports, "type('FAILED drops'); type('nightly'); type('none such'); press('p95'); type('');"
    )
    assert found["FAILED drops"]["shown"] == ["Drops"]
    assert found["FAILED drops"]["said"] == "1 of 7 rows"
    assert found["nightly"]["shown"] == ["night", "later", "early"]
    assert found["none such"]["shown"] == []
    assert found["p95"]["shown"] == [], "what is hidden stays so"
    assert len(found[""]["shown"]) == 7
    assert found[""]["said"] == ""


def test_nothing_is_wider_than_the_window(chromium: str, reports: Path, tmp_path: Path) -> None:
    put(
        reports / "7",
        "<b>" + "a-very-long-name" * 20,
        "2026-11-25T08:00:00Z",
        9.5,
        20,
        "a state of many words",
    )
    empty = tmp_path / "empty"
    for shown in (reports, empty):
        folder = tmp_path / f"look-{shown.name}"
        folder.mkdir()
        too_wide, console = browser.look(chromium, rebuild(shown).read_text(encoding="utf-8"), folder)
        assert too_wide == {str(width): [] for width in browser.WIDTHS}
        assert console == []
