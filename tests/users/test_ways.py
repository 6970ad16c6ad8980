"""Does the way back work over real sockets, and does a connection present what it should to the server?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
import stage as stage_module
from gevent.event import Event
from socketio_server import SocketIoServer, Visit, listening
from stage import Server, Stage, greenlets

from loadtest.measure.faults import occurrences, parse
from loadtest.users import ways
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
_REQUEST = re.compile(r"42(\d+)(\[.*)")


class Person(RealtimeUser):
    abstract = True


class Application(SocketIoServer):
    """Authenticates everybody, lets them into one room, and repeats what they say to all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = self.answer
        self.join = lambda visit: visit.text('40{"sid":"s","pid":"private"}')
        self.seq = 0

    def answer(self, visit: Visit, text: str) -> None:
        found = _REQUEST.match(text)
        if found is None:
            return
        number, (name, payload) = found[1], json.loads(found[2])
        answer: dict[str, object] = {"ok": True, "lastSeq": self.seq, "missed": []}
        if name == "message:send":
            self.seq += 1
            event = json.dumps(["message:new", {**payload, "seq": self.seq}, f"offset-{self.seq}"])
            for one in self.visits:
                if not one.over:
                    one.text(f"42{event}")
            answer["seq"] = self.seq
        visit.text(f"43{number}{json.dumps([answer])}")


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def run(
    stage: Callable[..., Stage], application: Application, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    made = stage(Server())
    monkeypatch.setattr(ways, "make_link", stage_module.REAL)
    with listening(application) as place:
        made.live.place = place
        yield made
        for user in made.users:
            user._part()
        assert [one for one in greenlets() if "Return" in repr(one) or "Climb" in repr(one)] == []


def test_who_is_cut_off_comes_back_over_a_socket(run: Stage, application: Application, until: Until) -> None:
    one, two = run.come(Person, 2)
    run.begin()
    one.send_message("before")
    until(lambda: run.row("message.deliver").latency.n == 1)
    plain, door = application.open, Event()
    application.open = lambda visit: plain(visit) if door.wait() else None
    application.visits[0].sock.close()
    until(lambda: one.device.returning)
    one.send_message("kept")
    door.set()
    until(lambda: one.device.up)
    two.send_message("after")
    until(lambda: run.drops)
    (drop,) = run.drops
    assert (drop.cause, drop.outcome, drop.rooms, drop.proven) == ("transport_close", "recovered", 1, 1)
    assert [one.cause for one in drop.tries] == [""]
    assert (drop.buffered, drop.resent) == (1, 0)
    assert run.row("session.connect").phases["namespace"].n == 3
    until(lambda: run.row("message.deliver").latency.n == 3)
    assert len([visit for visit in application.visits if not visit.over]) == 2


def test_every_attempt_claims_the_state_of_the_connection_before(
    run: Stage, application: Application, until: Until
) -> None:
    run.policy_ms(1, 1, 1)
    (one,) = run.come(Person)
    run.begin()
    until(lambda: one.device.up)
    application.visits[0].text('42["message:new",{},"offset-7"]')
    until(lambda: getattr(one.link, "recovery", None) is not None)
    plain, closed = application.open, []

    def refuse_once(visit: Visit) -> None:
        if not closed:
            closed.append(visit)
            visit.sock.close()
        else:
            plain(visit)

    application.open = refuse_once
    application.join = lambda visit: visit.text('40{"sid":"s2","pid":"private"}')
    application.visits[0].sock.close()
    until(lambda: len(application.visits) == 3 and one.device.up)
    connects = [text for visit in application.visits for text in visit.texts if text.startswith("40")]
    first, last = (json.loads(text[2:] or "{}") for text in connects)
    assert "pid" not in first
    assert (last["pid"], last["offset"]) == ("private", "offset-7")
    run.live.close()
    (drop,) = run.drops
    assert len(drop.tries) == 2
    assert drop.state_recovered, "the server gave the same private id again"


def test_a_bad_session_is_claimed_by_the_next_attempt_only(
    run: Stage, application: Application, until: Until
) -> None:
    run.policy_ms(1, 1)
    (one,) = run.come(Person)
    run.begin()
    plain = application.open
    application.open = lambda visit: (
        visit.sock.close() if "sid=nobody" in str(visit.request) else plain(visit)
    )
    assert one.device.strike(occurrences(parse("bad-sid@0"))[0])
    until(lambda: one.device.up)
    claims = ["sid=nobody" in str(visit.request) for visit in application.visits]
    assert claims == [False, True, False]
    assert one.device.engine_sid is None


@pytest.mark.parametrize("cause", sorted(Cause))
def test_another_transport_is_tried_only_where_this_one_is_blocked(cause: Cause) -> None:
    blocked = {Cause.HANDSHAKE_REFUSED, Cause.CONNECT_TIMEOUT, Cause.PARSE_ERROR, Cause.TRANSPORT_CLOSE}
    blocked |= {Cause.SESSION_UNKNOWN, Cause.IDLE_CLOSE}
    assert ways.blocked(ConnectFailed(cause, "")) == (cause in blocked)
