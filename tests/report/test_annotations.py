"""What GitHub shows: commands read as its runner reads them, Markdown read by a Markdown reader."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from loadtest.analysis.verdict import COUNT, FAIL, INCONCLUSIVE, MS_UNIT, PASS, Verdict
from loadtest.report.annotations import SHOWN, annotations, command, job_summary
from loadtest.report.suite import Suite

BROKEN = Verdict(
    "message.deliver{transport:websocket}: p(95)<100", "slo", FAIL, 312.4, 100.0, (290.2, 330.0), MS_UNIT
)
UNDECIDED = Verdict(
    "message.deliver: p(99)<250", "slo", INCONCLUSIVE, 240.0, 250.0, None, MS_UNIT, "900 more"
)
KEPT = Verdict("message.deliver: lost==0", "slo", PASS, 0.0, 0.0, None, COUNT)


class Shown(NamedTuple):
    level: str
    title: str
    message: str


def suite(*verdicts: Verdict, **told: Any) -> Suite:
    return Suite(
        **{"name": "messaging", "scenario": "messaging", "started": "", "seconds": 1.0} | told
    )._replace(verdicts=verdicts)


def as_the_runner_does(line: str) -> Shown:
    """One line of output, as ActionCommand.TryParseV2 of actions/runner reads it."""
    assert "\n" not in line and "\r" not in line
    assert line.startswith("::")
    head, _, data = line[2:].partition("::")
    level, _, properties = head.partition(" ")
    named = dict(part.split("=", 1) for part in properties.split(","))
    title = named.pop("title")
    assert not named
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        title = title.replace(written, meant)
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        data = data.replace(written, meant)
    return Shown(level, title, data)


def shown(*suites: Suite) -> list[Shown]:
    return [as_the_runner_does(line) for line in annotations(suites)]


@given(st.text(), st.text())
def test_any_text_arrives_as_it_was(title: str, message: str) -> None:
    assert as_the_runner_does(command("error", title, message)) == ("error", title, message)


def test_a_command_is_as_github_documents_it() -> None:
    said = command("warning", "50 %: a, b", "50 %: a, b\r\n")
    assert said == "::warning title=50 %25%3A a%2C b::50 %25: a, b%0D%0A"


def test_what_failed_is_an_error_and_what_is_undecided_a_warning() -> None:
    assert shown(suite(KEPT, UNDECIDED, BROKEN)) == [
        (
            "error",
            f"messaging: {BROKEN.name}",
            "fail: p(95) 312 ms, limit 100 ms, 95 % interval 290 ms to 330 ms",
        ),
        ("warning", f"messaging: {UNDECIDED.name}", "inconclusive: p(99) 240 ms, limit 250 ms: 900 more"),
    ]


def test_nothing_is_said_of_what_passed() -> None:
    assert annotations([suite(KEPT)]) == annotations([suite()]) == annotations([]) == []


def test_an_invalid_run_is_an_error_and_a_suspect_one_a_warning() -> None:
    invalid = suite(validity="invalid", reasons=["no measured second", "CPU 91 %"])
    suspect = suite(validity="suspect", reasons=["loop lag"], name="calls")
    assert shown(suspect, invalid) == [
        ("error", "messaging: the run is invalid", "no measured second\nCPU 91 %"),
        ("warning", "calls: the run is suspect", "loop lag"),
    ]


def test_failures_of_the_run_are_an_error() -> None:
    ((level, title, message),) = shown(suite(failures=3))
    assert (level, title) == ("error", "messaging") and message.startswith("3 failures in the run")


def test_what_github_would_drop_is_named_in_the_last_that_it_keeps() -> None:
    many = [Verdict(f"message.deliver: p(95)<{n}", "slo", FAIL, 99.0, float(n)) for n in range(SHOWN + 3)]
    found = shown(suite(*many, UNDECIDED))
    errors = [one for one in found if one.level == "error"]
    assert len(errors) == SHOWN and len(found) == SHOWN + 1
    assert errors[-1].title == "4 more"
    assert errors[-1].message.splitlines() == [f"messaging: {one.name}" for one in many[SHOWN - 1 :]]
    assert len(shown(suite(*many[:SHOWN]))) == SHOWN and "more" not in shown(suite(*many[:SHOWN]))[-1].title


def cells(summary: str) -> list[list[str]]:
    """The table, as a reader of GitHub's Markdown sees it."""
    rows: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(summary)
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            assert {child.type for child in token.children or []} <= {"text", "text_special"}
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


def test_the_table_has_all_verdicts_worst_first() -> None:
    assert cells(job_summary("a night", [suite(KEPT, UNDECIDED, BROKEN)])) == [
        ["state", "verdict", "observed", "limit", "95 % interval", "why"],
        ["❌ fail", BROKEN.name, "312 ms", "100 ms", "290 ms to 330 ms", ""],
        ["⚠️ inconclusive", UNDECIDED.name, "240 ms", "250 ms", "–", "900 more"],
        ["✅ pass", KEPT.name, "0", "0", "–", ""],
    ]


def test_several_runs_share_one_table() -> None:
    rows = cells(job_summary("a night", [suite(KEPT), suite(BROKEN, name="calls")]))
    assert rows[0][:3] == ["state", "run", "verdict"]
    assert [row[1] for row in rows[1:]] == ["calls", "messaging"]


def test_the_summary_says_first_whether_to_believe_it() -> None:
    told = job_summary("a night", [suite(BROKEN, validity="invalid", reasons=["CPU 91 %"], failures=2)])
    assert told.startswith("## a night\n\n- messaging: **invalid**\n  - CPU 91 %\n  - 2 failures in the run")
    assert "1 verdict: 1 failed." in told and told.endswith("|\n")


def test_without_a_question_there_is_no_verdict() -> None:
    told = job_summary("a run", [suite()])
    assert "**valid**" in told and "there is no verdict" in told and "|" not in told


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_stays_in_its_cell(name: str, why: str) -> None:
    head, row = cells(job_summary("a night", [suite(Verdict("x" + name, "slo", FAIL, why=why + "x"))]))
    assert len(row) == len(head)
    # Markdown itself has no place for NUL.
    plain = [" ".join(text.split()).replace("\0", "\ufffd") for text in ("x" + name, why + "x")]
    assert [row[1], row[-1]] == plain


def test_markup_in_a_name_stays_text() -> None:
    nasty = r"<script> | \| `a` **b** _c_ [d](e) ~~f~~ &amp; # g"
    assert cells(job_summary("x", [suite(Verdict(nasty, "claim", FAIL))]))[1][1] == nasty
