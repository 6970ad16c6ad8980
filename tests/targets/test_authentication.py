"""Who gets in, and what are the others told?"""

import time
from typing import Any

import jwt
import pytest
import socketio

from loadtest.contract.development import DEVELOPMENT_SECRET

pytestmark = pytest.mark.e2e
FIELDS = {"ok", "userId", "role", "deviceId", "socketId", "rooms", "serverTime", "expiresAt"}


def signed(**claims: Any) -> str:
    return jwt.encode(
        {"sub": "ann", "role": "user", "exp": time.time() + 60} | claims, DEVELOPMENT_SECRET, "HS256"
    )


def test_a_token_in_connect_authenticates_and_the_event_follows_the_connect_packet(
    server: Any, wire: Any, hello: Any
) -> None:
    ws = wire()
    assert ws.recv().startswith("0{")
    ws.send(hello(server.token("ann")))
    assert ws.recv().startswith('40{"sid":')
    assert ws.recv().startswith('42["authenticated",{"ok":true,"userId":"ann"')


def test_a_bad_token_in_connect_is_a_connect_error_with_its_code(server: Any, wire: Any) -> None:
    ws = wire()
    assert ws.recv().startswith("0{")
    ws.send('40{"token":"nonsense"}')
    assert ws.recv() == '44{"message":"AUTH_INVALID","data":{"code":"AUTH_INVALID"}}'


def test_a_foreign_user_in_connect_is_a_mismatch(server: Any, wire: Any, hello: Any) -> None:
    ws = wire()
    assert ws.recv().startswith("0{")
    ws.send(hello(server.token("ann"))[:-1] + ', "userId": "bob"}')
    assert ws.recv() == '44{"message":"AUTH_MISMATCH","data":{"code":"AUTH_MISMATCH"}}'


def test_authenticate_answers_by_ack_and_by_event_alike(server: Any, connect_with: Any) -> None:
    peer = connect_with(None)
    ack = peer.call("authenticate", {"userId": "ann", "token": server.token("ann", role="operator")})
    assert set(ack) == FIELDS
    assert (ack["userId"], ack["role"], ack["rooms"]) == ("ann", "operator", ["user:ann"])
    assert ack["deviceId"] == ack["socketId"]
    assert 0 < ack["expiresAt"] - ack["serverTime"] <= 3_600_000
    assert peer.wait("authenticated") == [ack]


def test_a_device_keeps_its_name(server: Any, connect_with: Any) -> None:
    peer = connect_with(None)
    ack = peer.call("authenticate", {"userId": "ann", "token": server.token("ann"), "deviceId": "phone"})
    assert ack["deviceId"] == "phone"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": 1}, "AUTH_EXPIRED"),
        ({"role": "king"}, "AUTH_INVALID"),
        ({"sub": "bob"}, "AUTH_MISMATCH"),
        ({"sub": ""}, "AUTH_INVALID"),
    ],
)
def test_a_failed_authenticate_is_fatal(connect_with: Any, claims: dict[str, Any], code: str) -> None:
    peer = connect_with(None)
    ack = peer.call("authenticate", {"userId": "ann", "token": signed(**claims)})
    assert (ack["ok"], ack["error"]["code"]) == (False, code)
    [error] = peer.wait("error")
    assert (error["code"], error["fatal"], error["event"]) == (code, True, "authenticate")
    assert peer.disconnected.wait(10)


@pytest.mark.parametrize("payload", [None, "ann", {"userId": "ann"}, {"userId": "ann", "token": 7}])
def test_an_authenticate_without_a_token_is_invalid(connect_with: Any, payload: object) -> None:
    assert connect_with(None).call("authenticate", payload)["error"]["code"] == "AUTH_INVALID"


def test_a_token_of_another_secret_is_invalid(connect_with: Any) -> None:
    forged = jwt.encode({"sub": "ann", "role": "user", "exp": time.time() + 60}, "x" * 32, "HS256")
    assert (
        connect_with(None).call("authenticate", {"userId": "ann", "token": forged})["error"]["code"]
        == "AUTH_INVALID"
    )


def test_an_unsigned_token_is_invalid(connect_with: Any) -> None:
    unsigned = jwt.encode({"sub": "ann", "role": "user", "exp": time.time() + 60}, None, "none")
    assert (
        connect_with(None).call("authenticate", {"userId": "ann", "token": unsigned})["error"]["code"]
        == "AUTH_INVALID"
    )


def test_nothing_is_done_for_a_stranger(connect_with: Any) -> None:
    peer = connect_with(None)
    for event in ("joinRoom", "message:send", "echo", "no:such:event"):
        assert peer.call(event, {})["error"]["code"] == "NOT_AUTHENTICATED"
    peer.emit("message:send", {"clientMsgId": "c1"})
    [error] = peer.wait("error")
    assert (error["code"], error["event"], error["clientMsgId"]) == (
        "NOT_AUTHENTICATED",
        "message:send",
        "c1",
    )
    assert error["fatal"] is False


def test_a_socket_stays_with_its_user(server: Any, connect: Any) -> None:
    peer = connect("ann")
    again = peer.call("authenticate", {"userId": "ann", "token": server.token("ann")})
    assert again["ok"]
    other = peer.call("authenticate", {"userId": "bob", "token": server.token("bob")})
    assert other["error"]["code"] == "AUTH_MISMATCH"


def test_whoever_does_not_authenticate_within_ten_seconds_is_disconnected(connect_with: Any) -> None:
    begun = time.monotonic()
    assert connect_with(None).disconnected.wait(20)
    assert time.monotonic() - begun >= 9.5


def test_connecting_with_a_bad_token_fails_in_the_stock_client(connect_with: Any) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        connect_with({"token": signed(exp=1)})


def test_long_polling_and_upgrade_authenticate_too(connect: Any) -> None:
    for transports in (("polling",), ("polling", "websocket")):
        peer = connect("ann", transports=transports)
        assert peer.wait("authenticated")[0]["userId"] == "ann"
        peer.settle()
        assert peer.client.transport() == transports[-1]
