"""Is docs/bandwidth.md true?"""

from __future__ import annotations

import inspect
from typing import Any

from loadtest.analysis import bandwidth_cost, bandwidth_surface
from loadtest.cli.bandwidth import bandwidth
from loadtest.cli.bandwidth_grid import seconds
from loadtest.cli.bandwidth_points import (
    BEATS,
    PAYLOAD_BYTES,
    QUICK_PERIOD_S,
    ROOM,
    USERS,
    Plan,
    spots,
    window_s,
)
from loadtest.contract import load

PAGE = "docs/bandwidth.md"
FULL, QUICK = Plan(False, 4), Plan(True, 1)


def test_the_flags_are_the_command_s(table: Any) -> None:
    said = [
        row[0].strip("`").removeprefix("--").replace("-", "_")
        for row in table(PAGE, "# Bandwidth: what push saves of the bytes of polling")
    ]
    names = {"json": "as_json"}
    assert {names.get(one, one) for one in said} == set(inspect.signature(bandwidth).parameters)


def test_the_figures_in_the_sentences_are_the_code_s(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    assert f"{USERS} users sit in conversations of ten, a text has {PAYLOAD_BYTES} bytes" in text
    assert ROOM == 10 and "what everybody says, times nine" in text
    rates = sorted({spot.rate for spot in spots(FULL)})
    assert f"| {', '.join(f'{rate:g}' for rate in rates[1:])} |" in text
    windows = {spot.rate: window_s(spot, FULL, 25.0) for spot in spots(FULL)}
    assert BEATS == 5 and int(windows[0]) == 125 and "five heartbeats, 125 s" in text
    assert (windows[0.1], windows[1]) == (50, 25) and "25 s, 50 s below 1/s" in text
    assert f"pings every {QUICK_PERIOD_S:g} s" in text
    assert f"more than {100 * bandwidth_cost.MOST_LOST:g} % of deliveries missing" in text
    assert f"polls that are {100 * bandwidth_cost.MOST_POLLS_OFF:g} % off" in text
    assert f"agree within {100 * bandwidth_surface.CLOSE:g} %" in text
    assert f"Up to {bandwidth_surface.BEYOND:g} times the highest rate" in text
    assert bandwidth_surface.ENOUGH == 4 and "Of four trials or more a side" in text
    intervals = ", ".join(f"{feed.interval_ms / 1000:g} s" for feed in load(None).feeds)
    assert f"three over one connection ({intervals})" in text
    assert 60 < seconds(QUICK) < 150 and 25 * 60 < seconds(FULL) < 35 * 60
