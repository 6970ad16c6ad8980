"""Is a run ended by what it broke, and by nothing that may still turn out well? Are SLOs taken from everywhere?"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flags import flags_of
from locust.argument_parser import get_parser

from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.plan import Plan
from loadtest.measure.rows import HealthRow, SeriesRow
from loadtest.measure.slo import Slo
from loadtest.measure.units import MS, SECOND
from loadtest.users import options
from loadtest.users.options import read, words
from loadtest.users.slos import Watch, slos_of
from loadtest.users.target import Refused

MEASURE_S = 10


@pytest.fixture
def plan() -> Plan:
    """Begins at 5 s, measures from 10 s on."""
    made = Plan(0, None, 5 * SECOND, 0)
    made.begin(5 * SECOND)
    return made


def counts(*millis: float) -> Counts:
    histogram = Histogram()
    for one in millis:
        histogram.record(round(one * MS))
    return histogram.counts()


def row(
    *came_ms: float, second: int = MEASURE_S, lost: int = 0, under_way: int = 0, **told: Any
) -> SeriesRow:
    expected = len(came_ms) + lost + told.get("late", 0) + under_way
    given = {"operation": "message.deliver", "transport": "websocket", "phase": "measure"} | told
    return SeriesRow(second=second, expected=expected, lost=lost, latency=counts(*came_ms), **given)


def watch(
    threshold: str, selector: str = "message.deliver", delay_s: float = 0.0, abort: bool = True
) -> Watch:
    return Watch([Slo(selector, threshold, abort, delay_s)])


def after(plan: Plan, watched: Watch, measured_s: float) -> float | None:
    """The value that breaks it, so long into measure; None if nothing does."""
    broken = watched.broken(plan, round((MEASURE_S + measured_s) * SECOND))
    return None if broken is None else broken[1]


def test_a_percentile_over_its_limit_ends_the_run(plan: Plan) -> None:
    watched = watch("p(95)<100")
    watched.add([row(*[50] * 94, *[200] * 6)])
    broken = watched.broken(plan, (MEASURE_S + 2) * SECOND)
    assert broken is not None
    assert broken[0].name == "message.deliver: p(95)<100"
    assert broken[1] == pytest.approx(200, rel=0.01)


def test_one_within_its_limit_does_not(plan: Plan) -> None:
    watched = watch("p(95)<100")
    watched.add([row(*[50] * 96, *[200] * 4)])
    assert after(plan, watched, 2) is None


def test_only_those_that_may_end_a_run_do(plan: Plan) -> None:
    watched = watch("p(95)<100", abort=False)
    watched.add([row(*[200] * 100)])
    assert after(plan, watched, 60) is None


def test_the_first_of_several_is_named(plan: Plan) -> None:
    kept, first, second = (Slo("message.deliver", text, True) for text in ("lost==0", "p(95)<100", "avg<100"))
    watched = Watch([kept, first, second])
    watched.add(iter([row(*[200] * 100), row(*[200] * 100, second=11)]))
    broken = watched.broken(plan, (MEASURE_S + 2) * SECOND)
    assert broken is not None
    assert broken[0] == first


def test_parts_of_one_second_add_up(plan: Plan) -> None:
    """Workers tell of a second in parts: what was sent first, what arrived later."""
    watched = watch("lost<3")
    for _ in range(2):
        watched.add([row(5, 5, lost=1)])
        assert after(plan, watched, 2) is None
    watched.add([row(lost=1)])
    assert after(plan, watched, 2) == 3


def test_what_is_under_way_is_neither_lost_nor_slow(plan: Plan) -> None:
    for threshold in ("p(95)<100", "max<100", "rate<0.01", "lost==0", "avg<100"):
        watched = watch(threshold)
        watched.add([row(*[50] * 60, under_way=40)])
        assert after(plan, watched, 5) is None, threshold


def test_nothing_but_what_is_under_way_breaks_nothing(plan: Plan) -> None:
    for threshold in ("p(50)<100", "max<100", "rate<0.01", "count>5", "avg<100"):
        watched = watch(threshold)
        watched.add([row(under_way=1000)])
        assert after(plan, watched, 5) is None, threshold


def test_what_never_came_is_infinitely_slow(plan: Plan) -> None:
    watched = watch("p(90)<100")
    watched.add([row(*[50] * 85, lost=10, late=5)])
    value = after(plan, watched, 2)
    assert value is not None
    assert math.isinf(value)


def test_a_few_values_bound_no_percentile(plan: Plan) -> None:
    """.95**n falls to .05 at n = 59: 58 slow ones say nothing sure of p(95), 59 do."""
    watched = watch("p(95)<100")
    watched.add([row(*[200] * 58)])
    assert after(plan, watched, 30) is None
    watched.add([row(200, second=11)])
    assert after(plan, watched, 30) is not None


def test_the_first_second_of_measure_ends_nothing(plan: Plan) -> None:
    watched = watch("lost==0")
    watched.add([row(lost=9)])
    assert after(plan, watched, -8) is None
    assert after(plan, watched, 0.99) is None
    assert after(plan, watched, 1) == 9


def test_a_delay_is_kept(plan: Plan) -> None:
    watched = watch("lost==0", delay_s=4.5)
    watched.add([row(lost=9)])
    assert after(plan, watched, 4.49) is None
    assert after(plan, watched, 4.5) == 9


def test_before_anybody_has_joined_nothing_is_judged() -> None:
    watched = watch("lost==0")
    watched.add([row(lost=9)])
    assert watched.broken(Plan(0, None, 0, 0), 100 * SECOND) is None


def test_a_count_that_may_still_grow_ends_nothing_unless_it_was_given_its_time(plan: Plan) -> None:
    hasty, patient = watch("count>=100"), watch("count>=100", delay_s=20)
    for watched in (hasty, patient):
        watched.add([row(5, 5)])
    assert after(plan, hasty, 60) is None
    assert after(plan, patient, 19) is None
    assert after(plan, patient, 20) == 2


def test_other_rows_are_not_looked_at(plan: Plan) -> None:
    watched = watch("lost==0", "message.deliver{transport:websocket}")
    watched.add([
        row(lost=1, phase="warmup"), row(lost=1, transport="long-polling"), row(lost=1, operation="message.echo"),
        HealthRow("local", "measure", 10),
    ])  # fmt: skip
    assert after(plan, watched, 5) is None


def test_what_is_done_on_the_way_in_may_end_a_run_once_it_measures(plan: Plan) -> None:
    watched = watch("failed==0", "session.connect")
    watched.add([row(operation="session.connect", phase="connect", second=2, failed=1)])
    assert after(plan, watched, 1) == 1


# -- where they come from ------------------------------------------------------------------------------------

ONE = "message.deliver{transport:websocket,phase:measure}: p(95)<=100"
TWO = "message.echo: lost==0"
Parse = Callable[..., argparse.Namespace]


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Locust's own parser with our flags, in a folder without a configuration of somebody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*args: str) -> argparse.Namespace:
        monkeypatch.setattr(sys, "argv", ["locust", *args])
        found: argparse.Namespace = get_parser().parse_args(list(args))
        return found

    return run


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, ()),
        ([], ()),
        ("", ()),
        ([""], ()),
        (TWO, (TWO,)),
        ([ONE, TWO], (ONE, TWO)),
        (f"{ONE};{TWO}", (ONE, TWO)),
        (f" {ONE} ;; {TWO} ; ", (ONE, TWO)),
        (f"{ONE}\r\n{TWO}\n", (ONE, TWO)),
        ([f"{ONE};{TWO}", TWO], (ONE, TWO)),
        (ONE.split(","), (ONE,)),
        ([*ONE.split(","), TWO], (ONE, TWO)),
        (["a.toml", "message.echo{transport:x"], ("a.toml", "message.echo{transport:x")),
    ],
)
def test_words(given: str | list[str] | None, found: tuple[str, ...]) -> None:
    assert words(given) == found


def test_the_flag_is_repeatable(parse: Parse) -> None:
    assert read(parse("--rt-slo", ONE, "--rt-slo", TWO, "--rt-slo", "mine.toml"), None).slo == (
        ONE,
        TWO,
        "mine.toml",
    )
    assert read(parse(), None).slo == ()


@pytest.mark.parametrize(
    "value", [f"{ONE}; {TWO}", f"{ONE}\n{TWO}", f"[{ONE}, {TWO}]", f'["{ONE}", "{TWO}"]']
)
def test_a_variable_holds_several(parse: Parse, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LOCUST_RT_SLO", value)
    assert read(parse(), None).slo == (ONE, TWO)
    assert read(parse("--rt-slo", "message.ack: late==0"), None).slo == ("message.ack: late==0",)


@pytest.mark.parametrize("value", [f"{ONE}; {TWO}", f"[{ONE}, {TWO}]", f'["{ONE}", "{TWO}"]'])
def test_a_line_of_the_configuration_holds_several(parse: Parse, tmp_path: Path, value: str) -> None:
    (tmp_path / "locust.conf").write_text(f"rt-slo = {value}\n")
    assert read(parse(), None).slo == (ONE, TWO)


@pytest.mark.parametrize("value", [f'["{ONE}", "{TWO}"]', f'"{ONE}; {TWO}"', f'"""\n{ONE}\n{TWO}\n"""'])
def test_the_table_of_a_project_holds_several(parse: Parse, tmp_path: Path, value: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.locust]\nrt-slo = {value}\n")
    assert read(parse(), None).slo == (ONE, TWO)


def test_a_scenario_may_have_slos_and_a_run_more(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_scenario", {"slo": ONE})
    assert read(parse(), None).slo == (ONE,)
    assert read(parse("--rt-slo", TWO), None).slo == (ONE, TWO)


def test_a_field_of_the_form_is_understood(parse: Parse) -> None:
    """As Locust's web UI puts it: words where there were none, else a list cut at its commas."""
    chosen = parse()
    chosen.rt_slo = f"{ONE}; {TWO}"
    assert read(chosen, None).slo == (ONE, TWO)
    chosen = parse("--rt-slo", ONE, "--rt-slo", TWO)
    chosen.rt_slo = f"{ONE},{TWO}".split(",")
    assert read(chosen, None).slo == (ONE, TWO)


def test_what_is_wrong_refuses_the_run_with_every_fault(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(Refused) as refused:
        slos_of(flags_of(slo=["message.deliver: p95<100", TWO, str(missing)]))
    assert str(refused.value).split("\n") == [
        "--rt-slo: expected p(N) or one of med avg min max count rate expected late lost open duplicate reordered "
        "leaked failed here",
        "  message.deliver: p95<100",
        "                   ^",
        f"--rt-slo: {missing}: cannot be read (No such file or directory)",
    ]


def test_files_and_expressions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "slo.toml"
    file.write_text('[slo]\n"message.echo" = {threshold = "lost==0", abort_on_fail = true}\n')
    assert slos_of(flags_of(slo=[ONE, str(file)])) == [
        Slo("message.deliver{phase:measure,transport:websocket}", "p(95)<=100"),
        Slo("message.echo", "lost==0", abort_on_fail=True),
    ]
    assert slos_of(flags_of()) == []
