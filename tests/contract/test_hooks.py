"""Do the test hooks tell what happened, and do they break what they are asked to break?"""

from __future__ import annotations

import time
from typing import Any

import pytest
import websocket
from contract_people import Caller, Http, until, wire
from contract_sentences import says
from contract_servers import on, running

STATS = {
    "sockets",
    "rooms",
    "users",
    "calls",
    "chats",
    "received",
    "emitted",
    "accepted",
    "rateLimited",
    "faulted",
    "pid",
    "cpuSeconds",
    "rssBytes",
    "loopLagMsP99",
}


def difference(after: dict[str, Any], before: dict[str, Any], kind: str) -> dict[str, int]:
    """How much more there is of each event."""
    return {
        name: n - before[kind].get(name, 0)
        for name, n in after[kind].items()
        if n != before[kind].get(name, 0)
    }


@says("`POST /api/auth/token` | `{userId, role?, ttlSec?}`: answers 201 `{token, userId, expiresAt}`")
def test_a_token_for_the_asking(server: Any, arrive: Any, name: str) -> None:
    made = server.http.ask("POST", "/api/auth/token", {"userId": name, "role": "operator", "ttlSec": 60})
    assert (made.status, set(made.body)) == (201, {"token", "userId", "expiresAt"})
    ann = arrive(name, authenticate=False)
    hello = ann.ask("authenticate", userId=name, token=made.body["token"])
    assert (hello["role"], hello["expiresAt"], hello["expiresAt"] % 1000) == (
        "operator",
        made.body["expiresAt"],
        0,
    )
    for wrong in ({}, {"userId": ""}, {"userId": "a", "role": "king"}, {"userId": "a", "ttlSec": 1.5}):
        assert server.http.ask("POST", "/api/auth/token", wrong).status == 400


@says(
    "`GET /__stats` | `{sockets, rooms, users, calls, chats, received: {event: n}, emitted: {event: n}, "
    "accepted: {event: n}, rateLimited, faulted, pid, cpuSeconds, rssBytes, loopLagMsP99}`",
)
@on("counting")
def test_the_server_counts_what_it_does(server: Any, arrive: Any, name: str) -> None:
    before = server.stats()
    assert set(before) == STATS
    assert (before["sockets"], before["users"], before["rooms"], before["rateLimited"]) == (0, 0, 0, 0)
    ann, bob, carl = arrive(mode="polling"), arrive(), arrive(mode="polling")
    for person in (ann, bob, carl):
        person.join(name)
    ann.send(name, clientMsgId="c1")
    ann.send(name, clientMsgId="c1")
    ann.ask("message:send", {})
    bob.ask("message:read", conversationId=name, upToSeq=1)
    ann.hear("message:read")
    after = server.stats()
    assert (after["sockets"], after["users"]) == (1, 3)
    received, accepted, emitted = (
        difference(after, before, kind) for kind in ("received", "accepted", "emitted")
    )
    assert (received["message:send"], accepted["message:send"], emitted["message:new"]) == (3, 1, 3)
    assert (received["message:read"], accepted["joinRoom"], emitted["message:read"]) == (1, 3, 2)
    assert after["cpuSeconds"] >= before["cpuSeconds"] > 0 and after["rssBytes"] > 1e7
    assert after["loopLagMsP99"] >= 0


@says("`GET /__stats` | `{sockets, rooms, users, calls, chats,")
@on("counting")
def test_calls_chats_and_rooms_are_counted(server: Any, arrive: Any, name: str) -> None:
    until(lambda: server.stats()["sockets"] == 0, "those of the test before to be gone")
    ann, bob = arrive(), arrive()
    before = server.stats()
    call = ann.ask("call:initiate", calleeId=bob.user, media="audio")["callId"]
    ann.ask("liveChat:start", {})
    ann.join(name)
    during = server.stats()
    bob.ask("call:answer", callId=call)
    active = server.stats()["calls"]
    bob.ask("call:end", callId=call)
    after = server.stats()
    assert during["calls"]["ringing"] - before["calls"]["ringing"] == 1
    assert active["active"] - before["calls"]["active"] == 1
    assert after["calls"]["ended"] - before["calls"]["ended"] == 1
    assert set(after["calls"]) == {"ringing", "active", "declined", "missed", "ended"}
    assert set(after["chats"]) == {"open", "queued", "assigned", "orphaned"}
    assert (during["chats"]["open"], during["chats"]["queued"]) == (1, 1)
    assert during["rooms"] - before["rooms"] == 2


@says("They exist only while the server is bound to loopback, so that nobody finds them in production.")
def test_elsewhere_than_on_loopback_there_are_no_hooks(target: str) -> None:
    with running(target, BIND="0.0.0.0", TOKEN_SECRET="s" * 32) as server:
        http = Http(server.url)
        for method, path in (("GET", "/__stats"), ("POST", "/__fault"), ("POST", "/api/auth/token")):
            answer = http.ask(method, path, {} if method == "POST" else None)
            assert (answer.status, answer.code) == (404, "NOT_FOUND")
        assert http.ask("GET", "/").status == 200
        http.close()


@says("`POST /__fault` | `{kind, ratio?, ms?, perSecond?, seed?, everyNth?, transport?}`")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "gremlins"},
        {"kind": "delay"},
        {"kind": "limitThroughput"},
        {"kind": "kick", "ratio": 1.1},
        {"kind": "kick", "everyNth": "2"},
        {"kind": "delay", "ms": 1, "transport": "polling"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(server: Any, wrong: dict[str, Any]) -> None:
    answer = server.http.ask("POST", "/__fault", wrong)
    assert (answer.status, answer.code) == (400, "PAYLOAD_INVALID")


@says(
    "`dropSockets` | closes the share `ratio` of its sockets without a word",
    "`kick` | disconnects the share `ratio` properly",
)
@pytest.mark.parametrize("kind_of_fault", ["dropSockets", "kick"])
def test_a_share_of_the_sockets_is_closed(server: Any, arrive: Any, kind_of_fault: str) -> None:
    until(lambda: server.stats()["sockets"] == 0, "those of the test before to be gone")
    people = [arrive() for _ in range(4)]
    told = server.fault(kind_of_fault, ratio=1)
    assert (told["struck"], set(told["sids"])) == (4, {person.sid for person in people})
    for person in people:
        assert person.frame() == ("41" if kind_of_fault == "kick" else "")
    until(lambda: server.stats()["sockets"] == 0, "no sockets")
    people = [arrive() for _ in range(4)]
    assert server.fault(kind_of_fault, ratio=0.5)["struck"] == 2
    until(lambda: server.stats()["sockets"] == 2, "two sockets")


@says(
    "`everyNth` strikes every n-th case instead of a share, `seed` chooses others by the same share, and "
    "`transport` (`websocket` or `polling`) spares the sockets of the other one.",
)
def test_whom_a_fault_strikes(server: Any, arrive: Any, name: str) -> None:
    until(lambda: server.stats()["sockets"] == 0, "those of the test before to be gone")
    people = {person.sid: person for person in (arrive() for _ in range(8))}
    assert server.fault("dropSockets", transport="polling")["sids"] == []
    assert server.fault("dropSockets", everyNth=4)["sids"] == sorted(people)[3::4]
    until(lambda: server.stats()["sockets"] == 6, "six sockets")
    ann, chosen = arrive(mode="polling"), []
    ann.join(name)
    for seed in (1, 2, 1):
        server.fault("loseDeliveries", ratio=0.5, seed=seed)
        before = len(ann.events("message:new"))
        sent = [ann.send(name)["seq"] for _ in range(20)]
        chosen.append([one["seq"] - sent[0] for one in ann.events("message:new")[before:]])
    assert chosen[0] == chosen[2] != chosen[1]


@says("`freeze` | does nothing at all for `ms`")
def test_a_frozen_server_does_nothing_at_all(server: Any) -> None:
    server.fault("freeze", ms=300)
    before = server.stats()["cpuSeconds"]
    began = time.monotonic()
    while time.monotonic() - began < 0.1:  # until it has begun: an answer that takes long
        asked = time.monotonic()
        server.stats()
        if time.monotonic() - asked > 0.15:
            break
    took = time.monotonic() - asked
    assert took > 0.15
    assert server.stats()["cpuSeconds"] - before < took


@says("`delay` | holds every delivery back by `ms`")
def test_deliveries_are_held_back(server: Any, arrive: Any, name: str) -> None:
    ann, bob = arrive(), arrive(mode="polling")
    for person in (ann, bob):
        person.join(name)
    server.fault("delay", ms=200)
    began = time.monotonic()
    ann.send(name)
    assert time.monotonic() - began < 0.2 and ann.events("message:new") == []
    ann.hear("message:new")
    assert time.monotonic() - began >= 0.2
    bob.hear("message:new")


@says("`acceptDelay` | answers a CONNECT after `ms` only")
def test_a_connect_is_answered_late(server: Any) -> None:
    server.fault("acceptDelay", ms=200)
    began = time.monotonic()
    caller = Caller(server.url, "ann")
    assert time.monotonic() - began >= 0.2
    caller.go()


@says("`refuseUpgrade` | refuses WebSocket upgrades")
def test_upgrades_are_refused(server: Any) -> None:
    server.fault("refuseUpgrade")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        wire(server.url)
    assert refused.value.status_code == 503
    assert server.http.ask("GET", "/socket.io/?EIO=4&transport=polling").status == 200


@says("`limitThroughput` | delivers at most `perSecond`, the rest queues")
def test_deliveries_queue(server: Any, arrive: Any, name: str) -> None:
    ann = arrive()
    ann.join(name)
    server.fault("limitThroughput", perSecond=20)
    began = time.monotonic()
    for _ in range(5):
        ann.send(name)
    assert [one["seq"] for one in ann.hear("message:new", 5)] == [1, 2, 3, 4, 5]
    assert time.monotonic() - began >= 0.19


@says(
    "`loseDeliveries`, `duplicate`, `reorder` | does so to the share `ratio` of deliveries of `message:new`",
    "`none` | behaves again",
)
@pytest.mark.parametrize(
    ("fault", "counted", "expected"),
    [
        ("loseDeliveries", "lost", [1, 3, 5]),
        ("duplicate", "duplicated", [1, 2, 2, 3, 4, 4, 5, 6, 6]),
        ("reorder", "reordered", [1, 3, 2, 5, 4]),
    ],
)
def test_deliveries_are_lost_doubled_and_turned_round(
    server: Any, arrive: Any, mode: str, name: str, fault: str, counted: str, expected: list[int]
) -> None:
    ann, bob = arrive(mode=mode), arrive(mode="polling")
    ann.join(name)
    before = server.stats()["faulted"][counted]
    server.fault(fault, everyNth=2)
    for _ in range(6):
        ann.send(name)
    assert [one["seq"] for one in ann.events("message:new")] == expected
    assert server.stats()["faulted"][counted] - before == (2 if fault == "reorder" else 3)
    server.fault("none")
    ann.send(name)
    held_back = [6] if fault == "reorder" else []
    assert [one["seq"] for one in ann.events("message:new")] == [*expected, *held_back, 7]
    assert bob.events("message:new") == []


@says("`denyAuth` | accepts no token")
def test_nobody_is_let_in(server: Any) -> None:
    server.fault("denyAuth")
    caller = Caller(server.url, "ann", authenticate=False)
    assert caller.ask("authenticate", userId="ann", token=caller.token).code == "AUTH_INVALID"
    caller.go()


@says("They exist only while")
@on("hookless")
def test_hooks_can_be_switched_off(server: Any) -> None:
    assert server.http.ask("GET", "/__stats").status == 404
