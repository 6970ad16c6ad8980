"""Does docs/calibration.md say what is in the file, and are its numbers those of the code?"""

from typing import Any

import msgspec
import pytest

from loadtest.analysis import event_cost, floors, sizing
from loadtest.cli import echo, floor_runs
from loadtest.measure import sockets

PAGE = "docs/calibration.md"


@pytest.mark.parametrize(
    ("heading", "struct"), [("## `floors.json`", floors.Floors), ("### `floors`", floors.Floor)]
)
def test_the_tables_are_those_of_the_file(table: Any, heading: str, struct: type[msgspec.Struct]) -> None:
    assert [row[0].strip("`") for row in table(PAGE, heading)] == [
        one.name for one in msgspec.structs.fields(struct)
    ]


def test_a_load_is_told_with_all_its_fields(table: Any) -> None:
    said = dict(row for row in table(PAGE, "## `floors.json`"))
    for struct, field in ((floors.Load, "`load`"), (event_cost.Cost, "`cost`")):
        for one in msgspec.structs.fields(struct):
            assert f"`{one.name}`" in said[field]
    assert said["`format`"].endswith(str(floors.FORMAT))


def test_there_are_as_many_floors_as_the_table_says(table: Any) -> None:
    assert [row[0] for row in table(PAGE, "## The floors")] == [floors.C0, floors.C1, floors.C2]


def test_a_need_has_the_lines_of_the_table(table: Any) -> None:
    machine = sizing.Machine(2, None, None, None)
    lines = sizing.lines(sizing.fit(floors.Load(100, 0.1).need(), machine))
    assert [row[0] for row in table(PAGE, "## What a load needs")] == [what for what, _ in lines]


def test_its_numbers_are_ours(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    assert f"at most {100 * floors.OF_RESULT:.0f} % of the measured p99" in text
    assert f"at most {100 * floors.OF_LIMIT:.0f} % of the tightest time" in text
    assert echo.PAUSE_S == 0.002 and "one every two milliseconds" in text
    assert floor_runs.SECONDS == 10 and "A load so small that ten seconds would not carry a p99" in text
    assert floor_runs.LONGEST_S == 120 and "up to two minutes" in text
    [light, _] = floor_runs.steps(floors.Load(500, 1.0))
    assert light.load.users == 10 and "a run of ten users against the null server" in text
    assert sizing.FULL == 0.5 and "none has more than half a core to do" in text
    assert f"and {sockets.SPARE} for itself" in text
    assert f"{sizing.USER_BYTES / 1000:.0f} KB for each device" in text
    assert f"{sizing.PROCESS_BYTES / 1e6:.0f} MB for each process" in text
    websocket, polling = event_cost.DEFAULTS["websocket"], event_cost.DEFAULTS["interval-polling"]
    assert f"{1e6 * websocket.event_s:.0f} microseconds for an event" in text
    assert f"{1e6 * polling.request_s:.0f} for a request of a user that polls" in text
    assert f"{1e6 * event_cost.STOCK.event_s:.0f} for an event of the stock client" in text
