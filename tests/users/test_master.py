"""Whom does the master wait for before the plan begins?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.measure.plan import Plan
from loadtest.users.live import Header
from loadtest.users.master import MasterHouse


class Runner:
    """As much of Locust's master as is asked: who is there, and what was sent."""

    def __init__(self, *nodes: str) -> None:
        self.sent: list[str] = []
        self.to: list[str] = []
        self._users_dispatcher = None
        self.nodes = [SimpleNamespace(id=node) for node in nodes]

    @property
    def clients(self) -> Any:
        return SimpleNamespace(running=self.nodes, spawning=[])

    def start(self) -> None:
        """Nobody asks for it here."""

    def send_message(self, kind: str, data: object, node: str = "everybody") -> None:
        self.sent.append(kind)
        self.to.append(node)


@pytest.fixture
def house() -> MasterHouse:
    made = MasterHouse(SimpleNamespace(), Runner("a", "b"))
    made.header = Header("run", "scenario", "2026-01-01T00:00:00+00:00", 0, None)
    made.plan = Plan(0)
    return made


def joined(house: MasterHouse, node: str) -> None:
    house.joined(SimpleNamespace(node_id=node))


def test_for_all_workers_and_for_all_users(house: MasterHouse) -> None:
    joined(house, "a")
    house.spawned(user_count=4)
    assert house.plan.begun_ns is None
    joined(house, "b")
    assert house.plan.begun_ns is not None
    house.report("a", {})
    assert house.runner.sent == ["rt_begin"]


def test_not_for_a_worker_that_died_on_its_way_in(house: MasterHouse) -> None:
    house.spawned(user_count=4)
    joined(house, "a")
    assert house.plan.begun_ns is None
    house.runner.nodes.pop()
    house.report("a", {})
    assert house.plan.begun_ns is not None


def test_one_that_came_after_the_begin_is_told_when_that_was_and_the_run_remembers(
    house: MasterHouse,
) -> None:
    joined(house, "a")
    joined(house, "b")
    house.spawned(user_count=4)
    house.expect(SimpleNamespace(node="late", index=2))  # type: ignore[arg-type]
    house.plan.begun_ns = 1  # long ago
    joined(house, "late")
    joined(house, "late")
    joined(house, "a")
    assert house.runner.sent == ["rt_begin", "rt_begin"]
    assert house.runner.to == ["everybody", "late"]
    assert house._workers["late"]["joined_ns"] > 0
