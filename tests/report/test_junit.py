"""junit.xml, read as a CI server would: against the schema, case by case, byte by byte."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from loadtest.analysis.summary import summarise
from loadtest.analysis.verdict import COUNT, FAIL, INCONCLUSIVE, MS_UNIT, PASS, Verdict
from loadtest.measure.run import Run
from loadtest.report.junit import BELIEVED, NOTHING_FAILED, junit
from loadtest.report.suite import Suite, suite_of

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))

BROKEN = Verdict(
    "message.deliver{transport:websocket}: p(95)<100",
    "slo",
    FAIL,
    312.4,
    100.0,
    (290.2, 330.0),
    MS_UNIT,
    "slow",
)
UNDECIDED = Verdict(
    "message.deliver: p(99.9)<250",
    "slo",
    INCONCLUSIVE,
    240.0,
    250.0,
    (200.0, None),
    MS_UNIT,
    "about 3,000 more",
)
KEPT = Verdict("message.deliver: lost==0", "slo", PASS, 0.0, 0.0, None, COUNT)
ALL = [BROKEN, UNDECIDED, KEPT]


def suite(**told: Any) -> Suite:
    usual: dict[str, Any] = {"name": "messaging over websocket", "scenario": "messaging", "seconds": 90.0}
    return Suite(**usual | {"started": "2026-11-23T08:15:00Z"} | told)


def read(written: bytes) -> Any:
    """The root, once it has passed the schema."""
    root = etree.fromstring(written)
    SCHEMA.assertValid(root)
    return root


def case(root: Any, name: str) -> Any:
    (found,) = [one for one in root.iter("testcase") if one.get("name") == name]
    return found


def test_one_test_case_for_each_verdict_and_two_for_the_run() -> None:
    root = read(junit([suite(verdicts=ALL, properties={"run id": "1f3a5c", "seed": "1"})]))
    cases = [
        (one.get("classname"), one.get("name"), [child.tag for child in one]) for one in root.iter("testcase")
    ]
    assert cases == [
        ("run.messaging", BELIEVED, []),
        ("run.messaging", NOTHING_FAILED, []),
        ("slo.messaging", BROKEN.name, ["failure"]),
        ("slo.messaging", UNDECIDED.name, ["skipped"]),
        ("slo.messaging", KEPT.name, []),
    ]
    (told,) = root
    assert {**told.attrib} == {
        "name": "messaging over websocket", "timestamp": "2026-11-23T08:15:00Z", "time": "90.0",
        "tests": "5", "failures": "1", "errors": "0", "skipped": "1",
    }  # fmt: skip
    assert {one.get("name"): one.get("value") for one in told.iter("property")} == {
        "run id": "1f3a5c",
        "seed": "1",
    }


def test_a_failure_says_what_was_observed_and_what_was_asked() -> None:
    (failure,) = case(read(junit([suite(verdicts=ALL)])), BROKEN.name)
    assert failure.get("message") == "p(95) 312 ms, limit 100 ms, 95 % interval 290 ms to 330 ms: slow"
    assert failure.get("type") == "slo"
    assert failure.text.splitlines() == [
        "observed: 312 ms", "limit: 100 ms", "95 % interval: 290 ms to 330 ms", "why: slow",
    ]  # fmt: skip


def test_an_inconclusive_verdict_is_skipped_with_its_reason() -> None:
    (skipped,) = case(read(junit([suite(verdicts=ALL)])), UNDECIDED.name)
    assert skipped.get("message") == "about 3,000 more"
    assert "95 % interval: 200 ms or more" in skipped.text


def test_an_invalid_run_is_an_error() -> None:
    root = read(junit([suite(validity="invalid", reasons=["no measured second", "CPU 91 %"])]))
    (error,) = case(root, BELIEVED)
    assert (error.tag, error.get("message"), error.get("type")) == ("error", "no measured second", "invalid")
    assert error.text == "no measured second\nCPU 91 %"
    assert root.get("errors") == root[0].get("errors") == "1"


def test_a_suspect_run_passes_and_says_why_it_is_suspect() -> None:
    root = read(junit([suite(validity="suspect", reasons=["loop lag p99 7.00 ms"])]))
    (said,) = case(root, BELIEVED)
    assert said.tag == "system-out" and "loop lag p99 7.00 ms" in said.text
    assert root.get("failures") == root.get("errors") == "0"


def test_what_locust_counted_is_a_failure() -> None:
    (failure,) = case(read(junit([suite(failures=3)])), NOTHING_FAILED)
    assert failure.tag == "failure" and failure.get("message").startswith("3 failures in the run")


def test_sums_over_suites_are_those_of_the_cases() -> None:
    root = read(
        junit([suite(verdicts=ALL, failures=1, seconds=30.25), suite(validity="invalid", reasons=["x"])])
    )
    cases = list(root.iter("testcase"))
    assert root.get("tests") == str(len(cases)) == "7"
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "2"
    assert root.get("errors") == str(len(list(root.iter("error")))) == "1"
    assert float(root.get("time")) == sum(float(one.get("time")) for one in cases) == 120.25


def test_no_two_cases_of_a_file_have_one_class_and_name() -> None:
    """GitLab keeps only one of such a pair, whichever."""
    both = [suite(verdicts=[KEPT]), suite(verdicts=[KEPT], name="messaging over interval-polling")]
    root = read(junit([*both, suite(scenario="calls", verdicts=[KEPT])]))
    cases = [(one.get("classname"), one.get("name")) for one in root.iter("testcase")]
    assert len(set(cases)) == len(cases) == 9
    assert ("slo.messaging.messaging_over_interval-polling", KEPT.name) in cases
    assert ("slo.calls", KEPT.name) in cases


def test_a_class_brings_no_braces_and_no_dots_of_its_own() -> None:
    root = read(junit([suite(scenario="{my} scenario: no. 1...", verdicts=[KEPT]), suite(scenario="…")]))
    assert {one.get("classname") for one in root.iter("testcase")} == {
        "run.my_scenario_no._1", "slo.my_scenario_no._1", "run._",
    }  # fmt: skip


def test_the_same_suites_give_the_same_bytes() -> None:
    one, other = (junit([suite(verdicts=ALL, properties={"seed": "1"})]) for _ in range(2))
    assert one == other
    assert one.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n') and one.endswith(b"</testsuites>\n")


def test_no_suite_is_a_file_all_the_same() -> None:
    assert len(read(junit([]))) == 0


# Surrogates and control characters cannot be written in XML at all; markup must be escaped.
anything = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["\x00\x1b[31m", "\ud800", "￾\uffff", "<![CDATA[x]]>", "]]>", "a\r\nb\tc", "&amp;", "\"<>'", "", " "]
)


@given(anything, anything, anything, st.sampled_from([FAIL, INCONCLUSIVE, PASS]), st.floats(0, 1e6))
def test_no_text_breaks_it(name: str, why: str, value: str, state: str, seconds: float) -> None:
    verdict = Verdict(f"x{name}", "slo", state, None, None, None, "", why)
    told = suite(
        name=f"x{name}",
        scenario=value,
        seconds=seconds,
        verdicts=[verdict],
        validity="suspect",
        reasons=[why],
        properties={"x" + name: "x" + value},
    )
    root = read(junit([told]))
    assert len(list(root.iter("testcase"))) == 3


def test_what_can_be_written_is_kept() -> None:
    said = "é 漢 🚀 ]]> & <b> \"quoted\" 'so' \u0085"
    kept = Verdict(f"a {said} b", "slo", FAIL, why=said)
    (failure,) = case(read(junit([suite(verdicts=[kept])])), " ".join(kept.name.split()))
    assert failure.text == f"why: {said}"


def test_what_cannot_be_written_leaves_a_mark() -> None:
    (failure,) = read(junit([suite(verdicts=[Verdict("x", "slo", FAIL, why="a\x00b")])])).iter("failure")
    assert failure.text == "why: a�b"


def test_a_run_tells_ci_what_it_takes_to_find_it_again(push: Run) -> None:
    told = suite_of(summarise(push), failures=2)
    assert (told.name, told.scenario, told.started) == (
        "messaging over websocket", "messaging", push.manifest.started,
    )  # fmt: skip
    assert told.seconds == push.manifest.edges.ended_ns / 1e9 and told.failures == 2
    assert told.properties == {
        "run id": push.manifest.id,
        "seed": "1",
        "commit": push.manifest.commit,
        "fingerprint": push.manifest.environment["fingerprint"],
        "validity": told.validity,
    }
    read(junit([told]))


def test_without_lxml_the_bytes_are_the_same(tmp_path: Path) -> None:
    """junitparser takes lxml where it is installed, as here; whoever only uses the package has none."""
    script = """
import sys
if sys.argv[1] == "without":
    sys.modules["lxml"] = None
from loadtest.analysis.verdict import Verdict
from loadtest.report.junit import junit
from loadtest.report.suite import Suite
nasty = "a\\r\\nb\\tc <&> \\"é\\" \\x00 \\ud800 🚀"
verdicts = [Verdict("x: " + nasty, "slo", state, why=nasty) for state in ("fail", "inconclusive", "pass")]
suite = Suite("messaging", "messaging", "", 1.5, verdicts, "suspect", [nasty], 1, {"seed": nasty})
sys.stdout.buffer.write(junit([suite]))
"""
    told = [
        subprocess.run([sys.executable, "-c", script, how], capture_output=True, check=True).stdout
        for how in ("with", "without")
    ]
    assert told[0] == told[1]
    read(told[0])


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (rb' tests="5" errors', rb" errors"),
        (rb'<testsuites name="loadtest"', rb'<testsuites name="loadtest" skipped="1"'),
        (rb'time="90.0"', rb'time="9e1"'),
        (rb'name="message.deliver: lost==0" ', rb""),
        (rb"(<failure .*?</failure>)", rb"\1\1"),
        (rb"<skipped", rb"<undecided"),
    ],
    ids=["no count", "a count too many", "an exponent", "no name", "two outcomes", "an unknown outcome"],
)
def test_the_schema_refuses_what_servers_refuse(written: bytes, instead: bytes) -> None:
    good = junit([suite(verdicts=ALL)])
    bad = re.sub(written, instead, good, flags=re.DOTALL)
    if instead == rb"<undecided":
        bad = bad.replace(b"</skipped", b"</undecided")
    assert bad != good
    assert SCHEMA.validate(etree.fromstring(good)) and not SCHEMA.validate(etree.fromstring(bad))
