"""Which way between servers did a message go, and which should one have gone that did not come?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.book import Book
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.servers import Stops, way, ways
from loadtest.measure.units import SECOND

DEADLINE = 10 * SECOND
NAMES = st.text("abc:._-9", min_size=1, max_size=5)


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["", "a", "b", "c"]))))
def test_where_somebody_was(steps: list[tuple[int, str]]) -> None:
    stops, now, known = Stops(), 0, [""]
    history = [""]
    for wait, server in steps:
        now += wait
        moved = stops.arrive(server, now)
        last = next((one for one in reversed(known) if one), "")
        assert moved is bool(server and last and server != last)
        known.append(server)
        history += [history[-1]] * (wait - 1) + [server]
        assert stops.now == server
    assert [stops.at(moment) for moment in range(now + 1)] == history


@given(NAMES, NAMES)
def test_a_way_says_from_where_to_where(sender: str, reader: str) -> None:
    name = way(sender, reader)
    assert list(ways([name, "own_device", "tcp"])) == [(name, sender, reader)]


class Cluster:
    """A room of ann and bob on server a, cid on b, and dan of whom nobody says where; moments are seconds."""

    def __init__(self) -> None:
        plan = Plan(0, warmup_ns=5 * SECOND)
        plan.begin(0)
        self.recorder = Recorder(plan, "w")
        self.ledger = Ledger(self.recorder, "run", DEADLINE)
        self.ann, self.bob, self.cid, self.dan = (Member(name, "ws") for name in ("ann", "bob", "cid", "dan"))
        for member, server in ((self.ann, "a"), (self.bob, "a"), (self.cid, "b"), (self.dan, "")):
            self.ledger.connected(member, True)
            member.stops.arrive(server, 0)
            self.ledger.join_requested("room", member, 0)
            self.ledger.joined("room", member, 0)
        self.room = self.ledger.rooms["room"]

    def say(self, sender: Member, at_s: float, echo: bool = False) -> str:
        at_ns = round(at_s * SECOND)
        marker, number = self.ledger.marker(sender)
        self.ledger.sent(
            marker, number, Operation.MESSAGE_DELIVER, self.room, sender, at_ns, at_ns, echo=echo
        )
        return marker

    def hear(self, marker: str, member: Member, at_s: float, **more: Any) -> None:
        self.ledger.delivered(marker, Operation.MESSAGE_DELIVER, member, round(at_s * SECOND), **more)

    def told(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """How many came, and how many did not, by way."""
        book = Book()
        book.add("w", self.recorder.take(final=True))
        came: dict[tuple[str, str], int] = {}
        for row in book.intervals.values():
            if row.operation == "message.deliver" and row.phase == "measure":
                for name, sender, reader in ways(row.phases):
                    came[sender, reader] = came.get((sender, reader), 0) + row.phases[name].n
        counted = {name.removeprefix("servers.missing."): n for name, n in book.counters.items()}
        return came, {
            (sender, reader): counted[name] for name, sender, reader in ways(counted) if counted[name]
        }


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_each_copy_goes_its_own_way(cluster: Cluster) -> None:
    marker = cluster.say(cluster.ann, 6, echo=True)
    for member in (cluster.ann, cluster.bob, cluster.cid, cluster.dan):
        cluster.hear(marker, member, 6.1)
    assert cluster.told() == ({("a", "a"): 1, ("a", "b"): 1}, {})


def test_of_whom_nobody_says_where_it_is_nothing_is_said(cluster: Cluster) -> None:
    marker = cluster.say(cluster.dan, 6)
    cluster.hear(marker, cluster.ann, 6.1)
    cluster.ledger.expire(30 * SECOND)
    assert cluster.told() == ({}, {})


def test_what_does_not_come_in_time_is_missing_on_the_way_it_should_have_gone(cluster: Cluster) -> None:
    never, late, told_late = (cluster.say(cluster.ann, at_s) for at_s in (6, 7, 8))
    before_measure = cluster.say(cluster.ann, 1)
    assert before_measure
    cluster.hear(late, cluster.cid, 17.5)
    cluster.cid.stops.arrive("a", 12 * SECOND)
    cluster.ledger.expire(18 * SECOND + 1)
    assert cluster.told() == ({}, {("a", "a"): 3, ("a", "b"): 3})
    assert never

    again = Cluster()
    marker = again.say(again.ann, 8)
    again.ledger.expire(18 * SECOND + 1)
    again.hear(marker, again.cid, 9)  # read in time, and only told after the books had given it up
    assert again.told() == ({("a", "b"): 1}, {("a", "a"): 1})
    assert told_late


def test_late_and_then_given_up_is_missing_once(cluster: Cluster) -> None:
    marker = cluster.say(cluster.ann, 6)
    cluster.ledger.expire(17 * SECOND)
    cluster.hear(marker, cluster.cid, 18)
    cluster.hear(marker, cluster.cid, 19)
    assert cluster.told() == ({}, {("a", "a"): 1, ("a", "b"): 1})


def test_who_was_away_and_got_it_afterwards_is_no_way_between_servers(cluster: Cluster) -> None:
    cluster.ledger.connected(cluster.cid, False)
    marker = cluster.say(cluster.ann, 6)
    cluster.ledger.connected(cluster.cid, True)
    cluster.hear(marker, cluster.cid, 7, restored=True)
    assert cluster.told() == ({}, {})


def test_one_server_costs_no_record(cluster: Cluster) -> None:
    """Where no server says which it is, a run is as it was before there were several."""
    plain = Cluster()
    for member in (plain.ann, plain.bob, plain.cid):
        member.stops = Stops()
    marker = plain.say(plain.ann, 6)
    plain.hear(marker, plain.bob, 6.1)
    book = Book()
    book.add("w", plain.recorder.take(final=True))
    assert [row.phases for row in book.intervals.values()] == [{}]
