"""How does a CI server read verdicts?

As JUnit's XML, in the form that Jenkins' xUnit plugin accepts (junit-10.xsd) and others read too: a suite for
each run, a test case for each verdict. A verdict that failed is a failure; one that is inconclusive is skipped,
with its reason. Two cases stand in every suite: that the run can be believed, and that nothing failed in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from io import BytesIO

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from loadtest.analysis.validity import INVALID, SUSPECT
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, Verdict
from loadtest.report.suite import Suite
from loadtest.report.verdict_words import interval, limit, observed, say
from loadtest.report.words import UNKNOWN, plural

BELIEVED = "the run can be believed"
NOTHING_FAILED = "nothing failed in the run"

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no way to write, not even escaped."""


def junit(suites: Sequence[Suite]) -> bytes:
    """junit.xml, in UTF-8, with a last newline; the same suites give the same bytes."""
    shared = {scenario for scenario, n in Counter(suite.scenario for suite in suites).items() if n > 1}
    report = JUnitXml("loadtest")
    told = [_suite(suite, suite.scenario in shared) for suite in suites]
    for one in told:
        report.add_testsuite(one)
    # Not update_statistics(): it counts what was skipped too, which junit-10.xsd does not know of this element.
    report.tests = sum(one.tests for one in told)
    report.failures = sum(one.failures for one in told)
    report.errors = sum(one.errors for one in told)
    report.time = round(sum(one.time for one in told), 3)
    file = BytesIO()
    report.write(file, pretty=True)
    return file.getvalue()


def _suite(suite: Suite, shared: bool) -> TestSuite:
    """shared: others have the same scenario. CI servers know cases by class and name, and would mix them up."""
    whose = [suite.scenario, suite.name] if shared else [suite.scenario]
    told = TestSuite(_line(suite.name))
    if suite.started:
        told.timestamp = _line(suite.started)
    for name, value in suite.properties.items():
        told.add_property(_line(name), _line(value))
    cases = [_believed(suite, _class("run", *whose)), _nothing_failed(suite, _class("run", *whose))]
    cases += [_case(verdict, _class(verdict.kind, *whose)) for verdict in suite.verdicts]
    # The time of a suite is the sum of its cases', and many servers show nothing but that sum.
    cases[0].time = round(suite.seconds, 3)
    told.add_testcases(cases)
    return told


def _believed(suite: Suite, classname: str) -> TestCase:
    case = TestCase(BELIEVED, classname, 0)
    if suite.validity == INVALID:
        error = Error(_line(suite.reasons[0] if suite.reasons else "the run is invalid"), INVALID)
        error.text = _text("\n".join(suite.reasons))
        case.result = [error]
    elif suite.validity == SUSPECT:
        case.system_out = _text("\n".join(["The run is suspect.", *suite.reasons]))
    return case


def _nothing_failed(suite: Suite, classname: str) -> TestCase:
    case = TestCase(NOTHING_FAILED, classname, 0)
    if suite.failures:
        case.result = [Failure(say_failures(suite), "failures")]
    return case


def say_failures(suite: Suite) -> str:
    """``3 failures in the run``, and of what kind they may be."""
    counted = plural(suite.failures, "failure")
    return f"{counted} in the run: connects, acknowledgements, deliveries or exceptions, by Locust's count"


def _case(verdict: Verdict, classname: str) -> TestCase:
    case = TestCase(_line(verdict.name), classname, 0)
    if verdict.state == FAIL:
        failure = Failure(_line(say(verdict)), _line(verdict.kind))
        failure.text = _figures(verdict)
        case.result = [failure]
    elif verdict.state == INCONCLUSIVE:
        skipped = Skipped(_line(verdict.why or say(verdict)))
        skipped.text = _figures(verdict)
        case.result = [skipped]
    return case


def _figures(verdict: Verdict) -> str:
    said = {
        "observed": observed(verdict),
        "limit": limit(verdict),
        "95 % interval": interval(verdict),
        "why": verdict.why,
    }
    return _text("\n".join(f"{name}: {value}" for name, value in said.items() if value not in ("", UNKNOWN)))


def _class(*parts: str) -> str:
    """``slo.messaging``: dots make a tree of it, so no part may bring anything that is not a name."""
    return ".".join(re.sub(r"[^\w.-]+", "_", part).strip("._") or "_" for part in parts)


def _text(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _line(text: str) -> str:
    """For attributes: there XML readers turn line ends into blanks, each in their own way."""
    return " ".join(_text(text).split())
