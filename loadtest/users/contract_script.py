"""What is there to try out of a contract? One of everything that it says, in the order of a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadtest.contract import Action, Feed
from loadtest.contract.table import Operation
from loadtest.users.contract_findings import Finding, Heard, Sent, recognises, shown
from loadtest.users.contract_people import Person, wait_for
from loadtest.users.contract_trial import Trial
from loadtest.users.link import ActionFailed
from loadtest.users.login import shown as shown_body
from loadtest.users.requests import parsed

_TEXT = "hello from loadtest contract check"
_MESSAGE: Operation = "message.deliver"


def play(trial: Trial) -> Iterator[Finding]:
    """Everything, one after the other; users must be connected and in their rooms."""
    yield from _messages(trial)
    yield from _reading(trial)
    yield from _typing(trial)
    if trial.contract.calls is not None:
        yield from _calls(trial)
    if trial.contract.chats is not None:
        yield from _chats(trial)
    yield from _presence(trial)
    yield from _leaving(trial)
    yield from _unknown_events(trial)


# -- conversations ---------------------------------------------------------------------------------------


def _messages(trial: Trial) -> Iterator[Finding]:
    sender, peer = trial.cast.members[:2]
    readings = [_Reading(feed, peer) for feed in trial.contract.feeds if feed.carries(_MESSAGE)]
    begun = [one.begin(trial.timeout_s) for one in readings]
    more: dict[str, object] = {"peer": peer.name} if trial.contract.directed else {}
    yield from _say(trial, "send", trial.contract.send, sender, (_MESSAGE,), body=_TEXT, **more)
    for reading, finding in zip(readings, begun, strict=True):
        yield finding or reading.find(trial)


def _reading(trial: Trial) -> Iterator[Finding]:
    action = trial.contract.read
    if action is None:
        return
    if trial.last_seq is None:
        yield Finding("read", "unknown", "not tried: no answer and no delivery of a message gave a seq")
        return
    reader = trial.cast.members[1]
    yield from _say(trial, "read", action, reader, ("receipt.deliver",), seq=trial.last_seq)


def _typing(trial: Trial) -> Iterator[Finding]:
    typing = trial.contract.typing
    if typing is None:
        return
    writer = trial.cast.members[0]
    yield from _say(trial, "typing.start", typing.start, writer, ("typing.deliver",))
    if typing.stop is not None:
        yield from _say(trial, "typing.stop", typing.stop, writer, ())


def _say(
    trial: Trial,
    name: str,
    action: Action,
    by: Person,
    operations: Sequence[Operation],
    **variables: object,
) -> Iterator[Finding]:
    sent = Sent(trial.marker(by), room=by.room, sender=by.name)
    yield from trial.act(name, action, by, operations, sent, None, **variables)


class _Reading:
    """One feed, read by one user who polls."""

    def __init__(self, feed: Feed, person: Person) -> None:
        self._feed = feed
        self._requests = person.requests()
        self._identity = person.identity
        self._place = f'feeds "{feed.name}"'
        self._cursor: str | None = None
        self._seen: list[Heard] = []
        self._wrong: Finding | None = None

    def begin(self, timeout_s: float) -> Finding | None:
        """Ask where it stands; what is wrong with the answer, if anything is."""
        self._ask(timeout_s)
        return self._wrong

    def find(self, trial: Trial) -> Finding:
        """What was sent must come by it."""
        deliveries = [one for one in trial.contract.deliveries if one.operation == _MESSAGE]

        def there() -> bool:
            self._ask(trial.timeout_s)
            return self._wrong is not None or any(
                one.name == delivery.on and recognises(delivery, one.args, trial.sent)
                for one in self._seen
                for delivery in deliveries
            )

        found = wait_for(there, trial.timeout_s)
        self._requests.pool.close()
        if self._wrong is not None:
            return self._wrong
        seen = f"; it brought {shown([[one.name, *one.args] for one in self._seen])}" if self._seen else ""
        if found:
            return Finding(self._place, "matched", f"the message came by the feed{seen}")
        said = f"the message did not come by the feed within {trial.timeout_s:g} s{seen}"
        return Finding(self._place, "unmatched", said, f"{self._place}: items, event, data, and cursor")

    def _ask(self, timeout_s: float) -> None:
        target = self._feed.target(self._identity, self._cursor)
        try:
            response = self._requests.ask("GET", target, None, timeout_s)
        except ActionFailed as error:
            self._wrong = Finding(self._place, "unmatched", f"GET {target}: {error}", f"{self._place}: path")
            return
        if self._feed.outcome(response.status) in ("failed", "expired"):
            said = f"GET {target} answered HTTP {response.status} {shown_body(response)}"
            self._wrong = Finding(self._place, "unmatched", said, f"{self._place}: path, or the [headers]")
            return
        body = parsed(response.body)
        self._cursor = self._feed.next_cursor(body) or self._cursor
        self._seen += [Heard(name, args) for name, args in self._feed.events(body)]


# -- calls and chats -------------------------------------------------------------------------------------


def _calls(trial: Trial) -> Iterator[Finding]:
    calls = trial.contract.calls
    assert calls is not None
    caller, callee = trial.cast.members[:2]
    yield from _dial(trial, caller, callee)
    yield from _in_call(trial, "answer", calls.answer, callee, caller, "call.answer", "active")
    if calls.status is not None:
        fate = caller.do(calls.status, trial.timeout_s, call=caller.identity.get("call"))
        yield trial.answer("calls.status", calls.status, caller, fate, len(caller.heard))
    yield from _in_call(trial, "end", calls.end, caller, callee, None, "ended")
    yield from _dial(trial, caller, callee)
    yield from _in_call(trial, "decline", calls.decline, callee, caller, "call.decline", "declined")


def _dial(trial: Trial, caller: Person, callee: Person) -> Iterator[Finding]:
    calls = trial.contract.calls
    assert calls is not None
    caller.identity.pop("call", None)
    mark = len(callee.heard)
    sent = Sent(trial.marker(caller), sender=caller.name, status="ringing")
    operations: tuple[Operation, ...] = ("call.ring", "call.status")
    yield from trial.act(
        "calls.initiate", calls.initiate, caller, operations, sent, [callee], callee=callee.name
    )
    rings = [one for one in trial.contract.deliveries if one.operation == "call.ring"]
    rung = [one.subject(heard.args) for one in rings for heard in callee.since(mark) if heard.name == one.on]
    call = caller.identity.get("call") or next((one for one in rung if one), None)
    for person in (caller, callee):
        person.identity["call"] = call


def _in_call(
    trial: Trial,
    name: str,
    action: Action,
    by: Person,
    other: Person,
    operation: Operation | None,
    status: str,
) -> Iterator[Finding]:
    call = by.identity.get("call")
    if call is None:
        yield Finding(f"calls.{name}", "unknown", "not tried: nothing told the id of the call")
        return
    sent = Sent(trial.marker(by), sender=by.name, subject=str(call), status=status)
    operations: tuple[Operation, ...] = ("call.status",)
    if operation is not None:
        operations = (operation, "call.status")
    yield from trial.act(f"calls.{name}", action, by, operations, sent, [other], call=call)


def _chats(trial: Trial) -> Iterator[Finding]:
    chats, operator = trial.contract.chats, trial.cast.operator
    assert chats is not None and operator is not None
    visitor = trial.cast.members[0]
    there = {"status": "online", "capacity": 8}
    yield from trial.act(
        "chats.online", chats.online, operator, (), Sent(trial.marker(operator)), [], **there
    )
    sent = Sent(trial.marker(visitor), sender=visitor.name)
    yield from trial.act(
        "chats.start", chats.start, visitor, ("chat.assign",), sent, [operator], topic="help"
    )
    chat = visitor.identity.get("chat")
    if chat is None:
        yield Finding("chats.message", "unknown", "not tried: nothing told the id of the chat")
        return
    for by, other in ((visitor, operator), (operator, visitor)):
        sent = Sent(trial.marker(by), sender=by.name, subject=str(chat))
        yield from trial.act(
            "chats.message", chats.message, by, ("chat.deliver",), sent, [other], chat=chat, body=_TEXT
        )
    sent = Sent(trial.marker(visitor), subject=str(chat), status="closed")
    yield from trial.act("chats.close", chats.close, visitor, ("chat.status",), sent, [operator], chat=chat)
    gone = {"status": "offline", "capacity": 8}
    yield from trial.act("chats.online", chats.online, operator, (), Sent(trial.marker(operator)), [], **gone)


def _presence(trial: Trial) -> Iterator[Finding]:
    presence, asker = trial.contract.presence, trial.cast.members[0]
    if presence is not None:
        users = [person.name for person in trial.cast.members]
        mark = len(asker.heard)
        fate = asker.do(presence.get, trial.timeout_s, users=users)
        yield trial.answer("presence.get", presence.get, asker, fate, mark)
    for index, delivery in enumerate(trial.contract.deliveries):
        if delivery.operation != "presence.deliver":
            continue
        place = f"deliveries[{index}] presence.deliver"
        heard = [one for person in trial.cast.everybody for one in person.heard if one.name == delivery.on]
        told = [one for one in heard if delivery.sender(one.args) and delivery.status(one.args)]
        if told:
            yield Finding(place, "matched", f'"{delivery.on}" came: {shown(told[0].args)}')
        elif heard:
            said = f'"{delivery.on}" came with {shown(heard[0].args)}; sender or status finds nothing there'
            yield Finding(place, "unmatched", said, f"{place}: correct sender and status")
        else:
            yield Finding(
                place, "unknown", f'no "{delivery.on}" came; nothing that was done had to lead to it'
            )


def _leaving(trial: Trial) -> Iterator[Finding]:
    action = trial.contract.leave
    if action is not None:
        leaver = trial.cast.members[-1]
        mark = len(leaver.heard)
        fate = leaver.do(action, trial.timeout_s, room=leaver.room)
        yield trial.answer("leave", action, leaver, fate, mark)


def _unknown_events(trial: Trial) -> Iterator[Finding]:
    contract = trial.contract
    unknown: dict[str, Heard] = {}
    for person in trial.cast.everybody:
        for one in person.heard:
            known = contract.deliveries_on(one.name) or contract.error_on(one.name) or trial.made(one.args)
            if not known and one.name not in contract.ignored and not contract.awaits(one.name):
                unknown.setdefault(one.name, one)
    for name, one in unknown.items():
        said = f'"{name}" {shown(one.args)} came, which the file does not know; a run counts it as unknown'
        yield Finding("ignored", "unknown", said, f'ignored: "{name}", if nobody measures it')
