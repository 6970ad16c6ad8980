"""Is the table "Where the two servers differ" true? Each of its rows is a library's doing, and is held here."""

from __future__ import annotations

import json
from typing import Any

import pytest
import websocket
from contract_people import Http, Polling, sign, wire
from contract_sentences import END, PAGE
from contract_servers import on

HELD = [
    "a number in `meta` that JavaScript writes otherwise (`1.0`, more than 2^53)",
    "a whole number written with a fraction (`upToSeq: 2.0`)",
    "an event before the answer to CONNECT",
    "an event named `connect` or `disconnect`, or by a number",
    "a polling payload that nobody can read",
    "what waits for a polling client while it upgrades",
    "a namespace that is not there",
    "an unknown session, transport or version of Engine.IO",
    "which cases a fault strikes by chance, for the same `seed`",
    "recovery of connection state",
    "headers of HTTP answers",
]


def test_the_table_has_exactly_the_rows_that_are_held() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(END)
    end = next(n for n, line in enumerate(lines[start + 1 :], start + 1) if line.startswith("## "))
    cells = [line.split(" | ")[0].removeprefix("| ") for line in lines[start:end] if line.startswith("| ")]
    assert cells[1:] == HELD


def test_numbers_in_meta(arrive: Any, target: str, name: str) -> None:
    ann = arrive()
    ann.join(name)
    send = '422["message:send",{"conversationId":"%s","body":"","clientMsgId":"c","meta":{"a":1.0,"b":%d}}]'
    ann.wire.send(send % (name, 2**53 + 1))
    frame = ann.frame()
    expected = (
        '"meta":{"a":1.0,"b":9007199254740993}'
        if target == "reference"
        else '"meta":{"a":1,"b":9007199254740992}'
    )
    assert frame.endswith(expected + "}]")


def test_whole_numbers_with_a_fraction(arrive: Any, target: str, name: str) -> None:
    ann = arrive()
    ann.join(name)
    answer = ann.ask("message:read", conversationId=name, upToSeq=2.0)
    assert answer.body["ok"] is (target == "node")


def text_frame(text: str) -> bytes:
    """As a client sends it."""
    frame: bytes = websocket.ABNF.create_frame(text, websocket.ABNF.OPCODE_TEXT).format()
    return frame


def test_an_event_before_the_answer_to_connect(server: Any, target: str) -> None:
    socket = wire(server.url)
    socket.recv()
    both = ("40" + json.dumps({"token": sign("ann")}), '420["echo",{}]')
    # In one piece: else the answer may be on its way before the event is read.
    socket.sock.sendall(b"".join(text_frame(text) for text in both))
    frames = [socket.recv() for _ in range(3 if target == "reference" else 1)]
    assert any(frame.startswith("430[") for frame in frames) is (target == "reference")
    assert (frames == [""]) is (target == "node")
    socket.shutdown()


@pytest.mark.parametrize("event", ['"connect"', '"disconnect"', "7"])
def test_events_with_names_of_the_librarys_own(arrive: Any, target: str, event: str) -> None:
    ann = arrive()
    ann.wire.send(f"429[{event},{{}}]")
    hung_up = ann.frame() == ""
    assert hung_up is ((target == "node") is (event != "7"))


def test_a_payload_that_nobody_can_read(server: Any, target: str) -> None:
    session = Polling(server.url)
    assert session.post("x").status == (400 if target == "reference" else 200)
    assert session.http.ask("GET", session.path).status == 400
    session.http.close()


def test_what_waits_for_a_polling_client_while_it_upgrades(
    server: Any, target: str, arrive: Any, name: str
) -> None:
    session, bob = Polling(server.url), arrive()
    bob.join(name)
    session.post("40" + json.dumps({"token": sign(f"ann-{name}")}))
    session.until(lambda packets: any("authenticated" in packet for packet in packets))
    session.post(f'420["joinRoom","conversation:{name}"]')
    session.until(lambda packets: any(packet.startswith("430") for packet in packets))
    bob.send(name)
    socket = wire(server.url, sid=session.opened["sid"])
    socket.send("2probe")
    assert socket.recv() == "3probe"
    polled = session.get()
    assert (polled == ["6"]) is (target == "reference")
    socket.send("5")
    heard = polled if target == "node" else [socket.recv(), socket.recv()]
    assert [frame[:16] for frame in heard if frame != "6"] == ['42["message:new"']
    socket.shutdown()
    session.http.close()


def test_a_namespace_that_is_not_there(server: Any, target: str) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("40/nowhere,")
    told = json.loads(socket.recv().removeprefix("44/nowhere,"))
    assert told == ("Unable to connect" if target == "reference" else {"message": "Invalid namespace"})
    socket.shutdown()


def test_an_unknown_session(server: Any, target: str) -> None:
    http = Http(server.url)
    for query in ("EIO=4&transport=polling&sid=nobody", "EIO=4&transport=pigeon", "EIO=3&transport=polling"):
        answer = http.ask("GET", f"/socket.io/?{query}")
        assert answer.status == 400
        assert (isinstance(answer.body, dict) and "code" in answer.body) is (target == "node")
    http.close()


def test_which_cases_a_fault_strikes(server: Any, target: str, arrive: Any, name: str) -> None:
    ann = arrive()
    ann.join(name)
    server.fault("loseDeliveries", ratio=0.5, seed=1)
    sent = [ann.send(name)["seq"] for _ in range(10)]
    heard = {one["seq"] for one in ann.events("message:new")}
    struck = {"reference": [1, 4, 5, 6, 9, 10], "node": [2, 6, 9]}
    assert [seq for seq in sent if seq not in heard] == struck[target]


@on("recovering")
def test_recovery_is_nodes_alone(server: Any, target: str) -> None:
    socket = wire(server.url)
    socket.recv()
    socket.send("40")
    assert ("pid" in json.loads(socket.recv().removeprefix("40"))) is (target == "node")
    socket.shutdown()


def test_headers_of_answers(server: Any, target: str) -> None:
    names = {name.lower() for name, _ in server.http.ask("GET", "/").headers.items()}
    assert names == {"content-type", "content-length", "date", "vary"} | (
        set() if target == "reference" else {"connection", "keep-alive"}
    )
