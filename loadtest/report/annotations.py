"""What does GitHub show beside a job?

Annotations are lines on standard output that GitHub's runner reads as commands; the summary of a job is Markdown,
in a file that it names. Source: "Workflow commands for GitHub Actions", docs.github.com. Whether anybody is there
to read them is for the caller to know.
"""

import re
from collections.abc import Iterable, Sequence

from loadtest.analysis.validity import INVALID, SUSPECT
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, Verdict
from loadtest.report.junit import say_failures
from loadtest.report.suite import Suite
from loadtest.report.verdict_words import interval, limit, observed, say
from loadtest.report.words import plural

ERROR, WARNING = "error", "warning"
SHOWN = 10
"""Annotations of one level that GitHub keeps of a step; it drops the others without a word."""

_LEVELS = {FAIL: ERROR, INCONCLUSIVE: WARNING}
_WORST_FIRST = (FAIL, INCONCLUSIVE, PASS)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&])")


def annotations(suites: Iterable[Suite]) -> list[str]:
    """Workflow commands, a line each; nothing for what passed.

    Errors are what failed and runs that are invalid, warnings what is inconclusive and runs that are suspect.
    """
    found: dict[str, list[tuple[str, str]]] = {ERROR: [], WARNING: []}
    for suite in suites:
        for level, title, message in _annotations(suite):
            found[level].append((title, message))
    return [
        command(level, title, message)
        for level, of_it in found.items()
        for title, message in _what_is_shown(of_it)
    ]


def command(level: str, title: str, message: str) -> str:
    """``::error title=…::message``, escaped, in one line."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _annotations(suite: Suite) -> list[tuple[str, str, str]]:
    """(level, title, message)."""
    found = []
    if suite.validity in (INVALID, SUSPECT):
        level = ERROR if suite.validity == INVALID else WARNING
        reasons = "\n".join(suite.reasons) or "no reason is known"
        found.append((level, f"{suite.name}: the run is {suite.validity}", reasons))
    for verdict in suite.verdicts:
        if verdict.state in _LEVELS:
            title = f"{suite.name}: {verdict.name}"
            found.append((_LEVELS[verdict.state], title, f"{verdict.state}: {say(verdict)}"))
    if suite.failures:
        found.append((ERROR, suite.name, say_failures(suite)))
    return found


def _what_is_shown(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if len(found) <= SHOWN:
        return found
    rest = found[SHOWN - 1 :]
    return [*found[: SHOWN - 1], (f"{len(rest)} more", "\n".join(title for title, _ in rest))]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def job_summary(title: str, suites: Sequence[Suite]) -> str:
    """Markdown: a heading, a line on the validity of each suite, one table of all verdicts, worst first."""
    lines = [f"## {_cell(title)}", ""]
    for suite in suites:
        lines += [f"- {_validity(suite)}", *(f"  - {_cell(reason)}" for reason in suite.reasons)]
        if suite.failures:
            lines.append(f"  - {_cell(say_failures(suite))}")
    lines.append("")
    asked = [(suite, verdict) for suite in suites for verdict in suite.verdicts]
    if not asked:
        return "\n".join([*lines, "No SLO, claim or baseline was given, so there is no verdict.", ""])
    counted = [
        f"{n} {'passed' if state == PASS else 'failed' if state == FAIL else state}"
        for state in _WORST_FIRST
        if (n := sum(verdict.state == state for _, verdict in asked))
    ]
    lines += [f"{plural(len(asked), 'verdict')}: {', '.join(counted)}.", ""]
    asked.sort(key=lambda one: _WORST_FIRST.index(one[1].state))
    several = ["run"] if len(suites) > 1 else []
    lines += _table(
        ["state", *several, "verdict", "observed", "limit", "95 % interval", "why"],
        ([_state(one), *([suite.name] if several else []), *_figures(one)] for suite, one in asked),
    )
    return "\n".join([*lines, ""])


def _validity(suite: Suite) -> str:
    return f"{_cell(suite.name)}: **{suite.validity}**"


def _state(verdict: Verdict) -> str:
    return {FAIL: "❌ fail", INCONCLUSIVE: "⚠️ inconclusive"}.get(verdict.state, "✅ pass")


def _figures(verdict: Verdict) -> list[str]:
    return [verdict.name, observed(verdict), limit(verdict), interval(verdict), verdict.why]


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    """Text that stays what it is inside a table of Markdown, and in one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
