"""What an event costs, of processes whose cost is known, and of a run that was made."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.event_cost import APART, Used, cost_of, used
from loadtest.analysis.sizing import sizing
from loadtest.measure.rows import HealthRow
from loadtest.measure.run import Edges
from loadtest.measure.units import SECOND


def process(events_per_s: float, event_s: float, idle: float, processes: int = 1) -> Used:
    """One that takes ``idle`` cores when nothing happens."""
    return Used(events_per_s, processes * idle + events_per_s * event_s, processes)


@given(st.floats(1, 500), st.floats(APART, 50), st.floats(1e-6, 1e-3), st.floats(0, 0.1))
def test_of_loads_far_apart_what_a_process_takes_by_itself_is_no_part_of_an_event(
    light: float, times: float, event_s: float, idle: float
) -> None:
    found = cost_of(
        [process(times * light, event_s, idle), process(light, event_s, idle)], "websocket", "a test"
    )
    assert found is not None
    assert found.event_s == pytest.approx(event_s, rel=1e-6)
    assert found.source == "a test"


def test_of_loads_that_are_close_the_cost_is_an_upper_limit() -> None:
    found = cost_of([process(100, 30e-6, 0.02), process(4.9 * 100, 30e-6, 0.02)], "websocket", "a test")
    assert found is not None
    assert found.event_s == pytest.approx(30e-6 + 0.02 / 490)


def test_of_different_numbers_of_processes_too() -> None:
    found = cost_of([process(100, 30e-6, 0.02), process(10_000, 30e-6, 0.02, 2)], "websocket", "a test")
    assert found is not None
    assert found.event_s == pytest.approx(30e-6 + 0.04 / 10_000)


def test_more_events_that_took_no_more_are_no_free_events() -> None:
    found = cost_of([Used(100, 0.2), Used(1000, 0.1)], "websocket", "a test")
    assert found is not None
    assert found.event_s == pytest.approx(0.1 / 1000)


@pytest.mark.parametrize("several", [[], [Used(0, 0.1)], [Used(10, 0.0)]])
def test_where_nothing_happened_nothing_is_known(several: list[Used]) -> None:
    assert cost_of(several, "websocket", "a test") is None


def test_a_run_s_events_are_its_acts_twice_and_what_came_of_them(made: ModuleType) -> None:
    maker = made.Maker(users=20, workers=2)
    run = made.in_memory(maker.play())
    found = used(run)
    assert found is not None
    # Of each message five copies come: four to others, one to the sender; in measure there are 22 seconds.
    acts = sum(row.sent for row in run.health if row.phase == "measure")
    assert found.events_per_s == pytest.approx(acts * (2 + 5) / 22)
    assert found.processes == 2
    assert found.cpu == pytest.approx(2 * 0.12, rel=0.1)


def test_of_a_run_without_a_measured_second_nothing_is_known(made: ModuleType) -> None:
    book = made.Maker().play()
    assert used(made.in_memory(book, edges=Edges(2 * SECOND, None, None, 3 * SECOND))) is None
    run = made.in_memory(book)
    run.health = [HealthRow("local", "warmup", 3)]
    assert used(run) is None


def test_a_cost_that_was_measured_takes_the_place_of_the_assumed_one() -> None:
    cost = cost_of([Used(1000, 0.02)], "long-polling", "measured")
    need = sizing(100, 1.0, 9.0, "long-polling", cost=cost)
    assert need.cpu == pytest.approx(need.events_per_s * 20e-6)
