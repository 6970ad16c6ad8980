"""Does our client get from the official server what it is owed: every message once, in order, and every answer?"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gevent
import pytest
from e2e_counting import DELIVERIES, repeated
from e2e_running import Locust, Program, Result, wait_until
from official_running import RoomServer
from official_users import MADE, Make, User, until

from loadtest.analysis.exit_code import PASS, RUN_INVALID
from loadtest.analysis.validity import INVALID, judge
from loadtest.contract.development import DEVELOPMENT_SECRET

ROOMS = 3
MEMBERS = 4
MESSAGES = 15
IN_ROOM = MEMBERS * MESSAGES

WAYS = {**{name: [make] for name, make in MADE.items()}, "all of them": list(MADE.values())}


def live(user: User, room: str) -> None:
    """Talk from the moment the room is open: an upgrade is under way then."""
    user.come_in(room)
    for number in range(MESSAGES):
        user.say(room, f"{user.name}-{number}")
        if number % 3 == 0:
            gevent.sleep(0)


@pytest.mark.parametrize("csr", ["0", "1"], ids=["plain", "recovery"])
@pytest.mark.parametrize("makes", WAYS.values(), ids=WAYS)
def test_everybody_gets_everything_once_and_in_order(
    rooms: Any, new_user: Any, makes: list[Make], csr: str
) -> None:
    server = rooms(CSR=csr, PING_INTERVAL="0.2")  # so often that heartbeats come between the messages
    way = itertools.cycle(makes)
    houses = {
        f"r{room}": [new_user(server, f"u{room}-{member}", next(way)) for member in range(MEMBERS)]
        for room in range(ROOMS)
    }
    users = [(user, room) for room, members in houses.items() for user in members]
    gevent.joinall([gevent.spawn(live, user, room) for user, room in users], raise_error=True)
    until(lambda: all(user.seqs()[-1:] == [IN_ROOM] and len(user.acks) == MESSAGES for user, _ in users))
    for members in houses.values():
        heard = {message["seq"]: message for user in members for message in user.got}
        said = {f"{user.name}-{number}" for user in members for number in range(MESSAGES)}
        assert sorted(one["clientMsgId"] for one in heard.values()) == sorted(said)
        assert all(one["body"] == f"häß 😀 {one['clientMsgId']}" for one in heard.values())
        for user in members:
            assert user.got == [heard[seq] for seq in range(user.last_seq + 1, IN_ROOM + 1)]
            mine = {one["clientMsgId"]: one["seq"] for one in user.got if one["senderId"] == user.name}
            assert {key: ack["seq"] for key, ack in user.acks.items()} == mine
            assert all(ack["ok"] and not ack["duplicate"] for ack in user.acks.values())
            assert list(mine) == [f"{user.name}-{number}" for number in range(MESSAGES)], "said in this order"
    stats = server.stats()
    assert stats["accepted"]["message:send"] == ROOMS * IN_ROOM
    assert stats["emitted"]["message:new"] == sum(len(user.got) for user, _ in users)
    assert (stats["connections"], stats["sockets"]) == (len(users), len(users))
    assert all(user.losses == [] for user, _ in users)


def test_an_upgrade_arrives_and_where_there_is_none_polling_goes_on(rooms: Any, new_user: Any) -> None:
    for transports, carried_by in (("polling,websocket", "websocket"), ("polling", "polling")):
        server: RoomServer = rooms(TRANSPORTS=transports)
        user = new_user(server, "a", MADE["upgrade"])
        user.come_in("r")
        until(lambda user=user: user.connection.upgraded is not None)
        user.say("r", "after")
        until(lambda user=user: user.acks)
        assert user.connection.upgraded == (carried_by == "websocket")
        assert server.stats()["transports"] == [carried_by]
        assert user.losses == []


def test_who_has_left_a_room_hears_nothing_of_it(rooms: Any, new_user: Any) -> None:
    server = rooms()
    for name, make in MADE.items():
        here, gone = new_user(server, f"here {name}", make), new_user(server, f"gone {name}", make)
        here.come_in(name)
        gone.come_in(name)
        assert gone.ask("leaveRoom", {"room": f"conversation:{name}"})["ok"]
        here.say(name, "1")
        until(lambda here=here: here.got and here.acks)
        assert gone.ask("joinRoom", {"room": f"conversation:{name}"})["lastSeq"] == 1
        assert gone.got == [], "whatever was on its way has come before this answer"
        refused = new_user(server, f"stranger {name}", make)
        refused.connection.open(10)
        payload = {"conversationId": name, "body": "x", "clientMsgId": "x"}
        assert refused.ask("message:send", payload)["error"]["code"] == "NOT_AUTHENTICATED"


LOCUST = ("-u", 12, "-r", 12, "-t", "9s", "--rt-warmup", "1s", "--rt-drain", "3s", "--rt-room-size", 4)


@pytest.mark.parametrize("transport", ["websocket", "long-polling", "upgrade"])
def test_the_scenario_runs_against_it_and_nothing_is_lost(
    rooms: Any, tmp_path: Path, programs: list[Program], transport: str
) -> None:
    number = itertools.count()

    def measure() -> tuple[Result, RoomServer]:
        server: RoomServer = rooms(TOKEN_SECRET=DEVELOPMENT_SECRET)
        which = f"{transport}{next(number)}"
        flags = ("--headless", "--only-summary", *LOCUST, "--rt-rate", "2/s", "--rt-transport", transport)
        locust = Locust([*flags, "-H", server.url], tmp_path / which, tmp_path / f"{which}.log")
        programs.append(locust)
        return locust.result(), server

    def check(measured: tuple[Result, RoomServer]) -> None:
        result, server = measured
        stats = server.stats()
        totals = result.totals
        assert "message:send" in stats["accepted"], result.output
        sent = stats["accepted"]["message:send"]
        assert result.counters["sent"] == sent == totals.count("expected", "message.ack")
        assert sent > 50
        for operation in ("message.ack", *DELIVERIES, "receipt.deliver"):
            counts = totals.counts(operation)
            assert counts["expected"] == counts["n"], (operation, counts)
            assert not any(n for name, n in counts.items() if name not in ("n", "expected")), (
                operation,
                counts,
            )
        got = totals.count("n", *DELIVERIES)
        assert 0 <= stats["emitted"]["message:new"] - got <= result.counters.get("tolerated", 0)
        assert result.run.drops == []
        # On a machine too busy for a run that can be believed, the code says so; nothing is lost there either.
        state = judge(result.run).state
        assert result.code == (RUN_INVALID if state == INVALID else PASS), (
            f"exit of a {state} run:\n{result.output}"
        )

    result, server = repeated(measure, check, lambda measured: [measured[0]])
    assert {row.transport for row in result.run.series} == {transport}
    wait_until(lambda: server.stats()["sockets"] == 0, "the server hears that everybody has left")
