"""Is nothing lost by a user that leaves while the others go on, and does it leave all the same?"""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import AsyncResult
from stage import PaperLink, Payload, Server, Stage, paper

from loadtest.measure.units import MS
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]


class Person(RealtimeUser):
    abstract = True


class SlowServer(Server):
    """One that takes a message at once and hands out the copies when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers["leaveRoom"] = self.leave
        self.answers["message:send"] = self.message
        self.copies: list[tuple[PaperLink, Payload]] = []

    def message(self, link: PaperLink, payload: Payload) -> Payload:
        room = payload["conversationId"]
        self.copies += [(one, {**payload, "seq": 1, "senderId": link.user}) for one in self.listeners[room]]
        return {"ok": True, "seq": 1}

    def leave(self, link: PaperLink, payload: Payload) -> Payload:
        self.listeners[payload["room"].removeprefix("conversation:")].remove(link)
        return {"ok": True}

    def hand_out(self) -> None:
        for link, payload in self.copies:
            link.hear("message:new", payload)
        self.copies.clear()


@pytest.fixture
def server() -> SlowServer:
    return SlowServer()


@pytest.fixture
def run(stage: Callable[..., Stage], server: SlowServer) -> Stage:
    return stage(server)


def some_turns() -> None:
    for _ in range(10):
        gevent.sleep(0.001)


def test_what_is_on_its_way_to_it_is_read(run: Stage, server: SlowServer, until: Until) -> None:
    ann, ben = run.come(Person, 2)
    run.begin()
    ben.send_message()
    until(lambda: run.row("message.ack").latency.n)
    ann.on_stop()
    until(lambda: server.told("leaveRoom"))
    some_turns()
    assert paper(ann.device).state == "open"
    ben.send_message()
    server.hand_out()
    until(lambda: paper(ann.device).state == "closed")
    run.settle()
    row = run.row("message.deliver")
    assert (row.expected, row.latency.n, row.lost, row.leaked) == (1, 1, 0, 0), "and owed nothing said since"


def test_what_it_said_is_let_through_first(run: Stage, server: SlowServer, until: Until) -> None:
    ann, _ = run.come(Person, 2)
    run.begin()
    answer: AsyncResult = AsyncResult()

    def take(link: PaperLink, payload: Payload) -> AsyncResult:
        server.message(link, payload)
        return answer

    server.answers["message:send"] = take
    ann.send_message()
    ann.on_stop()
    some_turns()
    assert server.told("leaveRoom") == []
    answer.set({"ok": True, "seq": 1})
    server.hand_out()
    until(lambda: paper(ann.device).state == "closed")
    run.settle()
    assert len(server.told("leaveRoom")) == 1
    for operation in ("message.ack", "message.deliver", "message.echo"):
        row = run.row(operation)
        assert (row.expected, row.latency.n, row.lost) == (1, 1, 0), operation


def test_a_signal_that_nobody_answers_is_waited_for_until_it_is_read(
    run: Stage, server: SlowServer, until: Until
) -> None:
    ann, ben = run.come(Person, 2)
    run.begin()
    ann.start_typing()
    (typed,) = server.told("typing:start")
    ann.on_stop()
    some_turns()
    assert server.told("leaveRoom") == []
    paper(ben.device).hear("typing:start", {**typed, "userId": ann.name})
    until(lambda: paper(ann.device).state == "closed")
    assert run.row("typing.deliver").latency.n == 1


def test_it_does_not_wait_longer_than_a_delivery_may_take(
    stage: Callable[..., Stage], server: SlowServer, until: Until
) -> None:
    run = stage(server, deadline_ns=50 * MS)
    ann, ben = run.come(Person, 2)
    run.begin()
    ben.send_message()
    until(lambda: run.row("message.ack").latency.n)
    ann.on_stop()
    until(lambda: paper(ann.device).state == "closed")
    assert ann not in run.live.users


def test_who_is_refused_to_leave_goes_without(run: Stage, server: SlowServer, until: Until) -> None:
    ann, _ = run.come(Person, 2)
    run.begin()
    server.answers["leaveRoom"] = lambda link, payload: {"ok": False, "error": {"code": "NOT_NOW"}}
    ann.on_stop()
    until(lambda: paper(ann.device).state == "closed")
    assert ann not in run.live.users


@pytest.mark.parametrize("ending", ["hold", "close"])
def test_once_the_run_is_over_it_just_goes(run: Stage, server: SlowServer, ending: str) -> None:
    ann, _ = run.come(Person, 2)
    run.begin()
    getattr(run.live, ending)()
    ann.on_stop()
    assert paper(ann.device).state == "closed"
    assert server.told("leaveRoom") == []


def test_its_place_is_free_only_when_it_has_gone(run: Stage, server: SlowServer, until: Until) -> None:
    ann, ben = run.come(Person, 2)
    run.begin()
    ben.send_message()
    until(lambda: run.row("message.ack").latency.n)
    ann.on_stop()
    (cid,) = run.come(Person)
    assert cid.name not in (ann.name, ben.name)
    server.hand_out()
    until(lambda: ann not in run.live.users)
    (dan,) = run.come(Person)
    assert dan.name == ann.name


def test_who_takes_the_place_of_another_does_not_repeat_its_marks(
    run: Stage, server: SlowServer, until: Until
) -> None:
    """A server that knows a mark already drops what has it for a repetition, and nobody gets a copy."""
    ann, _ = run.come(Person, 2)
    run.begin()
    ann.send_message()
    server.hand_out()
    until(lambda: run.row("message.deliver").latency.n)
    ann.on_stop()
    until(lambda: ann not in run.live.users)
    (successor,) = run.come(Person)
    assert successor.name == ann.name
    successor.send_message()
    server.hand_out()
    until(lambda: run.row("message.deliver").latency.n == 2)
    first, second = (one["clientMsgId"] for one in server.told("message:send"))
    assert first != second
    run.settle()
    assert run.row("message.deliver").duplicate == run.row("message.deliver").lost == 0
