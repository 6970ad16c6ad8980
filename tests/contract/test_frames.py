"""Do the frames look alike: handshake, polling payloads, upgrade, heartbeat, the end, and recovery?"""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from contract_people import EIO, Polling, sign, until, wire
from contract_sentences import says
from contract_servers import on


@pytest.fixture
def polling(server: Any) -> Any:
    session = Polling(server.url)
    yield session
    session.http.close()


def test_the_handshake_says_what_is_agreed(server: Any, polling: Any) -> None:
    sizes = {"pingInterval": 25_000, "pingTimeout": 20_000, "maxPayload": 1_000_000}
    assert {field: polling.opened[field] for field in sizes} == sizes
    assert polling.opened["upgrades"] == ["websocket"]
    socket = wire(server.url)
    opened = json.loads(socket.recv().removeprefix("0"))
    assert {field: opened[field] for field in sizes} == sizes
    assert (opened["upgrades"], opened["sid"] != polling.opened["sid"]) == ([], True)
    socket.shutdown()


@says("The namespace is `/`, the path `/socket.io`.")
def test_connecting_gets_a_sid_of_its_own_on_either_transport(server: Any, polling: Any) -> None:
    answer = polling.post("40")
    assert (answer.status, answer.body.lower()) == (200, b"ok")
    (connected,) = polling.get()
    assert json.loads(connected.removeprefix("40"))["sid"] != polling.opened["sid"]
    socket = wire(server.url)
    socket.recv()
    socket.send("40{}")
    assert set(json.loads(socket.recv().removeprefix("40"))) == {"sid"}
    socket.shutdown()


def test_a_namespace_that_is_not_there_is_refused_and_the_connection_goes_on(server: Any) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("40/nowhere,")
    assert socket.recv().startswith("44/nowhere,")
    socket.send("40")
    assert socket.recv().startswith("40{")
    socket.shutdown()


def test_many_packets_fit_into_one_payload_either_way(polling: Any) -> None:
    polling.post("40" + json.dumps({"token": sign("ann")}))
    polling.until(lambda packets: any(packet.startswith("42") for packet in packets))
    assert polling.post(*(f'42{number}["echo",{{"n":{number}}}]' for number in range(40))).status == 200
    packets = polling.until(lambda packets: len(packets) >= 40)
    assert [packet.partition("[")[0] for packet in packets] == [f"43{number}" for number in range(40)]


def test_what_one_session_says_is_another_ones_secret(server: Any, polling: Any) -> None:
    unknown = polling.http.ask("GET", f"{EIO}&sid=nobody")
    assert unknown.status == 400
    assert polling.http.ask("GET", "/socket.io/?EIO=4&transport=pigeon").status == 400


def test_an_upgrade_takes_the_session_along(server: Any, polling: Any, arrive: Any, name: str) -> None:
    user = f"ann-{name}"
    polling.post("40" + json.dumps({"token": sign(user)}))
    polling.until(lambda packets: any("authenticated" in packet for packet in packets))
    polling.post(f'420["joinRoom","conversation:{name}"]')
    polling.until(lambda packets: any(packet.startswith("430") for packet in packets))
    bob = arrive()
    bob.join(name)
    socket = wire(server.url, sid=polling.opened["sid"])
    polled: list[str] = []
    poll = threading.Thread(target=lambda: polled.extend(polling.get()))
    poll.start()
    socket.send("2probe")
    assert socket.recv() == "3probe"
    poll.join(10)
    assert polled == ["6"]  # the pending poll is sent home
    socket.send("5")
    bob.send(name, "after")
    frames = [socket.recv()]
    if frames == ["6"]:
        frames = [socket.recv()]
    assert json.loads(frames[0].removeprefix("42"))[1]["body"] == "after"
    assert polling.http.ask("GET", polling.path).status == 400
    socket.shutdown()


@on("beating")
def test_the_server_asks_and_the_client_answers(server: Any) -> None:
    socket = wire(server.url)
    opened = json.loads(socket.recv().removeprefix("0"))
    assert (opened["pingInterval"], opened["pingTimeout"]) == (200, 300)
    socket.send("40" + json.dumps({"token": sign("ann")}))
    beats = 0
    while beats < 3:
        if socket.recv() == "2":
            socket.send("3")
            beats += 1
    assert server.stats()["sockets"] == 1
    until(lambda: server.stats()["sockets"] == 0, "the end of who has fallen silent")
    socket.shutdown()


@on("beating")
def test_by_polling_too(server: Any, polling: Any) -> None:
    polling.post("40")
    packets = polling.until(lambda packets: "2" in packets)
    assert packets[0].startswith("40{")
    assert polling.post("3").status == 200
    assert "2" in polling.until(lambda packets: "2" in packets)
    until(lambda: server.stats()["sockets"] == 0, "the end of who has fallen silent")


@on("unlimited")
def test_a_frame_beyond_the_maximum_ends_the_connection_with_1009(server: Any) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("42" + "x" * 20_000)
    _, data = socket.recv_data()
    assert int.from_bytes(data[:2], "big") == 1009
    socket.shutdown()


@pytest.mark.parametrize("nonsense", ["42{", "4", "42[]", "9", "2"])
def test_a_peer_that_speaks_something_else_is_hung_up_on(server: Any, nonsense: str) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("40")
    assert socket.recv().startswith("40{")
    socket.send(nonsense)
    assert socket.recv() == ""
    socket.shutdown()


def test_a_client_leaves_a_namespace_with_one_packet(server: Any, arrive: Any, name: str) -> None:
    ann, bob = arrive(), arrive()
    for person in (ann, bob):
        person.join(name)
    ann.ask("typing:start", conversationId=name)
    ann.wire.send("41")
    assert bob.hear("typing:stop")[0]["userId"] == ann.user


# -- recovery of connection state, which only Node's library has


@on("recovering")
def test_what_was_missed_comes_before_the_answer_to_connect(
    server: Any, target: str, arrive: Any, name: str
) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("40" + json.dumps({"token": sign(f"ann-{name}")}))
    connected = json.loads(socket.recv().removeprefix("40"))
    if target == "reference":
        # Python's library has no recovery: nobody is promised any, and clients resync by `sinceSeq`.
        assert set(connected) == {"sid"}
        socket.shutdown()
        return
    socket.recv()
    socket.send(f'420["joinRoom","conversation:{name}"]')
    assert socket.recv().startswith("430[")
    bob = arrive()
    bob.join(name)
    bob.send(name, "heard")
    event, _, offset = json.loads(socket.recv().removeprefix("42"))
    assert (event, type(offset)) == ("message:new", str)
    socket.shutdown()
    until(lambda: server.stats()["sockets"] == 1, "the connection to be lost")
    bob.send(name, "missed")
    back = wire(server.url)
    back.recv()
    back.send("40" + json.dumps({"pid": connected["pid"], "offset": offset}))
    missed = json.loads(back.recv().removeprefix("42"))
    assert (missed[0], missed[1]["body"]) == ("message:new", "missed")
    assert json.loads(back.recv().removeprefix("40")) == connected
    # The socket is who it was, where it was.
    back.send(f'421["message:send",{{"conversationId":"{name}","body":"back","clientMsgId":"c1"}}]')
    assert [back.recv()[:2] for _ in range(2)] == ["42", "43"]
    assert bob.hear("message:new", 3)[-1]["senderId"] == f"ann-{name}"
    back.shutdown()
