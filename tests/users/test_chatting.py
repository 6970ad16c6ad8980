"""Do visitors and operators find each other and talk, through handovers, drops and across processes?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import perf_counter_ns
from typing import Any

import gevent
import pytest
from stage import PaperLink, Payload, Server, Stage, paper, refused

from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS
from loadtest.users.causes import Cause
from loadtest.users.operating import OperatorUser
from loadtest.users.visiting import VisitorUser

Until = Callable[[Callable[[], object]], None]
Make = Callable[..., Stage]
ALL = ("chat.assign", "chat.status", "chat.deliver", "presence.deliver", "message.resync")


class Desk(Server):
    """Gives each visitor to the operator with the fewest, queues those whom nobody can take."""

    def __init__(self) -> None:
        super().__init__()
        self.chats: dict[str, Payload] = {}
        self.operators: dict[str, str] = {}
        self._ids = count(1)
        self.answers |= {
            "liveChat:start": self.start,
            "liveChat:operatorStatus": self.declare,
            "liveChat:message": self.write,
            "liveChat:close": self.close,
            "joinRoom": self.enter,
        }

    def start(self, link: PaperLink, payload: Payload) -> Payload:
        for chat in self.chats.values():
            if chat["visitor"] == link.user and chat["status"] != "closed":
                return {**self._stand(chat), "duplicate": True}
        chat = {"id": f"chat-{next(self._ids)}", "visitor": link.user, "status": "queued", "operator": None}
        chat |= {"meta": payload["meta"], "reason": "new", "log": []}
        self.chats[chat["id"]] = chat
        if not self.assign(chat):
            self.tell_status(chat, chat["meta"])
        return self._stand(chat)

    @staticmethod
    def _stand(chat: Payload) -> Payload:
        return {"ok": True, "chatId": chat["id"], "status": chat["status"], "operatorId": chat["operator"]}

    def assign(self, chat: Payload) -> bool:
        free = [name for name, status in self.operators.items() if status == "online"]
        if not free:
            return False
        busy = [one["operator"] for one in self.chats.values() if one["status"] == "assigned"]
        chat |= {"status": "assigned", "operator": min(free, key=busy.count)}
        event = {"chatId": chat["id"], "visitorId": chat["visitor"], "operatorId": chat["operator"]}
        event |= {"reason": chat["reason"], **_meta(chat["meta"])}
        self.to_users(_parties(chat), "liveChat:assigned", event)
        self.tell_status(chat, chat["meta"])
        return True

    def declare(self, link: PaperLink, payload: Payload) -> Payload:
        self.operators[link.user] = payload["status"]
        mine = [
            one for one in self.chats.values() if one["operator"] == link.user and one["status"] == "assigned"
        ]
        event = {"operatorId": link.user, "status": payload["status"], "meta": payload["meta"]}
        self.to_users([*self.operators, *(one["visitor"] for one in mine)], "liveChat:presence", event)
        if payload["status"] == "offline":
            self.release(mine)
        for chat in [one for one in self.chats.values() if one["status"] == "queued"]:
            self.assign(chat)
        return {"ok": True}

    def release(self, chats: list[Payload]) -> None:
        """Their operator is gone: another takes them, or they wait."""
        for chat in chats:
            chat |= {"status": "queued", "operator": None, "meta": None, "reason": "reassigned"}
            if not self.assign(chat):
                self.tell_status(chat, None)

    def write(self, link: PaperLink, payload: Payload) -> Payload:
        chat = self.chats[payload["chatId"]]
        if chat["status"] == "closed":
            return refused("CHAT_CLOSED")
        if link.user not in _parties(chat):
            return refused("FORBIDDEN")
        log = chat["log"]
        for known in log:
            if known["clientMsgId"] == payload["clientMsgId"]:
                return {"ok": True, "seq": known["seq"], "duplicate": True}
        log.append({**payload, "seq": len(log) + 1, "senderId": link.user})
        self.to_users(_parties(chat), "liveChat:message", log[-1])
        return {"ok": True, "seq": len(log)}

    def close(self, link: PaperLink, payload: Payload) -> Payload:
        chat = self.chats[payload["chatId"]]
        if chat["status"] == "closed":
            return refused("CHAT_CLOSED")
        chat["status"] = "closed"
        self.tell_status(chat, payload["meta"])
        return {"ok": True}

    def enter(self, link: PaperLink, payload: Payload) -> Payload:
        chat = self.chats.get(payload["room"].removeprefix("conversation:"))
        if chat is None:
            return self.join(link, payload)
        if link.user not in _parties(chat):
            return refused("FORBIDDEN")
        return {"ok": True, "lastSeq": len(chat["log"]), "missed": chat["log"][payload["sinceSeq"] or 0 :]}

    def tell_status(self, chat: Payload, meta: Payload | None) -> None:
        event = {"chatId": chat["id"], "status": chat["status"], **_meta(meta)}
        self.to_users(_parties(chat), "liveChat:status", event)


def _parties(chat: Payload) -> list[str]:
    return [chat["visitor"], *([chat["operator"]] if chat["operator"] else [])]


def _meta(meta: Payload | None) -> Payload:
    return {"meta": meta} if meta else {}


class Visitor(VisitorUser):
    abstract = True
    messages = (2, 2)


class Operator(OperatorUser):
    abstract = True
    replies = 1.0
    thinks = (0.001, 0.001)
    pause = (0.003, 0.003)


class Silent(Operator):
    abstract = True
    replies = 0.0


class Gone(Silent):
    abstract = True
    pause = (60.0, 60.0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def run(stage: Make, desk: Desk) -> Stage:
    made = stage(desk)
    made.begin()
    return made


def _chats(*runs: Stage) -> dict[str, int]:
    """The counters of chats, without their common beginning."""
    found: dict[str, int] = {}
    for run in runs:
        for name, n in run.counters.items():
            if name.startswith("chat.") and n:
                found[name[5:]] = found.get(name[5:], 0) + n
    return found


def _row(operation: str, *runs: Stage) -> SeriesRow:
    whole = SeriesRow(operation, "websocket", "connect", 0)
    for run in runs:
        whole = whole.plus(run.row(operation))
    return whole


def _books_are_even(*runs: Stage) -> None:
    """Everything that was owed came, once, and to nobody else."""
    for run in runs:
        run.settle()
    for operation in ALL:
        row = _row(operation, *runs)
        assert (row.lost, row.late, row.duplicate, row.leaked, row.failed) == (0, 0, 0, 0, 0), operation
        assert row.expected == row.latency.n, operation


def _assigned(visitor: VisitorUser) -> bool:
    return visitor.chat is not None and visitor.chat.state == "assigned"


def _ask(visitor: VisitorUser, until: Until) -> None:
    visitor.ask_for_help()
    until(lambda: _assigned(visitor))


# -- finding each other --------------------------------------------------------------------------------------


def test_who_asks_is_given_an_operator_and_both_hear_of_it(run: Stage, until: Until) -> None:
    (operator,), (visitor,) = run.come(Silent), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    until(lambda: run.row("chat.status").latency.n == 2)
    assert visitor.chat is not None
    assert (visitor.chat.other, list(operator.chats)) == (operator.name, [visitor.chat.id])
    assert run.row("chat.assign").latency.n == 2
    assert run.row("chat.assign").phases["queue"].n == 1
    assert _chats(run) == {"announced": 1, "asked": 1, "assigned": 1}
    _books_are_even(run)


@pytest.mark.parametrize("later_than_the_deadline", [False, True])
def test_who_has_to_wait_is_given_an_operator_when_one_comes(
    run: Stage, until: Until, later_than_the_deadline: bool
) -> None:
    (visitor,) = run.come(Visitor)
    visitor.ask_for_help()
    until(lambda: _chats(run) == {"asked": 1, "queued": 1})
    assert run.row("chat.status").latency.n == 1
    visitor.ask_for_help()
    assert _chats(run)["waiting"] == 1
    if later_than_the_deadline:
        run.settle()
    run.come(Silent)
    until(lambda: _assigned(visitor))
    assert run.row("chat.assign").phases["queue"].n == 1
    assert _chats(run)["assigned"] == 1
    gevent.sleep(0.002)
    _books_are_even(run)


def test_a_refusal_is_a_failure_and_the_next_question_another_chat(
    run: Stage, desk: Desk, until: Until
) -> None:
    run.come(Silent)
    (visitor,) = run.come(Visitor)
    desk.answers["liveChat:start"] = lambda link, payload: refused("INTERNAL")
    visitor.ask_for_help()
    until(lambda: run.counters.get("refused.INTERNAL") == 1)
    assert visitor.chat is None
    assert [event[:2] for event in run.fired if event[2]] == [("WSC", "chat.status")]
    desk.answers["liveChat:start"] = desk.start
    _ask(visitor, until)
    _books_are_even(run)


@pytest.mark.parametrize("why", ["overdue", "not connected", "cannot leave"])
def test_what_cannot_be_asked_failed(run: Stage, why: str) -> None:
    run.policy_ms(60_000)
    (visitor,) = run.come(Visitor)
    if why == "overdue":
        visitor.overdue = True
    elif why == "not connected":
        paper(visitor.device).lose()
    else:
        paper(visitor.device).state = "dead"
    run.fired.clear()
    visitor.ask_for_help()
    operation = "chat.deliver" if why == "overdue" else "chat.assign"
    row = run.row(operation)
    assert (row.failed, row.expected, row.lost) == (1, 1, 1)
    assert [event[:2] for event in run.fired] == [("WSE", operation)]
    assert visitor.chat is None


# -- talking and parting -------------------------------------------------------------------------------------


def test_they_talk_and_the_visitor_leaves(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Operator), run.come(Visitor)
    _ask(visitor, until)
    for number in (1, 2):
        visitor.ask_for_help()
        until(lambda n=number: run.row("chat.deliver").latency.n == 2 * n)
    visitor.ask_for_help()
    until(lambda: not operator.chats)
    assert visitor.chat is None
    assert [one["senderId"] for one in desk.chats["chat-1"]["log"]] == [visitor.name, operator.name] * 2
    until(lambda: run.row("chat.status").latency.n == 3)
    chats = _chats(run)
    assert (chats["written"], chats["closed"], chats["asked"]) == (4, 1, 1)
    assert visitor.device.seats == operator.device.seats == {}
    _books_are_even(run)
    _ask(visitor, until)
    assert visitor.chat is not None
    assert visitor.chat.id == "chat-2"


def test_what_was_written_too_late_is_an_outcome(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Silent), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    desk.chats["chat-1"]["status"] = "closed"
    visitor.ask_for_help()
    until(lambda: _chats(run).get("too_late") == 1)
    assert visitor.chat is None
    assert [event for event in run.fired if event[2]] == []
    _books_are_even(run)


def test_a_copy_that_does_not_come_is_lost(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Silent), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    plain = desk.to_users
    desk.to_users = lambda names, event, payload: plain([visitor.name], event, payload)  # type: ignore[method-assign]
    visitor.ask_for_help()
    until(lambda: not visitor.device.unacked)
    gevent.sleep(0.002)
    run.settle()
    assert (run.row("chat.deliver").expected, run.row("chat.deliver").lost) == (1, 1)


def test_a_copy_for_somebody_who_has_no_part_in_it_is_a_leak(run: Stage, desk: Desk, until: Until) -> None:
    (operator,) = run.come(Silent)
    visitor, stranger = run.come(Visitor, 2)
    _ask(visitor, until)
    until(lambda: operator.chats)
    plain = desk.to_users

    def to_all(names: list[str], event: str, payload: Payload) -> None:
        plain([*names, stranger.name], event, payload)

    desk.to_users = to_all  # type: ignore[method-assign]
    visitor.ask_for_help()
    until(lambda: run.row("chat.deliver").leaked == 1)
    assert run.row("chat.deliver").latency.n == 1


# -- operators who go ----------------------------------------------------------------------------------------


def test_who_steps_out_hands_its_chats_over(run: Stage, until: Until) -> None:
    (operator,), (visitor,) = run.come(Gone), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    (other,) = run.come(Gone)
    until(lambda: other.listed)
    operator.step_out()
    until(lambda: visitor.chat is not None and visitor.chat.other == other.name)
    assert not operator.chats
    assert not operator.there
    assert _chats(run)["handed_over"] == 1
    assert run.row("chat.assign").phases["handover"].n == 1
    visitor.ask_for_help()
    until(lambda: run.row("chat.deliver").latency.n == 1)
    until(lambda: list(other.chats) == ["chat-1"])
    _books_are_even(run)


def test_where_nobody_else_is_there_the_visitor_waits_again(run: Stage, until: Until) -> None:
    (operator,), (visitor,) = run.come(Gone), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    operator.step_out()
    until(lambda: _chats(run).get("requeued") == 1)
    visitor.ask_for_help()
    assert _chats(run)["waiting"] == 1
    gevent.sleep(0.003)
    operator._say_status("online", run.now_ns())
    until(lambda: _assigned(visitor))
    assert operator.there
    assert _chats(run)["handed_over"] == 1
    assert run.row("chat.assign").phases["handover"].max_ns > 2 * MS
    _books_are_even(run)


def test_who_was_away_when_its_pause_ended_is_there_when_it_is_back(
    run: Stage, desk: Desk, until: Until
) -> None:
    (operator,) = run.come(Silent)
    until(lambda: operator.listed)
    run.policy_ms(15)
    operator.step_out()
    paper(operator.device).lose()
    until(lambda: operator.device.up)
    until(lambda: desk.operators[operator.name] == "online")
    assert operator.there


def test_who_is_not_connected_cannot_step_out(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Operator), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    run.policy_ms(5)
    paper(operator.device).lose()
    operator.step_out()
    assert operator.there
    assert list(operator.chats) == ["chat-1"]
    until(lambda: operator.device.up)
    visitor.ask_for_help()
    until(lambda: run.row("chat.deliver").latency.n == 2)


def test_operators_hear_of_one_another(run: Stage, until: Until) -> None:
    one, two = run.come(Silent), run.come(Silent)
    until(lambda: one[0].listed and two[0].listed)
    assert run.row("presence.deliver").latency.n == 1, "the first heard of the second"
    two[0].step_out()
    until(lambda: run.row("presence.deliver").latency.n == 3)
    _books_are_even(run)


# -- drops ---------------------------------------------------------------------------------------------------


def test_who_was_away_merges_what_was_written(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Operator), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    run.policy_ms(5)
    paper(operator.device).lose()
    visitor.ask_for_help()
    until(lambda: run.row("message.resync").latency.n == 1)
    until(lambda: operator.device.up)
    paper(visitor.device).lose()
    until(lambda: visitor.device.up)
    assert visitor.chat is not None
    assert (visitor.chat.id, visitor.chat.other) == ("chat-1", operator.name)
    gevent.sleep(0.002)
    _books_are_even(run)


def test_an_operator_whose_chats_were_given_away_comes_back_all_the_same(
    run: Stage, desk: Desk, until: Until
) -> None:
    (operator,), (visitor,) = run.come(Silent), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    (other,) = run.come(Silent)
    until(lambda: other.listed)
    run.policy_ms(5)
    paper(operator.device).lose()
    desk.operators[operator.name] = "lost"
    desk.release(list(desk.chats.values()))
    until(lambda: operator.device.up)
    assert operator.device.seats == {}
    assert not operator.chats
    assert _chats(run)["gone"] == 1
    until(lambda: desk.operators[operator.name] == "online")
    until(lambda: visitor.chat is not None and visitor.chat.other == other.name)
    run.live.close()
    (drop,) = run.drops
    assert (drop.outcome, drop.rooms) == ("recovered", 0)


@pytest.mark.parametrize("arrived", [False, True])
def test_a_question_that_was_lost_on_its_way_is_asked_again(
    run: Stage, desk: Desk, until: Until, arrived: bool
) -> None:
    run.come(Silent)
    (visitor,) = run.come(Visitor)

    def lose(link: PaperLink, payload: Payload) -> None:
        link.lose(Cause.TRANSPORT_ERROR)
        if arrived:
            desk.start(link, payload)

    desk.answers["liveChat:start"] = lose
    visitor.ask_for_help()
    desk.answers["liveChat:start"] = desk.start
    until(lambda: _assigned(visitor))
    assert len(desk.chats) == 1
    visitor.ask_for_help()
    until(lambda: run.row("chat.deliver").latency.n == 1)
    _books_are_even(run)


def test_a_chat_that_the_server_has_forgotten_is_over(run: Stage, desk: Desk, until: Until) -> None:
    (operator,), (visitor,) = run.come(Silent), run.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    paper(visitor.device).lose()
    desk.chats["chat-1"]["status"] = "closed"
    until(lambda: visitor.device.up)
    until(lambda: visitor.chat is not None and visitor.chat.id == "chat-2")
    gevent.sleep(0.002)
    visitor.ask_for_help()
    until(lambda: desk.chats["chat-2"]["status"] == "closed")
    until(lambda: "chat-2" not in operator.chats)
    _books_are_even(run)


def test_a_farewell_that_was_lost_is_said_again(run: Stage, desk: Desk, until: Until) -> None:
    class Brief(Visitor):
        abstract = True
        messages = (0, 0)

    (operator,), (visitor,) = run.come(Silent), run.come(Brief)
    _ask(visitor, until)
    until(lambda: operator.chats)

    def lose(link: PaperLink, payload: Payload) -> None:
        link.lose()

    desk.answers["liveChat:close"] = lose
    visitor.ask_for_help()
    desk.answers["liveChat:close"] = desk.close
    until(lambda: desk.chats["chat-1"]["status"] == "closed")
    until(lambda: not operator.chats)
    until(lambda: not visitor._closing)
    assert _chats(run)["closed"] == 1
    _books_are_even(run)


# -- across processes ----------------------------------------------------------------------------------------


@pytest.fixture
def two(stage: Make, desk: Desk) -> list[Stage]:
    """Two processes of one run."""
    started_ns = perf_counter_ns()
    made = [stage(desk, worker, started_ns=started_ns) for worker in "01"]
    for one in made:
        one.live.begin(started_ns)
    return made


def test_the_parties_may_be_in_different_processes(two: list[Stage], desk: Desk, until: Until) -> None:
    here, there = two
    (operator,), (visitor,) = there.come(Operator), here.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    for number in (1, 2):
        visitor.ask_for_help()
        until(lambda n=number: _row("chat.deliver", *two).latency.n == 2 * n)
    visitor.ask_for_help()
    until(lambda: not operator.chats)
    row = _row("chat.deliver", *two)
    assert (row.expected, row.latency.n, row.lost) == (4, 4, 0)
    assert 0 <= row.latency.min_ns <= row.latency.max_ns
    _books_are_even(*two)
    for one in two:
        assert one.row("chat.deliver").lost in (-2, 2, 0)
        assert one.counters["crossing.chat.deliver"] == 2


def test_what_is_lost_across_is_lost_once(two: list[Stage], desk: Desk, until: Until) -> None:
    here, there = two
    (operator,), (visitor,) = there.come(Silent), here.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    plain = desk.to_users
    desk.to_users = lambda names, event, payload: plain([visitor.name], event, payload)  # type: ignore[method-assign]
    visitor.ask_for_help()
    until(lambda: not visitor.device.unacked)
    gevent.sleep(0.002)
    row = _row("chat.deliver", *two)
    assert (row.expected, row.lost, row.latency.n) == (1, 1, 0)


def test_what_was_refused_across_is_owed_to_nobody(two: list[Stage], desk: Desk, until: Until) -> None:
    here, there = two
    (operator,), (visitor,) = there.come(Silent), here.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    desk.answers["liveChat:message"] = lambda link, payload: refused("RATE_LIMITED")
    visitor.ask_for_help()
    until(lambda: here.counters.get("refused.rate_limited") == 1)
    row = _row("chat.deliver", *two)
    assert (row.expected, row.lost, row.failed) == (0, 0, 1)


def test_what_another_process_wrote_while_one_was_away_is_a_chat_s_too(
    two: list[Stage], desk: Desk, until: Until
) -> None:
    here, there = two
    (operator,), (visitor,) = there.come(Silent), here.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    for one in two:
        one.policy_ms(8)
    paper(operator.device).lose()
    visitor.ask_for_help()
    until(lambda: operator.device.up)
    row = _row("chat.deliver", *two)
    assert (row.expected, row.latency.n, row.lost) == (1, 1, 0)
    assert _row("message.deliver", *two).lost == 0
    paper(operator.device).lose()
    operator.device.seats["chat-1"].last_seq = 0
    until(lambda: operator.device.up)
    assert _row("chat.deliver", *two).duplicate == 0
    assert there.counters["merged"] == 1


def test_a_handover_to_another_process_settles_what_was_written(
    two: list[Stage], desk: Desk, until: Until
) -> None:
    here, there = two
    (operator,), (visitor,) = here.come(Gone), here.come(Visitor)
    _ask(visitor, until)
    until(lambda: operator.chats)
    (other,) = there.come(Gone)
    until(lambda: other.listed)
    operator.step_out()
    visitor.ask_for_help()  # it does not know yet
    until(lambda: visitor.chat is not None and visitor.chat.other == other.name)
    until(lambda: not visitor.device.unacked)
    gevent.sleep(0.003)
    for one in two:
        one.settle()
    row: Any = _row("chat.deliver", *two)
    assert (row.expected, row.latency.n, row.lost, row.leaked) == (1, 1, 0, 0)
