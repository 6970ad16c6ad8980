"""Connection state recovery: is what was missed in an outage there afterwards, once and in order?"""

from __future__ import annotations

from typing import Any

import pytest
from e2e_running import wait_until
from official_running import Driver
from official_users import MADE, Make, until

from loadtest.protocol import Recovery
from loadtest.users.causes import Cause

ways = pytest.mark.parametrize("make", MADE.values(), ids=MADE)


def message(number: int) -> dict[str, Any]:
    return {"conversationId": "r", "body": "x", "clientMsgId": f"m{number}"}


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["websocket", "polling"])
def test_the_official_client_is_given_back_what_it_missed(
    driver: Driver, rooms: Any, transports: list[str]
) -> None:
    """So the server that judges ours does recover."""
    server = rooms(CSR="1")
    for user in ("a", "b"):
        driver.connect(user, server.url, transports=transports, reconnection=False)
        driver.wait_for(user, "connect")
        assert driver.ask(user, "authenticate", {"userId": user})["ok"]
        assert driver.ask(user, "joinRoom", {"room": "conversation:r"})["ok"]
    driver.ask("b", "message:send", message(1))
    wait_until(lambda: driver.events("a", "message:new"), "a first message, and with it an offset")
    assert server.drop("a") == 1
    driver.wait_for("a", "disconnect")
    for number in (2, 3, 4):
        driver.ask("b", "message:send", message(number))
    driver.order("open", "a")
    back = driver.wait_for("a", "connect", 2)
    assert back["recovered"]
    assert back["sid"] == driver.said("a", "connect")[0]["sid"]
    driver.ask("b", "message:send", message(5))
    wait_until(
        lambda: len(driver.events("a", "message:new")) >= 5, "what comes after, without a new joinRoom"
    )
    assert [one["seq"] for one in driver.events("a", "message:new")] == [1, 2, 3, 4, 5]
    assert server.stats()["recovered"] == 1


@ways
def test_ours_is_given_back_what_it_missed(rooms: Any, new_user: Any, make: Make) -> None:
    server = rooms(CSR="1")
    lost, other = new_user(server, "a", make), new_user(server, "b", MADE["websocket"])
    for user in (lost, other):
        user.come_in("r")
    other.say("r", "m1")
    until(lambda: lost.got)
    if make is MADE["upgrade"]:
        until(lambda: lost.connection.upgraded)
    assert server.drop("a") == 1
    until(lambda: lost.losses)
    assert lost.losses == [Cause.TRANSPORT_CLOSE]
    for number in (2, 3, 4):
        other.say("r", f"m{number}")
    until(lambda: len(other.acks) == 4)
    recovery = lost.connection.recovery
    assert recovery is not None
    assert recovery.offset is not None
    back = new_user(server, "a", make, recovery)
    back.connection.open(10)
    assert back.connection.recovered
    assert back.connection.session == lost.connection.session
    assert back.seqs() == [2, 3, 4], "what was missed is there before the namespace says that it let us in"
    other.say("r", "m5")
    until(lambda: len(back.got) == 4 and len(lost.got + back.got) == 5)
    assert lost.seqs() + back.seqs() == [1, 2, 3, 4, 5]
    assert server.stats()["recovered"] == 1
    back.say("r", "m6")  # it is authenticated and in its room, without having asked
    until(lambda: back.acks)
    assert back.acks["m6"]["seq"] == 6


@ways
def test_a_state_that_the_server_does_not_have_is_a_new_connection(
    rooms: Any, new_user: Any, make: Make
) -> None:
    server = rooms(CSR="1")
    stranger = new_user(server, "a", make, Recovery("no-such-pid", "no-such-offset"))
    stranger.come_in("r")
    assert not stranger.connection.recovered
    assert stranger.connection.recovery is not None
    assert stranger.connection.recovery.pid != "no-such-pid"
    plain = new_user(rooms(), "a", make)
    plain.come_in("r")
    assert plain.connection.recovery is None
    assert not plain.connection.recovered
    assert server.stats()["recovered"] == 0
