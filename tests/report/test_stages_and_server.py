"""Does the page say what each stage came to, and how the server was, and nothing where there is nothing to say?"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lxml import html

from loadtest.analysis.summary import summarise
from loadtest.measure import run as runs
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import ServerRow
from loadtest.measure.run import Run
from loadtest.report.render import render
from loadtest.report.sections.server import server
from loadtest.report.sections.stages import stages
from loadtest.report.subject import Subject, subjects
from loadtest.report.table import Table

MB = 1_000_000
STAGES = [
    {"duration_s": 40.0, "users": 10, "begins_s": 0.0},
    {"duration_s": 80.0, "users": 30, "begins_s": 40.0},
    {"duration_s": 30.0, "users": 5, "begins_s": None},
]


def staged(made: ModuleType, reports: Path, growth: float = 2000.0, **more: Any) -> Run:
    """120 s, 10 users and then 30; the server's memory grows so many bytes a second."""

    class Staged(made.Maker):  # type: ignore[name-defined,misc]
        def _health(self, recorder: Recorder, second: int, users: int) -> None:
            there = users if second >= 42 else users // 3
            recorder.health(second * 1_000_000_000).connections = there
            memory = round(100 * MB + growth * second)
            recorder.server(ServerRow(second, there, 20.0 if second >= 42 else 5.0, memory, 1.5))

    parameters = made.manifest().parameters | {"stages": STAGES} | more.pop("parameters", {})
    maker = Staged(users=30, seconds=120, rate_per_min=6.0, **more)
    return runs.read(maker.write(reports, parameters=parameters))


@pytest.fixture(scope="session")
def run(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return staged(made, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="session")
def alone(run: Run) -> list[Subject]:
    return subjects([run], [summarise(run)])


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in (*row.heads, *row.cells)] for row in table.rows]


def test_a_row_for_each_stage(alone: list[Subject]) -> None:
    section = stages(alone)
    assert section is not None
    first, second, third = texts(section.table)
    assert first[:4] == ["1, from 0 s on", "10", "10", "35 s"]
    assert second[:4] == ["2, from 40 s on", "30", "30", "1 min 14 s"]
    assert (first[-1], second[-1]) == ("5.0 %", "20.0 %")
    assert all(re.fullmatch(r"[\d.]+ ms", text) for text in second[-4:-1])
    assert third == ["3, never begun", "5", *["–"] * 9]
    assert ("a", "the run ended before it began") in section.table.notes
    assert section.sentences == [
        "Delivery latency of each stage, from when the last of its users had come or gone, in whole seconds of "
        "measure."
    ]


def test_stages_of_several_runs_stand_side_by_side(
    run: Run, made: ModuleType, push: Run, tmp_path: Path
) -> None:
    other = staged(made, tmp_path, transport="interval-polling")
    shown = [run, other, push]
    section = stages(subjects(shown, [summarise(one) for one in shown]))
    assert section is not None
    heads = [[cell.text for cell in row.heads] for row in section.table.rows]
    assert [head[0][0] for head in heads] == ["1", "1", "2", "2", "3", "3"]
    assert len({head[1] for head in heads}) == 2, "and none of the run that had none"


def test_lost_ones_are_shown_as_bad(made: ModuleType, tmp_path: Path) -> None:
    run = staged(made, tmp_path, lost=0.05)
    section = stages(subjects([run], [summarise(run)]))
    assert section is not None
    lost = section.table.columns.index("lost") - section.table.heads
    assert section.table.rows[1].cells[lost].tone == "bad"
    assert int(section.table.rows[1].cells[lost].text.replace(",", "")) > 0


def test_a_run_without_stages_has_no_such_section(push: Run) -> None:
    assert stages(subjects([push], [summarise(push)])) is None


def test_the_server_has_figures_and_pictures(alone: list[Subject]) -> None:
    section = server(alone)
    assert section is not None
    figures = {row[0]: row[1] for row in texts(section.table)}
    assert figures["memory, at most"] == "100.2 MB"
    assert figures["memory, growth per hour"] == "+7.2 MB"
    assert figures["lag of its loop, p99: worst that it told"] == "1.50 ms"
    assert re.fullmatch(r"[\d.]+ ms|[\d.]+ s", figures["CPU time for 1,000 deliveries"])
    assert [one.title for one in section.pictures] == [
        "CPU of the server",
        "Memory of the server above its least",
        "Lag of the server's event loop",
        "Open sockets of the server",
    ]
    assert section.pictures[0].alt == "CPU of the server, at most 20 % of a core."
    assert "100.0 MB at least, 238.0 KB more at most" in section.pictures[1].caption
    assert section.pictures[2].alt == "Lag of the server's event loop, at most 1.50 ms."
    assert section.pictures[3].caption == "Connections, by its own count."


def test_who_told_is_named_and_open_files_stand_in_for_sockets(made: ModuleType, tmp_path: Path) -> None:
    class OfSystem(made.Maker):  # type: ignore[name-defined,misc]
        def _health(self, recorder: Recorder, second: int, users: int) -> None:
            recorder.health(second * 1_000_000_000).connections = users
            recorder.server(ServerRow(second, -1, 150.0, 50 * MB, descriptors=1030, busiest_percent=90.0))

    named = "pid:12: /proc; 2 processes, added up"
    parameters = made.manifest().parameters | {"server_metrics": named}
    run = runs.read(OfSystem().write(tmp_path, parameters=parameters))
    section = server(subjects([run], [summarise(run)]))
    assert section is not None
    assert section.sentences[-1] == f"These figures are from {named}."
    assert section.table.caption == "The server in the measured phase"
    figures = {row[0]: row[1] for row in texts(section.table)}
    assert figures["CPU, mean"] == "150.0 %"
    assert figures["CPU of its busiest process, mean"] == "90.0 %"
    assert figures["open files and sockets, at most"] == "1,030"
    assert section.pictures[-1].alt == (
        "Open sockets of the server: files and sockets that it has open, at most 1,030."
    )


def test_how_memory_went_is_said_with_how_sure_that_is(
    made: ModuleType, alone: list[Subject], tmp_path: Path
) -> None:
    section = server(alone)
    assert section is not None
    (said,) = section.sentences
    assert said.startswith("Memory grew over the longest stage: +7.2 % per hour, with 95 % between +7.")
    assert said.endswith("; over 74 s: it takes 15 min to tell a leak from caches that fill.")
    shrinking = staged(made, tmp_path / "less", growth=-2000.0, parameters={"stages": None})
    flat = staged(made, tmp_path / "flat", growth=0.0, parameters={"stages": None})
    (less,) = _sentences(shrinking)
    (same,) = _sentences(flat)
    assert less.startswith("Memory shrank over measure: -7.2 % per hour, with 95 % between -7.")
    assert same.startswith("Memory neither grew nor shrank for sure over measure: +0 % per hour")


def _sentences(run: Run) -> list[str]:
    section = server(subjects([run], [summarise(run)]))
    assert section is not None
    return section.sentences


def test_memory_that_does_not_change_is_drawn_as_it_is(made: ModuleType, tmp_path: Path) -> None:
    run = staged(made, tmp_path, growth=0.0)
    section = server(subjects([run], [summarise(run)]))
    assert section is not None
    assert section.pictures[1].title == "Memory of the server"
    assert section.pictures[1].alt == "Resident memory of the server: 100.0 MB."


def test_what_no_server_told_has_no_row(push: Run) -> None:
    section = server(subjects([push], [summarise(push)]))
    assert section is not None
    assert [row[0] for row in texts(section.table)] == [
        "CPU, mean", "CPU, p95 of the seconds", "CPU time for 1,000 deliveries",
    ]  # fmt: skip
    assert [one.title for one in section.pictures] == ["CPU of the server", "Open sockets of the server"]
    assert section.sentences == []


def test_a_server_that_told_nothing_has_no_section(made: ModuleType, tmp_path: Path) -> None:
    class Silent(made.Maker):  # type: ignore[name-defined,misc]
        def _health(self, recorder: Recorder, second: int, users: int) -> None:
            recorder.health(second * 1_000_000_000).connections = users

    run = runs.read(Silent().write(tmp_path))
    assert server(subjects([run], [summarise(run)])) is None
    page = html.fromstring(render([run], [summarise(run)]))
    assert page.xpath('//a[@href="#server"] | //a[@href="#stages"] | //section[@id="server"]') == []


def test_the_page_leads_to_both(run: Run) -> None:
    page = html.fromstring(render([run], [summarise(run)]))
    for name, title in (("stages", "By stage"), ("server", "Server")):
        (link,) = page.xpath(f'//nav/a[@href="#{name}"]')
        (heading,) = page.xpath(f'//section[@id="{name}"]/h2')
        assert link.text == heading.text == title
        assert page.xpath(f'//section[@id="{name}"]//table/tbody/tr')
