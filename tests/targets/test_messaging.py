"""Does the socket door keep the messaging contract, sentence by sentence?"""

import time
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
META = {"t": 1.5, "run": "r1", "deep": {"list": [1, 2.0, None, "ü"], "big": 12345678901234567890123}}


def test_join_takes_an_object_or_a_bare_string_and_is_idempotent(connect: Any, name: str) -> None:
    ann = connect("ann")
    first = ann.call("joinRoom", {"room": f"conversation:{name}"})
    assert first == {
        "ok": True,
        "room": f"conversation:{name}",
        "members": 1,
        "lastSeq": 0,
        "missed": [],
        "truncated": False,
    }
    assert ann.call("joinRoom", f"conversation:{name}") == first


@pytest.mark.parametrize(
    "room", ["", "lobby", "conversation:", "conversation:a b", "conversation:" + "x" * 129, 7, None]
)
def test_a_room_that_cannot_exist_is_invalid(connect: Any, room: object) -> None:
    ann = connect("ann")
    assert ann.call("joinRoom", {"room": room})["error"]["code"] == "ROOM_INVALID"
    assert ann.call("leaveRoom", {"room": room})["error"]["code"] == "ROOM_INVALID"


def test_every_character_of_the_contract_makes_a_conversation(connect: Any, name: str) -> None:
    assert connect("ann").join(f"{name}:A_z.0-9" + "x" * 100)["members"] == 1


def test_the_room_of_a_user_is_theirs(connect: Any) -> None:
    ann = connect("ann")
    assert ann.call("joinRoom", {"room": "user:ann"})["ok"]
    assert ann.call("joinRoom", {"room": "user:bob"})["error"]["code"] == "FORBIDDEN"


def test_a_message_reaches_everybody_in_the_room_and_its_sender(connect: Any, name: str) -> None:
    ann, bob, eve = connect("ann"), connect("bob"), connect("eve")
    assert ann.join(name)["members"] == 1
    assert bob.join(name)["members"] == 2
    eve.join(name + "-other")
    ack = ann.send(name, body="hé\u2028llo", clientMsgId=name, meta=META, type="image", unknown=1)
    assert set(ack) == {"ok", "id", "seq", "ts", "duplicate"}
    assert (ack["ok"], ack["seq"], ack["duplicate"]) == (True, 1, False)
    [seen] = bob.wait("message:new")
    assert seen == {
        "id": ack["id"],
        "conversationId": name,
        "seq": 1,
        "senderId": "ann",
        "body": "hé\u2028llo",
        "type": "image",
        "clientMsgId": name,
        "ts": ack["ts"],
        "meta": META,
    }
    assert ann.wait("message:new") == [seen]
    eve.settle()
    assert eve.named("message:new") == []


def test_meta_comes_back_unchanged_to_the_byte(server: Any, wire: Any, name: str, hello: Any) -> None:
    ws = wire(server)
    ws.recv()
    ws.send(hello(server.token("ann")))
    ws.recv(), ws.recv()
    ws.send(f'421["joinRoom","conversation:{name}"]')
    assert ws.recv().startswith("431[")
    meta = '{"z":1,"a":1.0,"n":-0.0,"s":"\\"é"}'
    fields = f'"conversationId":"{name}","body":"","clientMsgId":"{name}","meta":{meta}'
    ws.send(f'42["message:send",{{{fields}}}]')
    assert ws.recv().endswith(f'"meta":{meta}}}]')


def test_several_sockets_of_a_user_each_get_one_copy(connect: Any, name: str) -> None:
    phone, desk = connect("ann"), connect("ann")
    assert phone.join(name)["members"] == 1
    assert desk.join(name)["members"] == 1
    phone.send(name)
    assert len(desk.wait("message:new")) == 1
    phone.settle()
    assert len(phone.named("message:new")) == 1


def test_seq_counts_up_without_gap_and_in_order(connect: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    for peer in (ann, bob):
        for number in range(40):
            peer.emit("message:send", {"conversationId": name, "body": "x", "clientMsgId": f"{name}{number}"})
    seen = bob.wait("message:new", 80)
    assert [message["seq"] for message in seen] == list(range(1, 81))
    assert ann.wait("message:new", 80) == seen


def test_a_repeated_client_id_is_carried_out_once(connect: Any, server: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    accepted = server.stats()["accepted"].get("message:send", 0)
    first = ann.send(name, clientMsgId="same" + name)
    again = ann.send(name, clientMsgId="same" + name, body="other")
    assert again == {**first, "duplicate": True}
    assert server.stats()["accepted"]["message:send"] == accepted + 1
    theirs = bob.send(name, clientMsgId="same" + name)
    assert (theirs["duplicate"], theirs["seq"]) == (False, 2)
    bob.settle()
    assert len(bob.named("message:new")) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": 7}, "PAYLOAD_INVALID"),
        ({"body": None}, "PAYLOAD_INVALID"),
        ({"body": "x" * 8193}, "PAYLOAD_TOO_LARGE"),
        ({"clientMsgId": ""}, "PAYLOAD_INVALID"),
        ({"clientMsgId": "x" * 65}, "PAYLOAD_INVALID"),
        ({"clientMsgId": 1}, "PAYLOAD_INVALID"),
        ({"type": "video"}, "PAYLOAD_INVALID"),
        ({"type": []}, "PAYLOAD_INVALID"),
        ({"meta": []}, "PAYLOAD_INVALID"),
        ({"meta": {"x": "y" * 1024}}, "PAYLOAD_TOO_LARGE"),
        ({"conversationId": ""}, "PAYLOAD_INVALID"),
        ({"conversationId": "nowhere"}, "FORBIDDEN"),
    ],
)
def test_what_cannot_be_sent_is_refused(connect: Any, name: str, change: dict[str, Any], code: str) -> None:
    ann = connect("ann")
    ann.join(name)
    ack = ann.send(name, **change)
    assert (ack["ok"], ack["error"]["code"]) == (False, code)
    ann.settle()
    assert ann.named("message:new") == []
    assert ann.named("error") == []


def test_the_limits_themselves_are_allowed(connect: Any, name: str) -> None:
    ann = connect("ann")
    ann.join(name)
    assert ann.send(name, body="x" * 8192, clientMsgId="i" * 64, meta={"x": "y" * 1016})["ok"]


def test_without_an_ack_the_refusal_comes_as_an_error_event(connect: Any, name: str) -> None:
    ann = connect("ann")
    ann.emit("message:send", {"conversationId": name, "body": "x", "clientMsgId": "c9"})
    [error] = ann.wait("error")
    assert (error["code"], error["event"], error["clientMsgId"]) == ("FORBIDDEN", "message:send", "c9")
    assert error["fatal"] is False
    ann.emit("typing:start", {"conversationId": name})
    assert ann.wait("error", 2)[1]["code"] == "FORBIDDEN"


def test_members_only_send_read_and_type(connect: Any, name: str) -> None:
    ann, eve = connect("ann"), connect("eve")
    ann.join(name)
    assert eve.send(name)["error"]["code"] == "FORBIDDEN"
    assert eve.call("message:read", {"conversationId": name, "upToSeq": 1})["error"]["code"] == "FORBIDDEN"
    assert eve.call("typing:start", {"conversationId": name})["error"]["code"] == "FORBIDDEN"


def test_leaving_ends_membership_with_the_last_socket_in_the_room(connect: Any, name: str) -> None:
    phone, desk, bob = connect("ann"), connect("ann"), connect("bob")
    for peer in (phone, desk, bob):
        peer.join(name)
    assert phone.call("leaveRoom", {"room": f"conversation:{name}"}) == {
        "ok": True,
        "room": f"conversation:{name}",
    }
    assert phone.send(name)["ok"]
    desk.wait("message:new")
    phone.settle()
    assert phone.named("message:new") == []
    assert desk.call("leaveRoom", f"conversation:{name}")["ok"]
    assert desk.call("leaveRoom", f"conversation:{name}")["ok"]
    assert phone.send(name)["error"]["code"] == "FORBIDDEN"
    assert bob.join(name)["members"] == 1


def test_membership_outlives_the_connection(connect: Any, server: Any, until: Any, name: str) -> None:
    ann = connect("ann")
    ann.join(name)
    before = server.stats()["sockets"]
    ann.close()
    until(lambda: server.stats()["sockets"] == before - 1)
    assert connect("ann").send(name)["ok"]


def test_a_rejoin_brings_what_was_missed(connect: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    for number in range(5):
        ann.send(name, body=str(number), meta={"n": number})
    seen = bob.wait("message:new", 5)
    bob.close()
    back = connect("bob")
    answer = back.join(name, sinceSeq=2)
    assert answer["missed"] == seen[2:]
    assert (answer["lastSeq"], answer["truncated"]) == (5, False)
    assert back.join(name, sinceSeq=5)["missed"] == []
    assert back.join(name, sinceSeq=0)["missed"] == seen
    assert back.join(name)["missed"] == []
    assert (
        back.call("joinRoom", {"room": f"conversation:{name}", "sinceSeq": -1})["error"]["code"]
        == "PAYLOAD_INVALID"
    )


def test_a_resync_holds_the_500_newest(start: Any, connect: Any, name: str) -> None:
    server = start("--rate-limit", "0")
    ann = connect("ann", at=server)
    ann.join(name)
    for number in range(502):
        ann.emit("message:send", {"conversationId": name, "body": "", "clientMsgId": str(number)})
    ann.wait("message:new", 502)
    answer = ann.join(name, sinceSeq=0)
    assert [message["seq"] for message in answer["missed"]] == list(range(3, 503))
    assert answer["truncated"] is True
    assert ann.join(name, sinceSeq=2)["truncated"] is False


def test_a_read_mark_moves_forward_and_tells_the_others_only_then(connect: Any, name: str) -> None:
    ann, desk, bob = connect("ann"), connect("ann"), connect("bob")
    for peer in (ann, desk, bob):
        peer.join(name)
    assert ann.call("message:read", {"conversationId": name, "upToSeq": 3, "meta": META}) == {
        "ok": True,
        "upToSeq": 3,
    }
    assert ann.call("message:read", {"conversationId": name, "upToSeq": 2}) == {"ok": True, "upToSeq": 3}
    [read] = bob.wait("message:read")
    assert read == {"conversationId": name, "userId": "ann", "upToSeq": 3, "ts": read["ts"], "meta": META}
    assert desk.wait("message:read") == [read]
    bob.settle()
    ann.settle()
    assert len(bob.named("message:read")) == 1
    assert ann.named("message:read") == []


@pytest.mark.parametrize("up_to", [-1, 1.5, "1", True, None])
def test_a_read_mark_must_be_a_whole_number(connect: Any, name: str, up_to: object) -> None:
    ann = connect("ann")
    ann.join(name)
    answer = ann.call("message:read", {"conversationId": name, "upToSeq": up_to})
    assert answer["error"]["code"] == "PAYLOAD_INVALID"


def test_typing_goes_to_the_others_with_its_meta(connect: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    ann.emit("typing:start", {"conversationId": name, "meta": META})
    [begun] = bob.wait("typing:start")
    assert begun == {
        "conversationId": name,
        "userId": "ann",
        "ts": begun["ts"],
        "expiresInMs": 5000,
        "meta": META,
    }
    ann.emit("typing:stop", {"conversationId": name, "meta": {"n": 2}})
    [ended] = bob.wait("typing:stop")
    assert ended == {"conversationId": name, "userId": "ann", "ts": ended["ts"], "meta": {"n": 2}}
    ann.settle()
    assert ann.named("typing:start") == ann.named("typing:stop") == []


def test_five_seconds_of_silence_end_typing(connect: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    ann.emit("typing:start", {"conversationId": name, "meta": META})
    [begun] = bob.wait("typing:start")
    [ended] = bob.wait("typing:stop", patience_s=15)
    assert ended["ts"] - begun["ts"] >= 5000
    assert ended["meta"] == META


def test_the_end_of_the_socket_ends_typing(connect: Any, name: str) -> None:
    ann, bob = connect("ann"), connect("bob")
    ann.join(name)
    bob.join(name)
    ann.emit("typing:start", {"conversationId": name})
    [begun] = bob.wait("typing:start")
    ann.close()
    [ended] = bob.wait("typing:stop")
    assert ended["userId"] == "ann"
    assert ended["ts"] - begun["ts"] < 5000


def test_echo_returns_the_object_and_the_time(connect: Any) -> None:
    ann = connect("ann")
    answer = ann.call("echo", {"a": [1, {"b": None}]})
    assert answer.pop("serverTime") == pytest.approx(time.time() * 1000, abs=60_000)
    assert answer == {"a": [1, {"b": None}]}


def test_an_unknown_event_is_refused(connect: Any) -> None:
    assert connect("ann").call("no:such:event", {})["error"]["code"] == "PAYLOAD_INVALID"
