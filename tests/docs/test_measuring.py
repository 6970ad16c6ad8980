"""Are the rules and figures in docs/measuring.md and the README those of the code?"""

import math
import re
from pathlib import Path
from typing import Any

from loadtest.analysis import availability, backoff, bystanders, exit_code, figures, storm
from loadtest.analysis.bandwidth import HEADER_BYTES
from loadtest.analysis.intervals import wilson
from loadtest.analysis.validity import RULES, Scale, say_limit
from loadtest.measure import histogram, ledger, rows, schedule
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import EXEMPLARS
from loadtest.measure.units import MS, SECOND, parse_duration, parse_rate

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/measuring.md"


def test_the_table_of_signs_is_the_rules(table: Any) -> None:
    def row(rule: Any) -> list[str]:
        limit, invalid = rule.limits(Scale(None, None))
        share = f"{100 * rule.share:g} %" if rule.share else "–"
        return [
            rule.name,
            say_limit(limit, rule.unit),
            share,
            "never" if math.isinf(invalid) else say_limit(invalid, rule.unit),
        ]

    assert table(PAGE, "## May this run be believed?") == [row(rule) for rule in RULES]


def test_the_table_of_percentiles_is_what_is_needed(table: Any) -> None:
    needed = {"p99.9" if name == "p999" else name: str(n) for name, n in figures.NEEDED.items()}
    assert table(PAGE, "## Percentiles") == [list(pair) for pair in needed.items()]


def test_every_operation_and_phase_is_explained(table: Any) -> None:
    expected = [row[0].strip("`") for row in table(PAGE, "## What is expected of whom")]
    assert expected == [operation.value for operation in Operation]
    assert [row[0] for row in table(PAGE, "## Phases")] == [phase.value for phase in Phase]


def test_the_figures_in_the_sentences_are_the_code_s(pages: dict[str, str], users: dict[str, Any]) -> None:
    text = " ".join(pages[PAGE].split())
    assert schedule.CATCH_UP == 2 and "at no more than twice the rate" in text
    assert "half a mean gap after the late one before it" in text
    backlog_s = schedule.BACKLOG_NS // SECOND
    assert f"missed by more than {backlog_s} s, or by more than {schedule.BACKLOG_OPERATIONS} acts" in text
    assert f"than the ledger keeps, {ledger.LIMIT:,}" in text
    assert f"{HEADER_BYTES} bytes for every TCP segment" in text
    sub = 1 << histogram.SUB_BITS
    assert f"{sub} linear ones for each power of two" in text
    assert f"1/{sub} = {math.ceil(1e4 / sub) / 100} % wide, and values below {2 * sub} ns are exact" in text
    assert EXEMPLARS == 20 and f"The slowest {EXEMPLARS} deliveries" in text
    assert f"{users['quiet_s']:g} s into the drain" in text


def test_the_figures_about_coming_back_are_the_code_s(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    assert f"A strike that costs {storm.LEAST} connections or more is a storm" in text
    assert f"is more than {storm.BOUND_SHARE:.0%}".replace("%", " %") + " of T99" in text
    assert f"give or take {backoff.TOLERANCE_NS // MS} ms" in text
    assert f"at least {backoff.ENOUGH} waits of that number" in text
    assert f"lies above {round(100 * backoff.WANTED)} %" in text
    assert f"at most {round(100 * (bystanders.TOLERANCE - 1))} % above the one before" in text
    assert f"or at most {bystanders.SLACK_MS:g} ms; a second" in text
    assert f"fewer than {bystanders.ENOUGH} deliveries is not looked at" in text
    assert f"within {availability.DEADLINE_S:g} s of their planned moment" in text
    assert f"of 1,000 out of 1,000 it still says {math.floor(1000 * wilson(1000, 1000)[0]) / 10} %" in text


def test_what_becomes_of_a_drop_is_the_code_s(table: Any) -> None:
    said = {row[0].replace(" ", "_") for row in table(PAGE, "## Coming back")}
    assert {rows.RECOVERED, rows.GAVE_UP, rows.STAYED, rows.OPEN, rows.LEFT} <= said


def test_the_exit_codes_are_the_code_s(pages: dict[str, str], table: Any) -> None:
    codes = [int(row[0]) for row in table("README.md", "## Exit codes")]
    assert codes == sorted(exit_code.PRECEDENCE)
    order = ", ".join(str(code) for code in exit_code.PRECEDENCE)
    assert f"the first of {order} counts" in pages["README.md"]


def test_locust_s_table_has_the_types_that_are_fired(table: Any) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "loadtest" / "users").glob("*.py"))
    fired = set(re.findall(r'\bfire\(\s*"([A-Z]+)"', source)) | set(
        re.findall(r'\.value: "([A-Z]+)",', source)
    )
    assert {row[0].strip("`") for row in table("README.md", "## In Locust's table")} == fired


def test_what_artillery_sends_is_what_we_send(pages: dict[str, str]) -> None:
    """A second goes to connecting, as the page says."""
    count, num = re.findall(r"artillery quick --count (\d+) --num (\d+)", pages["README.md"])[0]
    typed = next(line for line in pages["README.md"].splitlines() if "--rt-warmup 0s" in line)
    users = re.search(r"-u (\d+)", typed)
    rate, time, drain = (re.search(rf"{flag} (\S+)", typed) for flag in ("--rt-rate", " -t", "--rt-drain"))
    assert users and rate and time and drain
    assert users[1] == count
    sending_ns = parse_duration(time[1]) - parse_duration(drain[1]) - SECOND
    assert parse_rate(rate[1]) * sending_ns / SECOND == int(num)
