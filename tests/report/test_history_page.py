"""The page of all nights: its words, its pictures, its tables."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from lxml import html

from loadtest.analysis.history import ChangePoint, Figure, Night, change_points, gaps, series
from loadtest.report import history_words as words
from loadtest.report.history_chart import Calendar, rows
from loadtest.report.history_outline import outline_history
from loadtest.report.history_page import render_history

HERE = Path(__file__).parent
made = SimpleNamespace(**runpy.run_path(str(HERE.parent / "analysis" / "nights.py")))
browser = SimpleNamespace(**runpy.run_path(str(HERE / "test_browser.py")))
chromium = browser.chromium
P95 = "message.deliver p95_ms"
LEVELS = {P95: 41.0, "server_cpu_s_per_1000": 0.31, "loss_share": 0.0, "bytes_per_delivery": 412.0}
Points = dict[tuple[str, str, str], list[ChangePoint]]


def eventful() -> tuple[list[Night], Points]:
    """Sixty nights with all that can happen to them, and another job; one change each way."""
    nights = made.nights(
        60, levels=LEVELS, step_at=20, moved_at=48, lost={10, 11, 33}, invalid={18, 40, 41}
    )  # fmt: skip
    points: Points = {}
    for one in series(nights):
        found = change_points(one, {17: 0.0}) if one.metric == P95 and one.fingerprint == made.MACHINE else []
        points[(one.job, one.fingerprint, one.metric)] = found
    soak = made.nights(25, job="soak", levels={"server_memory_bytes": 9e7}, step_at=12, step=0.8)
    (one,) = series(soak)
    points[("soak", made.MACHINE, "server_memory_bytes")] = change_points(one, {12: 0.0004})
    return [*nights, *soak], points


@pytest.mark.parametrize(
    ("metric", "name", "value", "said"),
    [
        ("message.deliver p95_ms", "message.deliver p95", 41.26, "41.3 ms"),
        ("message.deliver p999_ms", "message.deliver p99.9", 1520.0, "1.52 s"),
        ("message.deliver service_p50_ms", "message.deliver service p50", 3.1, "3.10 ms"),
        ("loss_share", "loss share", 0.0, "0 %"),
        ("loss_share", "loss share", 0.00012, "0.01 %"),
        ("bytes_per_delivery", "bytes per delivery", 412.0, "412 B"),
        ("idle bytes_per_user_hour", "idle bytes per user hour", 41_200.0, "41.2 KB"),
        ("server_memory_bytes", "server memory bytes", 9.1e7, "91.0 MB"),
        ("server_cpu_s_per_1000", "server CPU per 1,000 deliveries", 0.31, "310 ms"),
        ("outage_s", "outage", 4.2, "4.20 s"),
        ("memory growth_percent", "memory growth", 1.25, "1.2 %"),
        ("drops", "drops", 12345.0, "1.234e+04"),
    ],
)
def test_names_and_values(metric: str, name: str, value: float, said: str) -> None:
    assert words.name(metric) == name
    assert words.say(metric, value) == said


@pytest.mark.parametrize(
    ("percent", "said"),
    [
        (20.2, "+20 %"),
        (-15.04, "−15 %"),
        (3.24, "+3.2 %"),
        (-9.96, "−10 %"),
        (1234.5, "+1234 %"),
        (None, "from none"),
    ],
)
def test_changes_in_words(percent: float | None, said: str) -> None:
    assert words.change(percent) == said


def test_dates_in_words() -> None:
    assert words.span("2026-09-01T02:15:00Z", "2026-10-30T02:15:00Z") == "1 September to 30 October 2026"
    assert words.span("2025-12-31T02:15:00Z", "2026-01-02T02:15:00Z") == "31 December 2025 to 2 January 2026"
    assert words.span("2026-09-01T02:15:00Z", "2026-09-01T23:15:00Z") == "1 September 2026"
    assert words.probability(0.0) == "under 0.000001"
    assert words.probability(0.00042) == "0.00042"


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        ("p95_ms", (100.0, 102.5), ["100 ms", "102.5 ms"]),
        ("p95_ms", (900.0, 1200.0), ["0.9 s", "1.2 s"]),
        ("loss_share", (0.0, 0.00002), ["0 %", "0.002 %"]),
        ("bytes_per_delivery", (400.0, 425.0), ["400 B", "425 B"]),
        ("memory_bytes", (9e7, 9.25e7), ["90 MB", "92.5 MB"]),
        ("server_cpu_s_per_1000", (0.3, 0.35), ["300 ms", "350 ms"]),
        ("drops", (1000.0, 1500.0), ["1,000", "1,500"]),
    ],
)
def test_neighbouring_ticks_do_not_read_alike(
    metric: str, values: tuple[float, ...], said: list[str]
) -> None:
    of_axis = words.scale(metric, max(values))
    assert [words.tick(value, of_axis) for value in values] == said


def test_lines_join_only_what_follows_one_another_on_one_machine() -> None:
    nights = made.nights(14, moved_at=11, lost={3}, invalid={7})
    nights[0].figures["late_ms"] = Figure(1.0, None, None, 6)
    calendar = Calendar(nights, gaps(nights))
    days = {night.at: day for day in range(14) for night in nights if night.at == made.at(day)}
    drawn = {
        (one.fingerprint, one.metric): [[days[night.at] for night in row] for row in rows(one, calendar)]
        for one in series(nights)
    }
    assert drawn == {
        (made.MACHINE, P95): [[0, 1, 2], [4, 5, 6], [8, 9, 10]],
        (made.OTHER_MACHINE, P95): [[11, 12, 13]],
        (made.MACHINE, "late_ms"): [[0]],
    }


def text_of(page: str) -> str:
    return " ".join(html.fromstring(page).xpath("//main")[0].text_content().split())


def test_the_page_says_what_happened() -> None:
    nights, points = eventful()
    text = text_of(render_history(nights, points))
    assert "82 nights 2 jobs 1 September to 30 October 2026" in text
    assert "2 changes" in text
    assert "messaging: message.deliver p95 +20 % since 21 September 2026" in text
    assert "soak: server memory bytes −19 % since 13 September 2026: 89.8 MB before, 72.3 MB since" in text
    assert (
        "3 nights missing, in 2 gaps. They ran on 2 machines; only nights on the same one are compared."
        in text
    )
    assert "between 10 September and 13 September 2026" in text
    assert "invalid: generator CPU p95 91 %" in text


def test_nights_stand_newest_first() -> None:
    nights, points = eventful()
    page = html.fromstring(render_history(nights, points))
    (first, _) = page.xpath("//details[@class='nights']")
    began = first.xpath(".//tbody/tr/th[1]/text()")
    assert len(began) == 57
    assert began == sorted(began, reverse=True)
    assert began[0] == "2026-10-30 02:15"


def test_each_metric_has_a_picture_with_its_key_and_its_words() -> None:
    nights, points = eventful()
    page = html.fromstring(render_history(nights, points))
    figures = page.xpath("//figure")
    assert [figure.xpath("string(.//h3)") for figure in figures] == [
        "message.deliver p95", "server CPU per 1,000 deliveries", "loss share", "bytes per delivery",
        "server memory bytes",
    ]  # fmt: skip
    first, last = figures[0], figures[-1]
    common = ["nights missing", "night without values", "another machine"]
    assert first.xpath(".//ul/li/text()") == [*common, "got worse"]
    assert last.xpath(".//ul/li/text()") == ["got better"]
    assert "changes: +20 % on 21 September 2026." in first.xpath("string(.//*[@role='img']/@aria-label)")
    assert "+20 %" in first.xpath("string(.//*[local-name()='svg'])")


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    page = html.fromstring(render_history(*eventful()))
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.xpath("//nav/a/@href")} <= set(ids)


def test_a_change_on_a_return_to_a_machine_says_so() -> None:
    nights = made.nights(30, step_at=15)
    nights[15] = nights[15]._replace(fingerprint=made.OTHER_MACHINE)
    points = {
        (one.job, one.fingerprint, one.metric): change_points(one, {15: 0.0})
        for one in series(nights)
        if one.fingerprint == made.MACHINE
    }
    assert "other machines ran the nights before" in text_of(render_history(nights, points))
    assert any("other machines ran the nights before" in line for line in outline_history(nights, points))


def test_without_change_points_the_page_says_why() -> None:
    off = "Apache Otava is not installed; `loadtest history --install-otava` installs it (300 MB)"
    text = text_of(render_history(made.nights(30), {}, off))
    assert (
        "Change points are off Apache Otava is not installed; loadtest history --install-otava installs it"
        in text
    )


def test_without_a_change_it_says_how_many_series_were_looked_at() -> None:
    nights = made.nights(30)
    text = text_of(render_history(nights, {("messaging", made.MACHINE, P95): []}))
    assert "No change Apache Otava looked at 1 series of 20 nights and more" in text


def test_more_changes_than_fit_are_counted() -> None:
    nights = made.nights(60)
    (one,) = series(nights)
    points = change_points(one, dict.fromkeys(range(5, 45, 5), 0.0))
    text = text_of(render_history(nights, {(one.job, one.fingerprint, one.metric): points}))
    assert "8 changes" in text and "and 2 more, below" in text


def test_names_from_outside_stay_words() -> None:
    evil = "<script>alert(1)</script>"
    night = made.night(
        0, job=evil, why=evil, commit=evil, fingerprint=evil, figures={evil: Figure(1.0, None, None, 1)}
    )
    page = render_history([night], {})
    assert "<script" not in page
    assert html.fromstring(page).xpath("string(//h2)") == evil


@pytest.mark.parametrize("days", [[0], [0, 0], [0, 0.2], [0, 400, 800]])
def test_however_few_nights_there_is_a_page(days: list[float]) -> None:
    nights = [made.night(day, figures={"loss_share": Figure(0.0, None, None, 6)}) for day in days]
    page = render_history(nights, {})
    assert len(html.fromstring(page).xpath("//figure")) == 1


def test_nights_without_any_value_have_no_picture() -> None:
    nights = [made.night(day, state="invalid", why="no room", figures={}) for day in range(3)]
    page = html.fromstring(render_history(nights, {}))
    assert page.xpath("//figure") == []
    assert "3 nights: 3 invalid." in text_of(render_history(nights, {}))


def test_no_night_is_no_page() -> None:
    with pytest.raises(ValueError, match="no nights"):
        render_history([], {})


def test_the_same_nights_give_the_same_bytes() -> None:
    assert render_history(*eventful()) == render_history(*eventful())


def test_more_machines_than_colours_share_the_last() -> None:
    nights = [made.night(day, fingerprint=f"{day:012x}") for day in range(12)]
    page = html.fromstring(render_history(nights, {}))
    assert len(page.xpath("//ul[contains(@class, 'machines')]/li")) == 12


@pytest.mark.browser
def test_no_overflow_and_no_complaint(chromium: str, tmp_path: Path) -> None:
    too_wide, console = browser.look(chromium, render_history(*eventful()), tmp_path)
    assert too_wide == {str(width): [] for width in browser.WIDTHS}
    assert console == []


def test_everything_is_in_the_page() -> None:
    page = render_history(*eventful())
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"|url\((?!#)[^)]*\)", page) == []
