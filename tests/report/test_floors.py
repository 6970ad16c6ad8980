"""What the pages say of floors, and that a run without them says nothing."""

from __future__ import annotations

import re
from types import ModuleType

import msgspec
import pytest

from loadtest.analysis.floors import C0, C1, C2, Floor, Floors, Load, echo_floor, run_floor
from loadtest.analysis.series import Series, measured
from loadtest.analysis.sizing import Machine, fit
from loadtest.analysis.summary import summarise
from loadtest.measure.histogram import Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.measure.units import MS
from loadtest.report.calibration_page import calibration_page, outline
from loadtest.report.claims_page import Asked, claims_page
from loadtest.report.render import render
from loadtest.report.sections.floors import Pooled, under

LOAD = Load(20, 1.0, "10")
MACHINE = Machine(2, 1024, 28_232, 8_000_000_000)


def text_of(page: str) -> str:
    return " ".join(
        re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL)).split()
    )


@pytest.fixture(scope="module")
def floors(made: ModuleType) -> Floors:
    """C2 has the latency of the calm run, whose p99 it will be set beside."""
    echo = Histogram()
    for number in range(1, 1001):
        echo.record(number * MS // 10_000)
    calm = made.in_memory(made.Maker().play())
    several = [echo_floor(echo), run_floor(C1, calm, "c1/run"), run_floor(C2, calm, "c2/run")]
    machine = {"host": "bench-1", "cpu": "AMD EPYC 7B13", "cores": 2}
    return Floors("2026-11-26T18:00:00+00:00", machine, LOAD, several)


def of_c2(floors: Floors, **changes: object) -> Floors:
    """The same with another C2."""
    c2 = floors.of(C2)
    assert c2 is not None
    others = [one for one in floors.floors if one.name != C2]
    return msgspec.structs.replace(floors, floors=[*others, msgspec.structs.replace(c2, **changes)])


def test_a_run_without_floors_has_no_section(push: Run) -> None:
    summary = summarise(push)
    plain = render([push], [summary])
    assert 'id="floors"' not in plain
    assert render([push], [summary], [None]) == plain


def test_floors_stand_beside_the_result_with_what_follows(push: Run, floors: Floors) -> None:
    page = render([push], [summarise(push)], [floors])
    said = text_of(page)
    assert '<a href="#floors">Floors</a>' in page
    assert page.index('id="floors"') < page.index('id="generator"')
    assert re.search(r"Harness-limited: the true value is below [\d.]+ ms; a server that does nothing", said)
    for row in (
        "C0: kernel and loop 1,000",
        "C1: null server, hardly anybody there",
        "Delivery latency, this run",
    ):
        assert row in said
    assert "Measured with 20 users over WebSocket, 1 per second each, in rooms of 10." in said
    assert "at most 20 % of it, or of at most 10 % of what was asked for" in said
    assert page == render([push], [summarise(push)], [floors])


def test_low_floors_leave_the_result_to_the_server(push: Run, floors: Floors) -> None:
    page = render([push], [summarise(push)], [of_c2(floors, p99_ms=0.5)])
    assert "the result is the server's" in text_of(page).replace("&#39;", "'")
    assert 'class="bad"' not in page[page.index('id="floors"') : page.index('id="generator"')]


def test_what_a_floor_lacks_has_its_reason(push: Run, floors: Floors) -> None:
    lacking = of_c2(
        floors, p99_ms=None, why={"p99_ms": "n=90, 299 needed"}, validity="suspect", reason="too busy"
    )
    said = text_of(render([push], [summarise(push)], [lacking]))
    assert "C2 has no p99 (n=90, 299 needed), so how much of the result is the harness is not known." in said
    assert "given from 299 values on" in said
    assert "too busy" in said


def test_of_two_runs_each_has_its_own(push: Run, polling: Run, floors: Floors) -> None:
    page = render([push, polling], [summarise(push), summarise(polling)], [floors, None])
    section = text_of(page[page.index('id="floors"') : page.index('id="generator"')])
    assert section.count("C2: null server, this load") == 2  # in the key, and in the table
    assert "WebSocket: harness-limited" in section
    assert "interval polling" not in section


def test_not_one_for_each_run_is_an_error(push: Run, floors: Floors) -> None:
    with pytest.raises(ValueError, match="zip"):
        render([push], [summarise(push)], [floors, floors])


def test_a_calibration_says_what_may_be_measured_with_it(floors: Floors) -> None:
    found = fit(LOAD.need(), MACHINE)
    page = calibration_page(of_c2(floors, p99_ms=2.0), found, "loadtest calibrate --users 20 <&>")
    said = text_of(page)
    assert "valid At this load a server that does nothing comes to a p99 of 2.00 ms." in said
    assert "A result of 10.0 ms or more is the server" in said
    assert "a limit of 20.0 ms or more was kept" in said
    assert "loadtest calibrate --users 20 &lt;&amp;&gt;" in page
    assert "bench-1" in said and "26 November 2026" in said
    for what in ("events per second", "CPU", "processes", "file descriptors", "local ports", "memory"):
        assert what in said
    assert page == calibration_page(of_c2(floors, p99_ms=2.0), found, "loadtest calibrate --users 20 <&>")


def test_a_calibration_that_shows_too_little_says_so(floors: Floors) -> None:
    found = fit(LOAD.need(), msgspec.structs.replace(MACHINE, cores=1))
    suspect = calibration_page(of_c2(floors, validity="suspect", reason="loop lag p99 9 ms"), found, "x")
    assert "suspect At this load" in text_of(suspect)
    assert "the generator at this load: loop lag p99 9 ms" in suspect
    assert "1 process and one for the server, there is 1 core" in text_of(suspect)
    invalid = text_of(calibration_page(of_c2(floors, validity="invalid", reason="late"), found, "x"))
    assert (
        "invalid On this machine, as it was just now, the generator does not keep up with this load."
        in invalid
    )
    cut = msgspec.structs.replace(floors, floors=floors.floors[:2])
    assert "Incomplete C2 was not measured" in text_of(calibration_page(cut, found, "x"))
    few = calibration_page(of_c2(floors, p99_ms=None, why={"p99_ms": "n=90, 299 needed"}), found, "x")
    assert "Undecided C2 has no p99: n=90, 299 needed." in text_of(few)


def test_the_terminal_hears_the_same(floors: Floors) -> None:
    lines = outline(floors, fit(LOAD.need(), MACHINE))
    assert [line[:2] for line in lines[:3]] == [C0, C1, C2]
    assert lines[0].endswith("p50 0.05 ms, p95 0.10 ms, p99 0.10 ms (n = 1,000)")
    assert lines[2].endswith(", valid)")
    assert outline(None, fit(LOAD.need(), MACHINE)) == lines[3:]


def test_a_load_is_said_with_all_that_makes_it_another(floors: Floors) -> None:
    load = Load(50, 0.1, "2:80,20:20", "long-polling", 2, "native", processes=2)
    other = msgspec.structs.replace(floors, load=load)
    said = text_of(calibration_page(other, fit(LOAD.need(), MACHINE), "x"))
    assert (
        "50 users over long polling with 2 devices each, 6 per minute each, in rooms 2:80,20:20, from 2 processes"
        in said
    )
    stock = msgspec.structs.replace(floors, load=Load(50, 0.1, client="python-socketio"))
    assert "by the python-socketio client" in text_of(calibration_page(stock, fit(LOAD.need(), MACHINE), "x"))


def test_a_floor_without_values_is_left_out_of_the_picture(floors: Floors, push: Run) -> None:
    nothing = msgspec.structs.replace(floors, floors=[Floor(C0, 0, None, None, None, Histogram().counts())])
    page = render([push], [summarise(push)], [nothing])
    assert "C2 was not measured" in text_of(page)


def test_several_results_stand_above_the_same_floors(floors: Floors, push: Run) -> None:
    calm, nothing = Pooled(measured(push, Operation.MESSAGE_DELIVER)), Pooled(Series())
    high = under(floors, {"Messages": calm, "Calls": nothing})
    assert [row.heads[0].text for row in high.table.rows][-2:] == ["Messages", "Calls"]
    assert high.leads[0].startswith("Messages: harness-limited: the true value is below ")
    assert high.leads[1].startswith("Calls: a server that does nothing comes to a p99 of ")
    assert {cell.tone for cell in high.table.rows[-2].cells[1:-1]} == {"bad"}
    low = under(of_c2(floors, p99_ms=0.001), {"Messages": calm})
    assert low.leads[0].endswith(": the result is the server's.")
    assert {cell.tone for cell in low.table.rows[-1].cells[1:-1]} == {"strong"}


def test_a_limit_far_above_the_floor_decides_without_the_result(floors: Floors, push: Run) -> None:
    c2 = floors.of(C2)
    assert c2 is not None and c2.p99_ms is not None
    calm = measured(push, Operation.MESSAGE_DELIVER)
    limits_ms = {"near": 9 * c2.p99_ms, "far": 11 * c2.p99_ms}
    near, far = under(floors, {name: Pooled(calm, limit) for name, limit in limits_ms.items()}).leads
    assert "harness-limited" in near
    assert far.endswith("does not decide whether it is kept.")


@pytest.mark.parametrize("why", ["", "the floors of the harness were not measured: no room"])
def test_pages_of_several_runs_show_floors_or_say_why_not(floors: Floors, push: Run, why: str) -> None:
    asked = Asked("2026-11-26T18:00:00+00:00", True, "a server", "", [], "loadtest claims")
    beneath = None if why else under(floors, {"Messages": Pooled(measured(push, Operation.MESSAGE_DELIVER))})
    page = claims_page([], asked, beneath, why)
    section = text_of(page[page.index('id="floors"') : page.index('id="reproduce"')])
    assert "How much of it is the harness" in section
    assert (why[:3].capitalize() if why else "C2: null server, this load") in section
    assert 'id="floors"' not in claims_page([], asked)
