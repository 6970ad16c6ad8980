"""The page of ``loadtest bandwidth``: its words, its tables, its picture."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from lxml import html

from loadtest.analysis.bandwidth_claim import saving_verdict
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm, Cost
from loadtest.analysis.bandwidth_surface import Crossing, surface
from loadtest.report import bandwidth_words as words
from loadtest.report.bandwidth_page import Told, bandwidth_page, fit, outline
from loadtest.report.surface_chart import Curve, Dot, say_tick, surface_chart

truth = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "bandwidths.py")))


def told(costs: list[Cost], notes: tuple[str, ...] = ()) -> Told:
    drawn = surface(costs, truth.MODELS)
    return Told(
        costs,
        drawn,
        saving_verdict(drawn.points, 90),
        truth.MODELS,
        0.9,
        ["a reference server of its own"],
        "2026-11-26T12:00:00+00:00",
        "runs",
        notes,
        "loadtest bandwidth",
    )


@pytest.fixture(scope="module")
def page() -> html.HtmlElement:
    """Of a full grid of four trials."""
    return html.fromstring(bandwidth_page(told(truth.grid(4), ("incomplete, 3 of 4 runs: interrupted",))))


def table_of(page: html.HtmlElement, caption: str) -> list[list[str]]:
    (found,) = page.xpath(f"//table[caption[starts-with(., '{caption}')]]")
    return [[cell.text_content() for cell in row] for row in found.xpath("./tbody/tr")]


def test_each_way_of_polling_has_an_answer(page: html.HtmlElement) -> None:
    answers = [" ".join(one.text_content().split()) for one in page.xpath("//div[@class='verdict suspect']")]
    assert len(answers) == 4 + 1
    assert answers[0].startswith("−90 % interval polling, library, one feed Confirmed idle and at 0.01/s;")
    assert "at 1/s and at 5/s; 90 % ends" in answers[0]
    assert re.search(r"90 % ends at 0\.\d+/s \(0\.\d+/s to 0\.\d+/s\)", answers[0])
    assert "Incomplete, 3 of 4 runs: interrupted." in page.text_content()


def test_the_surface_has_a_row_for_each_way_and_a_column_for_each_rate(page: html.HtmlElement) -> None:
    rows = table_of(page, "Saved on the wire")
    assert len(rows) == 2 * 6
    heads = [
        one.text for one in page.xpath("//table[caption[starts-with(., 'Saved on the wire')]]/thead/tr/th")
    ]
    assert heads == ["of polling by", "WebSocket", "connecting", "idle", "0.01/s", "0.1/s", "1/s", "5/s"]
    assert rows[0][:2] == ["interval polling, library, one feed", "plain"]
    assert rows[1][1] == "compressed"
    idle, rare = (float(rows[0][index].rstrip(" %")) for index in (3, 4))
    assert idle > 98 > rare > 90


def test_green_is_confirmed_and_red_is_refuted(page: html.HtmlElement) -> None:
    (first, *_) = page.xpath("//table[caption[starts-with(., 'Saved on the wire')]]/tbody/tr")
    tones = [cell.get("class") for cell in first.xpath("./td")]
    assert tones[1:3] == ["good", "good"] and tones[-2:] == ["bad", "bad"]


def test_a_negative_saving_is_printed_as_such() -> None:
    costs = [
        Cost(Arm(WEBSOCKET), "active", 5.0, 1, "a", 40, 50.0, 600.0, 1100.0, 5.0, 900, 25.0),
        Cost(Arm(INTERVAL_POLLING), "active", 5.0, 1, "b", 40, 50.0, 700.0, 900.0, 5.0, 900, 25.0),
    ]
    whole = bandwidth_page(told(costs))
    assert "−22.2 %" in whole
    assert "polling is the cheaper" in whole


def test_costs_are_per_connect_per_idle_hour_and_per_message(page: html.HtmlElement) -> None:
    rows = {row[0]: row for row in table_of(page, "Bytes on the sockets")}
    assert rows["WebSocket"][2] == "1.4 KB"  # ten bytes every 25 s
    assert next(iter(rows)) == "WebSocket"
    assert rows["interval polling, library, one feed"][2] == "1.3 MB"  # 553 bytes every 1.5 s
    assert rows["long polling, browser"][1].startswith("–")  # with the mark of its footnote


def test_every_run_is_linked_and_nothing_else_is_fetched(page: html.HtmlElement) -> None:
    links = page.xpath("//ul[@class='runs']//a/@href")
    assert len(links) == len(set(links)) == 4 * 8 * 5
    assert all(re.fullmatch(r"runs/[\w.-]+/report\.html", link) for link in links)
    assert not page.xpath("//script | //link | //img")


def test_the_closed_form_in_a_sentence() -> None:
    costs = truth.grid()
    good = surface(costs, truth.MODELS).checks
    assert fit(good).startswith("All 50 figures within 5 % of the closed form")
    off = [
        msgspec.structs.replace(one, wire=1.1 * (one.wire or 0)) if one.arm == Arm(WEBSOCKET) else one
        for one in costs
    ]
    said = fit(surface(off, truth.MODELS).checks)
    assert said.startswith("45 of 50 figures") and "WebSocket idle, wire: 10.0 %" in said
    assert fit([]) == "Nothing could be set beside the closed form."


def test_the_same_grid_gives_the_same_bytes() -> None:
    assert bandwidth_page(told(truth.grid(2))) == bandwidth_page(told(truth.grid(2)))


@pytest.mark.parametrize(
    "kept", [lambda one: False, lambda one: one.regime == "idle", lambda one: one.arm.transport == WEBSOCKET]
)
def test_what_is_left_of_a_grid_that_was_cut_short_is_a_page(kept: object) -> None:
    assert callable(kept)
    whole = told([one for one in truth.grid() if kept(one)])
    assert "What push saves" in bandwidth_page(whole)
    assert outline(whole)


def test_the_outline_has_a_line_for_each_way() -> None:
    lines = outline(told(truth.grid(4)))
    assert lines[0] == "−90 % on the wire, of interval polling:"
    assert [line.partition(":")[0].strip() for line in lines[1:5]] == [
        f"interval polling, {headers}, {feeds}"
        for headers in ("library", "browser")
        for feeds in ("one feed", "three feeds")
    ]


# -- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saving", "said"),
    [(0.9081, "90.8 %"), (-0.19, "−19.0 %"), (0.0, "0.0 %"), (-1e-5, "0.0 %"), (None, "–")],
)
def test_savings(saving: float | None, said: str) -> None:
    assert words.percent(saving) == said


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.1112, "0.11/s"), (3.056, "3.1/s"), (0.00008, "0/s"), (123.0, "120/s"), (0.042, "0.042/s")],
)
def test_rates(rate: float, said: str) -> None:
    assert words.say_rate(rate) == said


def crossing(**changes: object) -> Crossing:
    of = Crossing(Arm(INTERVAL_POLLING), False, "wire", 0.9, 0.11, 0.1, 0.12, 7.5)
    return msgspec.structs.replace(of, **changes)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (crossing(), "90 % ends at 0.11/s (0.1/s to 0.12/s)"),
        (crossing(high=None), "90 % ends at 0.11/s (0.1/s or more)"),
        (crossing(low=None), "90 % ends at 0.11/s"),
        (crossing(rate=None, low=None), "90 % is still saved at 7.5/s"),
        (crossing(rate=0.0, low=None), "90 % is saved at no rate"),
        (
            crossing(saving=0.0, rate=3.1, low=2.9, high=3.3),
            "polling is the cheaper from 3.1/s on (2.9/s to 3.3/s)",
        ),
        (
            crossing(saving=0.0, rate=6.0, low=None, extrapolated=True),
            "polling is the cheaper from 6/s on, extrapolated",
        ),
        (crossing(saving=0.0, rate=None, low=None), "push is still the cheaper at 7.5/s"),
        (crossing(saving=0.0, rate=0.0, low=None), "polling is the cheaper at every rate"),
    ],
)
def test_where_a_saving_ends(one: Crossing, said: str) -> None:
    assert words.where(one) == said


def test_ways_have_names_colours_and_an_order() -> None:
    arms = [
        Arm(WEBSOCKET), Arm(WEBSOCKET, compression=True), Arm(INTERVAL_POLLING), Arm(INTERVAL_POLLING, feeds=3),
        Arm(INTERVAL_POLLING, "browser"), Arm(LONG_POLLING), Arm(LONG_POLLING, "browser"),
    ]  # fmt: skip
    assert [words.order(arm) for arm in arms] == sorted({words.order(arm) for arm in arms})
    assert len({words.arm_name(arm) for arm in arms}) == len({words.accent(arm) for arm in arms}) == 7


# -- the picture -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saving", "said"), [(0.999, "99.9 %"), (0.9, "90 %"), (0.0, "0 %"), (-1.0, "−100 %"), (1e-15, "0 %")]
)
def test_ticks(saving: float, said: str) -> None:
    assert say_tick(saving) == said


def test_a_picture_of_anything() -> None:
    """No dots, one dot, idle alone, an interval that reaches beyond everything, a curve without a closed form."""
    odd = [Dot(None, 0.999, None, None), Dot(0.1, -3.0, -5.0, 1.2), Dot(5.0, 0.5, 0.4, 0.6)]
    for dots in ([], odd[:1], odd):
        for form in (None, lambda rate: 0.9 - rate / 10):
            svg = surface_chart([Curve("websocket", "dotted", dots, form)], 0.9, "one")
            assert svg.startswith("<svg") and "idle" in svg
            assert "nan" not in svg and "inf" not in svg
