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
        self.nodes = [SimpleNamespace(id=node) for node in nodes]

    @property
    def clients(self) -> Any:
        return SimpleNamespace(running=self.nodes, spawning=[])

    def send_message(self, kind: str, data: object) -> None:
        self.sent.append(kind)


@pytest.fixture
def house() -> MasterHouse:
    made = MasterHouse(SimpleNamespace(), Runner("a", "b"))
    made.header = Header("run", "scenario", "2026-01-01T00:00:00+00:00", 0, "boot", None)
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
