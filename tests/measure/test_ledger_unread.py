"""What has a member that was away missed when it comes back? What the server has by then, and nothing else."""

from __future__ import annotations

import pytest

from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.units import SECOND


class Two:
    """A conversation of one who talks and one who is away."""

    def __init__(self) -> None:
        self.ledger = Ledger(Recorder(Plan(0), "0"), "run", 10 * SECOND)
        self.here, self.away = Member("0.0.0", "websocket"), Member("0.0.1", "websocket")
        for member in (self.here, self.away):
            self.room = self.ledger.join_requested("r", member, 0)
            self.ledger.joined("r", member, 0)
        self.ledger.connected(self.here, True)

    def say(self, marker: str, sent_ns: int, acked_ns: int | None = None, wants_ack: bool = True) -> None:
        deliver = Operation.MESSAGE_DELIVER
        self.ledger.sent(marker, 1, deliver, self.room, self.here, sent_ns, sent_ns, wants_ack=wants_ack)
        if acked_ns is not None:
            self.ledger.acked(marker, acked_ns)


@pytest.fixture
def two() -> Two:
    return Two()


def test_what_the_server_took_was_missed(two: Two) -> None:
    two.say("a", 10, acked_ns=20)
    two.say("b", 30, acked_ns=40)
    assert two.ledger.unread(two.away, 100, taken=True) == 2
    two.ledger.delivered("a", Operation.MESSAGE_DELIVER, two.away, 110, restored=True)
    assert two.ledger.unread(two.away, 100, taken=True) == 1


def test_what_never_reached_the_server_was_not(two: Two) -> None:
    """Said into a black hole, where its sender is as well: no rejoining could have brought it."""
    two.say("a", 10)
    assert two.ledger.unread(two.away, 100, taken=True) == 0
    assert two.ledger.unread(two.away, 100) == 1, "but it is owed"
    two.ledger.acked("a", 200)
    assert two.ledger.unread(two.away, 100, taken=True) == 0, "it came after the rejoining was asked for"
    assert two.ledger.unread(two.away, 300, taken=True) == 1


def test_what_the_server_refused_was_not(two: Two) -> None:
    two.say("a", 10)
    two.ledger.refused("a", 20)
    assert two.ledger.unread(two.away, 100) == two.ledger.unread(two.away, 100, taken=True) == 0


def test_where_nothing_is_acked_what_was_sent_counts(two: Two) -> None:
    two.say("a", 10, wants_ack=False)
    two.say("b", 100, wants_ack=False)
    assert two.ledger.unread(two.away, 100) == two.ledger.unread(two.away, 100, taken=True) == 1
