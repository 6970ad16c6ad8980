"""The page of a capacity plan: its sentence, its tables, its pictures, its links."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from lxml import html

from loadtest.analysis.capacity import Capacity, conclude
from loadtest.analysis.capacity_search import OPEN, PASS, Done
from loadtest.report.capacity_chart import timed
from loadtest.report.capacity_page import capacity_page
from loadtest.report.capacity_words import outline, sentence, sureness
from loadtest.report.index import render as render_index

HERE = Path(__file__).parent
plans = SimpleNamespace(**runpy.run_path(str(HERE.parent / "analysis" / "plans.py")))
plan, Server = plans.plan, plans.Server
STARTED = "2026-11-23T08:15:00+00:00"
COMMAND = "loadtest capacity --slo slo.toml --users 50..2000"


def page_of(found: Capacity) -> html.HtmlElement:
    return html.fromstring(capacity_page(found, STARTED, COMMAND))


def words_of(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def rows(page: html.HtmlElement, section: str) -> list[list[str]]:
    found = page.xpath(f"//section[@id='{section}']//tbody/tr[not(contains(@class, 'why'))]")
    return [[words_of(cell) for cell in row.xpath("./th|./td")] for row in found]


def test_the_verdict_comes_first_and_in_one_sentence() -> None:
    found = plan(Server(640))
    said = sentence(found)
    assert said == (
        f"at this workload one server carries {found.passed} to {found.failed} users; at {found.failed} "
        f"p(95)<100 of message.deliver breaks; the server's CPU binds ({found.resource.percent:.0f} % of one core)"
    )
    verdict = page_of(found).xpath("//section[@class='verdicts']//p")[0]
    assert words_of(verdict) == f"found A{said[1:]}."


@pytest.mark.parametrize(
    ("found", "says", "notes"),
    [
        (plan(Server(9000)), "carries at least 2,000 users: that is the end of the range", "confirmed by 3 fresh"),
        (
            plan(Server(9000, generator=400)),
            "carries ≥ 378 users (generator-bound): at 567 generator CPU p95 91 %",
            "that is no maximum",
        ),
        (plan(Server(9000, generator=10)), "nothing valid was measured", ""),
        (plan(Server(30)), "does not carry 50 users, the lowest level: p(95)<100 of message.deliver breaks", ""),
        (
            plan(Server(640), trials=4, cut="http://10.0.0.7: died at 168 users: it no longer answers"),
            "one server carried 168 users so far; the search did not come to its end: http://10.0.0.7: died",
            "",
        ),
        (plan(Server(640), trials=0, cut="interrupted"), "nothing is known; the search did not", ""),
        (plan(Server(640, tells_cpu=False)), "what binds is not known: the server tells nothing of its CPU", ""),
        (plan(Server(640), own=False), "one server carries", "the target was not started anew"),
        (plan(Server(640), level_s=8.0, fresh=1), "one server carries", "levels of 8 s are for a first look"),
    ],
)  # fmt: skip
def test_every_end_has_its_words(found: Capacity, says: str, notes: str) -> None:
    assert says in sentence(found)
    assert any(notes in line for line in sureness(found)) or not notes
    page = page_of(found)
    assert says[:30] in words_of(page.xpath("//section[@class='verdicts']")[0]).replace(
        "Nothing", "nothing"
    ).replace("At", "at").replace("One", "one")
    assert outline(found)[0].isprintable()


def test_an_undecided_edge_says_so() -> None:
    found = plan(Server(640))
    changed = [
        msgspec.structs.replace(
            one,
            state=OPEN,
            why=f"not decided: {plans.NAME}",
            verdicts=[msgspec.structs.replace(one.verdicts[0], state="inconclusive")],
        )
        if one.users == found.failed
        else one
        for one in found.tried
    ]
    open_edge = conclude(found.setting, Done("bracket", found.passed, found.failed, True), changed)
    assert "p(95)<100 of message.deliver is not decided in" in sentence(open_edge)
    assert "which counts as failed" in sentence(open_edge)


def test_every_trial_has_a_row_that_leads_to_its_run() -> None:
    found = plan(Server(640))
    page = page_of(found)
    shown = rows(page, "levels")
    assert len(shown) == len(found.tried)
    assert [int(row[0].replace(",", "")) for row in shown] == sorted(one.users for one in found.tried)
    links = page.xpath("//section[@id='levels']//tbody//a/@href")
    assert sorted(links) == sorted(f"{one.path}/report.html" for one in found.tried)
    assert all(len(row) == len(page.xpath("//section[@id='levels']//thead//th")) for row in shown)


def test_what_was_never_run_leads_nowhere() -> None:
    found = plan(Server(640))
    without = [msgspec.structs.replace(one, path="") for one in found.tried]
    page = page_of(conclude(found.setting, Done("bracket", found.passed, found.failed, True), without))
    assert not page.xpath("//section[@id='levels']//tbody//a")


def test_a_manager_reads_servers_off_a_table() -> None:
    found = plan(Server(640), peak=5000, growth=0.2)
    (row,) = rows(page_of(found), "servers")
    needed = found.servers[0]
    assert row[:3] == ["5,000 (grown: 6,000)", str(needed.servers), "load and headroom"]
    assert row[3] == f"{needed.users_each:,}"
    assert row[4].endswith("%"), "each one's CPU, by the line"
    notes = words_of(page_of(found).xpath("//section[@id='servers']")[0])
    assert "assumes linear scaling" in notes
    assert "grow by 20 %" in notes


def test_a_measured_cluster_is_shown_and_nothing_assumed() -> None:
    page = page_of(plan(Server(640), cluster={1: 1000.0, 2: 1900.0, 4: 3500.0}))
    said = words_of(page.xpath("//section[@id='servers']")[0])
    assert "assumes linear scaling" not in said
    assert "3.50×" in said
    assert "4 servers are the most that were measured together" in said


def test_pictures_say_what_they_show() -> None:
    found = plan(Server(640))
    page = page_of(found)
    titles = page.xpath("//section[@id='curves']//figure//h3/text()")
    assert titles == [f"Latency against users: {plans.NAME}", "The server's CPU against users"]
    assert all(len(one) > 40 for one in page.xpath("//figure//div[@role='img']/@aria-label"))
    assert len(page.xpath("//figure//svg")) == 2
    silent = page_of(plan(Server(640, tells_cpu=False)))
    assert len(silent.xpath("//section[@id='curves']//figure")) == 1


def test_without_an_slo_of_time_p95_is_shown() -> None:
    found = plan(Server(640))
    of_counts = [
        msgspec.structs.replace(one, own=[msgspec.structs.replace(one.own[0], unit="count")])
        for one in found.tried
    ]
    shown = timed(conclude(found.setting, Done("bracket", found.passed, found.failed, True), of_counts))
    assert (shown.name, shown.limit) == ("message.deliver: p(95)", None)
    assert [one.value for one in shown.seen] == [one.latency_ms.p95 for one in found.tried]


def test_what_never_came_lies_above_everything() -> None:
    found = plan(Server(640))
    missing = [
        one
        if one.state == PASS
        else msgspec.structs.replace(
            one, own=[msgspec.structs.replace(one.own[0], observed=None, ci95=(90.0, None))]
        )
        for one in found.tried
    ]
    page_of(conclude(found.setting, Done("bracket", found.passed, found.failed, True), missing))
    only = [
        msgspec.structs.replace(one, own=[msgspec.structs.replace(one.own[0], observed=None, ci95=None)])
        for one in found.tried
    ]
    page_of(conclude(found.setting, Done("bracket", found.passed, found.failed, True), only))


def test_it_says_what_the_number_means() -> None:
    said = words_of(page_of(plan(Server(640))).xpath("//section[@id='meaning']")[0])
    assert "users × rate × fan-out" in said
    assert "each user sends 6 per minute, to 9 others, 150 bytes at a time" in said
    skewed = plan(Server(640), parameters={"rate_per_min": 60.0, "room_size": {"2": 0.8, "20": 0.2}})
    assert "in conversations of 2 (80 %), 20 (20 %)" in words_of(page_of(skewed))


def test_the_same_plan_gives_the_same_bytes_and_needs_nothing_else() -> None:
    found = plan(Server(640))
    page = capacity_page(found, STARTED, COMMAND)
    assert page == capacity_page(found, STARTED, COMMAND)
    assert "http-equiv" not in page and "<script" not in page and "src=" not in page
    assert COMMAND in page


def test_names_from_elsewhere_are_escaped() -> None:
    found = plan(Server(640), target="<script>alert(1)</script>", scenario="<b>chat</b>")
    assert "<script" not in capacity_page(found, STARTED, "loadtest capacity '<i>'")


def test_the_index_knows_a_plan(tmp_path: Path) -> None:
    directory = tmp_path / "20261123T081500Z-capacity-1f3a5c"
    directory.mkdir()
    record = {
        "kind": "capacity",
        "name": "capacity of messaging",
        "started": STARTED,
        "state": "pass",
        "exit_code": 0,
        "runs": 23,
    }
    (directory / "capacity.json").write_text(json.dumps(record), encoding="utf-8")
    (directory / "report.html").write_text("a page", encoding="utf-8")
    page = html.fromstring(render_index(tmp_path))
    cells = [words_of(cell) for cell in page.xpath("//tbody/tr[1]/*")]
    assert cells[1:3] == ["capacity of messaging", "capacity plan"]
    assert "passed" in cells[4]
    assert page.xpath("//tbody//a/@href") == [f"{directory.name}/report.html"]


def test_a_page_needs_neither_gevent_nor_locust() -> None:
    import subprocess

    code = (
        "import sys, loadtest.report.capacity_page; sys.exit(bool({'gevent', 'locust'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
