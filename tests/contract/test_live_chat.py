"""Does a visitor find help, and keep it, as the page says?

Chats are given to whoever is on duty in the whole server, so each test leaves nobody there (see Person.go).
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from contract_people import Person, until
from contract_sentences import says
from contract_servers import on

META = {"run": "r1", "n": 1}


def on_duty(operator: Person, status: str = "online", **more: object) -> Person:
    """The operator, who has said so."""
    assert operator.ask("liveChat:operatorStatus", status=status, **more)["status"] == status
    return operator


def started(visitor: Person, status: str, **more: object) -> str:
    """The id of the chat of a visitor."""
    answer = visitor.ask("liveChat:start", **more)
    assert answer["status"] == status
    return str(answer["chatId"])


def say(person: Person, chat: str, body: str = "hello", **more: object) -> Any:
    """The answer to something that was said."""
    return person.ask("liveChat:message", chatId=chat, body=body, **{"clientMsgId": uuid.uuid4().hex, **more})


@pytest.fixture
def pair(arrive: Any, mode: str) -> tuple[Person, Person]:
    """A visitor by the mode of the test, and an operator by the other, who is on duty."""
    operator = arrive(role="operator", mode="polling" if mode == "socket" else "socket")
    return arrive(mode=mode), on_duty(operator)


@says(
    "`liveChat:start` | `{topic?, meta?}` | `{ok, chatId, status, operatorId?, position}`; `status` is "
    "`assigned` or `queued`, `position` counts from 1 in the queue and is 0 outside | somebody is "
    "assigned, or the visitor waits.",
    "`POST /api/live-chat` | as `liveChat:start` | 201, as its acknowledgement",
)
def test_a_visitor_gets_an_operator_or_a_place_in_the_queue(arrive: Any, mode: str) -> None:
    first, second, third = arrive(mode=mode), arrive(), arrive(mode=mode)
    waiting = [visitor.ask("liveChat:start", topic="a parcel") for visitor in (first, second)]
    assert [answer.fields for answer in waiting] == [{"ok", "chatId", "status", "position"}] * 2
    assert [(answer["status"], answer["position"]) for answer in waiting] == [("queued", 1), ("queued", 2)]
    operator = on_duty(arrive(role="operator"), capacity=3)
    answer = third.ask("liveChat:start", {})
    assert answer.fields == {"ok", "chatId", "status", "operatorId", "position"}
    assert (answer["status"], answer["operatorId"], answer["position"]) == ("assigned", operator.user, 0)
    assert answer.status in (None, 201)


@says(
    "A visitor has one open chat at most.",
    "Who has an open chat gets that one again, with `duplicate: true`",
    "as its acknowledgement; 200 with `duplicate: true` |",
)
def test_a_visitor_has_one_open_chat(pair: Any) -> None:
    ann, _ = pair
    chat = started(ann, "assigned")
    again = ann.ask("liveChat:start", {})
    assert (again["chatId"], again["duplicate"], again.status in (None, 200)) == (chat, True, True)
    ann.ask("liveChat:close", chatId=chat)
    assert started(ann, "assigned") != chat


@says(
    "`liveChat:operatorStatus` | `{status, capacity?, meta?}`; `status` is `online`, `away` or `offline` "
    "| `{ok, status, activeChats, capacity}` | operators only. Online takes waiting chats, up to "
    "`capacity` (5 at first) at a time; away keeps what there is; offline gives it to others",
    "`PUT /api/live-chat/operator-status` | as `liveChat:operatorStatus` | 200, as its acknowledgement; 403",
)
def test_online_takes_away_keeps_and_offline_gives_back(arrive: Any, mode: str) -> None:
    visitors = [arrive() for _ in range(6)]
    operator = arrive(role="operator", mode=mode)
    chats = [started(visitor, "queued") for visitor in visitors]
    answers = [
        operator.ask("liveChat:operatorStatus", status=status, **more)
        for status, more in (("online", {}), ("online", {"capacity": 6}), ("away", {}), ("offline", {}))
    ]
    assert [tuple(answer.body.values())[1:] for answer in answers] == [
        ("online", 5, 5),
        ("online", 6, 6),
        ("away", 6, 6),
        ("offline", 0, 6),
    ]
    assert answers[0].fields == {"ok", "status", "activeChats", "capacity"}
    assert {answer.status for answer in answers} <= {None, 200}
    again = [visitor.ask("liveChat:start", {}) for visitor in visitors]
    assert [(one["chatId"], one["status"], one["position"]) for one in again] == [
        (chat, "queued", place) for place, chat in enumerate(chats, 1)
    ]


@says(
    'Operators are users whose token says `role: "operator"`.',
    "operators only.",
    "`FORBIDDEN` answers whoever is no party, no operator, or has no room; and `message:send`, which is "
    "for conversations.",
)
def test_what_is_not_yours_is_forbidden(arrive: Any, pair: Any, mode: str) -> None:
    ann, _ = pair
    chat = started(ann, "assigned")
    eve = arrive(mode=mode)
    answers = [
        eve.ask("liveChat:operatorStatus", status="online"),
        eve.ask("liveChat:accept", chatId=chat),
        say(eve, chat),
        eve.ask("liveChat:close", chatId=chat),
        eve.ask("joinRoom", room=f"conversation:{chat}"),
        ann.send(chat),
    ]
    assert [answer.code for answer in answers] == ["FORBIDDEN"] * len(answers)
    assert {answer.status for answer in answers} <= {None, 403}


@says(
    "`liveChat:accept` | `{chatId, meta?}` | `{ok, chatId, operatorId}` | where chats are taken by hand: "
    "the first operator gets it, the next is refused with `CHAT_ALREADY_ASSIGNED` and `operatorId`",
    "`CHAT_CLOSED`, `CHAT_ALREADY_ASSIGNED` | too late to write or accept; another operator was faster | 409",
    "`POST /api/live-chat/{chatId}/accept` | as `liveChat:accept` | 200, as its acknowledgement; 403, "
    "404, 409",
    "An assignment carries the `meta` of the start it answers, however long the visitor waited, and a "
    "`liveChat:accept` its own.",
)
@on("manual")
def test_the_first_operator_who_accepts_gets_the_chat(arrive: Any, mode: str) -> None:
    ann = arrive()
    quick, slow, full = (on_duty(arrive(role="operator", mode=mode), capacity=1) for _ in range(3))
    chat = started(ann, "queued", meta={"n": 1})
    taken = quick.ask("liveChat:accept", chatId=chat, meta={"n": 2})
    assert taken.body == {"ok": True, "chatId": chat, "operatorId": quick.user}
    late = slow.ask("liveChat:accept", chatId=chat)
    assert (late.code, late.error["operatorId"]) == ("CHAT_ALREADY_ASSIGNED", quick.user)
    assert (taken.status, late.status) in ((None, None), (200, 409))
    (assigned,) = ann.hear("liveChat:assigned")
    assert assigned["meta"] == {"n": 2}
    other = started(arrive(), "queued")
    assert full.ask("liveChat:accept", chatId=other)["operatorId"] == full.user
    no_room = quick.ask("liveChat:accept", chatId=started(arrive(), "queued"))
    assert (no_room.code, no_room.status in (None, 403)) == ("FORBIDDEN", True)


@says(
    "`liveChat:status` | the chat; of a new one that waits also the operators who are online, where "
    "chats are taken by hand | `{chatId, status, position?, ts, meta?}`; `status` is `queued`, "
    "`assigned` or `closed`",
)
@on("manual")
def test_operators_hear_of_a_chat_that_waits_for_one_of_them(arrive: Any, mode: str) -> None:
    ann, operator = arrive(), on_duty(arrive(role="operator", mode=mode))
    away = on_duty(arrive(role="operator", mode=mode), "away")
    chat = started(ann, "queued", meta=META)
    for person in (ann, operator):
        (status,) = person.hear("liveChat:status")
        assert status.pop("ts") > 1e12
        assert status == {"chatId": chat, "status": "queued", "position": 1, "meta": META}
    assert away.events("liveChat:status") == []
    operator.ask("liveChat:accept", chatId=chat, meta={"n": 2})
    ann.ask("liveChat:close", chatId=chat, meta={"n": 3})
    for person in (ann, operator):
        told = [
            (one["status"], one["meta"], one.get("position")) for one in person.hear("liveChat:status", 3)
        ]
        assert told == [("queued", META, 1), ("assigned", {"n": 2}, None), ("closed", {"n": 3}, None)]


@says(
    "`liveChat:message` | `{chatId, body, clientMsgId, meta?}`, `body` up to 8192 characters | `{ok, id, "
    "seq, ts, duplicate}` | `liveChat:message` to both parties, the sender included",
    "`liveChat:message` | the chat, sender included | `{id, chatId, seq, senderId, senderRole, body, "
    "clientMsgId, ts, meta?}`; `senderRole` is `visitor` or `operator`",
    "Its two parties, and nobody else, belong to `conversation:<chatId>`: the server puts their sockets "
    "there, those of an operator when the chat is assigned.",
    "A party of a call or of a chat needs no such step: its feed is its own.",
    "or of a live chat that follows from the request",
    "`POST /api/live-chat/{chatId}/messages` | as `liveChat:message` | 201, as its acknowledgement; 200 "
    "with `duplicate: true`; 403, 404, 409, 413, 429",
)
def test_both_parties_hear_what_is_said(arrive: Any, pair: Any) -> None:
    ann, operator = pair
    device, stranger = arrive(operator.user, role="operator"), arrive(role="operator")
    chat = started(ann, "assigned")
    expected = []
    for seq, (person, role) in enumerate(((ann, "visitor"), (operator, "operator")), 1):
        said = say(person, chat, f"I am the {role}", clientMsgId=role, meta=META)
        assert said.fields == {"ok", "id", "seq", "ts", "duplicate"} and said.status in (None, 201)
        assert (said["seq"], said["duplicate"]) == (seq, False)
        again = say(person, chat, clientMsgId=role)
        assert (again["id"], again["duplicate"], again.status in (None, 200)) == (said["id"], True, True)
        expected.append(
            {
                "id": said["id"],
                "chatId": chat,
                "seq": seq,
                "senderId": person.user,
                "senderRole": role,
                "body": f"I am the {role}",
                "clientMsgId": role,
                "ts": said["ts"],
                "meta": META,
            }
        )
    for person in (ann, operator, device):
        assert person.hear("liveChat:message", 2) == expected
    assert stranger.events("liveChat:message") == []


@says(
    "What is said has a `seq` as in any conversation, so `joinRoom` with `sinceSeq` brings what a party "
    "has missed.",
)
def test_a_party_gets_what_it_has_missed(pair: Any) -> None:
    ann, operator = pair
    chat = started(ann, "assigned")
    for body in "abc":
        say(operator, chat, body)
    joined = ann.ask("joinRoom", room=f"conversation:{chat}", sinceSeq=1)
    assert joined["missed"] == operator.events("liveChat:message")[1:]
    assert [one["body"] for one in joined["missed"]] == ["b", "c"]


@says(
    "`liveChat:close` | `{chatId, meta?}` | `{ok, chatId}` | either party ends the chat; who comes "
    "second gets the same answer with `duplicate: true`",
    "In a closed chat nothing can be said (`CHAT_CLOSED`)",
    "`POST /api/live-chat/{chatId}/close` | as `liveChat:close` | 200, as its acknowledgement; 403, 404",
)
@pytest.mark.parametrize("who", ["visitor", "operator"])
def test_either_party_ends_the_chat(pair: Any, who: str) -> None:
    first, second = pair if who == "visitor" else reversed(pair)
    chat = started(pair[0], "assigned")
    closed = first.ask("liveChat:close", chatId=chat, meta=META)
    again = second.ask("liveChat:close", chatId=chat)
    assert (closed.body, again.body) == (
        {"ok": True, "chatId": chat},
        {"ok": True, "chatId": chat, "duplicate": True},
    )
    assert {closed.status, again.status} <= {None, 200}
    for person in pair:
        assert [(one["status"], one.get("meta")) for one in person.hear("liveChat:status", 2)][1:] == [
            ("closed", META)
        ]
        late = say(person, chat)
        assert (late.code, late.status in (None, 409)) == ("CHAT_CLOSED", True)


@says(
    "`liveChat:assigned` | the visitor and the operator, every device | `{chatId, visitorId, operatorId, "
    "reason, ts, meta?}`; `reason` is `new` or `reassigned`",
    "An assignment carries the `meta` of the start it answers, however long the visitor waited",
)
def test_an_assignment_is_told_to_every_device_of_both(arrive: Any, mode: str) -> None:
    ann = arrive(mode=mode)
    devices = [ann, arrive(ann.user), arrive(ann.user, mode="polling")]
    chat = started(ann, "queued", meta=META)
    operator = arrive(role="operator", mode=mode)
    devices += [operator, arrive(operator.user, role="operator")]
    on_duty(operator, meta={"n": 2})
    for person in devices:
        (assigned,) = person.hear("liveChat:assigned")
        assert assigned.pop("ts") > 1e12
        assert assigned == {
            "chatId": chat,
            "visitorId": ann.user,
            "operatorId": operator.user,
            "reason": "new",
            "meta": META,
        }
        assert person.events("liveChat:status")[-1]["status"] == "assigned"


@says(
    "`liveChat:presence` | all operators, and the chats that this one has | `{operatorId, status, "
    "activeChats, capacity, ts, meta?}`",
    "it carries the `meta` of a `liveChat:operatorStatus`",
)
def test_operators_and_their_visitors_hear_of_an_operator(arrive: Any, mode: str) -> None:
    operator = on_duty(arrive(role="operator", mode=mode))
    colleague = on_duty(arrive(role="operator"), "offline")
    ann, stranger = arrive(), arrive()
    started(ann, "assigned")
    on_duty(operator, "away", capacity=7, meta=META)
    for person in (ann, colleague, operator):
        presence = person.events("liveChat:presence")[-1]
        assert presence.pop("ts") > 1e12
        assert presence == {
            "operatorId": operator.user,
            "status": "away",
            "activeChats": 1,
            "capacity": 7,
            "meta": META,
        }
    assert stranger.events("liveChat:presence") == []


@says(
    "The next chat goes to the operator who is online, has room and has the fewest; among equals to the "
    "one who has been online longest.",
)
def test_the_least_busy_then_the_longest_online_gets_the_next(arrive: Any, mode: str) -> None:
    first, second = (on_duty(arrive(role="operator", mode=mode), capacity=2) for _ in range(2))
    away = on_duty(arrive(role="operator", mode=mode), "away")
    on_duty(first, "away")
    on_duty(first)  # and has been online for less time than the second now
    order = [arrive().ask("liveChat:start", {}).body.get("operatorId") for _ in range(5)]
    assert order == [second.user, first.user, second.user, first.user, None]
    assert away.user not in order


@says(
    "A visitor who waits hears `liveChat:status` with the new `position` as the queue gets shorter, once "
    "a second at most and without `meta`.",
)
@on("hurried")
def test_who_waits_hears_of_a_new_place(arrive: Any, mode: str) -> None:
    first, second, ann = arrive(), arrive(), arrive(mode=mode)
    for visitor in (first, second, ann):
        started(visitor, "queued", meta=META)
    first.ask("liveChat:close", chatId=first.chats[0])
    until(
        lambda: [one.get("position") for one in ann.events("liveChat:status")] == [3, 2], "the second place"
    )
    second.ask("liveChat:close", chatId=second.chats[0])
    until(
        lambda: [one.get("position") for one in ann.events("liveChat:status")] == [3, 2, 1], "the first place"
    )
    moved = ann.events("liveChat:status")[1:]
    assert [set(one) for one in moved] == [{"chatId", "status", "position", "ts"}] * 2
    assert moved[1]["ts"] - moved[0]["ts"] >= 1000


@says(
    "An operator who goes offline",
    "gives all chats back: each is `reassigned`, or `queued` again in the order of the starts, without "
    "`meta`.",
    "`liveChat:presence` comes first; it carries the `meta` of a `liveChat:operatorStatus`",
)
def test_the_chats_of_an_operator_who_goes_offline(arrive: Any, mode: str) -> None:
    operator = on_duty(arrive(role="operator", mode=mode))
    visitors = [arrive() for _ in range(3)]
    chats = [started(visitor, "assigned", meta=META) for visitor in visitors]
    successor = on_duty(arrive(role="operator"), capacity=1)
    on_duty(operator, "offline", meta={"n": 2})
    names = visitors[0].names("liveChat:")
    assert names[2:] == ["liveChat:presence", "liveChat:assigned", "liveChat:status"]
    assert [one.get("meta") for one in visitors[0].events("liveChat:presence")] == [{"n": 2}]
    assigned = visitors[0].events("liveChat:assigned")[-1]
    assert (assigned["operatorId"], assigned["reason"], "meta" in assigned) == (
        successor.user,
        "reassigned",
        False,
    )
    for place, visitor in enumerate(visitors[1:], 1):
        status = visitor.events("liveChat:status")[-1]
        assert (status["status"], status["position"], "meta" in status) == ("queued", place, False)
        assert visitor.ask("liveChat:start", {})["chatId"] == chats[place]
    assert say(operator, chats[0]).code == "FORBIDDEN"


@says(
    "or has had no socket and has asked for nothing for more than 10 s, gives all chats back",
    "and none where an operator was lost or came back.",
    "what the server does by itself carries none.",
)
@on("hurried")
def test_the_chats_of_an_operator_who_is_lost(arrive: Any, mode: str) -> None:
    operator = on_duty(arrive(role="operator", mode=mode), meta=META)
    ann = arrive()
    started(ann, "assigned", meta=META)
    last = ann.ask("echo", {}).body["serverTime"]
    if mode == "socket":
        operator.drop()
    lost = ann.hear("liveChat:presence")[-1]
    assert (lost["status"], "meta" in lost, lost["ts"] - last > 8_000) == ("offline", False, True)
    status = ann.events("liveChat:status")[-1]
    assert (status["status"], "meta" in status) == ("queued", False)
    arrive(operator.user, role="operator", mode=mode)
    back = ann.hear("liveChat:assigned", 2)[-1]
    assert (back["operatorId"], back["reason"], "meta" in back) == (operator.user, "reassigned", False)


@says("A visitor who has been gone for more than 60 s has left: the chat is `closed`, without `meta`.")
@on("hurried")
def test_a_visitor_who_is_gone_for_a_minute_has_left(arrive: Any, mode: str) -> None:
    operator = on_duty(arrive(role="operator"))
    ann = arrive(mode=mode)
    started(ann, "assigned", meta=META)
    last = operator.ask("echo", {}).body["serverTime"]
    if mode == "socket":
        ann.drop()
    until(lambda: operator.events("liveChat:status")[-1]["status"] == "closed", "a closed chat")
    closed = operator.events("liveChat:status")[-1]
    assert (set(closed), closed["ts"] - last > 58_000) == ({"chatId", "status", "ts"}, True)


@says("A visitor who has been gone for more than 60 s has left")
@on("hurried")
def test_an_operator_who_waits_for_another_one_is_not_gone_while_they_say_something(arrive: Any) -> None:
    both, clock = arrive(role="operator", mode="polling"), arrive()
    chat = started(both, "queued")
    began = clock.ask("echo", {}).body["serverTime"]
    for after in range(10_000, 80_000, 10_000):
        until(lambda after=after: clock.ask("echo", {}).body["serverTime"] - began >= after, "ten seconds")
        on_duty(both)
    again = both.ask("liveChat:start", {})
    assert (again["chatId"], again["duplicate"]) == (chat, True)


@says(
    "it is forgotten after five minutes, then `CHAT_NOT_FOUND`.",
    "`CHAT_NOT_FOUND` | no such chat, or one that was closed long ago | 404",
)
@on("racing")
def test_a_closed_chat_is_forgotten_after_five_minutes(arrive: Any, mode: str) -> None:
    ann, clock = arrive(mode=mode), arrive()
    chat = started(ann, "queued")
    closed = clock.ask("echo", {}).body["serverTime"]
    assert ann.ask("liveChat:close", chatId=chat)["ok"]
    until(lambda: say(ann, chat).code == "CHAT_NOT_FOUND", "a forgotten chat")
    assert say(ann, chat).status in (None, 404)
    assert clock.ask("echo", {}).body["serverTime"] - closed >= 300_000
