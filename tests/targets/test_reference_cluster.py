"""Do several instances on one Redis behave as one server?"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

# importlib mode does not make the tools beside the tests importable
sys.path.append(str(Path(__file__).parent))

from redis_server import RedisServer, redis_server

from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.shared import SharedStateError
from loadtest.targets.reference.shared.footing import agree

pytestmark = pytest.mark.e2e
Join = Callable[..., Any]
Until = Callable[..., None]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


SWITCHES = {"RATE_LIMIT": "0", "INSTANCE_TIMEOUT": "0.8", "PRESENCE_GRACE": "0.5", "PARTY_GRACE": "1"}


@pytest.fixture
def join(start: Any, redis: RedisServer, name: str) -> Join:
    """Starts an instance of a cluster of this test alone."""

    def joined(instance: str, at: RedisServer = redis, **switches: str) -> Any:
        return start(**{**SWITCHES, "REDIS_URL": at.url, "CLUSTER": name, "INSTANCE": instance, **switches})

    return joined


@pytest.fixture(scope="module")
def pair(start_once: Any, redis: RedisServer) -> tuple[Any, Any]:
    """Two instances that nothing happens to."""
    shared = {**SWITCHES, "REDIS_URL": redis.url, "CLUSTER": "pair"}
    return start_once(**shared, INSTANCE="a"), start_once(**shared, INSTANCE="b")


def both(*acts: Callable[[], Any]) -> list[Any]:
    """What they return, done at the same time."""
    ready = threading.Barrier(len(acts))

    def act(one: Callable[[], Any]) -> Any:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def alike(server: Any, names: str) -> None:
    """All instances have the same copy of the state."""
    told = server.get("/__digest").body["digests"]
    assert sorted(told) == list(names)
    assert len(set(told.values())) == 1, told


def listed(server: Any) -> dict[str, Any]:
    return {row["instance"]: row for row in server.stats()["instances"]}


# -- what is said


def test_a_room_is_one_room(pair: Any, connect: Any, until: Until, name: str) -> None:
    a, b = pair
    assert a.get("/api/config").body["instance"] == "a"
    until(lambda: a.stats()["sockets"] == 0)
    ann, bob = connect(f"ann{name}", a), connect(f"bob{name}", b)
    assert [peer.wait("authenticated")[0]["instance"] for peer in (ann, bob)] == ["a", "b"]
    assert (ann.join(name)["members"], bob.join(name)["members"]) == (1, 2)

    before = b.stats()
    acks = both(lambda: [ann.send(name) for _ in range(40)], lambda: [bob.send(name) for _ in range(40)])
    assert sorted(ack["seq"] for half in acks for ack in half) == list(range(1, 81))
    assert len({ack["id"] for half in acks for ack in half}) == 80
    for peer in (ann, bob):
        assert [one["seq"] for one in peer.wait("message:new", 80)] == list(range(1, 81))

    # one message of one sender, sent by two devices at once
    tablet = connect(f"ann{name}", b)
    tablet.join(name)
    again = uuid.uuid4().hex
    one, other = both(lambda: ann.send(name, clientMsgId=again), lambda: tablet.send(name, clientMsgId=again))
    assert (one["seq"], one["id"]) == (81, other["id"])
    assert {one["duplicate"], other["duplicate"]} == {True, False}

    # whoever comes back elsewhere misses nothing
    bob.close()
    until(lambda: a.stats()["sockets"] == 2)
    assert ann.send(name)["seq"] == 82
    back = connect(f"bob{name}", a).join(name, sinceSeq=78)
    assert [one["seq"] for one in back["missed"]] == [79, 80, 81, 82]
    assert back["members"] == 2

    # all of it counts once, whoever is asked
    for server in pair:
        stats = server.stats()
        assert (stats["instance"], list(listed(server))) == ("a" if server is a else "b", ["a", "b"])
        kinds = ("received", "accepted", "emitted")
        counted = {kind: Counter(stats[kind]) - Counter(before[kind]) for kind in kinds}
        assert (counted["received"]["message:send"], counted["accepted"]["message:send"]) == (83, 82)
        assert counted["emitted"]["message:new"] == 80 * 2 + 3 + 2
        assert stats["sockets"] == sum(row["sockets"] for row in stats["instances"]) == 3
    alike(a, "ab")


def test_a_feed_is_the_same_wherever_it_is_read(pair: Any, connect: Any, name: str) -> None:
    a, b = pair
    token, bob = a.token(f"ann{name}"), connect(f"bob{name}", b)
    bob.join(name)
    assert a.post("/api/rooms/join", {"room": f"conversation:{name}"}, token).body["members"] == 2
    cursor, before = b.get("/api/messages/feed", token).body["cursor"], a.stats()["emitted"]
    for turn in range(20):
        # what one instance has acknowledged, the other knows
        assert bob.send(name)["seq"] == turn + 1
        page = a.get(f"/api/messages/feed?cursor={cursor}", token)
        assert [item["data"]["seq"] for item in page.body["items"]] == [turn + 1]
        cursor = page.body["cursor"]
        unchanged = b.get(f"/api/messages/feed?cursor={cursor}", token, If_None_Match=page.headers["ETag"])
        assert unchanged.status == 304
        history = b.get(f"/api/conversations/{name}/messages?afterSeq={turn}", token).body
        assert [item["seq"] for item in history["items"]] == [turn + 1] == [history["lastSeq"]]
    assert a.stats()["emitted"]["message:new"] - before.get("message:new", 0) == 40


def test_calls_and_presence_know_no_instances(pair: Any, connect: Any, until: Until, name: str) -> None:
    a, b = pair
    caller, callee = f"ann{name}", f"bob{name}"
    until(lambda: a.stats()["sockets"] == 0)
    ended = b.stats()["calls"]["ended"]
    ann, phone, desk = (
        connect(caller, a),
        connect(callee, a, device="phone"),
        connect(callee, b, device="desk"),
    )
    for peer in (ann, phone, desk):
        peer.join(name)
    call = ann.call("call:initiate", {"calleeId": callee, "media": "audio"})
    assert call["devices"] == 2
    for peer in (phone, desk):
        assert peer.wait("call:incoming")[0]["callId"] == call["callId"]
    answering = ("call:answer", {"callId": call["callId"]})
    answers = both(lambda: phone.call(*answering), lambda: desk.call(*answering))
    [lost] = [answer for answer in answers if not answer["ok"]]
    assert lost["error"]["code"] == "CALL_ALREADY_ANSWERED"
    assert len([answer for answer in answers if answer["ok"]]) == 1
    for peer in (ann, phone, desk):
        [answered] = peer.wait("call:answered")
        assert answered["answeredBy"] == lost["error"]["answeredBy"]

    # one device of two is nobody's leaving
    phone.close()
    until(lambda: a.stats()["sockets"] == 2)
    time.sleep(1.2)  # longer than both graces
    assert ann.call("presence:get", {"userIds": [callee]})["presence"] == [
        {"userId": callee, "status": "online", "devices": 1}
    ]
    assert ann.named("presence:update") == ann.named("call:ended") == []
    desk.close()
    assert [one["status"] for one in ann.wait("presence:update")] == ["offline"]
    assert ann.wait("call:ended")[0]["reason"] == "disconnect"
    assert b.stats()["calls"]["ended"] == ended + 1


# -- what goes wrong


def test_an_instance_that_dies_leaves_nobody_behind(join: Join, connect: Any, until: Until) -> None:
    """The one that is killed is the one that let time pass."""
    b, a = join("b"), join("a")
    olga, omar = connect("olga", b, role="operator"), connect("omar", a, role="operator")
    for operator in (olga, omar):
        assert operator.call("liveChat:operatorStatus", {"status": "online"})["ok"]
    ann = connect("ann", a)
    ann.join("c")
    olga.join("c")
    chat = ann.call("liveChat:start", {})
    assert (chat["status"], chat["operatorId"]) == ("assigned", "olga")
    assert olga.wait("liveChat:assigned")[0]["chatId"] == chat["chatId"]
    olga.send("c")
    counted = a.stats()

    b.process.send_signal(signal.SIGKILL)
    for peer in (ann, omar):
        until(
            lambda peer=peer: any(one["operatorId"] == "omar" for one in peer.named("liveChat:assigned")), 20
        )
        assert peer.named("liveChat:assigned")[-1]["reason"] == "reassigned"
    until(lambda: any(one["status"] == "offline" for one in ann.named("presence:update")))
    stats = a.stats()
    assert (stats["sockets"], stats["users"]) == (2, 2)
    assert stats["accepted"]["message:send"] == counted["accepted"]["message:send"] == 1
    gone = listed(a)["b"]
    assert (gone["gone"], gone["sockets"]) == (True, 0)
    assert "gone" not in listed(a)["a"]

    # and whoever comes later knows all of it
    late = join("z", INSTANCE_TIMEOUT="60")
    assert connect("olga", late).join("c", sinceSeq=0)["missed"][0]["senderId"] == "olga"
    said = omar.call("liveChat:message", {"chatId": chat["chatId"], "body": "", "clientMsgId": "1"})
    assert said["seq"] == 1
    alike(late, "az")

    # one that ends by itself says so: its sign of life would hold for a minute
    assert ann.named("presence:update")[-1]["status"] == "online"
    assert (late.stop(), late.process.stderr.read()) == (0, "")
    until(lambda: ann.named("presence:update")[-1]["status"] == "offline")


@pytest.mark.proof
def test_redis_may_stand_still(join: Join, connect: Any, until: Until) -> None:
    with redis_server() as own:
        a, b = join("a", own), join("b", own)
        ann, bob = connect("ann", a), connect("bob", b)
        for peer in (ann, bob):
            peer.join("c")
        acked: list[int] = []
        talking = threading.Event()

        def talk() -> None:
            while not talking.is_set():
                acked.append(ann.send("c")["seq"])

        with ThreadPoolExecutor(1) as threads:
            talk_on = threads.submit(talk)
            until(lambda: len(acked) > 5)
            own.pause()
            time.sleep(2)
            own.resume()
            before = len(acked)
            until(lambda: len(acked) > before + 5)
            talking.set()
            talk_on.result()
        assert acked == list(range(1, len(acked) + 1))
        assert [one["seq"] for one in bob.wait("message:new", len(acked))] == acked

        own.pause()
        answer = ann.send("c", clientMsgId="waits")
        assert (answer["ok"], answer["error"]["code"]) == (False, "INTERNAL")
        assert "cannot be reached" in answer["error"]["message"]
        assert "serverTime" in ann.call("echo", {})
        own.resume()
        again = ann.send("c", clientMsgId="waits")
        assert again["seq"] == len(acked) + 1
        assert [one["seq"] for one in bob.wait("message:new", len(acked) + 1)] == [*acked, again["seq"]]
        # nobody was taken for dead meanwhile
        assert (a.stats()["sockets"], a.stats()["users"]) == (2, 2)
        alike(b, "ab")
        for server in (a, b):
            server.stop()
            lines = server.process.stderr.read().splitlines()
            assert [line.rpartition(" ")[2] for line in lines[1::2]] == ["back"] * (len(lines) // 2)
            assert all("is lost" in line and own.url in line for line in lines[::2]) and len(lines) >= 2


def test_a_redis_that_has_forgotten_everything_ends_the_instance(join: Join, connect: Any) -> None:
    with redis_server() as own:
        a = join("a", own)
        connect("ann", a)
        own.stop()
        with redis_server(own.port):
            assert a.process.wait(20) == 2
        assert "has come back without the log" in a.process.stderr.read()


def test_a_redis_that_is_not_there_is_one_line_and_exit_2() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "loadtest", "serve", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "REDIS_URL": "redis://me:secret@127.0.0.1:1/0"},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    assert "redis://me:***@127.0.0.1:1/0" in result.stderr and "redis-server" in result.stderr


def test_who_reckons_otherwise_does_not_join(redis: RedisServer, name: str) -> None:
    settings = Settings(redis_url=redis.url, cluster=name, instance="a")
    footing = agree(settings)
    assert agree(replace(settings, instance="b", port=1)) == footing
    assert agree(replace(settings, cluster=f"{name}2")).boot != footing.boot
    with pytest.raises(SharedStateError, match=r"RATE_LIMIT=100, here it is 7.*another CLUSTER"):
        agree(replace(settings, rate_limit=7))
    for words in (("SET", f"{name}3:log", "x"), ("XADD", f"{name}3:log", "1-1", "a", "b")):
        redis.ask("DEL", f"{name}3:log")
        redis.ask(*words)
        with pytest.raises(SharedStateError, match=f"{name}3:log .* no log of this server"):
            agree(replace(settings, cluster=f"{name}3"))


# -- anything, in any order

USERS = ["ann", "bob", "eve", "olga", "omar"]


class Crowd:
    """People who do anything that comes to their mind, wherever they happen to be."""

    def __init__(self, seed: int, servers: list[Any], connect: Any) -> None:
        self._random = random.Random(seed)
        self._servers = servers
        self._connect = connect
        self._peers: list[tuple[str, Any]] = []
        self._calls: list[str] = []
        self._chats: list[str] = []
        self._tokens = {user: servers[0].token(user, role=self._role(user)) for user in USERS}

    @staticmethod
    def _role(user: str) -> str:
        return "operator" if user.startswith("o") else "user"

    def act(self) -> None:
        doing = self._random.choice(
            [
                self._come,
                self._go,
                self._say,
                self._say,
                self._ask,
                self._ask,
                self._poll,
                self._call,
                self._chat,
            ]
        )
        doing()

    def _come(self) -> None:
        if len(self._peers) < 8:
            user, server = self._random.choice(USERS), self._random.choice(self._servers)
            self._peers.append((user, self._connect(user, server, role=self._role(user))))

    def _go(self) -> None:
        if len(self._peers) > 4:
            self._peers.pop(self._random.randrange(len(self._peers)))[1].close()

    def _do(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        if not self._peers:
            return {}
        _, peer = self._random.choice(self._peers)
        answer: dict[str, Any] = peer.call(event, payload)
        return answer

    def _say(self) -> None:
        message = {"body": "x", "clientMsgId": str(self._random.randrange(200))}
        self._do("message:send", {**message, "conversationId": self._room()})
        if self._chats:
            self._do("liveChat:message", {**message, "chatId": self._random.choice(self._chats)})

    def _ask(self) -> None:
        room = self._room()
        event, payload = self._random.choice(
            [
                ("joinRoom", {"room": f"conversation:{room}", "sinceSeq": 0}),
                ("joinRoom", {"room": f"conversation:{room}"}),
                ("leaveRoom", {"room": f"conversation:{room}"}),
                ("message:read", {"conversationId": room, "upToSeq": self._random.randrange(30)}),
                ("presence:get", {"userIds": USERS}),
            ]
        )
        self._do(event, payload)
        if self._peers:
            self._random.choice(self._peers)[1].emit("typing:start", {"conversationId": room})

    def _poll(self) -> None:
        user, server = self._random.choice(USERS), self._random.choice(self._servers)
        feed = self._random.choice(["messages", "calls", "live-chat"])
        assert server.get(f"/api/{feed}/feed", self._tokens[user]).status == 200
        body = {"conversationId": self._room(), "body": "x", "clientMsgId": uuid.uuid4().hex}
        assert server.post("/api/messages", body, self._tokens[user]).status in (201, 403, 404)

    def _call(self) -> None:
        begun = self._do("call:initiate", {"calleeId": self._random.choice(USERS), "media": "video"})
        self._calls += [begun["callId"]] if begun.get("ok") else []
        if self._calls:
            event = self._random.choice(["call:answer", "call:decline", "call:end", "call:status"])
            self._do(event, {"callId": self._random.choice(self._calls)})

    def _chat(self) -> None:
        self._do("liveChat:operatorStatus", {"status": self._random.choice(["online", "away", "offline"])})
        begun = self._do("liveChat:start", {"meta": {"n": 1.0}})
        self._chats += [begun["chatId"]] if begun.get("ok") else []
        if self._chats:
            self._do("liveChat:close", {"chatId": self._random.choice(self._chats)})

    def _room(self) -> str:
        return self._random.choice("xyz")


@pytest.mark.proof
def test_copies_are_equal_whatever_happens(join: Join, connect: Any) -> None:
    a, b = join("a"), join("b")
    crowd = Crowd(1, [a, b], connect)
    for turn in range(300):
        crowd.act()
        if turn == 100:
            a.fault("reorder", ratio=0.3)
            b.fault("delay", ms=20)
            b.fault("loseDeliveries", ratio=0.2, seed=3)
        if turn == 200:
            b.fault("none")
        if turn % 50 == 49:
            alike(a, "ab")
    late = join("c")
    alike(late, "abc")
    crowd.act()
    before = late.get("/__digest").body["digests"]["c"]
    connect("somebody", late).join("x")
    assert late.get("/__digest").body["digests"]["c"] != before


# -- an instance as any server


def test_a_fault_holds_on_all_instances(pair: Any, connect: Any, name: str) -> None:
    a, b = pair
    ann, bob = connect(f"ann{name}", a), connect(f"bob{name}", b)
    for peer in (ann, bob):
        peer.join(name)
    a.fault("loseDeliveries", everyNth=1)
    ann.send(name)
    for peer in (ann, bob):
        assert peer.join(name)["lastSeq"] == 1
        assert peer.named("message:new") == []
    b.fault("none")
    bob.send(name)
    assert [one["seq"] for one in ann.wait("message:new")] == [2]
    # those at once strike the instance that is asked
    assert b.fault("kick")["struck"] >= 1
    assert bob.disconnected.wait(10)
    ann.settle()


def test_what_is_sent_behind_connect_without_waiting_is_carried_out_behind_it(
    pair: Any, wire: Any, name: str
) -> None:
    a, _ = pair
    ws = wire(a)
    assert ws.recv().startswith("0{")
    ws.send("40")
    assert ws.recv().startswith("40{")
    ws.send("421" + json.dumps(["authenticate", {"userId": name, "token": a.token(name)}]))
    ws.send("422" + json.dumps(["joinRoom", {"room": f"conversation:{name}"}]))
    message = {"conversationId": name, "body": "", "clientMsgId": "1", "meta": {"n": 1.0}}
    ws.send("423" + json.dumps(["message:send", message]))
    frames = [ws.recv() for _ in range(5)]
    assert frames[0].startswith(f'42["authenticated",{{"ok":true,"userId":"{name}"')
    assert frames[1].startswith(f'431[{{"ok":true,"userId":"{name}"')
    assert frames[2].startswith(f'432[{{"ok":true,"room":"conversation:{name}"')
    assert frames[3].startswith('42["message:new",') and '"meta":{"n":1.0}' in frames[3]
    assert frames[4].startswith('433[{"ok":true,"id":')
