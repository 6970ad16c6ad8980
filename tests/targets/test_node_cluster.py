"""Do several Node servers on one Redis behave as one?"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from loadtest.targets.node import install
from loadtest.targets.node import server as node_server

# importlib mode does not make the tools beside the tests importable
sys.path.append(str(Path(__file__).parent))

from redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("node")]
NODE = ("--target", "node")
# Whoever is gone is missed after a second, not after five.
HASTY = {"INSTANCE_TIMEOUT": "1", "PRESENCE_GRACE": "0.3", "PARTY_GRACE": "0.5", "RATE_LIMIT": "0"}
USERS = ("ann", "bob", "carl", "olga", "omar")


@pytest.fixture
def connect(connect: Any) -> Any:
    """Connects a user; CONNECT is answered before the others know of it, so what counts is the event after it."""

    def arrived(*args: Any, **options: Any) -> Any:
        peer = connect(*args, **options)
        peer.wait("authenticated")
        return peer

    return arrived


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def join(start: Any, redis: RedisServer, name: str) -> Callable[..., Any]:
    """Starts one server of the cluster of this test."""

    def joined(instance: str, at: RedisServer = redis, **switches: str) -> Any:
        here = {"REDIS_URL": at.url, "CLUSTER": name, "INSTANCE": instance}
        return start(*NODE, **{**HASTY, **here, **switches})

    return joined


@pytest.fixture
def pair(join: Callable[..., Any]) -> tuple[Any, Any]:
    return join("a"), join("b")


@pytest.fixture(scope="module")
def shared(start_for_all: Any, redis: RedisServer) -> tuple[Any, Any]:
    """Two for the tests that leave no trace but people and rooms of their own."""
    here = {**HASTY, "REDIS_URL": redis.url, "CLUSTER": "shared"}
    return start_for_all(*NODE, INSTANCE="a", **here), start_for_all(*NODE, INSTANCE="b", **here)


def at_once(*asked: Callable[[], Any]) -> list[Any]:
    """What all of them answer, asked in the same moment."""
    ready = threading.Barrier(len(asked))

    def ask(one: Callable[[], Any]) -> Any:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, asked))


def alike(server: Any, names: str) -> None:
    """All servers of these names know the same, whoever is asked."""
    told = server.get("/__digest").body["digests"]
    assert sorted(told) == sorted(names)
    assert len(set(told.values())) == 1, told


def complaint(**environment: str) -> str:
    """The one line that a start ends with that was not to be."""
    result = subprocess.run(
        [install.node(), str(node_server.HERE / "server.js")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NODE_PATH": str(node_server.ready()[1]), "PORT": "0", **environment},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    return result.stderr.removeprefix("loadtest serve: ").strip()


def test_who_is_asked_says_so_and_all_count_together(pair: Any, connect: Any, name: str) -> None:
    a, b = pair
    ann, bob = connect("ann", at=a), connect("bob", at=b)
    for person in (ann, bob):
        person.join(name)
    ann.send(name)
    bob.wait("message:new")
    bob.call("echo", {})
    for server, person, own in ((a, ann, "a"), (b, bob, "b")):
        assert server.get("/api/config").body["instance"] == own
        assert person.wait("authenticated")[0]["instance"] == own
        stats = server.stats()
        assert (stats["instance"], stats["pid"]) == (own, server.process.pid)
        assert (stats["sockets"], stats["users"], stats["rooms"]) == (2, 2, 3)
        assert (stats["received"]["message:send"], stats["emitted"]["message:new"]) == (1, 2)
        assert (stats["accepted"]["joinRoom"], stats["received"]["echo"]) == (2, 1)
        rows = {row["instance"]: row for row in stats["instances"]}
        assert [rows[one]["sockets"] for one in "ab"] == [1, 1]
        assert [rows[one]["received"].get("message:send", 0) for one in "ab"] == [1, 0]
        assert [rows[one]["pid"] for one in "ab"] == [a.process.pid, b.process.pid]
        assert stats["cpuSeconds"] == pytest.approx(sum(row["cpuSeconds"] for row in rows.values()))
        assert all(row["rssBytes"] > 1e7 and row["loopLagMsP99"] >= 0 for row in rows.values())
    alike(a, "ab")


def test_a_room_that_is_written_to_on_both_has_one_numbering(shared: Any, connect: Any, name: str) -> None:
    people = [connect(user, at=server) for user, server in zip(("ann", "bob"), shared, strict=True)]
    for person in people:
        person.join(name)
    each = 60
    acks = at_once(*[lambda one=one: [one.send(name, body=str(one)) for _ in range(each)] for one in people])
    assert sorted(ack["seq"] for mine in acks for ack in mine) == list(range(1, 2 * each + 1))
    for person in people:
        heard = person.wait("message:new", 2 * each)
        assert sorted(message["seq"] for message in heard) == list(range(1, 2 * each + 1))
        for sender in ("ann", "bob"):
            seqs = [message["seq"] for message in heard if message["senderId"] == sender]
            assert seqs == sorted(seqs)
    alike(shared[1], "ab")


def test_a_message_said_twice_on_two_servers_is_one(shared: Any, connect: Any, name: str) -> None:
    devices = [connect("ann", at=server) for server in shared]
    for device in devices:
        device.join(name)
    for number in range(20):
        said = at_once(*[lambda one=one, n=number: one.send(name, clientMsgId=f"m{n}") for one in devices])
        assert sorted(ack["duplicate"] for ack in said) == [False, True]
        assert {ack["seq"] for ack in said} == {number + 1}
        assert len({ack["id"] for ack in said}) == 1
    assert devices[0].join(name)["lastSeq"] == 20


def test_a_call_that_is_answered_on_both_has_one_winner(shared: Any, connect: Any, name: str) -> None:
    a, b = shared
    ann = connect("ann", at=a)
    devices = [connect(name, at=server) for server in shared]
    call = ann.call("call:initiate", {"calleeId": name, "media": "audio"})
    assert call["devices"] == 2
    for device in devices:
        assert device.wait("call:incoming")[0]["callId"] == call["callId"]
    said = at_once(*[lambda one=one: one.call("call:answer", {"callId": call["callId"]}) for one in devices])
    (late,) = [answer for answer in said if not answer["ok"]]
    assert late["error"]["code"] == "CALL_ALREADY_ANSWERED"
    winner = devices[1 - said.index(late)]
    assert late["error"]["answeredBy"]["socketId"] == winner.client.get_sid()
    for person in (ann, *devices):
        assert person.wait("call:answered")[0]["answeredBy"]["socketId"] == winner.client.get_sid()
    enders = (ann, devices[1])
    ended = at_once(*[lambda one=one: one.call("call:end", {"callId": call["callId"]}) for one in enders])
    assert [answer.get("duplicate", False) for answer in ended].count(True) == 1
    tallies = {"ringing": 0, "active": 0, "declined": 0, "missed": 0, "ended": 1}
    assert a.stats()["calls"] == b.stats()["calls"] == tallies


def test_whoever_comes_and_goes_on_one_is_seen_on_the_other(shared: Any, connect: Any, name: str) -> None:
    a, b = shared
    ann, bob = connect(f"ann-{name}", at=a), connect(f"bob-{name}", at=b)
    for person in (ann, bob):
        person.join(name)
    bob.close()
    assert [seen["status"] for seen in ann.wait("presence:update")] == ["offline"]
    connect(f"bob-{name}", at=b)
    seen = ann.wait("presence:update", 2)[1]
    assert (seen["userId"], seen["status"], seen["devices"]) == (f"bob-{name}", "online", 1)
    connect(f"bob-{name}", at=a)
    asked = ann.call("presence:get", {"userIds": [f"bob-{name}", f"ann-{name}", "nobody"]})["presence"]
    assert [(one["status"], one["devices"]) for one in asked] == [
        ("online", 2),
        ("online", 1),
        ("offline", 0),
    ]


def test_one_feed_is_read_through_either(shared: Any, connect: Any, name: str) -> None:
    a, b = shared
    token = a.token("carl")
    assert a.post("/api/rooms/join", {"room": f"conversation:{name}"}, token).status == 200
    bob = connect("bob", at=b)
    bob.join(name)
    cursor = a.get("/api/messages/feed", token).body["cursor"]
    for number in range(10):
        bob.send(name, body=str(number))
        page = shared[number % 2].get(f"/api/messages/feed?cursor={cursor}", token).body
        assert [item["data"]["body"] for item in page["items"]] == [str(number)]
        cursor = page["cursor"]
    sent = a.post("/api/messages", {"conversationId": name, "body": "", "clientMsgId": "c"}, token)
    assert (sent.status, sent.body["seq"]) == (201, 11)
    assert bob.wait("message:new", 11)[10]["senderId"] == "carl"
    history = b.get(f"/api/conversations/{name}/messages?afterSeq=9", token).body
    assert [message["seq"] for message in history["items"]] == [10, 11]


def test_who_comes_back_on_the_other_has_missed_what_was_said(shared: Any, connect: Any, name: str) -> None:
    a, b = shared
    ann, bob = connect("ann", at=a), connect("bob", at=b)
    for person in (ann, bob):
        person.join(name)
    ann.send(name)
    bob.wait("message:new")
    bob.close()
    for number in range(3):
        ann.send(name, body=str(number))
    back = connect("bob", at=a)
    # Membership has lasted all the while.
    assert back.send(name)["seq"] == 5
    again = back.join(name, sinceSeq=1)
    assert (again["members"], again["truncated"]) == (2, False)
    assert [message["seq"] for message in again["missed"]] == [2, 3, 4, 5]


def test_one_token_has_one_rate_limit(join: Any, name: str) -> None:
    servers = [join(one, RATE_LIMIT="5") for one in "ab"]
    token = servers[0].token("carl")
    servers[0].post("/api/rooms/join", {"room": f"conversation:{name}"}, token)
    message = {"conversationId": name, "body": ""}
    said = [servers[n % 2].post("/api/messages", {**message, "clientMsgId": str(n)}, token) for n in range(7)]
    assert [reply.status for reply in said] == [201, 201, 201, 201, 201, 429, 429]
    assert servers[0].stats()["rateLimited"] == 2


def test_lasting_faults_hold_on_all(shared: Any, connect: Any, name: str) -> None:
    a, b = shared
    people = [connect("ann", at=a), connect("bob", at=b)]
    for person in people:
        person.join(name)
    a.fault("loseDeliveries", ratio=1)
    for person in people:
        person.send(name)
    assert b.stats()["faulted"]["lost"] == 4
    b.fault("none")
    assert people[0].send(name)["seq"] == 3
    for person in people:
        assert [message["seq"] for message in person.wait("message:new")] == [3]


@contextlib.contextmanager
def killed(server: Any) -> Iterator[None]:
    server.process.kill()
    server.process.wait(10)
    yield


def test_a_server_that_is_killed_takes_nobody_along(join: Any, connect: Any, until: Any, name: str) -> None:
    """Its operator's chat goes to another one, its people are offline, its calls end; what it did still counts."""
    a, b = join("a"), join("b")
    ann, omar = connect("ann", at=a), connect("omar", at=a, role="operator")
    olga = connect("olga", at=b, role="operator")
    assert olga.call("liveChat:operatorStatus", {"status": "online"})["ok"]
    chat = ann.call("liveChat:start", {})
    assert (chat["status"], chat["operatorId"]) == ("assigned", "olga")
    # A room into which the other server has put her hears all of it.
    assert [one["status"] for one in olga.wait("liveChat:status")] == ["assigned"]
    said = {"chatId": chat["chatId"], "body": "hello"}
    assert ann.call("liveChat:message", {**said, "clientMsgId": "1"})["seq"] == 1
    assert olga.wait("liveChat:message")[0]["senderRole"] == "visitor"
    assert omar.call("liveChat:operatorStatus", {"status": "online"})["ok"]
    for person in (ann, olga):
        person.join(name)
    call = ann.call("call:initiate", {"calleeId": "olga", "media": "video"})
    before = a.stats()
    with killed(b):
        taken = ann.wait("liveChat:assigned", 2, 20)[1]
        assert (taken["operatorId"], taken["reason"]) == ("omar", "reassigned")
        assert ann.wait("call:ended", 1, 20)[0]["reason"] == "disconnect"
        assert [seen["status"] for seen in ann.wait("presence:update", 1, 20)] == ["offline"]
        assert omar.call("liveChat:message", {**said, "clientMsgId": "2"})["seq"] == 2
        stats = a.stats()
        assert (stats["sockets"], stats["users"]) == (2, 2)
        assert stats["received"]["liveChat:operatorStatus"] == before["received"]["liveChat:operatorStatus"]
        rows = {row["instance"]: row for row in stats["instances"]}
        assert (rows["b"]["gone"], rows["b"]["sockets"]) == (True, 0)
        assert "gone" not in rows["a"]
    again = join("b")
    assert connect("olga", at=again, role="operator").call("call:status", {"callId": call["callId"]})["ok"]
    omar.wait("liveChat:presence", 3)
    alike(again, "ab")
    omar.settle()
    on_duty = [(one["operatorId"], one["status"]) for one in omar.named("liveChat:presence")]
    assert on_duty == [("omar", "online"), ("olga", "offline"), ("olga", "online")]
    known = [(row["instance"], row.get("gone", False)) for row in again.stats()["instances"]]
    assert known == [("a", False), ("b", True), ("b", False)]


def test_whoever_held_the_clock_is_replaced(join: Any, connect: Any, until: Any) -> None:
    first = join("a")
    until(lambda: first.stats()["instances"][0]["instance"] == "a")
    b = join("b")
    ann = connect("ann", at=b)
    with killed(first):
        # Nothing comes due unless somebody says that time passes.
        chat = ann.call("liveChat:start", {})
        olga = connect("olga", at=b, role="operator")
        olga.call("liveChat:operatorStatus", {"status": "online"})
        assert olga.wait("liveChat:assigned")[0]["chatId"] == chat["chatId"]
        olga.close()
        assert ann.wait("liveChat:status", 3, 20)[2]["status"] == "queued"


def test_a_server_that_ends_by_itself_says_so_at_once(pair: Any, connect: Any, name: str) -> None:
    a, b = pair
    ann, bob = connect("ann", at=a), connect("bob", at=b)
    for person in (ann, bob):
        person.join(name)
    assert b.stop() == 0
    assert b.process.stderr.read() == ""
    assert [seen["status"] for seen in ann.wait("presence:update")] == ["offline"]
    assert a.stats()["sockets"] == 1


def test_one_that_stood_still_for_too_long_sends_its_sockets_away(
    pair: Any, connect: Any, until: Any
) -> None:
    a, b = pair
    ann, bob = connect("ann", at=a), connect("bob", at=b)
    b.fault("freeze", ms=4000)
    assert bob.disconnected.wait(20)
    back = connect("bob", at=b)
    assert ann.call("presence:get", {"userIds": ["bob"]})["presence"][0]["devices"] == 1
    assert "serverTime" in back.call("echo", {})
    assert b.process.stderr.readline().endswith("have given this one up: its sockets are hung up on\n")
    alike(a, "ab")


def test_redis_that_stands_still_keeps_people_waiting(join: Any, connect: Any, name: str) -> None:
    """What was acknowledged is there afterwards; who waits for too long is told so, and may ask again."""
    with redis_server() as redis:
        a, b = join("a", at=redis), join("b", at=redis)
        ann, bob = connect("ann", at=a), connect("bob", at=b)
        for person in (ann, bob):
            person.join(name)
        assert ann.send(name)["seq"] == 1
        redis.pause()
        resume = threading.Timer(2, redis.resume)
        resume.start()
        waited = at_once(*[lambda one=one: one.send(name) for one in (ann, bob)])
        resume.join()
        assert sorted(ack["seq"] for ack in waited) == [2, 3]
        redis.pause()
        refused = ann.send(name, clientMsgId="again")
        assert refused["error"] == {
            "code": "INTERNAL",
            "message": "the shared state (Redis) cannot be reached",
        }
        # What needs no shared state goes on, and so do the counts.
        assert "serverTime" in bob.call("echo", {})
        assert b.stats()["received"]["echo"] == 1
        redis.resume()
        said = ann.send(name, clientMsgId="again")
        assert said["seq"] == 4
        for person in (ann, bob):
            assert [message["seq"] for message in person.join(name, sinceSeq=0)["missed"]] == [1, 2, 3, 4]
        alike(b, "ab")
        lost = f"loadtest serve: Redis at {redis.url} is lost, requests wait: it does not answer\n"
        back = f"loadtest serve: Redis at {redis.url} is back\n"
        for server in (a, b):
            assert server.stop() == 0
            assert server.process.stderr.read() == (lost + back) * 2


def test_redis_that_breaks_its_connections_loses_nothing(
    pair: Any, connect: Any, redis: RedisServer, name: str
) -> None:
    a, b = pair
    ann, bob = connect("ann", at=a), connect("bob", at=b)
    for person in (ann, bob):
        person.join(name)

    def talk() -> list[int]:
        return [ann.send(name)["seq"] for _ in range(300)]

    with ThreadPoolExecutor(1) as pool:
        talking = pool.submit(talk)
        for kind in ("normal", "pubsub", "normal"):
            bob.send(name)
            redis.ask("CLIENT", "KILL", "TYPE", kind)
        seqs = talking.result()
    missed = bob.join(name, sinceSeq=0)["missed"]
    assert [message["seq"] for message in missed] == list(range(1, 304))
    assert set(seqs) <= {message["seq"] for message in missed}
    alike(a, "ab")


def test_redis_that_has_forgotten_the_log_ends_the_server(join: Any, until: Any) -> None:
    with redis_server() as redis:
        alone = join("a", at=redis)
        redis.stop()
        assert "is lost" in alone.process.stderr.readline()
        with redis_server(redis.port):
            assert alone.process.wait(20) == 2
        last = alone.process.stderr.read().splitlines()[-1]
        assert (
            last == "loadtest serve: Redis came back without the log of this cluster: start its servers anew"
        )


def test_workers_on_one_redis_are_one_server(join: Any, connect: Any, until: Any, name: str) -> None:
    server = join("w", WORKERS="2")
    people = [connect(user, at=server) for user in USERS]
    for person in people:
        person.join(name)
    acks = at_once(*[lambda one=one: one.send(name) for one in people])
    assert sorted(ack["seq"] for ack in acks) == [1, 2, 3, 4, 5]
    rows = server.stats()["instances"]
    assert [row["instance"] for row in rows] == ["w-1", "w-2"]
    assert sum(row["sockets"] for row in rows) == 5 and all(row["sockets"] for row in rows)
    alike(server, ["w-1", "w-2"])
    assert server.stop() == 0


def test_a_start_that_was_not_to_be_is_one_line(join: Any, redis: RedisServer, name: str) -> None:
    nobody = complaint(REDIS_URL="redis://me:secret@127.0.0.1:1")
    assert nobody == (
        "cannot use the Redis at redis://me:***@127.0.0.1:1 (REDIS_URL): connect ECONNREFUSED 127.0.0.1:1: "
        "start one with redis-server, or correct the URL"
    )
    assert complaint(REDIS_URL="redis://127.0.0.1:1", WORKERS="2").startswith(
        "cannot use the Redis at redis://127"
    )
    assert complaint(REDIS_URL="http://x") == "REDIS_URL=http://x must be a URL: redis://127.0.0.1:6379/0"
    assert complaint(INSTANCE="a b") == "INSTANCE=a b must be 1-64 characters of A-Z a-z 0-9 _ . -"
    recovery = "CSR is for one server: Socket.IO's adapters for several recover no connection"
    assert complaint(CSR="1", WORKERS="2") == complaint(CSR="1", REDIS_URL=redis.url) == recovery
    join("a")
    assert complaint(REDIS_URL=redis.url, CLUSTER=name, **{**HASTY, "RATE_LIMIT": "7"}) == (
        f"the cluster {name} was begun with RATE_LIMIT=0, here it is 7: give all instances the same switches, "
        "or name another CLUSTER"
    )
    redis.ask("SET", f"{name}.x:log", "of somebody else")
    assert complaint(REDIS_URL=redis.url, CLUSTER=f"{name}.x") == (
        f"the key {name}.x:log at {redis.url} is no log of this server: name another CLUSTER"
    )


class Crowd:
    """People who do whatever comes to their mind, wherever they happen to be; the same for the same seed."""

    def __init__(self, seed: int, servers: list[Any], connect: Any) -> None:
        self.random = random.Random(seed)
        self.servers = servers
        self.connect = connect
        self.here: list[Any] = []
        self.tokens = {user: servers[0].token(user, role=self.role(user)) for user in USERS}
        self.calls = ["none"]
        self.chats = ["none"]
        self.cursors: dict[tuple[str, str], str] = {}

    @staticmethod
    def role(user: str) -> str:
        return "operator" if user.startswith("o") else "user"

    def act(self) -> None:
        """One thing, by socket or over HTTP. Refusals are as welcome as anything else."""
        doing = self.random.choice([self.come, self.go, self.poll, self.write, *[self.ask] * 6])
        doing()

    def come(self) -> None:
        if len(self.here) < 8:
            user, server = self.random.choice(USERS), self.random.choice(self.servers)
            self.here.append(self.connect(user, at=server, role=self.role(user)))

    def go(self) -> None:
        if len(self.here) > 3:
            self.here.pop(self.random.randrange(len(self.here))).close()

    def ask(self) -> None:
        if not self.here:
            return
        answer = self.random.choice(self.here).call(*self.request())
        self.note(answer)

    def note(self, answer: dict[str, Any]) -> None:
        for field, known in (("callId", self.calls), ("chatId", self.chats)):
            if field in answer:
                known.append(answer[field])

    def poll(self) -> None:
        user, kind = self.random.choice(USERS), self.random.choice(["messages", "calls", "live-chat"])
        cursor = self.cursors.get((user, kind))
        query = f"?cursor={cursor}&limit=3" if cursor else ""
        page = self.random.choice(self.servers).get(f"/api/{kind}/feed{query}", self.tokens[user])
        assert page.status in (200, 410), page.raw
        self.cursors[user, kind] = page.body["cursor"]

    def write(self) -> None:
        message = {"conversationId": "room", "body": "by HTTP", "clientMsgId": str(self.random.randrange(50))}
        token = self.tokens[self.random.choice(USERS)]
        self.random.choice(self.servers).post("/api/messages", message, token)

    def request(self) -> tuple[str, dict[str, Any]]:
        pick, meta = self.random.choice, {"meta": {"n": self.random.random()}}
        message = {
            "body": "x" * self.random.randrange(9),
            "clientMsgId": str(self.random.randrange(50)),
            **meta,
        }
        return pick(
            [
                ("joinRoom", {"room": "conversation:room", "sinceSeq": self.random.randrange(30)}),
                ("joinRoom", {"room": "conversation:room"}),
                ("leaveRoom", {"room": "conversation:room"}),
                ("message:send", {"conversationId": "room", **message}),
                ("message:send", {"conversationId": "room", **message}),
                ("message:read", {"conversationId": "room", "upToSeq": self.random.randrange(40), **meta}),
                ("call:initiate", {"calleeId": pick(USERS), "media": "audio", **meta}),
                ("call:answer", {"callId": pick(self.calls), **meta}),
                ("call:decline", {"callId": pick(self.calls)}),
                ("call:end", {"callId": pick(self.calls)}),
                ("call:status", {"callId": pick(self.calls)}),
                ("liveChat:start", meta),
                ("liveChat:operatorStatus", {"status": pick(["online", "away", "offline"]), "capacity": 2}),
                ("liveChat:message", {"chatId": pick(self.chats), **message}),
                ("liveChat:close", {"chatId": pick(self.chats)}),
                ("presence:get", {"userIds": list(USERS)}),
            ]
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_all_know_the_same(join: Any, connect: Any, seed: int) -> None:
    """One server is killed in the middle and comes back, and a third reads it all up later."""
    switches = {"RATE_LIMIT": "20", "CLOCK_RATE": "10", "LIVECHAT_ASSIGN": ["auto", "manual"][seed % 2]}
    servers = [join(one, **switches) for one in "ab"]
    crowd = Crowd(seed, servers, connect)
    for number in range(300):
        crowd.act()
        if number == 150:
            alike(servers[0], "ab")
            with killed(servers[1]):
                crowd.here = [one for one in crowd.here if not one.disconnected.wait(0.2)]
                servers[1] = join("b", **switches)
    third = join("c", **switches)
    for server in (*servers, third):
        alike(server, "abc")
    stats = [server.stats() for server in (*servers, third)]
    for told in ("received", "emitted", "accepted", "rooms", "users", "chats"):
        assert stats[0][told] == stats[1][told] == stats[2][told]
