"""Does a server carry messages, receipts and typing as the page says, to sockets and to polling users alike?"""

from __future__ import annotations

import time
from typing import Any

from contract_people import until
from contract_sentences import says
from contract_servers import on

META = {"run": "r1", "deep": {"list": [1, 1.5, None, "ü"], "": {}}, "t": -3}
MESSAGE = {"id", "conversationId", "seq", "senderId", "body", "type", "clientMsgId", "ts", "meta"}


@says(
    "`{room, sinceSeq?}` | `{ok, room, members, lastSeq, missed, truncated}` | enters "
    "`conversation:<id>`; repeating it changes nothing.",
    "The two room routes mirror the two events, so that a user without a socket becomes a member in the "
    "same way",
    "`POST /api/rooms/join` | as `joinRoom` | 200, as its acknowledgement",
)
def test_joining_is_idempotent_and_says_who_and_how_much_is_there(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    first = ann.join(name)
    assert first.fields == {"ok", "room", "members", "lastSeq", "missed", "truncated"}
    told = (first["members"], first["lastSeq"], first["missed"], first["truncated"])
    assert told == (1, 0, [], False)
    bob.join(name)
    bob.send(name)
    again = ann.join(name)
    assert (again["members"], again["lastSeq"], again["missed"]) == (2, 1, [])
    assert len(ann.events("message:new")) == 1
    assert first.status in (None, 200)


def test_a_room_may_be_named_without_an_object(arrive: Any, mode: str, name: str) -> None:
    assert arrive(mode=mode).ask("joinRoom", f"conversation:{name}")["room"] == f"conversation:{name}"


@says("`missed`: what came after `sinceSeq`, the newest 500, each as `message:new` would have carried it")
@on("unlimited")
def test_what_was_missed_is_told_as_it_was_said(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    bob.join(name)
    for number in range(3):
        bob.send(name, str(number), meta=META)
    joined = ann.join(name, sinceSeq=1)
    assert (joined["lastSeq"], joined["truncated"]) == (3, False)
    assert joined["missed"] == bob.events("message:new")[1:]
    assert ann.join(name, sinceSeq=3)["missed"] == ann.join(name, sinceSeq=9)["missed"] == []


@says("`missed`: what came after `sinceSeq`, the newest 500")
@on("unlimited")
def test_no_more_than_the_newest_500_are_told(arrive: Any, name: str) -> None:
    ann, bob = arrive(), arrive(mode="polling")
    ann.join(name)
    asked = [
        ann.begin("message:send", {"conversationId": name, "body": "", "clientMsgId": f"{name}{number}"})
        for number in range(502)
    ]
    assert [ann.answer(number)["seq"] for number in asked] == list(range(1, 503))
    for person in (ann, bob):
        joined = person.join(name, sinceSeq=0)
        assert joined["truncated"] is True
        assert [message["seq"] for message in joined["missed"]] == list(range(3, 503))


@says(
    "`leaveRoom` | `{room}` | `{ok, room}` | leaves; repeating it changes nothing",
    "`POST /api/rooms/leave` | as `leaveRoom` | 200, as its acknowledgement",
)
def test_who_has_left_hears_nothing_more(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    ann.join(name)
    bob.join(name)
    for _ in range(2):
        left = ann.ask("leaveRoom", room=f"conversation:{name}")
        assert left.body == {"ok": True, "room": f"conversation:{name}"}
        assert left.status in (None, 200)
    bob.send(name)
    assert ann.events("message:new") == []
    assert ann.send(name).code == "FORBIDDEN"
    assert bob.join(name)["members"] == 1


@says(
    "`message:send` | `{conversationId, body, clientMsgId, type?, meta?}`, `body` up to 8192 characters "
    "| `{ok, id, seq, ts, duplicate}` | `message:new` to everybody in the conversation, the sender "
    "included",
    "`message:new` | the conversation, sender included | `{id, conversationId, seq, senderId, body, "
    "type, clientMsgId, ts, meta?}`",
    "Polling users have no socket, and the same conversation: what is posted reaches sockets, what is "
    "emitted reaches feeds.",
    "`POST /api/messages` | as `message:send` | 201 `{ok, id, seq, ts}`",
)
def test_a_message_reaches_everybody_and_its_sender(arrive: Any, mode: str, name: str) -> None:
    ann, bob, carl = arrive(mode=mode), arrive(), arrive(mode="polling")
    stranger = arrive()
    for person in (ann, bob, carl):
        person.join(name)
    sent = ann.send(name, "häi \U0001f600", clientMsgId="c1", type="image", meta=META)
    expected = {
        "conversationId": name,
        "senderId": ann.user,
        "body": "häi \U0001f600",
        "type": "image",
        "clientMsgId": "c1",
        "meta": META,
        **{field: sent[field] for field in ("id", "seq", "ts")},
    }
    assert [person.hear("message:new") for person in (ann, bob, carl)] == [[expected]] * 3
    assert stranger.events("message:new") == []
    if mode == "polling":
        assert (sent.status, sent.fields) == (201, {"ok", "id", "seq", "ts"})
    else:
        assert sent.fields == {"ok", "id", "seq", "ts", "duplicate"} and sent["duplicate"] is False


@says("Ids are strings.", "`ts` is the server's clock in milliseconds since 1970.")
def test_ids_are_strings_and_times_are_milliseconds(arrive: Any, mode: str, name: str) -> None:
    ann = arrive(mode=mode)
    ann.join(name)
    before = time.time() * 1000
    ann.send(name)
    (message,) = ann.hear("message:new")
    assert type(message["id"]) is str and set(message) == MESSAGE - {"meta"}
    assert type(message["ts"]) is int and before - 2000 < message["ts"] < time.time() * 1000 + 2000


@says("`seq` counts the messages of one conversation, 1, 2, 3, without gaps.")
def test_a_number_for_each_message_of_a_conversation(arrive: Any, name: str) -> None:
    ann, bob = arrive(), arrive(mode="polling")
    for person in (ann, bob):
        person.join(name)
        person.join(f"{name}-other")
    ann.send(f"{name}-other")
    assert [person.send(name)["seq"] for person in (ann, bob, bob, ann)] == [1, 2, 3, 4]
    for person in (ann, bob):
        assert [message["seq"] for message in person.hear("message:new", 5)] == [1, 1, 2, 3, 4]


@says(
    "`clientMsgId` (at most 64 characters) names a message among those of its sender: the same one sent "
    "again is the same message, and is delivered once.",
    "200 with `duplicate: true`; 400, 401, 403, 404, 413, 429",
)
def test_the_same_message_again_is_delivered_once(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    ann.join(name)
    bob.join(name)
    first = ann.send(name, clientMsgId="c" * 64)
    again = ann.send(name, "other words", clientMsgId="c" * 64)
    assert again["duplicate"] is True and again.status in (None, 200)
    assert [again[field] for field in ("id", "seq", "ts")] == [first[field] for field in ("id", "seq", "ts")]
    bobs = bob.send(name, clientMsgId="c" * 64)
    assert bobs["seq"] == 2
    assert len(ann.hear("message:new", 2)) == len(bob.hear("message:new", 2)) == 2


@says(
    "`meta` is an object of at most 1 KiB that the server does not look into and repeats unchanged in "
    "everything the event gives rise to: in messages, in receipts, in typing signals",
    "Every event that follows from a request carries the `meta` of that request",
)
def test_meta_comes_back_in_messages_receipts_and_typing(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    ann.join(name)
    bob.join(name)
    ann.send(name, meta=META)
    ann.ask("message:read", conversationId=name, upToSeq=1, meta=META)
    ann.ask("typing:start", conversationId=name, meta=META)
    ann.ask("typing:stop", conversationId=name, meta=META)
    events = bob.events("message:new", "message:read", "typing:start", "typing:stop")
    assert [event["meta"] for event in events] == [META] * 4
    assert ann.send(name, meta={"x": "y" * 1015})["ok"]  # 1024 bytes as JSON
    assert ann.send(name, meta={"x": "y" * 1017}).code == "PAYLOAD_TOO_LARGE"


@says(
    "`message:read` | `{conversationId, upToSeq, meta?}` | `{ok, upToSeq}` | moves the read mark, "
    "forward only; `message:read` to the others if it moved",
    "`message:read` | the conversation, without the reader's socket | `{conversationId, userId, upToSeq, "
    "ts, meta?}`",
    "`POST /api/messages/read` | as `message:read` | 200 `{ok, upToSeq}`",
)
def test_a_read_mark_moves_forward_and_only_then_is_news(arrive: Any, mode: str, name: str) -> None:
    ann, bob, carl = arrive(mode=mode), arrive(), arrive(mode="polling")
    for person in (ann, bob, carl):
        person.join(name)
    marks = [ann.ask("message:read", conversationId=name, upToSeq=seq) for seq in (3, 2, 3, 5)]
    assert [mark.body for mark in marks] == [{"ok": True, "upToSeq": mark} for mark in (3, 3, 3, 5)]
    assert {mark.status for mark in marks} <= {None, 200}
    for person in (bob, carl):
        heard = person.hear("message:read", 2)
        assert [event["upToSeq"] for event in heard] == [3, 5]
        assert set(heard[0]) == {"conversationId", "userId", "upToSeq", "ts"}
        assert (heard[0]["conversationId"], heard[0]["userId"]) == (name, ann.user)
    assert ann.events("message:read") == []


@says("`message:read` | the conversation, without the reader's socket")
def test_another_device_of_the_reader_hears_how_far_they_are(arrive: Any, name: str) -> None:
    phone, laptop = arrive(name), arrive(name)
    for device in (phone, laptop):
        device.join(name)
    phone.ask("message:read", conversationId=name, upToSeq=1)
    assert len(laptop.hear("message:read")) == 1
    assert phone.events("message:read") == []


@says(
    "`typing:start`, `typing:stop` | `{conversationId, meta?}` | nothing | the same event to the others",
    "`typing:start`, `typing:stop` | the conversation, without the sender | `{conversationId, userId, "
    "ts, expiresInMs?, meta?}`",
    "`POST /api/typing` | as the event, and `state`: `start` or `stop` | 204 (or 200)",
)
def test_typing_is_told_to_the_others(arrive: Any, mode: str, name: str) -> None:
    ann, bob, carl = arrive(mode=mode), arrive(), arrive(mode="polling")
    for person in (ann, bob, carl):
        person.join(name)
    for event in ("typing:start", "typing:stop"):
        answer = ann.ask(event, conversationId=name)
        assert answer.status in (None, 204) and not answer.body
    for person in (bob, carl):
        start, stop = person.events("typing:start", "typing:stop")
        assert set(start) == {"conversationId", "userId", "ts", "expiresInMs"}
        assert (start["conversationId"], start["userId"], start["expiresInMs"]) == (name, ann.user, 5000)
        assert set(stop) == {"conversationId", "userId", "ts"}
        assert person.names("typing:") == ["typing:start", "typing:stop"]
    assert ann.names("typing:") == []


@says(
    "After 5 s without another `typing:start`, and when the socket goes, the server sends `typing:stop` "
    "by itself, with the `meta` of the start it ends.",
    "The one exception is `typing:stop`",
    "Whoever is in the room by then hears it",
)
@on("hurried")
def test_five_seconds_of_silence_end_typing(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    ann.join(name)
    bob.join(name)
    ann.ask("typing:start", conversationId=name, meta={"n": 0})
    ann.ask("typing:start", conversationId=name, meta={"n": 1})
    (stop,) = bob.hear("typing:stop")
    assert stop["meta"] == {"n": 1}
    _, second = bob.events("typing:start")
    assert stop["ts"] - second["ts"] >= 5000


@says("when the socket goes, the server sends `typing:stop` by itself, with the `meta` of the start it ends.")
def test_typing_ends_with_the_socket(arrive: Any, name: str) -> None:
    ann, bob = arrive(), arrive()
    ann.join(name)
    bob.join(name)
    ann.ask("typing:start", conversationId=name, meta=META)
    ann.drop()
    (stop,) = bob.hear("typing:stop")
    assert (stop["userId"], stop["meta"]) == (ann.user, META)


@says("`echo` | anything | the same object, and `serverTime` | nothing; no limit counts it")
def test_echo_gives_back_what_it_gets(arrive: Any) -> None:
    ann = arrive()
    answer = ann.ask("echo", {"a": [1, {"b": None}]}).body
    assert (answer.pop("serverTime") > 1e12, answer) == (True, {"a": [1, {"b": None}]})
    assert all("serverTime" in ann.ask("echo", {}).body for _ in range(101))


@says(
    "Every event carries one JSON object; receivers ignore fields they do not know, and further arguments.",
)
def test_unknown_fields_and_further_arguments_are_ignored(arrive: Any, mode: str, name: str) -> None:
    ann = arrive(mode=mode)
    ann.join(name, colour="red")
    assert ann.send(name, colour="red")["seq"] == 1
    if mode == "socket":
        ann.wire.send(
            f'4277["message:send",{{"conversationId":"{name}","body":"","clientMsgId":"x"}},"offset",1]'
        )
        until(
            lambda: [data for data in ann.events("message:new") if data["clientMsgId"] == "x"], "the message"
        )
    assert all(isinstance(data, dict) and "colour" not in data for _, data in ann.heard)


@says(
    "The server keeps messages, read marks, calls and chats whoever is connected",
    "After a reconnect the client authenticates, joins its rooms with `sinceSeq` = the last number it "
    "saw, takes `missed` into account, sends what was never acknowledged again under the same "
    "`clientMsgId`",
)
def test_what_was_said_and_read_outlives_every_socket(arrive: Any, name: str) -> None:
    ann, bob = arrive(f"ann-{name}"), arrive()
    for person in (ann, bob):
        person.join(name)
    ann.send(name, clientMsgId="c1")
    ann.ask("message:read", conversationId=name, upToSeq=7)
    ann.drop()
    bob.send(name)
    back = arrive(f"ann-{name}")
    assert [message["seq"] for message in back.join(name, sinceSeq=1)["missed"]] == [2]
    assert back.send(name, clientMsgId="c1")["duplicate"] is True
    assert back.ask("message:read", conversationId=name, upToSeq=2)["upToSeq"] == 7
