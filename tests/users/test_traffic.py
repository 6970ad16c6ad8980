"""However many connections there are, and whenever they come and go: each byte is counted in one regime, once."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest
from hand import Hand

from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import TrafficRow
from loadtest.measure.units import SECOND
from loadtest.users import traffic as traffic_module
from loadtest.users.tcp import Carried
from loadtest.users.traffic import AT_ONCE, Traffic


class Socket:
    """A link; ``reads``: what it had carried whenever somebody looked."""

    transport = "websocket"

    def __init__(self, heartbeat: bool = True) -> None:
        self.bytes = 0
        self.reads: list[int] = []
        self.heartbeat = SimpleNamespace(period_ns=SECOND, fair=1, carried=None) if heartbeat else None

    def carried(self) -> Carried:
        self.reads.append(self.bytes)
        return Carried(self.bytes, 0, 1, self.bytes)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch, traffic_module)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(Plan(0, 60 * SECOND, SECOND, SECOND), "0")


def told(recorder: Recorder) -> dict[str, TrafficRow]:
    """By regime."""
    return {row.regime: row for row in recorder.take().rows if isinstance(row, TrafficRow)}


def test_an_edge_of_few_is_one_moment(hand: Hand, recorder: Recorder) -> None:
    traffic, sockets = Traffic(recorder, hand), [Socket() for _ in range(AT_ONCE)]  # type: ignore[arg-type]
    traffic.active(sockets)  # type: ignore[arg-type]
    assert hand.go_on() == 0
    for one in sockets:
        one.bytes += 5
    traffic.silent()
    active = told(recorder)["active"]
    assert (active.users, active.bytes_sent, active.user_ns) == (AT_ONCE, 5 * AT_ONCE, SECOND * AT_ONCE)


def test_an_edge_of_many_goes_in_steps_and_each_link_is_counted_for_as_long(
    hand: Hand, recorder: Recorder
) -> None:
    traffic, sockets = Traffic(recorder, hand), [Socket() for _ in range(10 * AT_ONCE)]  # type: ignore[arg-type]
    traffic.active(sockets)  # type: ignore[arg-type]
    assert sum(len(one.reads) for one in sockets) == AT_ONCE
    assert hand.go_on() == 9
    assert {len(one.reads) for one in sockets} == {1}
    for one in sockets:
        one.bytes += 5
    traffic.silent()
    assert sum(len(one.reads) for one in sockets) == 11 * AT_ONCE
    hand.go_on()
    active = told(recorder)["active"]
    assert (active.users, active.bytes_sent) == (10 * AT_ONCE, 50 * AT_ONCE)
    assert active.user_ns == SECOND * 10 * AT_ONCE


def test_an_end_right_after_the_beginning_counts_those_that_had_begun(hand: Hand, recorder: Recorder) -> None:
    traffic, sockets = Traffic(recorder, hand), [Socket() for _ in range(3 * AT_ONCE)]  # type: ignore[arg-type]
    traffic.active(sockets)  # type: ignore[arg-type]
    traffic.silent()
    hand.go_on()
    assert told(recorder)["active"].users == AT_ONCE
    traffic.close(sockets)  # type: ignore[arg-type]
    assert "active" not in told(recorder)


def test_idling_begins_link_by_link_too(hand: Hand, recorder: Recorder) -> None:
    traffic, sockets = Traffic(recorder, hand), [Socket() for _ in range(3 * AT_ONCE)]  # type: ignore[arg-type]
    traffic.idle(sockets)  # type: ignore[arg-type]
    hand.go_on(2 * SECOND)
    gone, left = sockets[0], sockets[1:]
    traffic.lost(gone)  # type: ignore[arg-type]
    for one in left:
        one.bytes += 7
    traffic.close(left)  # type: ignore[arg-type]
    idle = told(recorder)["idle"]
    assert (idle.users, idle.bytes_sent) == (3 * AT_ONCE - 1, 7 * (3 * AT_ONCE - 1))


@pytest.mark.parametrize("seed", range(30))
def test_links_that_come_and_go_at_an_edge_are_counted_once(
    hand: Hand, recorder: Recorder, seed: int
) -> None:
    """What each carried between its own two readings, whatever happened in between."""
    rng, traffic = Random(seed), Traffic(recorder, hand)  # type: ignore[arg-type]
    links = dict.fromkeys(Socket(heartbeat=False) for _ in range(rng.randrange(5 * AT_ONCE)))
    everybody = list(links)

    def shake() -> None:
        for _ in range(rng.randrange(60)):
            what = rng.random()
            if what < 0.3 and links:
                links.pop(gone := rng.choice(list(links)))
                traffic.lost(gone)  # type: ignore[arg-type]
            elif what < 0.5:
                links[new := Socket(heartbeat=False)] = None
                everybody.append(new)
                traffic.connected(new, hand.now_ns)  # type: ignore[arg-type]
            for one in rng.choices(list(links), k=20) if links else []:
                one.bytes += rng.randrange(1000)
            if rng.random() < 0.3:
                hand.go_on(rng.randrange(20) * SECOND // 1000)

    shake()
    for one in everybody:
        one.reads.clear()  # those of connecting
    told(recorder)
    traffic.active(links)  # type: ignore[arg-type]
    shake()
    if rng.random() < 0.8:
        hand.go_on()
    shake()
    traffic.silent()
    shake()
    traffic.close(links)  # type: ignore[arg-type]
    assert {len(one.reads) for one in everybody} <= {0, 1, 2}
    talked = [one.reads[1] - one.reads[0] for one in everybody if len(one.reads) == 2]
    active = told(recorder).get("active") or TrafficRow("websocket", "active", "tcp_info")
    assert (active.users, active.bytes_sent) == (len(talked), sum(talked))
