"""The page of a run in which connections were lost: its words, its charts, and what is left out of other pages."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loadtest.analysis.summary import summarise
from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, Drop, FaultRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND
from loadtest.report.outline import outline
from loadtest.report.render import render


def page_of(*shown: Run) -> str:
    return render(shown, [summarise(run) for run in shown])


def text_of(page: str) -> str:
    bare = re.sub(r"<svg.*?</svg>|<style>.*?</style>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)).replace("&#39;", "'")


def chart(page: str, title: str) -> str:
    found = re.search(rf"<h3>{re.escape(title)}</h3>.*?(<svg.*?</svg>)", page, re.DOTALL)
    assert found, title
    return found[1]


def run_of(made: ModuleType, *drops: Drop, rows: Any = (), **parameters: Any) -> Run:
    book = Book()
    book.add("local", Delta(1, [*rows], list(drops), final=True))
    run: Run = made.in_memory(book, parameters=made.manifest().parameters | made.RETURNING | parameters)
    return run


def test_the_first_sentence_says_what_became_of_them(dropped: Run) -> None:
    found = summarise(dropped).reconnection
    assert (found.drops, found.recovered, found.missed, found.resynced, found.lost) == (44, 41, 67, 66, 1)
    text = text_of(page_of(dropped))
    lead = (
        "44 connections were lost, 41 came back within 3.11 s; 67 messages were missed meanwhile, "
        "66 resynced, 1 lost."
    )
    assert lead in text
    assert text.index(lead) < text.index("Lost in measure and drain, and what became of them")


def test_all_back_is_said_with_the_median_and_the_slowest(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8 + n, (1.0 + n,)) for n in range(3)]
    text = text_of(page_of(run_of(made, *drops)))
    assert (
        "3 connections were lost, 3 came back, half of them within 2.07 s, all within 3.07 s; nothing was"
        in text
    )


def test_the_applications_own_rate_is_named_with_its_definition(dropped: Run) -> None:
    text = text_of(page_of(dropped))
    assert "attempts to reconnect over connections established, is 56 / 105 = 0.533." in text
    assert "the policy “documented”: before one attempt after another it waits 1, 2, 4, 8, 16 s." in text


def test_a_rate_above_one_is_no_share(made: ModuleType) -> None:
    run = run_of(made, made.drop("a", 8, tuple([1.0] * 30)))
    assert "is 30 / 20 = 1.5." in text_of(page_of(run))


def test_the_waits_of_a_policy_without_end_are_named_once(made: ModuleType) -> None:
    run = run_of(made, made.drop("a", 8), reconnect="js", backoff_s=[[0.551, 1.499], [5.0, 5.0], [5.0, 5.0]])
    assert "it waits 0.551 to 1.5, 5 s, and so on." in text_of(page_of(run))


def test_who_never_came_back_is_listed_with_the_cause(dropped: Run) -> None:
    page = page_of(dropped)
    rows = re.findall(r"<caption[^>]*>Never came back</caption>(.*?)</table>", page, re.DOTALL)
    assert len(rows) == 1
    listed = text_of(rows[0])
    for said in (
        "user-44 gave up",
        "transport_error",
        "user-45 stayed away",
        "server_ns",
        "user-47 still on the way",
    ):
        assert said in listed
    assert "user-0 " not in listed


def test_a_long_list_of_the_absent_is_cut_and_says_so(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8, (), "stayed", cause="server_ns") for n in range(30)]
    assert "Never came back (20 of 30)" in text_of(page_of(run_of(made, *drops)))


def test_by_fault_and_by_cause(dropped: Run) -> None:
    text = text_of(page_of(dropped))
    for said in ("abort@3~0.6 36 36 0", "refuse@9:2 6 4 1", "unprovoked 2 1 0", "ping_timeout 2 1 0"):
        assert said in text
    assert "Lost connections by cause" in text, "one was lost before measure, and is in no table of these"


def test_availability_names_its_deadline(dropped: Run) -> None:
    text = text_of(page_of(dropped))
    assert re.search(
        r"Users were connected and in their rooms 9\d\.\d % of the time, and 100 % of the messages", text
    )
    assert "messages: read within 2.0 s" in text


def test_a_join_without_a_probe_is_no_join(made: ModuleType) -> None:
    drops = [made.drop("a", 8), made.drop("b", 9, heard_s=None)]
    text = text_of(page_of(run_of(made, *drops)))
    assert "2 rooms were rejoined, but a probe came back through only 1 of them" in text


def test_what_is_in_no_figure_is_said(made: ModuleType) -> None:
    drops = [made.drop("a", 8), made.drop("b", 3), made.drop("c", 9, cause="generator_stall")]
    text = text_of(page_of(run_of(made, *drops)))
    assert "in none of these figures: 1 before measure, 1 because the generator itself stood still." in text


def test_a_storm_at_the_servers_pace(dropped: Run) -> None:
    page = page_of(dropped)
    text = text_of(page)
    assert "T50 1.07 s, T95 3.10 s, T99 3.11 s" in text
    assert "The generator kept pace: these are the server's times and the policy's waits." in text
    assert "the p95" not in text and "Meanwhile a delivery took" in text


def test_a_generator_bound_storm_says_so_plainly(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8.001, (1.5,), fault="abort#0", fault_s=8, late_s=0.5) for n in range(40)]
    rows = [FaultRow("abort#0", "abort", 8 * SECOND, argument="abort@3", struck=40)]
    page = page_of(run_of(made, *drops, rows=rows))
    text = text_of(page)
    assert "Generator-bound: abort#0; how fast the server could have taken them back is not shown." in text
    assert '<td class="warn">generator-bound</td>' in page
    assert "The figures of storm abort#0 are the generator's, not the server's" in text, (
        "with the verdict on the run"
    )


def test_waits_out_of_their_band_are_bad(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 8 + n / 100, (3.0,)) for n in range(120)]
    page = page_of(run_of(made, *drops))
    assert re.search(r'0 %</td><td class="bad">out of band', page)
    few = page_of(run_of(made, made.drop("a", 8)))
    assert "said of 100 waits and more" in text_of(few)


def test_faults_are_marked_on_every_axis_of_time(dropped: Run) -> None:
    page = page_of(dropped)
    titles = (
        "Latency over time",
        "In their rooms",
        "Connections over time",
        "CPU of the generator",
        "Lags of the generator",
    )
    for title in titles:
        assert chart(page, title).count("var(--warn)") == 2, "a line, and a band"
        after = page[page.index(f"<h3>{title}</h3>") :][:1200]
        assert "a fault struck" in after and "a fault lasted" in after, title
    for title in ("Latency over time", "In their rooms", "Connections over time"):
        assert (
            "Faults: abort#0 at 8 s, refuse#1 from 14 s to 16 s."
            in text_of(page[page.index(f"<h3>{title}") :])[:900]
        )
    assert 'class="drop"' in page, "lost connections stay marked beside the faults"


def test_many_faults_are_not_all_named(made: ModuleType) -> None:
    rows = [FaultRow(f"abort#{n}", "abort", (6 + n) * SECOND) for n in range(9)]
    text = text_of(page_of(run_of(made, made.drop("a", 8), rows=rows)))
    assert "abort#5 at 11 s and 3 more." in text
    assert "abort#6 at" not in text


def test_faults_that_cost_no_connection(made: ModuleType) -> None:
    rows = [FaultRow("delay#0", "delay", 8 * SECOND, 18 * SECOND)]
    page = page_of(run_of(made, rows=rows))
    assert "1 fault struck, and no connection was lost in measure." in text_of(page)
    assert "From the fault to the first probe" not in page
    assert "Connections that came back" not in page


def test_the_waterfall_and_its_table(dropped: Run) -> None:
    page = page_of(dropped)
    svg = chart(page, "From the fault to the first probe")
    assert svg.count("var(--bad)") >= 2, "attempts that failed, and who never came back"
    text = text_of(page)
    assert "A line per outage: the 10 longest of 44, and 30 at even steps of all others by length." in text
    assert "Lines that leave the picture go on." in text
    assert "Each outage (40 shown of 44)" in text


def test_stairs_only_where_outages_differ_in_length(dropped: Run, made: ModuleType) -> None:
    assert "Time to rejoin, by length of outage" in page_of(dropped)
    at_once = run_of(made, *(made.drop(f"u{n}", 8, fault="abort#0") for n in range(5)))
    assert "Time to rejoin, by length of outage" not in page_of(at_once)


def crowd(made: ModuleType, n: int) -> Run:
    rows = [FaultRow("refuse#0", "refuse", 8 * SECOND, 12 * SECOND, struck=n)]
    drops = [
        made.drop(f"u{k}", 8 + k / n, tuple(1 + k / n + j for j in range(8)), fault="refuse#0", fault_s=8.0)
        for k in range(n)
    ]
    return run_of(made, *drops, rows=rows, reconnect="js", backoff_s=[[0.5, 20.0]])


def test_charts_of_a_large_crowd_stay_small(made: ModuleType) -> None:
    page = page_of(crowd(made, 3000))
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert len(svg) < 60_000
    assert "900 of 24,000 attempts are drawn." in text_of(page)
    assert "900 of 3,000 connections are drawn." in text_of(page)
    assert page == page_of(crowd(made, 3000))


def test_tiles_and_outline_of_a_run_with_drops(dropped: Run, push: Run) -> None:
    page = page_of(dropped)
    assert page.count('class="tile"') == 9
    assert "Connections that came back 93.2 % of 44 lost; 1 gave up; 1 stayed away; 1 on the way" in text_of(
        page
    )
    assert "67 messages; 66 resynced, 1 lost" in text_of(page)
    lines = outline(summarise(dropped))
    assert lines[0] == "VALID: drops over websocket, 60 users, 22 s measured"
    assert "connected: 60 at once, 105 in all, 0 failed, 45 lost" in lines
    assert (
        "reconnect: 44 dropped, 41 back, 1 gave up, p50 1.07 s, max 3.11 s, 67 missed, 66 resynced" in lines
    )
    assert len(outline(summarise(push))) == 5


def test_runs_side_by_side(made: ModuleType, lively: ModuleType, dropped: Run, tmp_path: Path) -> None:
    other = lively.dropped(made, tmp_path, "long-polling", id="abcd1234")
    text = text_of(page_of(dropped, other))
    assert "WebSocket: 44 connections were lost" in text
    assert "long polling: 44 connections were lost" in text
    assert "In their rooms, WebSocket" in text and "In their rooms, long polling" in text
    beside_a_calm_one = text_of(page_of(dropped, runs.read(made.Maker(seed=9).write(tmp_path))))
    assert beside_a_calm_one.count("connections were lost") == 1


@pytest.mark.parametrize("name", ["push", "troubled"])
def test_other_runs_have_no_such_section(name: str, request: pytest.FixtureRequest) -> None:
    page = page_of(request.getfixturevalue(name))
    assert 'id="reconnection"' not in page
    assert "#reconnection" not in page
    for word in ("Reconnection rate", "Ghost ring", "Handed over", "Upgrade, fallback"):
        assert word not in page, "the glossary explains what is on the page"
