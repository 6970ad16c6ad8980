"""Does the server keep the live-chat contract over sockets, over HTTP, and between the two?"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
META = {"t": 1.5, "run": "r1", "n": 7}
Payload = dict[str, Any]


@dataclass
class Employer:
    """A server as operators see it: its tokens are theirs."""

    server: Any

    @property
    def url(self) -> str:
        return str(self.server.url)

    def token(self, user: str) -> str:
        return str(self.server.token(user, role="operator"))


@dataclass
class Desk:
    """People at one server; nobody is left on duty and no chat open for the next test."""

    server: Any
    connect: Any
    name: str
    operators: list[str] = field(default_factory=list)
    visitors: list[str] = field(default_factory=list)

    def visitor(self, who: str = "ann", **options: Any) -> Any:
        self.visitors.append(f"{who}-{self.name}")
        return self.connect(self.visitors[-1], at=self.server, **options)

    def operator(self, who: str = "olga", declares: Payload | None = None, **options: Any) -> Any:
        self.operators.append(f"{who}-{self.name}")
        peer = self.connect(self.operators[-1], at=Employer(self.server), **options)
        if declares is not None:
            assert peer.call("liveChat:operatorStatus", declares)["ok"]
        return peer

    def polling_visitor(self, who: str = "ann") -> "Poller":
        self.visitors.append(f"{who}-{self.name}")
        return Poller(self.server, self.server.token(self.visitors[-1]))

    def polling_operator(self, who: str = "olga") -> "Poller":
        self.operators.append(f"{who}-{self.name}")
        return Poller(self.server, self.server.token(self.operators[-1], role="operator"))

    def id(self, who: str) -> str:
        return f"{who}-{self.name}"

    def leave(self) -> None:
        for user in dict.fromkeys(self.operators):
            token = self.server.token(user, role="operator", ttlSec=999)
            self.server.request("PUT", "/api/live-chat/operator-status", {"status": "offline"}, token)
        for user in dict.fromkeys(self.visitors + self.operators):
            token = self.server.token(user, ttlSec=999)
            chat_id = self.server.post("/api/live-chat", {}, token).body["chatId"]
            assert self.server.post(f"/api/live-chat/{chat_id}/close", {}, token).status == 200


class Poller:
    """Somebody without a socket, who reads their feed from now on."""

    def __init__(self, server: Any, token: str) -> None:
        self.server = server
        self.token = token
        self.cursor = server.get("/api/live-chat/feed", token).body["cursor"]

    def post(self, path: str, body: object = None) -> Any:
        return self.server.request("POST", f"/api/live-chat{path}", {} if body is None else body, self.token)

    def declare(self, **declaration: Any) -> Any:
        return self.server.request("PUT", "/api/live-chat/operator-status", declaration, self.token)

    def read(self) -> list[tuple[str, Payload]]:
        page = self.server.get(f"/api/live-chat/feed?cursor={self.cursor}", self.token).body
        self.cursor = page["cursor"]
        return [(item["event"], item["data"]) for item in page["items"]]


@contextlib.contextmanager
def desk_at(server: Any, connect: Any, name: str) -> Iterator[Desk]:
    desk = Desk(server, connect, name)
    yield desk
    desk.leave()


@pytest.fixture
def desk(server: Any, connect: Any, name: str) -> Iterator[Desk]:
    with desk_at(server, connect, name) as desk:
        yield desk


@pytest.fixture
def desk_with(start: Any, connect: Any, name: str) -> Any:
    """A desk at a server of its own, with other switches."""
    return lambda *arguments, **switches: Desk(start(*arguments, **switches), connect, name)


def begin(peer: Any, **more: Any) -> Payload:
    ack: Payload = peer.call("liveChat:start", {"topic": "help", **more})
    assert ack["ok"], ack
    return ack


def say(peer: Any, chat_id: str, **more: Any) -> Payload:
    message = {"chatId": chat_id, "body": "hello", "clientMsgId": uuid.uuid4().hex, **more}
    ack: Payload = peer.call("liveChat:message", message)
    return ack


def code(ack: Payload) -> str:
    assert ack["ok"] is False
    return str(ack["error"]["code"])


def without(event: Payload, *fields: str) -> Payload:
    return {name: value for name, value in event.items() if name not in fields}


def live(peer: Any) -> list[tuple[str, Payload]]:
    """All live-chat events a peer has heard, in order."""
    peer.settle()
    return [(name, data) for name, data in peer.events if name.startswith("liveChat:")]


# -- start and assignment


def test_a_chat_is_assigned_at_once_and_both_sides_hear_it(desk: Desk) -> None:
    olga, other = desk.operator(declares={"status": "online"}), desk.operator()
    ann, phone, eve = desk.visitor(), desk.visitor(), desk.visitor("eve")
    ack = begin(ann, meta=META)
    chat_id = ack["chatId"]
    assert ack == {
        "ok": True,
        "chatId": chat_id,
        "status": "assigned",
        "operatorId": desk.id("olga"),
        "position": 0,
    }
    [assigned] = olga.wait("liveChat:assigned")
    assert assigned == {
        "chatId": chat_id,
        "visitorId": desk.id("ann"),
        "operatorId": desk.id("olga"),
        "reason": "new",
        "ts": assigned["ts"],
        "meta": META,
    }
    [status] = olga.wait("liveChat:status")
    assert status == {"chatId": chat_id, "status": "assigned", "ts": status["ts"], "meta": META}
    told = [("liveChat:assigned", assigned), ("liveChat:status", status)]
    for peer in (ann, phone, other):
        assert live(peer)[-2:] == told
        assert len(peer.named("liveChat:assigned")) == 1
    assert live(eve) == []
    again = begin(phone, meta={"n": 8})
    assert again == {**ack, "duplicate": True}
    assert live(ann) == told


def test_who_waits_is_assigned_in_order_with_the_meta_of_the_start(desk: Desk) -> None:
    ann, bob, eve = desk.visitor(), desk.visitor("bob"), desk.visitor("eve")
    acks = [begin(peer, meta={"n": number}) for number, peer in enumerate((ann, bob, eve))]
    assert [(ack["status"], ack["position"], "operatorId" in ack) for ack in acks] == [
        ("queued", 1, False),
        ("queued", 2, False),
        ("queued", 3, False),
    ]
    [queued] = bob.wait("liveChat:status")
    assert queued == {
        "chatId": acks[1]["chatId"],
        "status": "queued",
        "position": 2,
        "ts": queued["ts"],
        "meta": {"n": 1},
    }
    assert begin(eve)["position"] == 3
    olga = desk.operator()
    ack = olga.call("liveChat:operatorStatus", {"status": "online", "capacity": 2, "meta": META})
    assert ack == {"ok": True, "status": "online", "activeChats": 2, "capacity": 2}
    assert [(a["visitorId"], a["meta"]) for a in olga.wait("liveChat:assigned", 2)] == [
        (desk.id("ann"), {"n": 0}),
        (desk.id("bob"), {"n": 1}),
    ]
    assert bob.wait("liveChat:status", 2)[-1]["meta"] == {"n": 1}
    moved = eve.wait("liveChat:status", 2)[-1]
    assert without(moved, "ts") == {"chatId": acks[2]["chatId"], "status": "queued", "position": 1}
    assert olga.call("liveChat:operatorStatus", {"status": "online", "capacity": 3})["activeChats"] == 3
    assert eve.wait("liveChat:assigned")[0]["meta"] == {"n": 2}


def test_the_presence_of_an_operator_reaches_operators_and_their_chats_once(desk: Desk) -> None:
    olga, omar = desk.operator(declares={"status": "online"}), desk.operator("omar", {"status": "away"})
    ann, bob, eve = desk.visitor(), desk.visitor("bob"), desk.visitor("eve")
    begin(ann)
    begin(bob)
    for peer in (olga, omar, ann, bob):
        peer.settle()
        peer.events.clear()
    assert olga.call("liveChat:operatorStatus", {"status": "away", "meta": META})["activeChats"] == 2
    [presence] = omar.wait("liveChat:presence")
    assert presence == {
        "operatorId": desk.id("olga"),
        "status": "away",
        "activeChats": 2,
        "capacity": 5,
        "ts": presence["ts"],
        "meta": META,
    }
    for peer in (olga, omar, ann, bob):
        assert live(peer) == [("liveChat:presence", presence)]
    assert live(eve) == []
    assert begin(eve)["status"] == "queued"


def test_going_offline_gives_the_chats_to_others_at_once(desk: Desk) -> None:
    olga, omar = desk.operator(declares={"status": "online"}), desk.operator("omar")
    ann, bob = desk.visitor(), desk.visitor("bob")
    chat_id, other_id = begin(ann, meta={"n": 1})["chatId"], begin(bob, meta={"n": 2})["chatId"]
    omar.call("liveChat:operatorStatus", {"status": "online", "capacity": 1})
    assert olga.call("liveChat:operatorStatus", {"status": "offline", "meta": META})["activeChats"] == 0
    assigned = ann.wait("liveChat:assigned", 2)[-1]
    assert without(assigned, "ts") == {
        "chatId": chat_id,
        "visitorId": desk.id("ann"),
        "operatorId": desk.id("omar"),
        "reason": "reassigned",
    }
    queued = bob.wait("liveChat:status", 2)[-1]
    assert without(queued, "ts") == {"chatId": other_id, "status": "queued", "position": 1}
    assert ann.named("liveChat:presence")[-1]["meta"] == META
    assert say(ann, chat_id)["ok"]
    omar.wait("liveChat:message")
    olga.settle()
    assert olga.named("liveChat:message") == []
    assert code(say(olga, chat_id)) == "FORBIDDEN"
    assert code(olga.call("joinRoom", {"room": f"conversation:{chat_id}"})) == "FORBIDDEN"


def test_nobody_is_assigned_to_themselves(desk: Desk) -> None:
    olga = desk.operator(declares={"status": "online"})
    assert begin(olga)["status"] == "queued"
    assert begin(desk.visitor())["operatorId"] == desk.id("olga")


# -- messages


def test_messages_go_to_both_sides_with_a_seq_and_once(desk: Desk) -> None:
    olga, ann, eve = desk.operator(declares={"status": "online"}), desk.visitor(), desk.visitor("eve")
    chat_id = begin(ann)["chatId"]
    ack = say(ann, chat_id, body="hé", clientMsgId=desk.name, meta=META)
    assert set(ack) == {"ok", "id", "seq", "ts", "duplicate"}
    assert (ack["seq"], ack["duplicate"]) == (1, False)
    [seen] = olga.wait("liveChat:message")
    assert seen == {
        "id": ack["id"],
        "chatId": chat_id,
        "seq": 1,
        "senderId": desk.id("ann"),
        "senderRole": "visitor",
        "body": "hé",
        "clientMsgId": desk.name,
        "ts": ack["ts"],
        "meta": META,
    }
    assert say(ann, chat_id, body="other", clientMsgId=desk.name) == {**ack, "duplicate": True}
    reply = say(olga, chat_id)
    heard = ann.wait("liveChat:message", 2)
    assert (heard[0], heard[1]["senderRole"], heard[1]["seq"]) == (seen, "operator", reply["seq"])
    assert olga.join(chat_id, sinceSeq=0)["missed"] == heard
    assert code(say(eve, chat_id)) == "FORBIDDEN"
    assert code(eve.call("joinRoom", {"room": f"conversation:{chat_id}"})) == "FORBIDDEN"
    assert code(ann.send(chat_id)) == "FORBIDDEN"
    assert live(eve) == []


def test_who_waits_may_write_and_the_operator_catches_up(desk: Desk) -> None:
    ann = desk.visitor()
    chat_id = begin(ann)["chatId"]
    assert say(ann, chat_id, meta=META)["seq"] == 1
    olga = desk.operator(declares={"status": "online"})
    olga.wait("liveChat:assigned")
    answer = olga.join(chat_id, sinceSeq=0)
    assert (answer["missed"], answer["lastSeq"]) == (ann.wait("liveChat:message"), 1)
    assert olga.named("liveChat:message") == []


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        ("start", {"topic": 7}, "PAYLOAD_INVALID"),
        ("start", {"meta": 7}, "PAYLOAD_INVALID"),
        ("start", {"meta": {"x": "y" * 1024}}, "PAYLOAD_TOO_LARGE"),
        ("start", "topic", "PAYLOAD_INVALID"),
        ("message", {"chatId": "none", "body": "", "clientMsgId": "c"}, "CHAT_NOT_FOUND"),
        ("message", {"chatId": "none", "body": "", "clientMsgId": ""}, "PAYLOAD_INVALID"),
        ("message", {"chatId": "none", "body": "x" * 8193, "clientMsgId": "c"}, "PAYLOAD_TOO_LARGE"),
        ("close", {"chatId": "none"}, "CHAT_NOT_FOUND"),
        ("close", {}, "PAYLOAD_INVALID"),
        ("operatorStatus", {"status": "online"}, "FORBIDDEN"),
        ("accept", {"chatId": "none"}, "FORBIDDEN"),
    ],
)
def test_what_a_visitor_cannot_ask_is_refused(
    connect: Any, name: str, event: str, payload: Any, expected: str
) -> None:
    assert code(connect(name).call(f"liveChat:{event}", payload)) == expected


@pytest.mark.parametrize(
    "declaration",
    [{}, {"status": "busy"}, *({"status": "online", "capacity": n} for n in (0, 101, -1, 1.5, "5", True))],
)
def test_an_operator_declares_one_of_three_and_a_capacity(desk: Desk, declaration: Payload) -> None:
    assert code(desk.operator().call("liveChat:operatorStatus", declaration)) == "PAYLOAD_INVALID"


def test_live_chat_messages_count_for_the_rate_limit_and_nothing_else_does(desk_with: Any) -> None:
    ann = desk_with("--rate-limit", "1").visitor()
    chat_id = begin(ann)["chatId"]
    assert say(ann, chat_id)["ok"]
    assert code(say(ann, chat_id)) == "RATE_LIMITED"
    assert ann.wait("error")[0]["event"] == "liveChat:message"
    assert ann.call("liveChat:close", {"chatId": chat_id})["ok"]


# -- the end of a chat


def test_either_side_closes_once_and_the_next_in_line_moves_up(desk: Desk) -> None:
    olga = desk.operator(declares={"status": "online", "capacity": 1})
    ann, bob = desk.visitor(), desk.visitor("bob")
    chat_id = begin(ann)["chatId"]
    sent = say(ann, chat_id, clientMsgId=desk.name)
    next_id = begin(bob, meta={"n": 2})["chatId"]
    assert code(bob.call("liveChat:close", {"chatId": chat_id})) == "FORBIDDEN"
    assert olga.call("liveChat:close", {"chatId": chat_id, "meta": META}) == {"ok": True, "chatId": chat_id}
    closed = ann.wait("liveChat:status", 2)[-1]
    assert closed == {"chatId": chat_id, "status": "closed", "ts": closed["ts"], "meta": META}
    assert bob.wait("liveChat:assigned")[0]["meta"] == {"n": 2}
    assert [name for name, _ in live(olga)[-3:]] == [
        "liveChat:status",
        "liveChat:assigned",
        "liveChat:status",
    ]
    assert olga.named("liveChat:status")[-2] == closed
    for peer in (ann, olga):
        again = peer.call("liveChat:close", {"chatId": chat_id})
        assert without(again, "duplicate") == {"ok": True, "chatId": chat_id}
        assert code(say(peer, chat_id)) == "CHAT_CLOSED"
    assert say(ann, chat_id, clientMsgId=desk.name) == {**sent, "duplicate": True}
    assert ann.join(chat_id, sinceSeq=0)["lastSeq"] == 1
    assert begin(ann)["chatId"] not in (chat_id, next_id)


# -- by hand


def test_by_hand_the_first_to_accept_has_the_chat(desk_with: Any) -> None:
    desk = desk_with(LIVECHAT_ASSIGN="manual")
    olga, omar, otto = (
        desk.operator(who, {"status": status})
        for who, status in (("olga", "online"), ("omar", "online"), ("otto", "away"))
    )
    ann = desk.visitor()
    ack = begin(ann, meta=META)
    chat_id = ack["chatId"]
    assert (ack["status"], ack["position"]) == ("queued", 1)
    [queued] = ann.wait("liveChat:status")
    assert queued["meta"] == META
    assert olga.wait("liveChat:status") == omar.wait("liveChat:status") == [queued]
    otto.settle()
    assert otto.named("liveChat:status") == []
    assert code(otto.call("liveChat:accept", {"chatId": chat_id})) == "FORBIDDEN"
    accepted = {"ok": True, "chatId": chat_id, "operatorId": desk.id("omar")}
    assert omar.call("liveChat:accept", {"chatId": chat_id, "meta": {"n": 2}}) == accepted
    late = olga.call("liveChat:accept", {"chatId": chat_id})
    assert (code(late), late["error"]["operatorId"]) == ("CHAT_ALREADY_ASSIGNED", desk.id("omar"))
    assert omar.call("liveChat:accept", {"chatId": chat_id}) == {**accepted, "duplicate": True}
    assert ann.wait("liveChat:assigned")[0]["meta"] == {"n": 2}
    assert ann.wait("liveChat:status", 2)[-1]["meta"] == {"n": 2}
    olga.settle()
    assert olga.named("liveChat:assigned") == [] and len(olga.named("liveChat:status")) == 1
    omar.call("liveChat:operatorStatus", {"status": "offline"})
    back = olga.wait("liveChat:status", 2)[-1]
    assert without(back, "ts") == {"chatId": chat_id, "status": "queued", "position": 1}
    ann.call("liveChat:close", {"chatId": chat_id})
    assert code(olga.call("liveChat:accept", {"chatId": chat_id})) == "CHAT_CLOSED"


# -- absence


def test_whoever_returns_in_time_hears_their_chat_without_asking(desk: Desk, until: Any, server: Any) -> None:
    olga, ann = desk.operator(declares={"status": "online"}), desk.visitor()
    chat_id = begin(ann)["chatId"]
    for peer in (olga, ann):
        peer.close()
    until(lambda: desk.server.stats()["chats"]["orphaned"] == 1)
    olga, ann = desk.operator(), desk.visitor()
    assert desk.server.stats()["chats"]["orphaned"] == 0
    assert say(ann, chat_id, meta=META)["seq"] == 1
    assert olga.wait("liveChat:message") == ann.wait("liveChat:message")
    assert ann.join(chat_id, sinceSeq=0)["missed"] == ann.named("liveChat:message")
    assert olga.named("liveChat:assigned") == olga.named("liveChat:presence") == []
    desk.operator("omar", {"status": "online"})
    assert len(olga.wait("liveChat:presence")) == 1


def test_an_operator_who_stays_away_loses_the_chat_and_finds_the_duty_again(desk_with: Any) -> None:
    desk = desk_with(PARTY_GRACE="0.3", VISITOR_GRACE="60")
    olga, ann = desk.operator(declares={"status": "online"}), desk.visitor()
    chat_id = begin(ann, meta=META)["chatId"]
    olga.close()
    presence = ann.wait("liveChat:presence")[-1]
    assert without(presence, "ts") == {
        "operatorId": desk.id("olga"),
        "status": "offline",
        "activeChats": 0,
        "capacity": 5,
    }
    queued = ann.wait("liveChat:status", 2)[-1]
    assert without(queued, "ts") == {"chatId": chat_id, "status": "queued", "position": 1}
    omar = desk.operator("omar", {"status": "online"})
    assert without(ann.wait("liveChat:assigned", 2)[-1], "ts") == {
        "chatId": chat_id,
        "visitorId": desk.id("ann"),
        "operatorId": desk.id("omar"),
        "reason": "reassigned",
    }
    back = desk.operator()
    returned = omar.wait("liveChat:presence", 2)[-1]
    assert (returned["operatorId"], returned["status"], "meta" in returned) == (
        desk.id("olga"),
        "online",
        False,
    )
    assert back.wait("liveChat:presence") == [returned]
    assert say(ann, chat_id)["ok"]
    omar.wait("liveChat:message")
    back.settle()
    assert back.named("liveChat:message") == []
    assert begin(desk.visitor("bob"))["operatorId"] == desk.id("olga")


def test_a_visitor_who_stays_away_ends_the_chat(desk_with: Any) -> None:
    desk = desk_with(VISITOR_GRACE="0.3")
    olga, ann = desk.operator(declares={"status": "online"}), desk.visitor()
    chat_id = begin(ann, meta=META)["chatId"]
    ann.close()
    closed = olga.wait("liveChat:status", 2)[-1]
    assert without(closed, "ts") == {"chatId": chat_id, "status": "closed"}
    assert desk.server.stats()["chats"] == {"open": 0, "queued": 0, "assigned": 0, "orphaned": 0}


def test_an_operator_who_stops_polling_loses_the_chat(desk_with: Any) -> None:
    desk = desk_with(PARTY_GRACE="0.3")
    olga, ann = desk.polling_operator(), desk.visitor()
    chat_id = begin(ann, meta=META)["chatId"]
    assert olga.declare(status="online", meta={"n": 1}).body["activeChats"] == 1
    queued = ann.wait("liveChat:status", 3)[-1]
    assert without(queued, "ts") == {"chatId": chat_id, "status": "queued", "position": 1}
    told = [(name, data.get("status") or data.get("reason"), data.get("meta")) for name, data in olga.read()]
    assert told == [
        ("liveChat:presence", "online", {"n": 1}),
        ("liveChat:assigned", "new", META),
        ("liveChat:status", "assigned", META),
        ("liveChat:presence", "offline", None),
        # The read itself is a sign of life.
        ("liveChat:presence", "online", None),
        ("liveChat:assigned", "reassigned", None),
        ("liveChat:status", "assigned", None),
    ]


# -- without a socket


def test_who_polls_chats_with_who_has_a_socket(desk: Desk) -> None:
    ann, olga = desk.polling_visitor(), desk.operator(declares={"status": "online"})
    started = ann.post("", {"topic": "help", "meta": META})
    assert started.status == 201
    chat_id = started.body["chatId"]
    assert started.body == {
        "ok": True,
        "chatId": chat_id,
        "status": "assigned",
        "operatorId": desk.id("olga"),
        "position": 0,
    }
    again = ann.post("", {})
    assert (again.status, again.body["chatId"]) == (200, chat_id)
    message = {"body": "hello", "clientMsgId": desk.name, "meta": {"n": 1}}
    sent = ann.post(f"/{chat_id}/messages", message)
    assert (sent.status, sent.body["seq"]) == (201, 1)
    repeated = ann.post(f"/{chat_id}/messages", message)
    assert (repeated.status, repeated.body) == (200, {**sent.body, "duplicate": True})
    say(olga, chat_id, meta={"n": 2})
    olga.call("liveChat:operatorStatus", {"status": "away", "meta": {"n": 3}})
    closed = ann.post(f"/{chat_id}/close", {"meta": {"n": 4}})
    assert (closed.status, closed.body) == (200, {"ok": True, "chatId": chat_id})
    assert ann.post(f"/{chat_id}/close").status == 200
    over = ann.post(f"/{chat_id}/messages", {"body": "", "clientMsgId": "late"})
    assert (over.status, over.code) == (409, "CHAT_CLOSED")
    events = ann.read()
    assert events == live(olga)[1:]
    assert [(name, data["meta"]) for name, data in events] == [
        ("liveChat:assigned", META),
        ("liveChat:status", META),
        ("liveChat:message", {"n": 1}),
        ("liveChat:message", {"n": 2}),
        ("liveChat:presence", {"n": 3}),
        ("liveChat:status", {"n": 4}),
    ]
    history = ann.server.get(f"/api/conversations/{chat_id}/messages", ann.token).body["items"]
    assert history == olga.named("liveChat:message")


def test_an_operator_who_polls_takes_part_fully(desk_with: Any) -> None:
    desk = desk_with(LIVECHAT_ASSIGN="manual", PARTY_GRACE="600")
    olga, omar, ann = desk.polling_operator(), desk.polling_operator("omar"), desk.visitor()
    declared = olga.declare(status="online", capacity=2, meta=META)
    assert (declared.status, declared.body) == (
        200,
        {"ok": True, "status": "online", "activeChats": 0, "capacity": 2},
    )
    assert olga.read()[0][1]["meta"] == META
    chat_id = begin(ann)["chatId"]
    assert olga.read() == [("liveChat:status", ann.wait("liveChat:status")[0])]
    accepted = olga.post(f"/{chat_id}/accept", {"meta": META})
    assert (accepted.status, accepted.body) == (
        200,
        {"ok": True, "chatId": chat_id, "operatorId": desk.id("olga")},
    )
    omar.declare(status="online")
    late = omar.post(f"/{chat_id}/accept")
    assert (late.status, late.code) == (409, "CHAT_ALREADY_ASSIGNED")
    gone = omar.post("/none/accept")
    assert (gone.status, gone.code) == (404, "CHAT_NOT_FOUND")
    assert olga.post(f"/{chat_id}/messages", {"body": "hi", "clientMsgId": "c"}).status == 201
    assert ann.wait("liveChat:message")[0]["senderRole"] == "operator"
    stranger = omar.post(f"/{chat_id}/messages", {"body": "hi", "clientMsgId": "c"})
    assert (stranger.status, stranger.code) == (403, "FORBIDDEN")
    assert [name for name, _ in olga.read()] == [
        "liveChat:assigned",
        "liveChat:status",
        "liveChat:presence",
        "liveChat:message",
    ]
    assert [name for name, _ in omar.read()] == ["liveChat:presence"]


def test_a_feed_and_two_sockets_of_one_user_each_get_one_copy(desk: Desk) -> None:
    olga, phone, polls = desk.operator(), desk.operator(), desk.polling_operator()
    begin(olga)
    ann = desk.visitor()
    olga.call("liveChat:operatorStatus", {"status": "online"})
    begin(ann)
    say(ann, begin(ann)["chatId"])
    olga.wait("liveChat:message")
    assert live(olga) == live(phone) == polls.read()
    assert [name for name, _ in live(olga)] == [
        "liveChat:status",
        "liveChat:presence",
        "liveChat:assigned",
        "liveChat:status",
        "liveChat:message",
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/feed"),
        ("POST", ""),
        ("POST", "/c/messages"),
        ("POST", "/c/accept"),
        ("POST", "/c/close"),
        ("PUT", "/operator-status"),
    ],
)
def test_every_route_wants_a_token(server: Any, method: str, path: str) -> None:
    reply = server.request(method, f"/api/live-chat{path}", {} if method != "GET" else None)
    assert (reply.status, reply.code) == (401, "NOT_AUTHENTICATED")


def test_the_server_counts_its_chats(desk_with: Any) -> None:
    desk = desk_with()
    desk.operator(declares={"status": "online", "capacity": 1})
    begin(desk.visitor())
    begin(desk.visitor("bob"))
    stats = desk.server.stats()
    assert stats["chats"] == {"open": 2, "queued": 1, "assigned": 1, "orphaned": 0}
    assert stats["accepted"]["liveChat:start"] == 2
    assert stats["emitted"]["liveChat:assigned"] == 2
