"""Does a lost device come back as its policy says, with all it had, and is everything of it told?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from stage import PaperLink, Payload, Server, Stage, failed, greenlets, paper, refused

from loadtest.measure import rows
from loadtest.measure.faults import occurrences, parse
from loadtest.measure.units import MS
from loadtest.protocol.backoff import POLICIES
from loadtest.users import credentials as credentials_module
from loadtest.users import device as device_module
from loadtest.users.causes import REPAIRABLE, Cause
from loadtest.users.device import Device
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
Make = Callable[..., Stage]
REFUSED = failed(Cause.CONNECT_REFUSED, "nobody there")
EXPIRED = failed(Cause.CONNECT_ERROR, "AUTH_EXPIRED")


class Person(RealtimeUser):
    abstract = True
    returns = 0

    def came_back(self, device: Device) -> None:
        self.returns += 1


class Climber(RealtimeUser):
    abstract = True
    ladder = ("websocket", "long-polling", "interval-polling")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def run(stage: Make, server: Server) -> Stage:
    return stage(server)


def _only_drop(run: Stage) -> rows.Drop:
    """The one drop of the run, when its books are closed."""
    run.live.close()
    (drop,) = run.drops
    return drop


def _causes(drop: rows.Drop) -> list[str]:
    return [one.cause for one in drop.tries]


def _since(run: Stage, drop: rows.Drop) -> None:
    """Waits and attempts fill the time from the loss to the connection, to the nanosecond."""
    at_ns = drop.at_ns
    for one in drop.tries:
        assert one.late_ns >= 0
        assert one.began_ns == at_ns + one.waited_ns
        at_ns = one.began_ns + one.took_ns


# -- the attempts --------------------------------------------------------------------------------------------


def test_attempts_come_at_the_policy_s_moments(run: Stage, server: Server, until: Until) -> None:
    run.policy_ms(3, 5, 8, 13)
    one, _ = run.come(Person, 2)
    run.begin()
    server.doors = [REFUSED, failed(Cause.HANDSHAKE_REFUSED, "HTTP 503"), None]
    paper(one.device).lose(Cause.PING_TIMEOUT, "no ping")
    assert one.device.returning
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert (drop.outcome, drop.cause, drop.detail) == (rows.RECOVERED, "ping_timeout", "no ping")
    assert _causes(drop) == ["connect_refused", "handshake_http_4xx", ""]
    assert [one.waited_ns - one.late_ns for one in drop.tries] == [3 * MS, 5 * MS, 8 * MS]
    _since(run, drop)
    assert drop.back_ns == drop.tries[-1].began_ns + drop.tries[-1].took_ns
    assert drop.rejoined_ns is not None
    assert drop.back_ns <= drop.rejoined_ns
    assert (drop.user, drop.transport, drop.fault, drop.fault_ns) == (one.member.name, "websocket", "", None)
    assert 0 < drop.connected_ns < drop.at_ns
    assert (drop.rooms, drop.missed, drop.resynced, drop.resent, drop.buffered) == (1, 0, 0, 0, 0)
    counters = run.counters
    assert (counters["connections.lost"], counters["connections.established"]) == (1, 3)
    assert (counters["attempts.failed"], counters.get("connections.failed", 0)) == (2, 0)
    assert run.row("session.connect").latency.n == 3
    assert [event[:2] for event in run.fired if event[2]] == [("WS", "session.connect")] * 3


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_it_gives_up_after_exactly_so_many(run: Stage, server: Server, until: Until, attempts: int) -> None:
    run.policy_ms(*[1] * attempts)
    (one,) = run.come(Person)
    run.begin()
    server.doors = [REFUSED] * 9
    paper(one.device).lose()
    until(lambda: run.counters.get("connections.gave_up"))
    assert not one.device.up
    assert not one.device.returning
    assert len(server.doors) == 9 - attempts
    (drop,) = run.drops  # it is over, nothing more will come of it
    assert (drop.outcome, _causes(drop)) == (rows.GAVE_UP, ["connect_refused"] * attempts)
    assert (drop.back_ns, drop.rejoined_ns, drop.heard_ns, drop.first_ns) == (None, None, None, None)


def test_the_chance_of_a_wait_is_the_device_s_own(run: Stage, server: Server, until: Until) -> None:
    drawn: list[float] = []

    class Watched:
        def delay_ns(self, attempt: int, draw: float) -> int:
            drawn.append(draw)
            return MS

        def band_ns(self, attempt: int) -> tuple[int, int]:
            return MS, MS

    run.policy_ms(1, 1)
    run.live.policy = type(run.live.policy)("js", None, True, False, Watched())
    one, two = run.come(Person, 2)
    before = one.rng.getstate()
    server.doors = [REFUSED] * 5
    paper(one.device).lose()
    until(lambda: one.device.up)
    assert len(set(drawn)) == 6
    assert one.rng.getstate() == before, "or a drop would change what the user does afterwards"
    assert two.device.rng.random() not in drawn


@pytest.mark.parametrize("policy", ["documented", "js", "python"])
def test_a_refusal_ends_the_way_back_but_for_python_s(
    run: Stage, server: Server, until: Until, policy: str
) -> None:
    run.policy_ms(1, 1, 1, retries_refused=POLICIES[policy].retries_refused)
    (one,) = run.come(Person)
    server.doors = [failed(Cause.CONNECT_ERROR, "AUTH_INVALID")]
    paper(one.device).lose()
    until(lambda: not one.device.returning)
    drop = _only_drop(run)
    if policy == "python":
        assert (drop.outcome, _causes(drop)) == (rows.RECOVERED, ["connect_error", ""])
    else:
        assert (drop.outcome, _causes(drop)) == (rows.STAYED, ["connect_error"])


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every token is another one, as they are where a second has passed."""
    new = (f"token {number}" for number in range(99))
    monkeypatch.setattr(credentials_module, "sign", lambda *_: next(new))
    return new


@pytest.mark.usefixtures("tokens")
def test_an_expired_token_is_renewed_at_once(run: Stage, server: Server, until: Until) -> None:
    run.policy_ms(1)
    (one,) = run.come(Person)
    server.doors = [EXPIRED]
    paper(one.device).lose()
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert (drop.outcome, _causes(drop)) == (rows.RECOVERED, ["connect_error", ""])
    assert drop.tries[1].waited_ns == drop.tries[1].late_ns, "nobody waits for that"
    assert run.counters["tokens.renewed"] == 1
    assert [link.token for link, _ in server.knocks] == ["token 0", "token 0", "token 1"]


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("python", [False, True])
def test_a_token_that_is_refused_when_it_is_new_is_no_better_than_another(
    run: Stage, server: Server, until: Until, python: bool
) -> None:
    run.policy_ms(1, 1, retries_refused=python)
    (one,) = run.come(Person)
    server.doors = [EXPIRED] * 9
    paper(one.device).lose()
    until(lambda: not one.device.returning)
    drop = _only_drop(run)
    assert drop.outcome == (rows.GAVE_UP if python else rows.STAYED)
    assert len(drop.tries) == (3 if python else 2), "the renewal is not one of the policy's attempts"
    assert run.counters["tokens.renewed"] == 1


@pytest.mark.parametrize("cause", sorted(Cause))
def test_only_some_losses_are_repaired(run: Stage, server: Server, until: Until, cause: Cause) -> None:
    (one,) = run.come(Person)
    paper(one.device).lose(cause)
    assert one.device.returning == (cause in REPAIRABLE)
    if cause in REPAIRABLE:
        until(lambda: one.device.up)
    drop = _only_drop(run)
    assert drop.outcome == (rows.RECOVERED if cause in REPAIRABLE else rows.STAYED)
    assert len(server.knocks) == 1 + (cause in REPAIRABLE)
    assert drop.cause == cause.value


def test_a_policy_of_none_brings_nobody_back(run: Stage, server: Server) -> None:
    run.live.policy = POLICIES["none"]
    (one,) = run.come(Person)
    paper(one.device).lose()
    assert not one.device.returning
    (drop,) = run.drops
    assert (drop.outcome, drop.tries) == (rows.STAYED, [])


def test_a_stall_of_the_generator_is_its_own_fault(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    run.live.tick_ns -= paper(one.device).patience_ns
    paper(one.device).lose(Cause.TRANSPORT_CLOSE)
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert (drop.cause, drop.fault) == ("generator_stall", "")
    assert "transport_close" in drop.detail


# -- the transports ------------------------------------------------------------------------------------------


def test_where_one_transport_is_blocked_the_next_is_tried_in_the_same_attempt(
    run: Stage, server: Server, until: Until
) -> None:
    (one,) = run.come(Climber)
    server.doors = [failed(Cause.HANDSHAKE_REFUSED), failed(Cause.CONNECT_TIMEOUT)]
    paper(one.device).lose()
    until(lambda: one.device.up)
    assert [link.transport for link, _ in server.knocks] == ["websocket", *Climber.ladder]
    assert one.member.transport == "interval-polling"
    drop = _only_drop(run)
    assert (drop.transport, _causes(drop)) == ("websocket", [""])
    assert run.counters["fallbacks"] == 1
    assert [link.state for link in server.links] == ["lost", "closed", "closed", "open"]


def test_where_nobody_is_there_no_other_transport_is_tried(run: Stage, server: Server, until: Until) -> None:
    run.policy_ms(1)
    (one,) = run.come(Climber)
    server.doors = [REFUSED]
    paper(one.device).lose()
    until(lambda: not one.device.returning)
    assert [link.transport for link, _ in server.knocks] == ["websocket"] * 2
    assert _only_drop(run).outcome == rows.GAVE_UP


def test_every_attempt_presents_what_the_server_needs_to_restore_the_state(
    run: Stage, server: Server, until: Until
) -> None:
    (one,) = run.come(Person)
    server.doors = [REFUSED, REFUSED]
    paper(one.device).lose()
    until(lambda: one.device.up)
    mine = f"state of {one.member.name}"
    assert [link.presented for link in server.links] == [None, mine, mine, mine]
    assert one.device.recovery is None, "a connection of another kind must not claim it"


def test_a_session_that_nobody_knows_is_claimed_once(run: Stage, server: Server, until: Until) -> None:
    (one,) = run.come(Person)
    assert one.device.engine_sid is None
    run.begin()
    server.doors = [failed(Cause.HANDSHAKE_REFUSED, "HTTP 400")]
    strike = occurrences(parse("bad-sid@0"))[0]
    assert one.device.strike(strike)
    assert one.device.engine_sid
    until(lambda: one.device.up)
    assert _causes(_only_drop(run)) == ["handshake_http_4xx", ""]


# -- rooms, and what was said there --------------------------------------------------------------------------


def test_a_loss_while_rejoining_is_the_same_drop_and_the_count_begins_anew(
    run: Stage, server: Server, until: Until
) -> None:
    run.policy_ms(1, 1)
    (one,) = run.come(Person)
    server.doors = [REFUSED, None, REFUSED, None]
    joins: list[PaperLink] = []

    def join(link: PaperLink, payload: Payload) -> Payload | None:
        joins.append(link)
        if len(joins) == 1:
            link.lose(Cause.TRANSPORT_ERROR)
            return None
        return server.join(link, payload)

    server.answers["joinRoom"] = join
    paper(one.device).lose()
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert (drop.outcome, _causes(drop)) == (
        rows.RECOVERED,
        ["connect_refused", "", "connect_refused", ""],
    )
    assert len(joins) == 2
    assert run.counters["rejoins.failed"] == 1
    assert run.counters["connections.lost"] == 2
    assert len(run.drops) == 1


@pytest.mark.parametrize("cause", [Cause.SERVER_NAMESPACE, None])
def test_who_is_put_out_while_rejoining_stays_out(
    run: Stage, server: Server, until: Until, cause: Cause | None
) -> None:
    (one,) = run.come(Person)

    def join(link: PaperLink, payload: Payload) -> Payload | None:
        if cause is None:
            return refused("FORBIDDEN")
        link.lose(cause)
        return None

    server.answers["joinRoom"] = join
    paper(one.device).lose()
    until(lambda: not one.device.returning)
    drop = _only_drop(run)
    assert (drop.outcome, _causes(drop), drop.rejoined_ns) == (rows.STAYED, [""], None)
    assert server.open == []
    assert not one.member.connected


def test_what_was_missed_is_asked_for_and_merged(run: Stage, server: Server, until: Until) -> None:
    one, other = run.come(Person, 2)
    run.begin()
    other.send_message("before")
    until(lambda: one.device.seats[one.room.name].last_seq == 1)
    server.doors = [Event()]
    paper(one.device).lose()
    for text in ("first", "second"):
        other.send_message(text)
    until(lambda: len(server.told("message:send")) == 3)
    server.let_in()
    until(lambda: one.device.up)
    assert server.told("joinRoom")[-1]["sinceSeq"] == 1
    other.send_message("after")
    until(lambda: run.row("session.resume").latency.n == 1)
    until(lambda: run.drops)
    (drop,) = run.drops
    assert (drop.missed, drop.resynced) == (2, 2)
    assert run.row("message.resync").latency.n == 2
    assert drop.first_ns is not None
    assert drop.back_ns is not None
    assert drop.first_ns > drop.back_ns, (
        "the first message of somebody else ends the outage, not what was missed"
    )
    assert run.row("message.deliver").duplicate == run.row("message.deliver").leaked == 0
    assert one.device.seats[one.room.name].last_seq == 5


def test_a_server_that_counts_anew_is_asked_from_the_beginning(
    run: Stage, server: Server, until: Until
) -> None:
    """As after a restart: what was seen before says nothing about the numbers of now."""
    one, other = run.come(Person, 2)
    run.begin()
    seat = one.device.seats[one.room.name]
    seat.last_seq = 50
    paper(one.device).lose()
    other.send_message("after the restart")
    until(lambda: one.device.up)
    assert [told["sinceSeq"] for told in server.told("joinRoom")[-2:]] == [50, 0]
    assert run.live.recorder.counters["rooms.forgotten"] == 1
    until(lambda: run.row("message.resync").latency.n == 1)
    assert _only_drop(run).resynced == 1


def test_what_the_server_does_not_give_back_is_missed_all_the_same(
    run: Stage, server: Server, until: Until
) -> None:
    one, other = run.come(Person, 2)
    run.begin()
    server.answers["joinRoom"] = lambda link, payload: {**server.join(link, payload), "missed": []}
    paper(one.device).lose()
    other.send_message("missed")
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert (drop.missed, drop.resynced) == (1, 0)


def test_what_one_rejoining_brought_counts_though_another_had_to_follow(
    run: Stage, server: Server, until: Until
) -> None:
    one, other = run.come(Person, 2)
    run.begin()
    second = f"{one.room.name}-two"
    one.device.enter(second, None)
    other.device.enter(second, None)
    joins: list[str] = []

    def join(link: PaperLink, payload: Payload) -> Payload | None:
        joins.append(payload["room"])
        if len(joins) == 2:
            link.lose()
            return None
        return server.join(link, payload)

    server.answers["joinRoom"] = join
    paper(one.device).lose()
    other.send_message("missed")
    until(lambda: one.device.up)
    drop = _only_drop(run)
    assert len(joins) == 4
    assert (drop.rooms, drop.missed, drop.resynced) == (2, 1, 1)


# -- what is said meanwhile ----------------------------------------------------------------------------------


def test_what_was_not_answered_is_said_again_with_the_same_mark(
    run: Stage, server: Server, until: Until
) -> None:
    one, _ = run.come(Person, 2)
    run.begin()

    def silent(link: PaperLink, payload: Payload) -> None:
        server.message(link, payload)

    server.answers["message:send"] = silent
    for text in ("taken", "taken too"):
        one.send_message(text)
    until(lambda: run.row("message.deliver").latency.n == 2)
    server.answers["message:send"] = server.message
    assert len(one.device.unacked) == 2
    paper(one.device).lose()
    until(lambda: one.device.up)
    until(lambda: not one.device.unacked)
    said = [one["clientMsgId"] for one in server.told("message:send") if one["body"] != "probe"]
    assert said[:2] == said[2:]
    assert len(set(said)) == 2
    assert run.counters["resent"] == 2
    assert run.counters["sent"] == 2, "said again is not said twice"
    drop = _only_drop(run)
    assert (drop.resent, drop.buffered) == (2, 0)
    assert run.row("message.ack").latency.n == 2
    assert run.row("message.deliver").duplicate == 0


def test_what_is_said_meanwhile_is_kept_in_order_and_said_after_what_was_not_answered(
    run: Stage, server: Server, until: Until
) -> None:
    one, _ = run.come(Person, 2)
    run.begin()
    server.answers["message:send"] = lambda link, payload: None
    one.send_message("unanswered")
    server.answers["message:send"] = server.message
    server.doors = [Event()]
    paper(one.device).lose()
    for text in ("one", "two", "three"):
        one.send_message(text)
    one.start_typing()
    assert run.counters["not_sent"] == 1, "a signal is worth nothing later"
    server.let_in()
    until(lambda: not one.device.unacked and one.device.up)
    said = [one["body"] for one in server.told("message:send")]
    assert said == ["unanswered", "unanswered", "one", "two", "three", "probe"]
    assert not server.told("typing:start")
    drop = _only_drop(run)
    assert (drop.resent, drop.buffered) == (1, 3)
    latency = run.row("message.deliver").latency
    assert latency.n == 4


def test_latency_of_what_was_kept_counts_from_when_it_was_due(
    run: Stage, server: Server, until: Until
) -> None:
    one, _ = run.come(Person, 2)
    run.begin()
    run.policy_ms(30)
    lost_ns = run.now_ns()
    paper(one.device).lose()
    one.send_message("kept")
    said_ns = run.now_ns()
    until(lambda: run.row("message.deliver").latency.n == 1)
    row = run.row("message.deliver")
    assert row.latency.sum_ns - row.service.sum_ns >= lost_ns + 30 * MS - said_ns
    assert row.latency.n == row.service.n == 1


@pytest.mark.parametrize("why", ["gave up", "python", "the run ends", "it leaves"])
def test_what_nobody_will_say_any_more_failed_and_is_lost_to_all(
    run: Stage, server: Server, until: Until, why: str
) -> None:
    one, _, _ = run.come(Person, 3)
    run.begin()
    run.policy_ms(1, buffers=why != "python")
    server.doors = [REFUSED if why == "gave up" else Event()]
    paper(one.device).lose()
    one.send_message("kept")
    one.send_message("kept too")
    if why == "gave up":
        until(lambda: not one.device.returning)
    elif why == "the run ends":
        run.live.close()
    elif why == "it leaves":
        one._part()
    row = run.row("message.deliver")
    assert (row.failed, row.expected, row.lost) == (2, 4, 4)
    assert run.row("message.echo").lost == (2 if why != "it leaves" else 0)
    assert run.counters["not_sent"] == 2
    assert not one.device.outbox
    if why == "gave up":
        one.send_message("too late")
        assert run.counters["not_sent"] == 3, "it is not kept: nobody comes back"


def test_what_is_kept_is_not_without_an_end(
    run: Stage, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "KEPT", 3)
    one, _ = run.come(Person, 2)
    run.begin()
    server.doors = [Event()]
    paper(one.device).lose()
    for _ in range(5):
        one.send_message("kept")
    assert len(one.device.outbox) == 3
    assert run.counters["not_sent"] == 2


def test_a_message_that_finds_the_connection_gone_is_kept(run: Stage, server: Server, until: Until) -> None:
    one, _ = run.come(Person, 2)
    run.begin()
    link = paper(one.device)

    class Gone:
        def send(self, action: object, variables: object, errand: Any) -> None:
            del link.send  # type: ignore[method-assign]
            link.lose()
            errand.failed(Cause.TRANSPORT_CLOSE, "gone")

    link.send = Gone().send  # type: ignore[method-assign]
    one.send_message("kept")
    until(lambda: run.row("message.deliver").latency.n == 1)
    assert "not_sent" not in run.counters


# -- proofs --------------------------------------------------------------------------------------------------


def test_a_probe_proves_each_room(run: Stage, server: Server, until: Until) -> None:
    one, _ = run.come(Person, 2)
    run.begin()
    one.device.enter(f"{one.room.name}-two", None)
    paper(one.device).lose()
    until(lambda: run.row("session.resume").latency.n == 2)
    assert run.row("message.deliver").expected == 0, "a probe is owed to nobody else"
    drop = _only_drop(run)
    assert (drop.rooms, drop.proven) == (2, 2)
    assert drop.heard_ns is not None
    assert drop.rejoined_ns is not None
    assert drop.heard_ns >= drop.rejoined_ns
    assert run.counters["probes"] == 2
    assert run.row("session.resume").latency.min_ns >= drop.rejoined_ns - drop.at_ns


def test_a_room_that_lets_in_and_says_nothing_is_not_proven(run: Stage, server: Server, until: Until) -> None:
    (one,) = run.come(Person)
    other = run.come(Person)
    assert other
    run.begin()
    server.listeners.clear()
    server.answers["joinRoom"] = lambda link, payload: {"ok": True, "lastSeq": 0, "missed": []}
    paper(one.device).lose()
    until(lambda: run.counters.get("probes") == 1)
    run.settle()
    row = run.row("session.resume")
    assert (row.expected, row.lost) == (1, 1)
    drop = _only_drop(run)
    assert (drop.outcome, drop.rooms, drop.proven, drop.heard_ns) == (rows.RECOVERED, 1, 0, None)


def test_a_refused_probe_proves_nothing_and_is_no_loss(run: Stage, server: Server, until: Until) -> None:
    (one,) = run.come(Person)
    server.answers["message:send"] = lambda link, payload: refused("RATE_LIMITED")
    paper(one.device).lose()
    until(lambda: run.counters.get("probes.refused") == 1)
    run.settle()
    assert (run.row("session.resume").expected, run.row("session.resume").lost) == (0, 0)
    assert _only_drop(run).proven == 0


def test_the_next_loss_is_a_drop_of_its_own(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    for number in (1, 2):
        paper(one.device).lose()
        until(lambda: one.device.up)
        until(lambda n=number: run.row("session.resume").latency.n == n)
    run.live.close()
    assert [(drop.outcome, drop.proven) for drop in run.drops] == [(rows.RECOVERED, 1)] * 2
    assert one.returns == 2


def test_a_drop_is_told_once_to_locust_and_one_that_was_provoked_not_at_all(
    run: Stage, server: Server, until: Until
) -> None:
    one, two = run.come(Person, 2)
    run.begin()
    paper(one.device).lose()
    until(lambda: one.device.up)
    assert [event[:2] for event in run.fired if event[2]] == [("WS", "session.connect")]
    run.fired.clear()
    strike = occurrences(parse("abort@0"))[0]
    server.doors = [REFUSED] * 9
    assert two.device.strike(strike)
    assert two.member.provoked
    two.send_message("kept")
    until(lambda: not two.device.returning)
    two.send_message("lost")
    assert [event for event in run.fired if event[2]] == []
    run.live.close()
    drop = next(drop for drop in run.drops if drop.user == two.member.name)
    assert (drop.fault, drop.cause) == ("abort#0", "transport_error")
    assert drop.fault_ns is not None
    assert drop.fault_ns <= drop.at_ns
    assert run.counters["provoked.lost.message.deliver"] == 2


def test_who_is_back_is_not_excused_any_more(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    run.begin()
    assert one.device.strike(occurrences(parse("close@0"))[0])
    assert paper(one.device).state == "cut"
    until(lambda: one.device.up)
    assert not one.member.provoked
    drop = _only_drop(run)
    assert (drop.fault, drop.cause, drop.outcome) == ("close#0", "transport_close", rows.RECOVERED)


# -- parting in the middle -----------------------------------------------------------------------------------

POINTS = ["waiting", "connecting", "let in this moment", "rejoining", "back", "asking what became of it"]


def _go_to(point: str, run: Stage, server: Server, one: Person, until: Until) -> None:
    if point == "waiting":
        run.policy_ms(60_000)
    door = Event()
    if point in ("connecting", "let in this moment"):
        server.doors = [door]
    if point == "rejoining":
        server.answers["joinRoom"] = lambda link, payload: None
    if point == "asking what became of it":
        type(one).came_back = lambda user, device: device.enter("elsewhere", None)  # type: ignore[assignment]
        server.answers["joinRoom"] = lambda link, payload: (
            None if payload["room"].endswith("elsewhere") else server.join(link, payload)
        )
    knocks, asked = len(server.knocks), len(server.told("joinRoom"))
    paper(one.device).lose()
    if point == "waiting":
        gevent.sleep(0)
        return
    until(lambda: len(server.knocks) > knocks)
    if point == "let in this moment":
        door.set()
    elif point == "rejoining":
        until(lambda: len(server.told("joinRoom")) > asked)
    elif point == "asking what became of it":
        until(lambda: len(server.told("joinRoom")) > asked + 1)
    elif point == "back":
        until(lambda: one.device.up)


@pytest.mark.parametrize("point", POINTS)
def test_who_parts_on_the_way_back_leaves_nothing(
    run: Stage, server: Server, until: Until, point: str
) -> None:
    class Parting(Person):
        abstract = True

    one, _ = run.come(Parting, 2)
    run.begin()
    _go_to(point, run, server, one, until)
    assert bool(greenlets()) == (point != "back")
    one._part()
    gevent.sleep(0)
    gevent.sleep(0)
    assert greenlets() == []
    assert [link for link in server.open if link.device is one.device] == []
    assert [link for link in run.live.links if link not in server.open] == []
    (drop,) = run.drops
    back = point in ("back", "asking what became of it")
    assert drop.outcome == (rows.RECOVERED if back else rows.LEFT)
    assert run.counters.get("call.status_unknown") is None


@pytest.mark.parametrize("point", POINTS)
def test_when_the_books_close_on_the_way_back_the_drop_is_open(
    run: Stage, server: Server, until: Until, point: str
) -> None:
    class Caught(Person):
        abstract = True

    one, _ = run.come(Caught, 2)
    run.begin()
    _go_to(point, run, server, one, until)
    run.live.close()
    (drop,) = run.drops
    back = point in ("back", "asking what became of it")
    assert drop.outcome == (rows.RECOVERED if back else rows.OPEN)
    knocks = len(server.knocks)
    server.let_in()
    gevent.sleep(0.005)
    assert len(server.knocks) == knocks, "nobody knocks after the end"


def test_a_bug_in_a_scenario_ends_no_way_back_in_silence(run: Stage, until: Until) -> None:
    class Buggy(RealtimeUser):
        abstract = True

        def came_back(self, device: Device) -> None:
            raise ZeroDivisionError("in a scenario")

    (one,) = run.come(Buggy)
    paper(one.device).lose()
    until(lambda: run.counters.get("harness.faults") == 1)
    assert one.device.up
    assert run.live.faults
    run.forgive_bugs()
    assert _only_drop(run).outcome == rows.RECOVERED
