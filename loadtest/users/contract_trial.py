"""Does one thing that a contract says users can do work: is it answered, and does it reach whom it should?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import gevent

from loadtest.contract import Action, Contract, JsonPath
from loadtest.contract.table import Operation
from loadtest.users.contract_findings import SENDER, Ear, Finding, Sent, judge, places, recognises, shown
from loadtest.users.contract_people import Fate, Person, wait_for
from loadtest.users.link import Outcome

_GRACE_S = 0.3
"""After the last one who must hear it: for those who should not."""
_OPTIONAL = frozenset({"operator", "instance"})
"""Captured where the server says so."""


class Cast(NamedTuple):
    """Who takes part. members: of one room, the sender first; stranger: in another; operator: of live chats."""

    members: Sequence[Person]
    stranger: Person | None
    operator: Person | None

    @property
    def everybody(self) -> list[Person]:
        """All of them."""
        return [*self.members, *(one for one in (self.stranger, self.operator) if one is not None)]


class Trial:
    """One contract tried out. timeout_s: for an answer, and for a delivery. sent: the newest that was done."""

    def __init__(self, contract: Contract, cast: Cast, run: str, timeout_s: float) -> None:
        self.contract = contract
        self.cast = cast
        self.timeout_s = timeout_s
        self._run = run
        self._number = 0
        self.last_seq: int | None = None
        self.sent = Sent("")

    def marker(self, person: Person) -> str:
        """A marker as a run makes them."""
        self._number += 1
        return f"{self._run}:{person.name}:{self._number}"

    def made(self, args: object) -> bool:
        """Whether a marker of ours is in it: then it is a delivery that the file gives another name."""
        return any(places(args, f"{self._run}:"))

    def act(
        self,
        name: str,
        action: Action,
        by: Person,
        operations: Sequence[Operation],
        sent: Sent,
        others: Sequence[Person] | None = None,
        **variables: object,
    ) -> Iterator[Finding]:
        """Do it, judge the answer, and whatever should have come of it.

        others: who must hear of it where it is not said to a room; those who neither do nor may are listened to
        all the same.
        """
        marks = {person: len(person.heard) for person in self.cast.everybody}
        self.sent = sent
        variables = {"room": by.room, "marker": sent.marker, **variables}
        fate = by.do(action, self.timeout_s, **variables)
        yield self.answer(name, action, by, fate, marks[by])
        outcome = _outcome(fate)
        if not fate.gone or (outcome is not None and not outcome.ok):
            return
        if outcome is not None:
            self._note_seq(outcome.rule.seq(outcome.root))
            self.sent = sent = sent._replace(given=outcome.rule.server_id(outcome.root))
        for index, delivery in enumerate(self.contract.deliveries):
            if delivery.operation in operations:
                place = f"deliveries[{index}] {delivery.operation}"
                wanted = sent if delivery.status_at is not None else sent._replace(status=None)
                for finding in self._delivered(index, place, wanted, by, others, marks):
                    yield self._explained(name, finding, by, marks[by])

    def _delivered(
        self,
        index: int,
        place: str,
        sent: Sent,
        by: Person,
        others: Sequence[Person] | None,
        marks: Mapping[Person, int],
    ) -> list[Finding]:
        delivery = self.contract.deliveries[index]
        must = self._owed(delivery.recipients, by, others)

        def copies(person: Person) -> list[list[object]]:
            heard = person.since(marks[person])
            return [
                one.args for one in heard if one.name == delivery.on and recognises(delivery, one.args, sent)
            ]

        wait_for(lambda: all(copies(person) for person in must), self.timeout_s)
        gevent.sleep(_GRACE_S)
        for args in (args for person in must for args in copies(person)):
            self._note_seq(delivery.seq(args))
        # Of two parties the one who acts may hear of its own doing or not.
        open_to = {by} if others is not None or delivery.recipients == "both" else set()
        if self.cast.operator is not None and not self.contract.has_rooms:
            open_to.add(self.cast.operator)
        ears = [
            Ear(self._as(person, by), person.since(marks[person]), person in must, person in open_to)
            for person in self.cast.everybody
        ]
        return judge(place, delivery, sent, ears)

    def _owed(self, recipients: str, by: Person, others: Sequence[Person] | None) -> list[Person]:
        if others is not None:
            return list(others)
        members = self.cast.members
        if self.contract.directed:
            return [members[1]]
        return [person for person in members if person is not by or recipients == "room"]

    def _as(self, person: Person, by: Person) -> str:
        return SENDER if person is by else person.who

    def _note_seq(self, seq: int | None) -> None:
        if seq is not None:
            self.last_seq = max(seq, self.last_seq or 0)

    def _explained(self, name: str, finding: Finding, by: Person, mark: int) -> Finding:
        """Where nothing is acknowledged, a refusal may come late: then that is why nobody heard it."""
        complaints = self._complaints(by, mark) if finding.state == "unmatched" else ""
        if not complaints:
            return finding
        change = f"correct {name}.args: the server refuses it"
        return Finding(finding.place, "unmatched", finding.said + complaints, change)

    def answer(self, name: str, action: Action, by: Person, fate: Fate, mark: int) -> Finding:
        """What the answer to something says of its mapping."""
        emitted = action.emit is not None
        place = name if action.ack is None and emitted else f"{name}.{'ack' if emitted else 'http'}"
        what = f'"{action.emit}"' if emitted else _request(action)
        said = self._complaints(by, mark)
        if fate.why or not fate.gone:
            return Finding(
                place, "unmatched", f"{what} could not be sent ({fate.why or 'no connection'}){said}"
            )
        outcome = _outcome(fate)
        if outcome is None:
            return self._unanswered(place, name, action, what, said)
        if not outcome.ok:
            return _refused(place, name, action, what, outcome, said)
        lacking = _lacking(name, outcome)
        answered = f"{what} was answered with {shown(outcome.root)}"
        if lacking:
            key, path = lacking[0]
            return Finding(
                place,
                "unmatched",
                f'{answered}; {key} = "{path}" finds nothing there',
                f"{place}: correct {key}, or leave it out",
            )
        return Finding(place, "matched", answered)

    def _unanswered(self, place: str, name: str, action: Action, what: str, said: str) -> Finding:
        if action.ack is None and action.emit is not None:
            if said:
                return Finding(place, "unmatched", f"{what} was refused{said}", f"correct {name}.args")
            return Finding(place, "matched", f"{what} was sent; the file asks for no acknowledgement")
        if said:
            return Finding(place, "unmatched", f"{what} was not answered{said}", f"correct {name}.args")
        change = f"{place}: leave it out if the server acknowledges nothing, or correct {name}.emit and .args"
        return Finding(place, "unmatched", f"{what} was not answered within {self.timeout_s:g} s", change)

    def _complaints(self, by: Person, mark: int) -> str:
        """What the server said meanwhile by its error events, and whether it hung up."""
        rules = {rule.on for rule in self.contract.errors}
        heard = [f'"{one.name}" {shown(one.args)}' for one in by.since(mark) if one.name in rules]
        heard = [f"the server said {', '.join(heard)}"] if heard else []
        return "".join(f"; {one}" for one in [*heard, *by.failures])


def _outcome(fate: Fate) -> Outcome | None:
    outcome: Outcome | None = fate.outcome.value if fate.outcome.ready() else None
    return outcome


def _request(action: Action) -> str:
    return "the request" if action.http is None else f"the {action.http.method}"


def _refused(place: str, name: str, action: Action, what: str, outcome: Outcome, said: str) -> Finding:
    rule = action.ack if action.emit is not None else None
    refused = f"{what} was refused: {outcome.error or shown(outcome.root)}"
    answer = f"; the answer was {shown(outcome.root)}{said}"
    if rule is not None and rule.ok_at is not None and outcome.error is None:
        value = rule.ok_at.read(outcome.root)
        if value is None:
            missing = (
                f'{what} was answered, but ok = "{rule.ok_at.source}" finds nothing in {shown(outcome.root)}'
            )
            return Finding(place, "unmatched", missing + said, f"{place}: correct ok, or leave it out")
    keys = f"{name}.args" if action.emit is not None else f"{name}.http"
    return Finding(place, "unmatched", refused + answer, f"correct {keys}, or log in as the server wants it")


def _lacking(name: str, outcome: Outcome) -> list[tuple[str, str]]:
    """The paths of an answer that find nothing in it, with their keys."""
    rule = outcome.rule
    paths: dict[str, JsonPath | None] = {"seq": rule.seq_at, "id": rule.id_at}
    if name == "join":
        paths |= {"last_seq": rule.last_seq_at, "missed": rule.missed_at}
    paths |= {f"capture.{one}": path for one, path in rule.capture.items() if one not in _OPTIONAL}
    return [
        (key, path.source)
        for key, path in paths.items()
        if path is not None and path.read(outcome.root) is None
    ]
