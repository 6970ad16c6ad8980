"""The page of claims: a table to read in ten seconds, and everything behind it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import lxml.html
import pytest

from loadtest.analysis.claims import Outcome, Part, Question, Trial, judge
from loadtest.measure import run as runs
from loadtest.report.claim_words import measured, reason, tally, word
from loadtest.report.claims_page import Asked, claims_page, outline, page_of_runs

ASKED = Asked("2026-11-23T08:15:00Z", True, "a reference server", "", [], "loadtest claims --quick")
FAST = Part(
    "p95_ms", ("push",), "<=", 100.0, of="message.deliver", says="p95, push", expects="A few milliseconds."
)
FAR = Part("p95_ms", ("push-rtt-80",), "<=", 100.0, of="message.deliver", says="p95 at 80 ms")
TIMES = Part(
    "ratio_of_means",
    ("push",),
    ">=",
    15.0,
    against="interval-polling",
    of="message.deliver",
    says="means, polling to push",
)
SLOW = Part("p95_ms", ("interval-polling",), "<=", 100.0, of="message.deliver", says="p95, polling")
REJOIN = Part("rejoin_share", ("push",), ">=", 0.999, says="rooms rejoined")


@pytest.fixture(scope="module")
def outcomes(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Confirmed on loopback; refuted; open; one whose only run is invalid. The names would break a page."""
    root = tmp_path_factory.mktemp("claims")
    taken = []
    for arm, transport in (("push", "websocket"), ("interval-polling", "interval-polling")):
        path = made.Maker(transport=transport, users=40, seed=5).write(root, id=f"{arm}-{arm}")
        taken.append(Trial(arm, 1, f"runs/{path.name}", runs.read(path), "valid"))
    spoilt = [taken[0]._replace(validity="invalid", reason="<b>loop lag</b> 40 ms"), taken[1]]
    left = {"push-rtt-80": "only the full run has it"}

    def asked(name: str, *parts: Part) -> Question:
        return Question(
            name, f"It is <{name}> & true", "What that means.", "messaging", parts, "A longer way."
        )

    return [
        judge(asked("fast", FAST, TIMES, FAR), taken, left),
        judge(asked("slow", FAST, SLOW), taken),
        judge(asked("rooms", REJOIN), taken),
        judge(asked("spoilt", FAST), spoilt),
    ]


def page(outcomes: list[Outcome], asked: Asked = ASKED) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(claims_page(outcomes, asked))


def text(element: lxml.html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def test_words(outcomes: list[Outcome]) -> None:
    assert [word(one) for one in outcomes] == [
        "confirmed at RTT 0",
        "refuted",
        "inconclusive",
        "inconclusive",
    ]
    assert tally(outcomes) == "4 claims: 1 confirmed, 1 refuted, 2 inconclusive"
    assert measured(outcomes[1]).startswith("p95, polling: 1.")  # what refutes it, not what holds
    assert measured(outcomes[1]).endswith("(claimed ≤ 100 ms)")
    assert reason(outcomes[0]) == "loopback alone cannot confirm it for users: their round trip comes on top"
    assert reason(outcomes[2]) == "rooms rejoined: there were no rooms"
    assert reason(outcomes[3]) == "p95, push: no run of push can be believed: <b>loop lag</b> 40 ms"


def test_the_terminal_has_a_line_for_each(outcomes: list[Outcome]) -> None:
    lines = outline(outcomes)
    assert len(lines) == len(outcomes)
    assert lines[0].startswith("CONFIRMED AT RTT 0  fast: p95, push: ")
    assert lines[1].startswith("REFUTED             slow: p95, polling: ")
    assert lines[2] == "INCONCLUSIVE        rooms: nothing – rooms rejoined: there were no rooms"


def test_the_table_says_claim_measured_and_verdict(outcomes: list[Outcome]) -> None:
    rows = page(outcomes).findall(".//details/summary")
    assert len(rows) == 4
    first = [text(one) for one in rows[0].iterfind(".//span")]
    assert (first[0], first[2]) == ("It is <fast> & true", "confirmed at RTT 0")
    assert "p95, push" in first[1] and "claimed ≤ 100 ms" in first[1]


def test_what_is_behind_a_claim(outcomes: list[Outcome]) -> None:
    said = text(page(outcomes).get_element_by_id("fast"))
    for words in (
        "What that means.",
        "Experiment messaging: push (1 run of 22 s), interval-polling (1 run of 22 s).",
        "p95 at 80 ms: only the full run has it",
        "Round trip 0 ms (loopback); 40 users; ",
        "quick, one trial",
        "A longer way.",
        "p95, push: A few milliseconds.",
        "would use up all that is left to 15×, by arithmetic",
    ):
        assert words in said


def test_every_run_is_named_and_linked_with_what_it_says(outcomes: list[Outcome]) -> None:
    claim = page(outcomes).get_element_by_id("fast")
    links = [one.get("href") for one in claim.iterfind(".//a")]
    assert links == [f"{one.path}/report.html" for one in outcomes[0].trials]
    first = claim.find(".//div[@class='trials']//tbody/tr")
    assert first is not None
    assert [text(one) for one in first][:5] == ["push", outcomes[0].trials[0].path[5:], "1", "22 s", "valid"]


def test_an_invalid_run_shows_why(outcomes: list[Outcome]) -> None:
    claim = page(outcomes).get_element_by_id("spoilt")
    (cell,) = claim.iterfind(".//td[@class='bad']")
    assert (text(cell), cell.get("title")) == ("invalid", "<b>loop lag</b> 40 ms")


def test_the_page_needs_nothing_else_and_is_the_same_each_time(outcomes: list[Outcome]) -> None:
    html = claims_page(outcomes, ASKED)
    assert html == claims_page(outcomes, ASKED)
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "<script" not in html
    assert len(html) < 300_000


def test_what_left_nothing_is_told(outcomes: list[Outcome]) -> None:
    told = page(outcomes, ASKED._replace(note="Cut short.", remarks=["fallback, seed 1: locust ended"]))
    assert "Cut short." in text(told)
    assert "fallback, seed 1: locust ended" in text(told.get_element_by_id("remarks"))


def test_a_page_of_runs_that_were_there_already(outcomes: list[Outcome]) -> None:
    told = lxml.html.document_fromstring(page_of_runs(outcomes, "loadtest demo"))
    assert "Only what these runs can tell" in text(told)
    assert "up to 1 trial of an arm" in text(told.get_element_by_id("fast"))


def test_no_claim_at_all() -> None:
    assert "0 claims" in claims_page([], ASKED)
    assert outline([]) == []


def test_of_a_directory_that_moved_the_links_still_hold(outcomes: list[Outcome]) -> None:
    assert all(not Path(one.path).is_absolute() for outcome in outcomes for one in outcome.trials)
