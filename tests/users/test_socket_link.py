"""Is a user that is lost on its way in a user that never came, and is each loss told once?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import msgspec
import pytest
from socketio_server import SocketIoServer, Visit, listening

from loadtest.contract import Contract, load
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Listeners, NativeConnection
from loadtest.users.link import ActionFailed, Hearing, Outcome
from loadtest.users.socket_link import SocketLink

Until = Callable[[Callable[[], object]], None]


class Ear:
    """What a link tells its user, and what becomes of an errand."""

    def __init__(self) -> None:
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.left_ns: list[int] = []
        self.outcomes: list[Outcome] = []
        self.failures: list[tuple[Cause, str]] = []
        self.hearing = Hearing(
            lambda name, args, read_ns: None,
            lambda *loss: self.losses.append(loss),
            self.faults.append,
            lambda lag_ns: None,
        )

    def left(self, sent_ns: int) -> None:
        self.left_ns.append(sent_ns)

    def answered(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def failed(self, cause: Cause, detail: str) -> None:
        self.failures.append((cause, detail))


@pytest.fixture
def server() -> SocketIoServer:
    made = SocketIoServer()
    made.heard = lambda visit, text: _let_in(visit, text)
    return made


def _let_in(visit: Visit, text: str) -> None:
    if '"authenticate"' in text:
        visit.text('430[{"ok":true}]')


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def contract() -> Contract:
    return load(None)


@pytest.fixture
def link(server: SocketIoServer, ear: Ear, contract: Contract) -> Iterator[SocketLink]:
    with listening(server) as place:

        def connect(listeners: Listeners, auth: Any) -> NativeConnection:
            return NativeConnection(place, contract.connect.path, auth, (), False, listeners)

        def no_requests() -> Any:
            raise AssertionError("nothing here goes over HTTP")

        identity = {"user": "u", "device": "d", "token": "t"}
        made = SocketLink(contract, identity, connect, ear.hearing, no_requests)
        yield made
        made.close()


def _variables() -> dict[str, object]:
    return {
        "user": "u",
        "device": "d",
        "token": "t",
        "room": "r",
        "marker": "m",
        "body": "b",
        "since_seq": None,
    }


def test_a_user_is_let_in_and_its_phases_are_known(link: SocketLink, ear: Ear) -> None:
    link.open(5)
    assert list(link.phases) == ["tcp", "open", "namespace", "authenticate"]
    assert link.sockets == 1
    assert link.name == "the-sid"
    heartbeat = link.heartbeat
    assert heartbeat is not None
    assert heartbeat.period_ns == 25_000_000_000
    assert ear.losses == []


def test_a_user_that_is_refused_is_told_why(link: SocketLink, server: SocketIoServer, ear: Ear) -> None:
    server.heard = lambda visit, text: visit.text('430[{"ok":false,"error":{"code":"AUTH_EXPIRED"}}]')
    with pytest.raises(ConnectFailed) as failed:
        link.open(5)
    assert failed.value.cause is Cause.CONNECT_ERROR
    assert failed.value.detail == "AUTH_EXPIRED"
    assert link.sockets == 0
    assert ear.losses == []


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda visit, text: visit.sock.shutdown(socket.SHUT_WR), Cause.TRANSPORT_CLOSE),
        (lambda visit, text: visit.text("41"), Cause.SERVER_NAMESPACE),
        (lambda visit, text: visit.text('430[{"ok":true}]', "41"), Cause.SERVER_NAMESPACE),
    ],
    ids=["hung up", "put out", "let in and put out in one breath"],
)
def test_one_that_is_lost_on_its_way_in_was_never_there(
    link: SocketLink, server: SocketIoServer, ear: Ear, end: Callable[[Visit, str], None], cause: Cause
) -> None:
    server.heard = end
    with pytest.raises(ConnectFailed) as failed, gevent.Timeout(5, AssertionError("still waiting")):
        link.open(60)
    assert failed.value.cause is cause
    assert ear.losses == [], "a failed connect is counted as that, and not as a loss too"
    assert link.sockets == 0


def test_no_answer_to_who_we_are_is_a_timeout(link: SocketLink, server: SocketIoServer, ear: Ear) -> None:
    server.heard = lambda visit, text: None
    with pytest.raises(ConnectFailed) as failed:
        link.open(0.1)
    assert failed.value.cause is Cause.CONNECT_TIMEOUT
    assert "authenticate" in failed.value.detail
    assert ear.losses == []


def test_a_loss_is_told_and_everything_later_fails_for_its_reason(
    link: SocketLink, server: SocketIoServer, ear: Ear, contract: Contract, until: Until
) -> None:
    link.open(5)
    server.visits[0].text("41")
    until(lambda: ear.losses)
    assert [cause for cause, _ in ear.losses] == [Cause.SERVER_NAMESPACE]
    link.send(contract.send, _variables(), ear)
    assert [cause for cause, _ in ear.failures] == [Cause.SERVER_NAMESPACE], "the server did that, not we"
    assert contract.join is not None
    with pytest.raises(ActionFailed) as failed:
        link.perform(contract.join, _variables())
    assert failed.value.cause is Cause.SERVER_NAMESPACE
    assert ear.left_ns == []


def test_who_waits_for_an_answer_hears_of_the_loss_at_once(
    link: SocketLink, server: SocketIoServer, ear: Ear, contract: Contract
) -> None:
    link.open(5)
    server.heard = lambda visit, text: visit.sock.shutdown(socket.SHUT_WR)
    assert contract.join is not None
    with pytest.raises(ActionFailed) as failed, gevent.Timeout(5, AssertionError("still waiting")):
        link.perform(contract.join, _variables())
    assert failed.value.cause is Cause.TRANSPORT_CLOSE
    assert len(ear.losses) == 1


def test_an_errand_under_way_at_the_loss_is_left_to_the_ledger(
    link: SocketLink, server: SocketIoServer, ear: Ear, contract: Contract, until: Until
) -> None:
    link.open(5)
    server.heard = lambda visit, text: visit.sock.shutdown(socket.SHUT_WR)
    link.send(contract.send, _variables(), ear)
    assert len(ear.left_ns) == 1
    until(lambda: ear.losses)
    assert not ear.outcomes
    assert not ear.failures, "the server may have it or not"


def test_an_errand_is_answered(
    link: SocketLink, server: SocketIoServer, ear: Ear, contract: Contract, until: Until
) -> None:
    link.open(5)
    server.heard = lambda visit, text: visit.text('431[{"ok":false,"error":{"code":"RATE_LIMITED"}}]')
    link.send(contract.send, _variables(), ear)
    until(lambda: ear.outcomes)
    (outcome,) = ear.outcomes
    assert not outcome.ok
    assert outcome.error == "RATE_LIMITED"


def test_an_event_that_lets_a_user_in_may_be_waited_for(
    server: SocketIoServer, ear: Ear, contract: Contract
) -> None:
    assert contract.authenticate is not None
    waiting = msgspec.structs.replace(
        contract, authenticate=msgspec.structs.replace(contract.authenticate, ack=None, wait="authenticated")
    )
    arms: dict[str, Callable[[Visit, str], None]] = {
        "let in": lambda visit, text: visit.event("authenticated", {}),
        "lost": lambda visit, text: visit.sock.shutdown(socket.SHUT_WR),
    }
    with listening(server) as place:
        for arm, heard in arms.items():
            server.heard = heard
            link = SocketLink(
                waiting,
                {"user": "u", "device": "d", "token": "t"},
                lambda listeners, auth: NativeConnection(place, "/socket.io", None, (), False, listeners),
                ear.hearing,
                lambda: pytest.fail("nothing here goes over HTTP"),
            )
            if arm == "let in":
                link.open(5)
            else:
                with pytest.raises(ConnectFailed) as failed, gevent.Timeout(5, AssertionError("waiting")):
                    link.open(60)
                assert failed.value.cause is Cause.TRANSPORT_CLOSE
            link.close()
    assert ear.losses == []
