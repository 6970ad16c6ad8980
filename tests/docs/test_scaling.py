"""Is the arithmetic of docs/scaling.md that of the harness, and is its manifest one that the operator takes?"""

from __future__ import annotations

import re
from typing import Any

import pytest

from loadtest.analysis import hosts
from loadtest.analysis.event_cost import Cost
from loadtest.analysis.sizing import CROWDED, PROCESS_BYTES, USER_BYTES, Need, sizing

PAGE = "docs/scaling.md"
PORTS = 28_232
MEASURED = Cost(31e-6, 300e-6, "measured")
EXAMPLES = {
    "### A hundred thousand who talk": sizing(100_000, 6 / 60, 9, "websocket"),
    "### A million who are there": sizing(1_000_000, 12 / 3600, 1, "websocket"),
}


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_examples_are_worked_out_as_the_harness_does(pages: dict[str, str], heading: str) -> None:
    need = EXAMPLES[heading]
    told = pages[PAGE].split(heading)[1].split("\n#")[0]
    rates = (need.sends_per_s, need.acks_per_s, need.deliveries_per_s, need.pings_per_s)
    kinds = ("sent", "acknowledged", "delivered", "heartbeats")
    said = ", ".join(f"{rate:,.0f} {kind}" for rate, kind in zip(rates, kinds, strict=True))
    assert f"{said}: {need.events_per_s:,.0f} per second" in told
    assert f"{need.cpu:.1f} cores at 62 µs: {need.processes} processes" in told
    assert f"{need.ports:,}: " in told
    assert f"up to {need.sockets * USER_BYTES / 1e9:.0f} GB for users" in told


def addresses(need: Need, ports: int = PORTS) -> int:
    return -int(-need.ports // (CROWDED * ports))


def test_what_follows_from_them_does_follow(pages: dict[str, str]) -> None:
    talking, idle = EXAMPLES.values()
    text = " ".join(pages[PAGE].split())
    cheaper = sizing(100_000, 6 / 60, 9, "websocket", cost=MEASURED)
    assert f"{cheaper.cpu:.1f} at 31 µs: {cheaper.processes}" in text
    assert addresses(talking) == 5
    assert "100,000: five addresses at 80 %" in text
    assert f"1,000,000: {addresses(idle)} addresses at 80 %" in text
    assert f"and it is {addresses(idle, 64_512)} of them" in text
    assert f"{idle.descriptors(addresses(idle)):,} in each of {addresses(idle)} processes" in text
    assert f"{talking.processes * PROCESS_BYTES / 1e9:.1f} GB for processes" in text
    assert re.search(r"workers: 45\b", pages[PAGE])


def test_the_rules_for_clocks_are_those_of_the_code(table: Any) -> None:
    rows = table("docs/measuring.md", "### Rules for clocks")
    assert [row[1:] for row in rows] == [
        [f"{hosts.BOUND_MS:g} ms", "1 s"],
        [f"{hosts.JUMP_MS:g} ms", "1 s"],
        [f"{hosts.DRIFT_PPM / 10_000:g} %", f"{hosts.DRIFT_PPM / 1000:g} %"],
        [f"{hosts.AXIS_MS:g} ms", "never"],
        [f"{hosts.WALL_S:g} s", "never"],
        ["always", "never"],
    ]
