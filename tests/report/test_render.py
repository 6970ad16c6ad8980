"""The page as a file: whole, alone, the same every time, and the words on it."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loadtest.analysis.summary import summarise
from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, HealthRow, SeriesRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.units import SECOND
from loadtest.report import charts, outage_charts
from loadtest.report.render import render
from loadtest.report.template import sentence, unbroken_flags

GOLDEN = Path(__file__).with_name("golden")


def page_of(*shown: Run) -> str:
    return render(shown, [summarise(run) for run in shown])


class Reader(HTMLParser):
    """What a browser would fetch, the ids, the visible text, and whether tags close as they open."""

    VOID = ("meta", "link", "br", "img", "hr", "input", "wbr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._look(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def _look(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "action", "poster") and value:
                self.fetched.append(value)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def all_pages(push: Run, polling: Run, troubled: Run, dropped: Run, conversing: Run) -> list[str]:
    groups = (
        [push],
        [troubled],
        [dropped],
        [conversing],
        [push, polling],
        [push, dropped, conversing, troubled],
    )
    return [page_of(*shown) for shown in groups]


def test_a_page_needs_nothing_but_itself(all_pages: list[str]) -> None:
    for page in all_pages:
        reader = Reader(page)
        assert reader.open == []
        assert all(one.startswith(("#", "data:image/png;base64,")) for one in reader.fetched)
        assert "script" not in reader.tags
        assert "link" not in reader.tags
        assert "@import" not in page
        assert set(re.findall(r"url\(\s*['\"]?(.)", page)) <= {"#"}
        assert len(page.encode()) < 1_500_000


def test_a_single_page_is_small(troubled: Run, conversing: Run) -> None:
    assert len(page_of(troubled).encode()) < 200_000
    assert len(page_of(conversing).encode()) < 250_000


def test_ids_are_unique_and_every_reference_is_met(all_pages: list[str]) -> None:
    for page in all_pages:
        reader = Reader(page)
        assert len(reader.ids) == len(set(reader.ids))
        wanted = {one[1:] for one in reader.fetched if one.startswith("#")}
        wanted |= set(re.findall(r"url\(#([^)]*)\)", page))
        assert wanted <= set(reader.ids)


def test_the_same_runs_give_the_same_bytes(push: Run, dropped: Run, conversing: Run) -> None:
    assert page_of(push, dropped, conversing) == page_of(push, dropped, conversing)


def test_charts_take_their_colours_from_the_page(push: Run, polling: Run, dropped: Run) -> None:
    page = page_of(push, polling, dropped)
    svg = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--websocket)" in svg
    assert "var(--interval-polling)" in svg
    assert not re.search(r"#0102[0-9a-f]{2}", svg), "a sentinel that was not replaced"
    assert "font-family" not in svg
    assert "<metadata" not in svg
    assert svg.count("<path") > 10
    assert {one for one in re.findall(r"(?:fill|stroke): ([^;\"]+)", svg) if not one.startswith("var(")} <= {
        "none"
    }
    defined = set(re.findall(r"(--[\w-]+):", page))
    assert set(re.findall(r"var\((--[\w-]+)\)", page)) <= defined


def test_charts_stay_small(push: Run, dropped: Run) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page_of(push) + page_of(dropped), re.DOTALL):
        assert len(svg) < 30_000
        for path in re.findall(r' d="([^"]*)"', svg):
            assert path.count("L") <= 300
            assert not re.search(r"\.\d{3}", path), "more digits than anybody sees"


def test_what_comes_from_a_run_is_text_and_not_markup(troubled: Run) -> None:
    page = page_of(troubled)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "this run &amp; &lt;others&gt;." in page


def test_every_table_has_a_caption_and_headers(all_pages: list[str]) -> None:
    page = "".join(all_pages)
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert len(tables) > 8
    for one in tables:
        assert "<caption" in one
        assert one.count('scope="col"') >= 2
        columns = one.count('scope="col"')
        for row in re.findall(r"<tr.*?</tr>", one.split("<tbody>")[1], re.DOTALL):
            assert row.count("<th") + row.count("<td") == columns
            assert 'scope="row"' in row
    for label in re.findall(r'role="img" aria-label="([^"]*)"', page):
        assert len(label) > 20


def test_validity_comes_first_with_its_reasons(troubled: Run) -> None:
    text = Reader(page_of(troubled)).text
    assert "suspect" in text
    assert text.index("suspect") < text.index("Delivery latency")
    assert text.index("generator CPU p95") < text.index("Delivery latency")
    assert "Cut short after 30 s." in text
    assert page_of(troubled).count('class="verdict suspect"') == 1


def test_losses_are_said_and_a_percentile_among_them_is_not_given(troubled: Run) -> None:
    summary = summarise(troubled)
    row = next(one for one in summary.operations if one.name == "message.deliver" and one.phase == "measure")
    assert row.latency_ms.p99 is None
    text = Reader(page_of(troubled)).text
    assert f"message.deliver: {row.lost} lost, of {row.expected:,} expected" in text
    assert "not reached" in text
    assert row.why["p99"] in text
    assert "the rest never came in time" in text
    assert "Lost deliveries (20 kept)" in text


def test_workers_are_shown_one_by_one(troubled: Run) -> None:
    text = Reader(page_of(troubled)).text
    assert "worker-1" in text
    assert "worker-2" in text


def test_a_recipe_tells_how_to_do_it_again(troubled: Run) -> None:
    text = Reader(page_of(troubled)).text
    for said in ("--rt-token-secret ***", "2.47.0", "9f3c2ab", "b1f0c2d4", "rate limit was raised"):
        assert said in text
    assert "Server and generator shared one machine" in text


def test_two_runs_are_set_side_by_side(push: Run, polling: Run) -> None:
    page = page_of(push, polling)
    text = Reader(page).text
    assert "messaging over WebSocket and interval polling" in text
    assert re.search(
        r"In the mean, a message over interval polling took \d+× the time of one over WebSocket", text
    )
    assert "Each row sets the same statistic of both against one another" in text
    assert text.index("In the mean") < text.index("Delivery latency at every percentile")
    assert page.count('class="bar"') == 12
    single = Reader(page_of(push)).text
    assert "Side by side" not in single
    assert "In the mean" not in single


def test_a_comparison_with_an_invalid_run_proves_nothing(made: ModuleType, tmp_path: Path, push: Run) -> None:
    maker = made.Maker(transport="interval-polling", seed=2)
    broken = runs.read(maker.write(tmp_path, gaps=["local: delta 4 where 3 was due"], users=30))
    text = Reader(page_of(push, broken)).text
    assert "One of these runs is invalid, so these ratios prove nothing." in text
    assert "20 users 30 users 1 message per second each" in text


def test_runs_of_one_transport_are_told_apart(made: ModuleType, tmp_path: Path, push: Run) -> None:
    again = runs.read(made.Maker(seed=9).write(tmp_path, id="abcd1234"))
    page = page_of(push, again)
    text = Reader(page).text
    assert "WebSocket 7c1e and WebSocket abcd" in text
    assert "var(--other-1)" in page


def book_of(*rows: Any) -> Book:
    book = Book()
    book.add("local", Delta(1, list(rows), final=True))
    return book


def test_a_run_with_nothing_at_all(made: ModuleType) -> None:
    bare = {"parameters": {}, "target": {}, "environment": {}, "workers": [], "counters": {}}
    run = made.in_memory(edges=Edges(None, None, None, 3 * SECOND), complete=False, commit=None, **bare)
    text = Reader(page_of(run)).text
    assert "invalid" in text
    assert "no measured second" in text
    assert "No delivery was measured" in text
    assert "No bytes were counted" in text
    assert "None" not in text


def test_a_run_that_ended_at_once(made: ModuleType) -> None:
    run = made.in_memory(edges=Edges(None, None, None, 0), complete=False)
    assert "no measured second" in Reader(page_of(run)).text


def test_a_run_whose_deliveries_were_all_lost(made: ModuleType) -> None:
    rows = [
        SeriesRow("message.deliver", "websocket", "measure", s, expected=20, lost=20) for s in range(6, 26)
    ]
    calm = [HealthRow("local", "measure", s, planned=1, sent=1) for s in range(6, 26)]
    text = Reader(page_of(made.in_memory(book_of(*rows, *calm)))).text
    assert "message.deliver: 400 lost, of 400 expected: 100 % did not come in time." in text
    assert "No delivery was measured" in text
    assert "of 400; 400 lost, 0 late" in text


def test_one_delivery_is_enough_for_a_page(made: ModuleType) -> None:
    from loadtest.measure.histogram import Histogram

    histogram = Histogram()
    histogram.record(1_500_000)
    one = histogram.counts()
    row = SeriesRow("message.deliver", "websocket", "measure", 6, expected=1, latency=one, service=one)
    text = Reader(page_of(made.in_memory(book_of(row)))).text
    assert "1.50 ms" in text
    assert "p95 n=1, 59 needed" in text
    assert "given from 2,995 values on" in text


def test_open_deliveries_of_a_run_cut_short(made: ModuleType) -> None:
    row = SeriesRow("message.deliver", "websocket", "measure", 6, open=3)
    text = Reader(page_of(made.in_memory(book_of(row), complete=False))).text
    assert "Cut short after 30 s. 3 deliveries under way then count as open, not as lost." in text


def test_a_run_and_a_summary_for_each() -> None:
    with pytest.raises(ValueError, match="0 runs"):
        render([], [])


def test_notes_become_sentences() -> None:
    assert sentence("one storm left out") == "One storm left out."
    assert sentence("Done.") == "Done."


def test_flags_are_not_broken_over_lines() -> None:
    assert unbroken_flags("use --processes 2, <or> not") == (
        'use <span class="flag">--processes 2</span>, &lt;or&gt; not'
    )


CHARTS = {
    charts: ("spectrum_chart", "heat_chart", "time_chart"),
    outage_charts: ("storm_chart", "backoff_chart", "rejoining_chart", "waterfall_chart"),
}


@pytest.mark.parametrize("name", ["single", "compare", "drops", "calls"])
def test_the_words_of_the_page(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a golden page without its pictures; LOADTEST_UPDATE_GOLDEN=1 writes it anew: read the diff."""
    for module, drawn in CHARTS.items():
        for chart in drawn:
            monkeypatch.setattr(module, chart, lambda *_, **__: "<svg></svg>")
    fixtures = {
        "single": ["troubled"],
        "compare": ["push", "polling"],
        "drops": ["dropped"],
        "calls": ["conversing"],
    }
    shown = [request.getfixturevalue(fixture) for fixture in fixtures[name]]
    page = re.sub(r"<style>.*?</style>", "<style></style>", page_of(*shown), flags=re.DOTALL)
    golden = GOLDEN / f"{name}.html"
    if os.environ.get("LOADTEST_UPDATE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(page, encoding="utf-8")
    assert page == golden.read_text(encoding="utf-8")


def test_ten_minutes_make_a_page_of_the_same_size(made: ModuleType, tmp_path: Path) -> None:
    run = runs.read(made.Maker(seconds=600, users=10).write(tmp_path))
    assert len(page_of(run).encode()) < 200_000
