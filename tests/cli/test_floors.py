"""Floors on disk, the cost that a later command finds there, and what a machine is told."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
import pytest

from loadtest.analysis.event_cost import DEFAULTS, STOCK, Cost
from loadtest.analysis.floors import Floors, Load
from loadtest.cli import sizing
from loadtest.cli.floors import read_floors, write_floors
from loadtest.measure.run import FLOORS, RunError

LOAD = Load(100, 0.1)
HERE: dict[str, str | int | float | None] = {
    "host": platform.node(),
    "cores": os.cpu_count(),
    "python": platform.python_version(),
}


def floors(event_s: float | None = 40e-6, load: Load = LOAD, **machine: str | int) -> Floors:
    cost = None if event_s is None else Cost(event_s, 300e-6, "measured here")
    return Floors("2026-11-26T18:00:00+00:00", HERE | machine, load, [], cost)


def put(reports: Path, stamp: str, found: Floors) -> Path:
    return write_floors(reports / f"{stamp}-calibration-abc123", found)


def test_floors_come_back(tmp_path: Path) -> None:
    assert read_floors(tmp_path) is None
    path = write_floors(tmp_path / "new", floors())
    assert path == tmp_path / "new" / FLOORS
    assert read_floors(tmp_path / "new") == floors()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"format": 2}', "written in format 2 by a newer version"),
        (b'{"format": 1', "not a file of floors"),
        (b'{"format": 1}', "not a file of floors"),
        (b"\xff", "not a file of floors"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / FLOORS).write_bytes(content)
    with pytest.raises(RunError, match=says) as error:
        read_floors(tmp_path)
    assert str(error.value).startswith(str(tmp_path / FLOORS))


def test_a_place_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        write_floors(tmp_path / "file" / "below", floors())


def test_the_cost_is_the_newest_of_this_machine_such_a_transport_and_client(tmp_path: Path) -> None:
    put(tmp_path, "20261101T000000Z", floors(1e-5))
    put(tmp_path, "20261102T000000Z", floors(2e-5))
    put(tmp_path, "20261103T000000Z", floors(3e-5, host="another"))
    put(tmp_path, "20261104T000000Z", floors(4e-5, cores=10_000))
    put(tmp_path, "20261105T000000Z", floors(5e-5, Load(100, 0.1, transport="upgrade")))
    put(tmp_path, "20261106T000000Z", floors(6e-5, Load(100, 0.1, client="python-socketio")))
    put(tmp_path, "20261107T000000Z", floors(None))
    damaged = put(tmp_path, "20261108T000000Z", floors(7e-5))
    damaged.write_bytes(b"{")

    def cost(load: Load) -> float | None:
        found = sizing.measured_cost(load, tmp_path)
        return None if found is None else found.event_s

    assert cost(LOAD) == 2e-5
    assert cost(Load(7, 3.0, "2", devices=2)) == 2e-5
    assert cost(Load(100, 0.1, transport="upgrade")) == 5e-5
    assert cost(Load(100, 0.1, client="python-socketio")) == 6e-5
    assert cost(Load(100, 0.1, transport="long-polling")) is None


def test_without_a_calibration_a_cost_is_assumed(tmp_path: Path) -> None:
    missing = tmp_path / "no such reports"
    assert sizing.fits(LOAD, missing).need.cost == DEFAULTS["websocket"]
    assert sizing.fits(Load(100, 0.1, client="python-socketio"), missing).need.cost == STOCK


def test_what_is_scarce_is_a_line_each_and_enough_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = tmp_path / "ports"
    ports.write_text("32768\t60999\n")
    monkeypatch.setattr(sizing, "_PORT_RANGE", ports)
    assert sizing.machine(shared=False).ports == sizing.machine(client="python-socketio").ports == 28_232
    assert sizing.machine().ports == 64 * 28_232  # to this machine, from 127.0.0.1 and 63 addresses more
    assert sizing.check(10, 0.1, "10", reports=tmp_path, shared=False) == []
    put(tmp_path, "20261101T000000Z", floors(1.0))
    found = sizing.check(100, 0.1, "10", reports=tmp_path, shared=False)
    assert found[0].startswith("CPU: ")  # so many processes may take more memory than there is, too


def test_only_what_cannot_run_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = tmp_path / "ports"
    ports.write_text("1000 1999")
    monkeypatch.setattr(sizing, "_PORT_RANGE", ports)
    sizing.check(1000, 0.001, reports=tmp_path, shared=False)
    with pytest.raises(sizing.CannotRun, match=r"^local ports: 1,001 devices, and 1,000 ports"):
        sizing.check(1001, 0.001, reports=tmp_path, shared=False)
    with pytest.raises(sizing.CannotRun, match=r"^local ports: 1,002 devices"):
        sizing.check(501, 0.001, devices=2, reports=tmp_path, shared=False)
    ports.write_text("unreadable")
    assert sizing.machine().ports is None


def test_a_machine_is_what_the_system_says() -> None:
    found = sizing.machine(shared=False)
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory_bytes is not None and found.memory_bytes > 100_000_000
    assert not found.shared
    assert msgspec.json.decode(msgspec.json.encode(found))["shared"] is False
