"""Each rule of the ledger by itself: who is owed what, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.measure import ledger as ledger_module
from loadtest.measure.book import Book
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.rows import EXEMPLARS, Exemplar, SeriesRow
from loadtest.measure.units import SECOND

DEADLINE = 10 * SECOND
DELIVER, TYPING, RECEIPT = Operation.MESSAGE_DELIVER, Operation.TYPING_DELIVER, Operation.RECEIPT_DELIVER
COUNTERS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")


class Desk:
    """A ledger with a room ``a`` of ann, bob and cid, all connected; moments are seconds of measure."""

    def __init__(self, ordered: bool = True) -> None:
        plan = Plan(0, warmup_ns=0)
        plan.begin(0)
        self.ledger = Ledger(Recorder(plan, "w"), "run", DEADLINE)
        self.book = Book()
        self.ann, self.bob, self.cid, self.dan = (
            Member(n, "ws", ordered) for n in ("ann", "bob", "cid", "dan")
        )
        for member in (self.ann, self.bob, self.cid, self.dan):
            self.ledger.connected(member, True)
        for member in (self.ann, self.bob, self.cid):
            self.join(member, 0, 0)
        self.room = self.ledger.rooms["a"]

    def join(self, member: Member, asked: float, acked: float | None) -> None:
        self.ledger.join_requested("a", member, ns(asked))
        if acked is not None:
            self.ledger.joined("a", member, ns(acked))

    def leave(self, member: Member, asked: float, acked: float | None = None) -> None:
        self.ledger.leave_requested("a", member, ns(asked))
        if acked is not None:
            self.ledger.left("a", member, ns(acked))

    def send(self, at: float, operation: Operation = DELIVER, **more: bool) -> str:
        marker, sequence = self.ledger.marker(self.ann)
        self.ledger.sent(marker, sequence, operation, self.room, self.ann, ns(at), ns(at), **more)
        return marker

    def deliver(self, marker: str, member: Member, at: float, operation: Operation = DELIVER) -> None:
        self.ledger.delivered(marker, operation, member, ns(at))

    def count(self) -> dict[str, int]:
        """All counters that are not zero, as ``message.deliver lost``; n is what came in time."""
        self.book.add("w", self.ledger.recorder.take())
        found: dict[str, int] = dict(self.book.counters)
        for row in self.book.intervals.values():
            for name, many in [("n", row.latency.n), *((name, getattr(row, name)) for name in COUNTERS)]:
                found[f"{row.operation} {name}"] = found.get(f"{row.operation} {name}", 0) + many
        return {name: many for name, many in found.items() if many}

    def exemplars(self, outcome: str) -> list[Exemplar]:
        self.count()
        return [one for one in self.book.exemplars if one.outcome == outcome]


def ns(seconds: float) -> int:
    return round(seconds * SECOND)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def deliver(**counters: int) -> dict[str, int]:
    return {f"message.deliver {name}": many for name, many in counters.items() if many}


# -- what is owed --------------------------------------------------------------------------------------------


def test_all_others_are_owed_a_copy(desk: Desk) -> None:
    marker = desk.send(1)
    desk.deliver(marker, desk.bob, 1.5)
    desk.deliver(marker, desk.cid, 2)
    assert desk.count() == deliver(expected=2, n=2)
    (row,) = desk.book.intervals.values()
    assert isinstance(row, SeriesRow)
    assert (row.latency.sum_ns, row.second, row.phase) == (ns(1.5), 1, "measure")


def test_latency_counts_from_the_plan_and_service_from_the_sending(desk: Desk) -> None:
    marker, sequence = desk.ledger.marker(desk.ann)
    desk.ledger.sent(marker, sequence, DELIVER, desk.room, desk.ann, ns(1.9), ns(2.1))
    desk.deliver(marker, desk.bob, 2.2)
    desk.count()
    (row,) = desk.book.intervals.values()
    assert (row.second, row.latency.sum_ns, row.service.sum_ns) == (1, ns(0.3), ns(0.1))


def test_the_sender_is_owed_an_echo_if_it_says_so(desk: Desk) -> None:
    marker = desk.send(1, echo=True)
    for member in (desk.ann, desk.bob, desk.cid):
        desk.deliver(marker, member, 2)
    assert desk.count() == {**deliver(expected=2, n=2), "message.echo expected": 1, "message.echo n": 1}


def test_its_own_copy_without_an_echo_is_no_leak(desk: Desk) -> None:
    desk.deliver(desk.send(1), desk.ann, 2)
    assert desk.count() == {**deliver(expected=2), "tolerated": 1}


def test_who_is_offline_is_owed_a_resync(desk: Desk) -> None:
    desk.ledger.connected(desk.bob, False)
    marker = desk.send(1)
    desk.ledger.connected(desk.bob, True)
    desk.deliver(marker, desk.bob, 5)
    desk.deliver(marker, desk.bob, 6)
    assert desk.count() == {
        **deliver(expected=1),
        "message.resync expected": 1,
        "message.resync n": 1,
        "message.resync duplicate": 1,
    }


def test_who_goes_offline_after_the_sending_is_still_owed_a_delivery(desk: Desk) -> None:
    marker = desk.send(1)
    desk.ledger.connected(desk.bob, False)
    desk.ledger.connected(desk.bob, True)
    desk.deliver(marker, desk.bob, 5)
    assert desk.count() == deliver(expected=2, n=1)


@pytest.mark.parametrize("operation", [TYPING, RECEIPT])
def test_only_messages_are_owed_to_who_is_offline(desk: Desk, operation: Operation) -> None:
    desk.ledger.connected(desk.bob, False)
    marker = desk.send(1, operation)
    desk.deliver(marker, desk.bob, 2, operation)
    assert desk.count() == {f"{operation.value} expected": 1, "tolerated": 1}


def test_a_sender_that_is_offline_owes_itself_nothing(desk: Desk) -> None:
    desk.ledger.connected(desk.ann, False)
    marker = desk.send(1, echo=True)
    for member in (desk.ann, desk.bob, desk.cid):
        desk.deliver(marker, member, 2)
    desk.ledger.close(ns(20))
    assert desk.count() == {**deliver(expected=2, n=2), "tolerated": 1}


def test_a_sender_from_outside_is_owed_nothing(desk: Desk) -> None:
    marker, sequence = desk.ledger.marker(desk.dan)
    desk.ledger.sent(marker, sequence, DELIVER, desk.room, desk.dan, 0, 0, echo=True)
    assert desk.count() == deliver(expected=3)


def test_not_sent_fails_and_is_lost_to_all_it_was_owed_to(desk: Desk) -> None:
    desk.ledger.connected(desk.ann, False)
    desk.ledger.connected(desk.bob, False)
    desk.ledger.not_sent(DELIVER, desk.room, desk.ann, ns(1), echo=True)
    desk.ledger.not_sent(TYPING, desk.room, desk.ann, ns(1))
    assert desk.count() == {
        **deliver(expected=2, lost=2, failed=1),
        "message.echo expected": 1,
        "message.echo lost": 1,
        "message.echo failed": 1,
        "typing.deliver expected": 1,
        "typing.deliver lost": 1,
        "typing.deliver failed": 1,
    }


# -- time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "counters"),
    [(11, {"n": 1, "lost": 1}), (11 + 1e-9, {"late": 1, "lost": 1}), (50, {"late": 1, "lost": 1})],
)
@pytest.mark.parametrize("looked", [False, True])
def test_the_deadline_itself_is_in_time(
    desk: Desk, at: float, counters: dict[str, int], looked: bool
) -> None:
    """And it does not matter whether somebody looked before the delivery was told."""
    marker = desk.send(1)
    if looked:
        desk.ledger.expire(ns(60))
        assert desk.count() == deliver(expected=2, lost=2)
    desk.deliver(marker, desk.bob, at)
    desk.ledger.expire(ns(61))
    assert desk.count() == deliver(expected=2, **counters)


def test_expiry_waits_for_the_deadline_to_pass(desk: Desk) -> None:
    desk.send(1)
    desk.ledger.expire(ns(11))
    assert desk.count() == deliver(expected=2)
    desk.ledger.expire(ns(11) + 1)
    desk.ledger.expire(ns(12))
    assert desk.count() == deliver(expected=2, lost=2)


def test_a_second_copy_of_a_late_one_is_a_duplicate(desk: Desk) -> None:
    marker = desk.send(1)
    for at in (12, 13):
        desk.deliver(marker, desk.bob, at)
    assert desk.count() == deliver(expected=2, late=1, duplicate=1)


def test_what_is_in_time_at_the_end_is_open(desk: Desk) -> None:
    desk.ledger.connected(desk.cid, False)
    desk.send(1, echo=True, wants_ack=True)
    desk.deliver(desk.send(5, echo=True, wants_ack=True), desk.bob, 6)
    assert desk.ledger.under_way == 2
    desk.ledger.close(ns(11) + 1)
    assert desk.ledger.under_way == 0
    lost = {
        f"message.{name} {what}": 1
        for name in ("echo", "resync", "ack")
        for what in ("expected", "lost", "open")
    }
    assert desk.count() == {**deliver(expected=2, n=1, lost=1), **lost}


def test_after_the_close_nothing_is_recorded(desk: Desk) -> None:
    marker = desk.send(1, wants_ack=True)
    desk.ledger.close(ns(2))
    before = desk.count()
    assert before == {**deliver(open=2), "message.ack open": 1}
    desk.leave(desk.bob, 3, 4)
    desk.deliver(marker, desk.cid, 3)
    desk.deliver("run:ann:99", desk.cid, 3)
    desk.deliver(desk.send(5, echo=True), desk.cid, 6)
    desk.ledger.acked(marker, ns(3))
    desk.ledger.refused(marker, ns(3))
    desk.ledger.not_sent(DELIVER, desk.room, desk.ann, ns(5), echo=True)
    desk.ledger.expire(ns(99))
    desk.ledger.close(ns(99))
    assert desk.count() == before


def test_under_way_counts_an_ack_that_is_owed(desk: Desk) -> None:
    marker = desk.send(1, wants_ack=True)
    for member in (desk.bob, desk.cid):
        desk.deliver(marker, member, 2)
    assert desk.ledger.under_way == 1
    desk.ledger.acked(marker, ns(3))
    assert desk.ledger.under_way == 0


# -- acks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize(("at", "counter"), [(11, "n"), (11 + 1e-9, "late")])
def test_an_ack_has_the_same_deadline(desk: Desk, at: float, counter: str, looked: bool) -> None:
    marker = desk.send(1, TYPING, wants_ack=True)
    if looked:
        desk.ledger.expire(ns(60))
        assert desk.count()["message.ack lost"] == 1
    desk.ledger.acked(marker, ns(at))
    desk.ledger.acked(marker, ns(at))
    desk.ledger.close(ns(60))
    found = {name: many for name, many in desk.count().items() if name.startswith("message.ack")}
    assert found == {"message.ack expected": 1, f"message.ack {counter}": 1}


def test_a_refusal_cancels_all_debts_but_those_settled(desk: Desk) -> None:
    marker = desk.send(1, echo=True, wants_ack=True)
    desk.deliver(marker, desk.bob, 2)
    desk.ledger.refused(marker, ns(3))
    desk.ledger.refused(marker, ns(4))
    desk.deliver(marker, desk.cid, 5)
    desk.ledger.close(ns(60))
    assert desk.count() == {**deliver(expected=1, n=1), "message.ack failed": 1, "tolerated": 1}


def test_a_refusal_that_comes_late_counts_one_failure_once(desk: Desk) -> None:
    marker = desk.send(1, wants_ack=True)
    desk.ledger.expire(ns(12))
    desk.ledger.refused(marker, ns(13))
    assert desk.count() == {**deliver(expected=2, lost=2), "message.ack failed": 1}


def test_what_wants_no_ack_fails_itself(desk: Desk) -> None:
    desk.ledger.refused(desk.send(1), ns(2))
    assert desk.count() == deliver(failed=1)


def test_acks_of_strangers_are_nobodys(desk: Desk) -> None:
    desk.ledger.acked("run:ann:9", 1)
    desk.ledger.refused("run:ann:9", 1)
    assert desk.count() == {}


# -- rooms ---------------------------------------------------------------------------------------------------


def test_who_asks_to_leave_before_the_ack_is_excused(desk: Desk) -> None:
    marker = desk.send(1)
    desk.leave(desk.bob, 2, 4)
    desk.ledger.acked(marker, ns(3))
    assert desk.count() == deliver(expected=1)
    desk.deliver(marker, desk.bob, 3.5)
    assert desk.count() == {**deliver(expected=1), "tolerated": 1}


def test_who_asks_to_leave_after_the_ack_is_not(desk: Desk) -> None:
    marker = desk.send(1)
    desk.ledger.acked(marker, ns(2))
    desk.leave(desk.bob, 3, 4)
    desk.ledger.expire(ns(12))
    assert desk.count() == deliver(expected=2, lost=2)


@pytest.mark.parametrize("looked", [False, True])
def test_what_is_lost_is_not_excused_by_leaving(desk: Desk, looked: bool) -> None:
    desk.send(1)
    if looked:
        desk.ledger.expire(ns(12))
    desk.leave(desk.bob, 13, 14)
    desk.ledger.close(ns(20))
    assert desk.count() == deliver(expected=2, lost=2)


def test_an_echo_is_excused_too(desk: Desk) -> None:
    desk.send(1, echo=True)
    desk.leave(desk.ann, 2)
    assert desk.count() == deliver(expected=2)


@pytest.mark.parametrize(("ordered", "outcome"), [(True, "message.deliver leaked"), (False, "tolerated")])
def test_read_after_the_leave_was_acked(ordered: bool, outcome: str) -> None:
    """On a socket it was also emitted after it; a feed may have held it."""
    desk = Desk(ordered)
    marker = desk.send(1)
    desk.leave(desk.bob, 2, 3)
    desk.deliver(marker, desk.bob, 4)
    assert desk.count() == {**deliver(expected=1), outcome: 1}


@pytest.mark.parametrize("ordered", [True, False])
def test_sent_after_the_leave_was_acked_is_a_leak(ordered: bool) -> None:
    desk = Desk(ordered)
    desk.leave(desk.bob, 2, 3)
    marker = desk.send(4)
    desk.deliver(marker, desk.bob, 5)
    assert desk.count() == deliver(expected=1, leaked=1)
    (leak,) = desk.exemplars("leaked")
    assert (leak.receiver, leak.sender, leak.seq, leak.room) == ("bob", "ann", 1, "a")


@pytest.mark.parametrize("ordered", [True, False])
def test_the_moment_of_the_leave_itself_is_no_leak(ordered: bool) -> None:
    desk = Desk(ordered)
    desk.leave(desk.bob, 2, 3)
    desk.deliver(desk.send(3), desk.bob, 3)
    assert desk.count() == {**deliver(expected=1), "tolerated": 1}


def test_who_was_never_in_is_a_leak(desk: Desk) -> None:
    desk.deliver(desk.send(4), desk.dan, 5)
    assert desk.count() == deliver(expected=2, leaked=1)


@pytest.mark.parametrize(
    ("asked", "acked", "server_acked", "outcome"),
    [
        (1, 3, 2.5, "tolerated"),  # joining while it was handled
        (2.4, None, 2.5, "tolerated"),
        (2.4, None, None, "tolerated"),
        (2.6, None, 2.5, "message.deliver leaked"),  # asked only after the server had handled it
    ],
)
def test_join_race(
    desk: Desk, asked: float, acked: float | None, server_acked: float | None, outcome: str
) -> None:
    events = [(asked, "ask"), (2.0, "send")]
    marker = ""
    for _, what in sorted(events):
        if what == "ask":
            desk.join(desk.dan, asked, None)
        else:
            marker = desk.send(2)
    if server_acked is not None:
        desk.ledger.acked(marker, ns(server_acked))
    if acked is not None:
        desk.ledger.joined("a", desk.dan, ns(acked))
    desk.deliver(marker, desk.dan, 4)
    assert desk.count() == {**deliver(expected=2), outcome: 1}


def test_asking_again_after_a_reconnect_begins_no_new_stay(desk: Desk) -> None:
    """The ack of the first join was lost with its connection; the server had heard it all the same."""
    desk.join(desk.dan, 1, None)
    marker = desk.send(2)
    desk.ledger.acked(marker, ns(3))
    desk.join(desk.dan, 5, 6)
    desk.deliver(marker, desk.dan, 7)
    assert desk.count() == {**deliver(expected=2), "tolerated": 1}


def test_a_join_acked_after_the_leave_was_asked_for_makes_no_member(desk: Desk) -> None:
    desk.join(desk.dan, 1, None)
    desk.leave(desk.dan, 2)
    desk.ledger.joined("a", desk.dan, ns(3))
    desk.ledger.left("a", desk.dan, ns(4))
    desk.send(5)
    assert desk.count() == deliver(expected=2)


def test_a_leave_acked_after_the_next_join_was_asked_for_ends_the_old_stay(desk: Desk) -> None:
    desk.leave(desk.bob, 1)
    desk.join(desk.bob, 2, None)
    desk.ledger.left("a", desk.bob, ns(3))
    marker = desk.send(4)
    desk.ledger.joined("a", desk.bob, ns(5))
    desk.deliver(marker, desk.bob, 6)
    assert desk.count() == {**deliver(expected=1), "tolerated": 1}


def test_a_feed_may_bring_what_was_meant_for_an_earlier_stay() -> None:
    desk = Desk(ordered=False)
    marker = desk.send(1)
    desk.leave(desk.bob, 1.5, 2)
    desk.ledger.acked(marker, ns(2))
    desk.join(desk.bob, 3, 4)
    desk.deliver(marker, desk.bob, 5)
    assert desk.count() == {**deliver(expected=1), "tolerated": 1}


def test_who_comes_back_is_owed_again(desk: Desk) -> None:
    desk.leave(desk.bob, 1, 2)
    desk.send(3)
    desk.join(desk.bob, 4, 5)
    desk.deliver(desk.send(6), desk.bob, 7)
    assert desk.count() == deliver(expected=3, n=1)


# -- order, markers ------------------------------------------------------------------------------------------


def test_reordering_is_counted_per_sender_receiver_and_operation(desk: Desk) -> None:
    first, typing, second, third = desk.send(1), desk.send(1, TYPING), desk.send(2), desk.send(3)
    desk.deliver(third, desk.bob, 4)
    desk.deliver(typing, desk.bob, 4, TYPING)
    desk.deliver(first, desk.bob, 4)
    desk.deliver(second, desk.bob, 4)
    for marker in (first, second, third):
        desk.deliver(marker, desk.cid, 4)
    other, sequence = desk.ledger.marker(desk.bob)
    desk.ledger.sent(other, sequence, DELIVER, desk.room, desk.bob, ns(4), ns(4))
    desk.deliver(other, desk.cid, 5)
    found = desk.count()
    assert found["message.deliver reordered"] == 2
    assert "typing.deliver reordered" not in found


def test_markers_count_up_and_name_their_run(desk: Desk) -> None:
    assert [desk.ledger.marker(desk.ann) for _ in range(2)] == [("run:ann:1", 1), ("run:ann:2", 2)]


def test_a_marker_of_ours_that_is_gone_is_a_duplicate(desk: Desk) -> None:
    marker = desk.send(1)
    for member in (desk.bob, desk.cid):
        desk.deliver(marker, member, 2)
    desk.ledger.expire(ns(12))
    assert desk.ledger.delivered(marker, DELIVER, desk.bob, ns(15)) is None
    assert desk.count() == deliver(expected=2, n=2, duplicate=1)


@pytest.mark.parametrize("marker", ["", "other:ann:1", "runner:ann:1", "run"])
def test_a_marker_of_another_run_is_foreign(desk: Desk, marker: str) -> None:
    assert desk.ledger.delivered(marker, DELIVER, desk.bob, 1) is None
    assert desk.count() == {"foreign": 1}


def test_entries_beyond_the_limit_are_told_and_none_is_dropped(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LIMIT", 2)
    markers, told = [], []
    for _ in range(3):
        markers.append(desk.send(1))
        told.append(desk.ledger.overflowed)
    assert told == [False, False, True]
    for marker in markers:
        desk.deliver(marker, desk.bob, 2)
    assert desk.count() == {**deliver(expected=6, n=3), "ledger.overflow": 1}


# -- exemplars -----------------------------------------------------------------------------------------------


def test_the_slowest_are_kept_with_what_is_known_of_them(desk: Desk) -> None:
    desk.ledger.exemplars.describe_fault = lambda planned: f"fault at {planned // SECOND}"
    desk.bob.connection, desk.bob.arrived_ns = "c1", ns(8.9)
    for latency in [*range(40, 0, -1), *range(41, 60)]:
        desk.deliver(desk.send(1), desk.bob, 1 + latency / 10)
    slow = desk.exemplars("slow")
    assert [one.latency_ns for one in slow] == [ns(latency / 10) for latency in range(59, 39, -1)]
    assert (slow[0].connection, slow[0].arrived_ns, slow[0].fault) == ("c1", ns(8.9), "fault at 1")


def test_lost_typing_is_counted_and_no_exemplar(desk: Desk) -> None:
    assert [one for one in Operation if one.volatile] == [TYPING]
    desk.send(1, TYPING)
    desk.send(2)
    desk.ledger.expire(ns(20))
    assert desk.count()["typing.deliver lost"] == 2
    assert {one.operation for one in desk.book.exemplars} == {"message.deliver"}
    assert {(one.receiver, one.read_ns) for one in desk.exemplars("lost")} == {("bob", None), ("cid", None)}


def test_exemplars_of_what_was_lost_are_few(desk: Desk) -> None:
    for _ in range(EXEMPLARS):
        desk.send(1)
    desk.ledger.expire(ns(20))
    assert len(desk.exemplars("lost")) == EXEMPLARS


@pytest.mark.parametrize("more", [{"echo": True}, {"operation": TYPING}, {"operation": RECEIPT}])
def test_only_deliveries_of_messages_are_slow(desk: Desk, more: dict[str, Any]) -> None:
    marker = desk.send(1, **more)
    desk.deliver(marker, desk.ann if "echo" in more else desk.bob, 2, more.get("operation", DELIVER))
    assert desk.exemplars("slow") == []
