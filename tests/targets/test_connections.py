"""Does the server carry, and end, connections as Engine.IO wants it?"""

import json
import socket
from typing import Any

import pytest
import websocket

pytestmark = pytest.mark.e2e


def test_seventeen_packets_in_one_post_are_all_answered(
    connect: Any, server: Any, name: str, hello: Any
) -> None:
    opened = server.get("/socket.io/?EIO=4&transport=polling").raw.decode()
    path = "/socket.io/?EIO=4&transport=polling&sid=" + json.loads(opened[1:])["sid"]
    hello = hello(server.token("ann"))
    assert server.request("POST", path, raw=hello.encode()).status == 200
    burst = "\x1e".join(f'42{number}["echo",{{}}]' for number in range(40))
    assert server.request("POST", path, raw=burst.encode()).status == 200
    answers: list[str] = []
    while len([a for a in answers if a.startswith("43")]) < 40:
        answers += server.get(path).raw.decode().split("\x1e")


def test_a_peer_that_does_not_speak_socket_io_is_hung_up_on(server: Any, wire: Any) -> None:
    for nonsense in ("42{", "4", "42[]", "42[1]", "9", "2"):
        ws = wire(server)
        ws.recv()
        ws.send("40")
        assert ws.recv().startswith("40")
        ws.send(nonsense)
        assert ws.recv() == ""


def test_a_frame_beyond_the_maximum_closes_with_1009(connect: Any, start: Any, wire: Any) -> None:
    server = start(MAX_HTTP_BUFFER_SIZE="2000")
    assert connect("ann", at=server).call("echo", {"x": "y" * 1900})["x"]
    ws = wire(server)
    ws.recv()
    ws.send("42" + "x" * 2000)
    opcode, data = ws.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1009)


def test_a_payload_nobody_can_read_is_a_bad_request(server: Any) -> None:
    for nonsense in (b"x", b"42{", b"4"):
        opened = server.get("/socket.io/?EIO=4&transport=polling").raw.decode()
        path = "/socket.io/?EIO=4&transport=polling&sid=" + json.loads(opened[1:])["sid"]
        assert server.request("POST", path, raw=nonsense).status == 400


def test_a_silent_client_is_found_by_ping_timeout(start: Any, wire: Any, until: Any, hello: Any) -> None:
    server = start("--ping-interval", "0.2", "--ping-timeout", "0.3")
    ws = wire(server)
    handshake = json.loads(ws.recv()[1:])
    assert (handshake["pingInterval"], handshake["pingTimeout"]) == (200, 300)
    ws.send(hello(server.token("ann")))
    for _ in range(3):
        while ws.recv() != "2":
            pass
        ws.send("3")
    assert server.stats()["sockets"] == 1
    until(lambda: server.stats()["sockets"] == 0)


def test_nothing_is_lost_while_a_browser_upgrades(
    server: Any, connect: Any, wire: Any, hello: Any, name: str
) -> None:
    bob = connect(f"bob-{name}")
    bob.join(name)
    opened = server.get("/socket.io/?EIO=4&transport=polling").raw.decode()
    sid = json.loads(opened[1:])["sid"]
    path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    joining = f'420["joinRoom","conversation:{name}"]'
    assert server.request("POST", path, raw=hello(server.token("ann")).encode()).status == 200
    assert server.request("POST", path, raw=joining.encode()).status == 200
    assert "430[" in server.get(path).raw.decode()
    bob.send(name, body="before the probe")
    ws = wire(sid=sid)
    ws.send("2probe")
    assert ws.recv() == "3probe"
    assert server.get(path).raw == b"6"
    bob.send(name, body="between probe and upgrade")
    ws.send("5")
    bob.send(name, body="after the upgrade")
    frames = [ws.recv() for _ in range(4)]
    assert frames.count("6") == 1
    bodies = [json.loads(frame[2:])[1]["body"] for frame in frames if frame != "6"]
    assert bodies == ["before the probe", "between probe and upgrade", "after the upgrade"]
    assert server.get(path).status == 400


def test_an_upgrade_that_breaks_off_leaves_long_polling_alone(server: Any, wire: Any, hello: Any) -> None:
    opened = server.get("/socket.io/?EIO=4&transport=polling").raw.decode()
    sid = json.loads(opened[1:])["sid"]
    path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    ws = wire(sid=sid)
    ws.send("2nonsense")
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        ws.recv()
    assert server.request("POST", path, raw=hello(server.token("ann")).encode()).status == 200
    assert server.get(path).raw.startswith(b"40{")


def test_a_peer_that_stops_reading_holds_up_neither_the_others_nor_the_end(
    start: Any, connect: Any, wire: Any, hello: Any, until: Any, name: str
) -> None:
    server = start("--rate-limit", "0")
    small = ((socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),)
    stalled = wire(server, sockopt=small)
    stalled.send(hello(server.token("eve")))
    stalled.send(f'420["joinRoom","conversation:{name}"]')
    ann = connect("ann", at=server)
    ann.join(name)
    for number in range(100):
        ann.emit("message:send", {"conversationId": name, "body": "x" * 8_000, "clientMsgId": str(number)})
    ann.wait("message:new", 100)
    # Each of these asks for 800 KB, and nobody fetches them.
    for _ in range(20):
        stalled.send(f'420["joinRoom",{{"room":"conversation:{name}","sinceSeq":0}}]')
    until(lambda: server.stats()["accepted"]["joinRoom"] == 22)
    ann.settle()
    assert server.stop() == 0
