"""Every run is on the index, whatever state it is in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import lxml.html
import msgspec
import pytest

from loadtest.analysis import compare
from loadtest.analysis.summary import encode, summarise
from loadtest.measure import run as runs
from loadtest.measure.operations import MAIN
from loadtest.measure.run import Run, RunError, directory_name
from loadtest.report.index import rebuild
from loadtest.report.line import COLUMNS, main_row
from loadtest.report.shelf import Brief, blocks, moment
from loadtest.report.subject import MAIN as OF_PAGES
from loadtest.report.subject import main_operation

DELIVER = {
    "name": "message.deliver",
    "transport": "websocket",
    "phase": "measure",
    "expected": 1000,
    "n": 998,
    "late": 0,
    "lost": 2,
    "latency_ms": {"p50": 1.5, "p95": 12.25, "p99": None},
    "why": {"p99": "n=250, 299 needed"},
}
ACTIVE = {"transport": "websocket", "regime": "active", "bytes_per_delivery": 501.2, "why": {}}


def facts(**changes: Any) -> dict[str, Any]:
    told = {"id": "7c1e9b", "scenario": "messaging", "transport": "websocket", "users": 1200}
    return told | {"started": "2026-11-23T09:47:38+00:00", "complete": True} | changes


def summary(**changes: Any) -> dict[str, Any]:
    """A summary, with no more than the index reads and a field it does not know."""
    told = {
        "format": 1,
        "run": facts(),
        "validity": {"state": "valid", "reasons": []},
        "operations": [DELIVER],
        "bandwidth": [ACTIVE],
        "reconnection": {"drops": 0, "recovered": 0},
        "verdicts": [],
        "of_another_release": {"deep": [1, 2]},
    }
    return told | changes


def put(directory: Path, told: object = None, manifest: object = None, page: bool = True) -> Path:
    """A run directory; ``str`` is written as it stands."""
    directory.mkdir(parents=True)
    contents = {runs.MANIFEST: facts() if manifest is None else manifest, runs.SUMMARY: told}
    for name, content in contents.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (directory / name).write_text(text, encoding="utf-8")
    if page:
        (directory / runs.REPORT).write_text("a page", encoding="utf-8")
    return directory


def record(directory: Path, file: str, **told: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file).write_text(json.dumps(told), encoding="utf-8")


def page_of(reports: Path) -> lxml.html.HtmlElement:
    path = rebuild(reports)
    assert path == reports / "index.html"
    return lxml.html.document_fromstring(path.read_bytes())


def rows(reports: Path) -> list[list[str]]:
    """The words of every row."""
    found = page_of(reports).iterfind(".//tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in found]


def cell(reports: Path, title: str) -> lxml.html.HtmlElement:
    """A cell of the only row, by the heading of its column."""
    (row,) = page_of(reports).iterfind(".//tbody/tr")
    return row[[column.title for column in COLUMNS].index(title)]


def verdicts(*states: str) -> list[dict[str, str]]:
    return [{"name": f"slo {n}", "kind": "slo", "state": state} for n, state in enumerate(states)]


def test_a_row_says_what_the_summary_says(tmp_path: Path) -> None:
    put(tmp_path / "one", summary())
    assert rows(tmp_path) == [
        ["2026-11-23 09:47", "messaging", "WebSocket", "1,200", "no SLO", "valid",
         "99.8 %", "2", "1.50 ms", "12.2 ms", "–", "501 B", "0"]
    ]  # fmt: skip
    assert cell(tmp_path, "p99").get("title") == "given from 299 values on"
    assert cell(tmp_path, "p95").get("data-value") == "12.25"
    assert cell(tmp_path, "p99").get("data-value") is None


def test_a_real_run_has_its_own_figures(push: Run, tmp_path: Path) -> None:
    told = summarise(push)
    directory = put(tmp_path / push.path.name, encode(told).decode(), page=False)
    (directory / runs.MANIFEST).write_bytes((push.path / runs.MANIFEST).read_bytes())
    row = compare.main_row(told, MAIN[0])
    assert row is not None
    assert cell(tmp_path, "p95").get("data-value") == str(row.latency_ms.p95)
    assert cell(tmp_path, "delivered").get("data-value") == str(row.n / row.expected)
    traffic = compare.traffic_row(told, "active")
    assert traffic is not None
    assert cell(tmp_path, "per message").get("data-value") == str(traffic.bytes_per_delivery)


def test_the_main_operation_is_that_of_the_pages(push: Run, troubled: Run, conversing: Run) -> None:
    assert tuple(OF_PAGES) == MAIN
    for run in (push, troubled, conversing):
        told = summarise(run)
        expected = compare.main_row(told, main_operation([told]))
        found = main_row(msgspec.json.decode(encode(told), type=Brief))
        assert found is not None and expected is not None
        names = ("name", "transport", "phase", "expected", "n", "lost", "why")
        assert [getattr(found, one) for one in names] == [getattr(expected, one) for one in names]


def test_another_main_operation_is_named(tmp_path: Path) -> None:
    ring = DELIVER | {"name": "call.ring", "expected": 10, "n": 10, "lost": 0}
    warmup = DELIVER | {"phase": "warmup"}
    chat = DELIVER | {"name": "chat.deliver"}
    put(tmp_path / "one", summary(run=facts(scenario="calls"), operations=[chat, warmup, ring]))
    assert rows(tmp_path)[0][1] == "calls call.ring"
    assert cell(tmp_path, "delivered").text_content() == "100 %"


def test_the_row_of_the_own_transport_counts(tmp_path: Path) -> None:
    other = DELIVER | {"transport": "long-polling", "expected": 9000, "n": 9000}
    dear = ACTIVE | {"transport": "long-polling", "bytes_per_delivery": 9000.0}
    put(tmp_path / "one", summary(operations=[other, DELIVER], bandwidth=[dear, ACTIVE]))
    assert cell(tmp_path, "delivered").text_content() == "99.8 %"
    assert cell(tmp_path, "per message").text_content() == "501 B"


@pytest.mark.parametrize(
    ("states", "words", "tone"),
    [
        ([], "no SLO", "quiet"),
        (["pass", "pass"], "2 passed", "good"),
        (["pass", "inconclusive"], "1 of 2 inconclusive", "warn"),
        (["inconclusive", "fail", "pass", "fail"], "2 of 4 failed", "bad"),
        (["postponed", "pass"], "1 passed", "good"),
        (["postponed"], "1 of 1 postponed", ""),
    ],
)
def test_the_worst_verdict_speaks(states: list[str], words: str, tone: str, tmp_path: Path) -> None:
    put(tmp_path / "one", summary(verdicts=verdicts(*states)))
    found = cell(tmp_path, "verdict")
    assert found.text_content() == words
    assert found.get("class") == f"words wraps {tone}".strip()


def test_what_did_not_pass_is_named(tmp_path: Path) -> None:
    told = verdicts("fail", "pass", "inconclusive")
    told[2]["why"] = "n=20, 59 needed"
    put(tmp_path / "one", summary(verdicts=told))
    assert cell(tmp_path, "verdict").get("title") == "failed: slo 0\ninconclusive: slo 2 (n=20, 59 needed)"


@pytest.mark.parametrize("state", ["valid", "suspect", "invalid"])
def test_validity_is_a_badge_with_its_reasons(state: str, tmp_path: Path) -> None:
    put(tmp_path / "one", summary(validity={"state": state, "reasons": ["late", "short of CPU"]}))
    found = cell(tmp_path, "measured")
    assert found.text_content() == state
    assert found[0].get("class").startswith("badge ")
    assert found.get("title") == "late\nshort of CPU"


def test_cut_short_is_said(tmp_path: Path) -> None:
    put(tmp_path / "one", summary(run=facts(complete=False)))
    assert cell(tmp_path, "measured").text_content() == "valid cut short"


def test_a_percentile_among_the_missing_says_so(tmp_path: Path) -> None:
    told = DELIVER | {"why": {"p99": "not reached: 2.0 % late or lost"}}
    put(tmp_path / "one", summary(operations=[told]))
    assert cell(tmp_path, "p99").text_content() == "not reached"
    assert cell(tmp_path, "p99").get("title") == "not reached: 2.0 % late or lost"


@pytest.mark.parametrize(
    ("told", "words", "tone"),
    [
        ({"drops": 60, "recovered": 60}, "60, 60", None),
        ({"drops": 60, "recovered": 57}, "60, 57", "warn"),
        ({"drops": 3, "recovered": None}, "3, –", None),
        ({"drops": 0}, "0", "quiet"),
        ({}, "–", "quiet"),
    ],
)
def test_drops_and_who_came_back(told: dict[str, Any], words: str, tone: str | None, tmp_path: Path) -> None:
    put(tmp_path / "one", summary(reconnection=told))
    found = cell(tmp_path, "drops, back")
    assert (found.text_content(), found.get("class")) == (words, tone)


DAMAGED = (
    "",
    "{",
    "[]",
    "null",
    '{"run": {"users": -1}}',
    '{"run": {"users": ' + "9" * 5000 + "}}",
    '{"operations": null}',
    '{"verdicts": [{"state": NaN}]}',
    '{"unknown": ' + "[" * 100_000 + "]" * 100_000 + "}",
)


@pytest.mark.parametrize("told", DAMAGED, ids=range(len(DAMAGED)))
def test_without_a_summary_the_manifest_speaks(told: str, tmp_path: Path) -> None:
    put(tmp_path / "one", told, manifest=facts(scenario="drops", complete=False))
    assert rows(tmp_path) == [
        ["2026-11-23 09:47", "drops", "WebSocket", "1,200", "no summary", "– cut short", *["–"] * 7]
    ]
    assert cell(tmp_path, "verdict").get("title") == "summary.json cannot be read: loadtest report makes one"


def test_without_both_the_name_speaks(tmp_path: Path) -> None:
    name = directory_name("2026-11-23T08:15:00Z", "multi-device", "interval-polling", "1f3a")
    put(tmp_path / name, manifest="{")
    put(tmp_path / "a name of my own", manifest="{")
    assert [row[:5] for row in rows(tmp_path)] == [
        ["2026-11-23 08:15", "multi-device", "interval polling", "–", "no summary"],
        ["–", "a name of my own", "–", "–", "no summary"],
    ]


def test_a_summary_of_another_release_may_lack_anything(tmp_path: Path) -> None:
    put(tmp_path / "one", {"format": 7, "run": {"scenario": "messaging"}})
    (row,) = rows(tmp_path)
    assert row[1] == "messaging"
    assert row[4] == "no SLO"
    assert row[5:] == ["–"] * 8


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    directory = put(tmp_path / "one")
    os.mkfifo(directory / runs.SUMMARY)
    assert rows(tmp_path)[0][4] == "no summary"


def test_newest_first_and_dateless_last(tmp_path: Path) -> None:
    moments = {
        "b": "2026-11-23T09:00:00Z",
        "a": "2026-11-23T09:00:00+00:00",
        "c": "2026-11-23T11:30:00+02:00",
        "d": "once upon a time",
        "e": "2025-01-01T00:00:00",
        "f": "0001-01-01T00:00:00+14:00",
    }
    for name, started in moments.items():
        put(tmp_path / name, summary(run=facts(scenario=name, started=started)))
    assert [row[1] for row in rows(tmp_path)] == ["c", "a", "b", "e", "d", "f"]
    assert rows(tmp_path)[4][0] == "once upon a time"


def night(reports: Path, day: int, **told: Any) -> Path:
    directory = reports / f"202611{day}T020000Z-nightly-ab{day}"
    for arm, minute in (("baseline", 5), ("candidate", 10)):
        started = f"2026-11-{day}T02:{minute:02}:00Z"
        put(directory / arm / f"trial-{day}", summary(run=facts(scenario=f"{arm}-{day}", started=started)))
    record(directory, "night.json", **{"kind": "nightly", "state": "pass", "exit_code": 0} | told)
    return directory


def test_a_night_stands_above_its_runs(tmp_path: Path) -> None:
    directory = night(
        tmp_path, 24, started="2026-11-24T02:00:00Z", name="night 24", state="fail", exit_code=3
    )
    (directory / "report.html").write_text("a page", encoding="utf-8")
    night(tmp_path, 25)
    put(tmp_path / "between", summary(run=facts(scenario="between", started="2026-11-24T12:00:00Z")))
    found = rows(tmp_path)
    assert [row[1] for row in found] == [
        "nightly-ab25", "candidate-25 candidate", "baseline-25 baseline",
        "between",
        "night 24", "candidate-24 candidate", "baseline-24 baseline",
    ]  # fmt: skip
    assert found[4] == ["2026-11-24 02:00", "night 24", "night", "", "failed", "2 runs, exit code 3"]
    assert found[0][0] == "2026-11-25 02:10", "a night without a moment has that of its last run"
    page = page_of(tmp_path)
    assert page.findtext(".//p[@class='facts']/span[2]") == "2 nights"
    links = [one.get("href") for one in page.iterfind(".//tbody//a")]
    assert links[0] == "20261125T020000Z-nightly-ab25/", "there is no page, so the directory"
    assert links[4:6] == [
        "20261124T020000Z-nightly-ab24/report.html",
        "20261124T020000Z-nightly-ab24/candidate/trial-24/report.html",
    ]


def test_a_comparison_has_a_row_without_runs_of_its_own(tmp_path: Path) -> None:
    told = {"started": "2026-11-24T02:00:00Z", "state": "inconclusive", "exit_code": 6, "runs": 12}
    record(tmp_path / "versus", "comparison.json", kind="comparison", name="a and b", **told)
    assert rows(tmp_path) == [
        ["2026-11-24 02:00", "a and b", "comparison", "", "inconclusive", "12 runs, exit code 6"]
    ]


@pytest.mark.parametrize(
    "state", ["pass", "fail", "inconclusive", "invalid", "incomplete", "of another release"]
)
def test_every_state_of_a_night_has_a_word(state: str, tmp_path: Path) -> None:
    record(tmp_path / "one", "night.json", state=state)
    assert rows(tmp_path)[0][4] == {"pass": "passed", "fail": "failed"}.get(state, state)


def test_a_damaged_night_keeps_its_runs(tmp_path: Path) -> None:
    directory = night(tmp_path, 24)
    (directory / "night.json").write_text("{", encoding="utf-8")
    found = rows(tmp_path)
    assert found[0][1:] == ["nightly-ab24", "night", "", "–", "2 runs, night.json cannot be read"]
    assert len(found) == 3


def test_a_page_elsewhere_is_not_linked(tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("mine", encoding="utf-8")
    record(tmp_path / "reports" / "one", "night.json", page="../../secret.html")
    record(tmp_path / "reports" / "two", "night.json", page="javascript:alert(1)")
    links = [one.get("href") for one in page_of(tmp_path / "reports").iterfind(".//tbody//a")]
    assert links == ["one/", "two/"]


def test_three_levels_and_no_link_are_followed(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    put(reports / "a" / "b" / "third", summary())
    put(reports / "a" / "b" / "c" / "fourth", summary())
    put(reports / ".hidden", summary())
    put(tmp_path / "outside", summary())
    (reports / "linked").symlink_to(tmp_path / "outside")
    (reports / "round").symlink_to(reports)
    put(reports / "latest", summary())
    assert [block.entries[0].folder for block in blocks(reports)] == [("a", "b", "third")]


def test_other_pages_are_linked_if_they_lie_there(tmp_path: Path) -> None:
    for name in ("demo.html", "history.html", "other.html"):
        (tmp_path / name).write_text("a page", encoding="utf-8")
    links = [one.get("href") for one in page_of(tmp_path).iterfind(".//nav/a")]
    assert links == ["demo.html", "history.html"]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onclick=alert(1) x='",
    "{{ 7 * 7 }}",
    "&amp;",
    "\u202e\x00]]>-->",
]


def test_names_stay_words(tmp_path: Path) -> None:
    for index, name in enumerate(HOSTILE):
        run = facts(scenario=name, transport=name, started=name)
        told = [{"name": name, "state": name, "why": name}]
        validity = {"state": name, "reasons": [name]}
        put(tmp_path / f"run {index}", summary(run=run, verdicts=told, validity=validity))
        record(tmp_path / f"{index} night", "night.json", kind=name, name=name, started=name, state=name)
    page = page_of(tmp_path)
    assert len(page.findall(".//script")) == 1, "the page's own"
    assert not [one for one in page.iter() if any(key.startswith("on") for key in one.keys())]  # noqa: SIM118
    shown = {one.text_content() for one in page.iterfind(".//tbody//a")}
    assert set(HOSTILE[:4]) <= shown


def test_links_are_relative_and_lead_somewhere(tmp_path: Path) -> None:
    for name in ("plain", "a <b>&\"'#?%25", "c:d", "javascript:alert(1)", "käse"):
        put(tmp_path / name, summary())
    put(tmp_path / "pageless", summary(), page=False)
    odd = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(odd)
    with open(odd + b"/manifest.json", "wb") as manifest:
        manifest.write(b"{}")
    links = [one.get("href") for one in page_of(tmp_path).iterfind(".//tbody//a")]
    assert len(links) == 7
    for link in links:
        assert re.fullmatch(r"[\w.~/%-]+", link), link
        assert os.path.exists(os.path.join(os.fsencode(tmp_path), unquote_to_bytes(link)))


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "one", summary())
    page = rebuild(tmp_path).read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<link|src=", page)


def test_every_row_has_all_columns(tmp_path: Path) -> None:
    put(tmp_path / "whole", summary())
    put(tmp_path / "bare", manifest="{")
    night(tmp_path, 24)
    for row in page_of(tmp_path).iterfind(".//tbody/tr"):
        assert sum(int(one.get("colspan", 1)) for one in row) == len(COLUMNS)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    names = ["c", "a", "b"]
    pages = []
    for order in (names, names[::-1]):
        reports = tmp_path / order[0]
        for name in order:
            put(reports / name, summary())
        pages += [rebuild(reports).read_bytes(), rebuild(reports).read_bytes()]
        assert sorted(one.name for one in reports.iterdir()) == ["a", "b", "c", "index.html"]
    assert len(set(pages)) == 1


def test_an_empty_directory_says_how_to_begin(tmp_path: Path) -> None:
    page = page_of(tmp_path / "not" / "there yet")
    assert page.findtext(".//h1") == "No runs yet"
    assert page.findtext(".//pre") == "loadtest demo"
    assert page.find(".//table") is None


def test_an_index_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "index.html").mkdir()
    for reports in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(RunError) as caught:
            rebuild(reports)
        assert str(caught.value).startswith(f"{reports}/index.html: cannot be written (")
        assert "\n" not in str(caught.value)


def test_nothing_slow_is_loaded(tmp_path: Path) -> None:
    put(tmp_path / "one", summary())
    script = (
        "import sys; from pathlib import Path; from loadtest.report.index import rebuild\n"
        f"rebuild(Path({str(tmp_path)!r}))\n"
        "print(sorted({'matplotlib', 'scipy', 'gevent', 'locust'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_series_are_not_read(tmp_path: Path) -> None:
    directory = put(tmp_path / "one", summary())
    for name in (runs.INTERVALS, runs.CONNECTIONS, runs.EXEMPLARS):
        os.mkfifo(directory / name)
    assert rows(tmp_path)[0][4] == "no SLO"


def test_moments_are_utc() -> None:
    told = moment("2026-11-23T11:30:00+02:00")
    assert told is not None
    assert told.isoformat() == "2026-11-23T09:30:00+00:00"
    assert moment("2026-11-23T09:30:00") == moment("20261123T093000Z") == told
    assert moment("") is None
