"""Whom does a server let in, and what does it say to the others?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from contract_people import FAR, Caller, Http, Person, sign, wire
from contract_sentences import says
from contract_servers import on

HELLO = {"ok", "userId", "role", "deviceId", "socketId", "rooms", "serverTime", "expiresAt"}
OLD = 1_000_000_000


def hung_up_on(server: Any, user: str, token: object, **more: object) -> list[tuple[str, Any]]:
    """What a socket hears that authenticates so, until the server is done with it."""
    caller = Caller(server.url, user, authenticate=False)
    caller.begin("authenticate", {"userId": user, "token": token, **more})
    heard = caller.hear_until_hung_up()
    caller.go()
    return heard


@says(
    "`{userId, token, deviceId?}`; the token is a JWT (HS256) with `sub` = `userId`, `role` (`user` or "
    "`operator`) and `exp` | `{ok, userId, role, deviceId, socketId, rooms, serverTime, expiresAt}`",
    "joins `user:<id>`; also emits `authenticated` with the same object",
    "`authenticated` | the socket | as the acknowledgement of `authenticate`",
)
def test_a_socket_gets_its_user(arrive: Any, name: str) -> None:
    ann = arrive(name, role="operator", device="phone")
    hello = ann.hello.body
    assert set(hello) == HELLO
    assert {field: hello[field] for field in HELLO - {"serverTime"}} == {
        "ok": True,
        "userId": name,
        "role": "operator",
        "deviceId": "phone",
        "socketId": ann.sid,
        "rooms": [f"user:{name}"],
        "expiresAt": FAR * 1000,
    }
    assert ann.heard[0] == ("authenticated", hello)


@says("`{userId, token, deviceId?}`")
def test_a_device_without_a_name_is_called_as_its_socket(arrive: Any) -> None:
    ann = arrive()
    assert ann.hello["deviceId"] == ann.sid


@says("first thing on a socket, within 10 s")
@on("hurried")
def test_who_says_nothing_for_ten_seconds_is_sent_away(server: Any, arrive: Any) -> None:
    silent, ann = Caller(server.url, "silent", authenticate=False), arrive()
    began = ann.ask("echo", {})
    while (frame := silent.frame()) not in ("", "41"):
        raise AssertionError(frame)
    waited = ann.ask("echo", {}).body["serverTime"] - began.body["serverTime"]
    assert waited >= 9_000
    silent.go()


@says("`NOT_AUTHENTICATED` | any other event before `authenticate`, a request without a token | 401")
def test_nothing_is_done_for_strangers(server: Any, mode: str, name: str) -> None:
    if mode == "socket":
        caller = Caller(server.url, name, authenticate=False)
        assert caller.ask("joinRoom", f"conversation:{name}").code == "NOT_AUTHENTICATED"
        assert caller.ask("authenticate", userId=name, token=caller.token)["ok"]
        caller.go()
    else:
        http = Http(server.url)
        for method, path in (
            ("POST", "/api/messages"),
            ("GET", "/api/messages/feed"),
            ("GET", "/api/presence"),
        ):
            answer = http.ask(method, path, {} if method == "POST" else None)
            assert (answer.status, answer.code) == (401, "NOT_AUTHENTICATED")
        http.close()


BAD = {
    "no token": None,
    "no JWT": "x.y.z",
    "another secret": sign("ann", secret="s" * 32),
    "another algorithm": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9.",
    "another role": sign("ann", role="king"),
    "nobody": sign(""),
    "no end": sign("ann", exp="never"),
}


@says(
    "`AUTH_INVALID`, `AUTH_EXPIRED`, `AUTH_MISMATCH` | the token is bad, old, or somebody else's; on a "
    "socket `fatal: true`, then the server hangs up | 401",
    "`error` | the socket | `{code, message, event?, clientMsgId?, limit?, windowMs?, retryAfterMs?, fatal}`",
)
@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_a_bad_token_is_refused_and_hung_up_on(server: Any, mode: str, token: object) -> None:
    if mode == "socket":
        ((name, error),) = hung_up_on(server, "ann", token)
        assert (name, error["code"], error["fatal"]) == ("error", "AUTH_INVALID", True)
        assert set(error) == {"code", "message", "event", "fatal"}
    elif token is not None:
        http = Http(server.url)
        answer = http.ask("GET", "/api/calls/feed", token=str(token))
        assert (answer.status, answer.code) == (401, "AUTH_INVALID")
        http.close()


@says("the token is bad, old, or somebody else's")
def test_an_old_token_is_refused(server: Any, mode: str) -> None:
    token = sign("ann", exp=OLD)
    if mode == "socket":
        ((_, error),) = hung_up_on(server, "ann", token)
        assert (error["code"], error["fatal"]) == ("AUTH_EXPIRED", True)
    else:
        http = Http(server.url)
        answer = http.ask("POST", "/api/calls", {}, token)
        assert (answer.status, answer.code) == (401, "AUTH_EXPIRED")
        http.close()


@says("the token is bad, old, or somebody else's")
def test_somebody_elses_token_is_refused(server: Any, arrive: Any) -> None:
    ((_, error),) = hung_up_on(server, "ann", sign("bob"))
    assert error["code"] == "AUTH_MISMATCH"
    ann = arrive()
    ann.begin("authenticate", {"userId": "bob", "token": sign("bob")})
    assert ann.hear_until_hung_up()[-1][1]["code"] == "AUTH_MISMATCH"


@says("on a socket `fatal: true`, then the server hangs up")
def test_the_acknowledgement_still_arrives(server: Any) -> None:
    caller = Caller(server.url, "ann", authenticate=False)
    assert caller.ask("authenticate", userId="ann", token="x").code == "AUTH_INVALID"
    assert caller.hear_until_hung_up()[0][1]["event"] == "authenticate"
    caller.go()


def test_a_token_in_connect_is_looked_at_too(server: Any) -> None:
    for token, code in ((sign("ann"), None), ("x", "AUTH_INVALID"), (sign("ann", exp=OLD), "AUTH_EXPIRED")):
        socket = wire(server.url)
        socket.recv()
        socket.send("40" + json.dumps({"token": token, "deviceId": "tablet"}))
        answer = socket.recv()
        if code is None:
            sid = json.loads(answer.removeprefix("40"))["sid"]
            event, hello = json.loads(socket.recv().removeprefix("42"))
            assert (event, set(hello)) == ("authenticated", HELLO)
            assert (hello["socketId"], hello["deviceId"]) == (sid, "tablet")
        else:
            assert json.loads(answer.removeprefix("44")) == {"message": code, "data": {"code": code}}
        socket.shutdown()


@says(
    "Tokens are looked at when a socket authenticates and with every request.",
    "One that expires does not end a socket.",
)
@on("hurried")
def test_a_token_that_expires_ends_requests_and_no_socket(server: Any, arrive: Any, name: str) -> None:
    made = server.http.ask("POST", "/api/auth/token", {"userId": name, "ttlSec": 30}).body
    ann: Person = arrive(name, authenticate=False)
    assert ann.ask("authenticate", userId=name, token=made["token"])["expiresAt"] == made["expiresAt"]
    while server.http.ask("GET", "/api/presence?userIds=x", token=made["token"]).status == 200:
        assert ann.ask("echo", {}).body["serverTime"] < made["expiresAt"] + 3_000
    answer = server.http.ask("GET", "/api/presence?userIds=x", token=made["token"])
    assert (answer.status, answer.code) == (401, "AUTH_EXPIRED")
    assert ann.join(name)["members"] == 1
