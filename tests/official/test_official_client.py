"""Does the official client find in our reference server what it finds in the official one?"""

from __future__ import annotations

from typing import Any

import pytest
from e2e_running import Server, wait_until
from official_running import Driver, RoomServer

TRANSPORTS = {
    "websocket": {"transports": ["websocket"]},
    "polling": {"transports": ["polling"]},
    "upgrade": {},
}
transports = pytest.mark.parametrize("options", TRANSPORTS.values(), ids=TRANSPORTS)
SOON = {"reconnectionDelay": 20, "reconnectionDelayMax": 40}


def token(server: Server, user: str) -> str:
    return str(server.ask("/api/auth/token", {"userId": user})["token"])


def come_in(driver: Driver, server: Server, user: str, options: dict[str, Any]) -> None:
    """Connect, authenticate and join the room ``r``."""
    driver.connect(user, server.url, **options)
    driver.wait_for(user, "connect")
    said = driver.ask(user, "authenticate", {"userId": user, "token": token(server, user)})
    assert (
        said["ok"] and said["userId"] == user and said["socketId"] == driver.said(user, "connect")[0]["sid"]
    )
    joined = driver.ask(user, "joinRoom", {"room": "conversation:r"})
    assert joined["ok"] and joined["room"] == "conversation:r"


def message(client_id: str) -> dict[str, Any]:
    return {
        "conversationId": "r",
        "body": f"häß 😀 {client_id}",
        "clientMsgId": client_id,
        "meta": {"m": client_id},
    }


@transports
def test_it_talks_to_our_server(driver: Driver, reference: Server, options: dict[str, Any]) -> None:
    for user in ("a", "b"):
        come_in(driver, reference, user, options)
    if not options:
        assert driver.wait_for("a", "upgrade")["transport"] == "websocket"
    acks = [driver.ask("a", "message:send", message(f"m{n}")) for n in range(20)]
    for n in range(20, 40):  # in one go, from the client's own queue
        driver.order("emit", "a", name="message:send", args=[message(f"m{n}")])
    assert [(ack["ok"], ack["seq"]) for ack in acks] == [(True, n) for n in range(1, 21)]
    for user in ("a", "b"):
        wait_until(lambda user=user: len(driver.events(user, "message:new")) >= 40, "every message comes")
        got = driver.events(user, "message:new")
        assert [one["seq"] for one in got] == list(range(1, 41))
        assert [one["body"] for one in got] == [message(f"m{n}")["body"] for n in range(40)]
        assert all(one["meta"] == {"m": one["clientMsgId"]} and one["senderId"] == "a" for one in got)
    assert driver.ask("a", "leaveRoom", {"room": "conversation:r"})["ok"]
    assert reference.stats()["emitted"]["message:new"] == 80


@transports
def test_who_is_kicked_stays_away_and_who_is_cut_off_comes_back(
    driver: Driver, reference: Server, options: dict[str, Any]
) -> None:
    come_in(driver, reference, "kicked", {**options, **SOON})
    reference.fault("kick")
    lost = driver.wait_for("kicked", "disconnect")
    assert (lost["reason"], lost["active"]) == ("io server disconnect", False)
    come_in(driver, reference, "cut", {**options, **SOON})
    for times in (1, 2):
        if not options:
            driver.wait_for("cut", "upgrade", times)
        reference.fault("dropSockets")
        lost = driver.wait_for("cut", "disconnect", times)
        assert lost["reason"] in ("transport close", "transport error")
        assert lost["active"]
        driver.wait_for("cut", "connect", times + 1)
    assert len(driver.said("cut", "reconnect")) == 2
    # It had the same delays as the other, which came back twice meanwhile.
    assert driver.said("kicked", "reconnect_attempt") == []


@transports
def test_a_bad_token_is_refused_with_its_code_and_not_tried_again(
    driver: Driver, reference: Server, options: dict[str, Any]
) -> None:
    driver.connect("a", reference.url, auth={"token": "nonsense"}, **options, **SOON)
    refused = driver.wait_for("a", "connect_error")
    assert (refused["message"], refused["data"], refused["active"]) == (
        "AUTH_INVALID",
        {"code": "AUTH_INVALID"},
        False,
    )
    driver.connect("b", reference.url, auth={"token": token(reference, "b")}, **options, **SOON)
    driver.wait_for("b", "connect")
    reference.fault("dropSockets")
    driver.wait_for("b", "connect", 2)
    assert driver.said("a", "reconnect_attempt") == []
    assert len(driver.said("a", "connect_error")) == 1


@pytest.mark.parametrize("target", ["reference", "official"])
def test_a_bad_authenticate_is_an_error_and_the_end(
    driver: Driver, reference: Server, rooms: Any, target: str
) -> None:
    """The same on both: the room server that judges our clients keeps the contract too."""
    server: Server | RoomServer = reference if target == "reference" else rooms(TOKEN_SECRET="a secret")
    driver.connect("a", server.url, **SOON)
    driver.wait_for("a", "connect")
    answer = driver.ask("a", "authenticate", {"userId": "a", "token": "nonsense"})
    assert (answer["ok"], answer["error"]["code"]) == (False, "AUTH_INVALID")
    assert driver.wait_for("a", "disconnect")["reason"] == "io server disconnect"
    (error,) = driver.events("a", "error")
    assert (error["code"], error["fatal"]) == ("AUTH_INVALID", True)
