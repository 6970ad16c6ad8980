"""What do both ends of one call know of it? A record that they share: caller and callee live in one process."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from loadtest.contract import Action
from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.users.causes import Cause
from loadtest.users.link import ActionFailed, Outcome

if TYPE_CHECKING:
    from loadtest.users.calling import CallingUser
    from loadtest.users.device import Device
    from loadtest.users.live import LiveRun

RINGING, ACTIVE, DECLINED, MISSED, ENDED = "ringing", "active", "declined", "missed", "ended"
OVER = frozenset({DECLINED, MISSED, ENDED})
CONNECTED = "/connected"


class Call:
    """One call. ``ringing``: the devices that ring now; ``rung_ns``: when the first did; ``id``: the server's."""

    def __init__(self, caller: CallingUser, callee: CallingUser, device: Device, planned_ns: int) -> None:
        self.caller = caller
        self.callee = callee
        self.device = device
        self.planned_ns = planned_ns
        self.marker, self.number = caller.live.ledger.marker(device.member)
        # Everything that people decide comes from the call's own seed: it does not depend on who was faster.
        self.rng = Random(f"{caller.live.settings.seed}:{device.member.name}:{self.number}")
        self.room = Room(f"call {self.marker}")
        self.id: str | None = None
        self.state = RINGING
        self.ringing: set[Device] = set()
        self.rung_ns: int | None = None
        self.answered_by: Device | None = None
        self.closings: list[Closing] = []

    def others(self, device: Device) -> frozenset[Member]:
        """The connected devices of both parties but for one."""
        both = (*self.caller.devices, *self.callee.devices)
        return frozenset(one.member for one in both if one.member.connected and one is not device)

    def ended_by(self, marker: str | None) -> None:
        """A call ends once: whatever else was to end it did not, though the server may have said yes to it."""
        for closing in self.closings:
            if closing.marker != marker:
                closing.withdraw()


class Dialling:
    """A call on its way to the server."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def left(self, sent_ns: int) -> None:
        """Every device of the callee must ring, and everybody else hear that it does."""
        call = self._call
        ledger = call.caller.live.ledger
        rings = frozenset(device.member for device in call.callee.devices if device.member.connected)
        sent = call.number, call.room, call.device.member, call.planned_ns, sent_ns
        _owe(call, call.marker, Operation.CALL_RING, Audience(rings), sent)
        others = Audience(call.others(call.device))
        _owe(call, f"{call.marker}/{RINGING}", Operation.CALL_STATUS, others, sent)
        ledger.recorder.count("call.dialled")

    def answered(self, outcome: Outcome) -> None:
        """The server rings, or says why not."""
        call = self._call
        live = call.caller.live
        if outcome.ok:
            call.id = str(outcome.rule.captured(outcome.root).get("call") or "") or call.id
            call.caller.dialled(call)
            return
        for key in (call.marker, f"{call.marker}/{RINGING}"):
            live.ledger.withdraw(key)
        _refused(live, outcome, {"USER_BUSY": "busy", "USER_OFFLINE": "offline"})
        call.caller.over(call, ENDED)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave: nobody's device rings."""
        call = self._call
        call.caller.unable(Operation.CALL_RING, call.planned_ns, len(call.callee.devices), cause, detail)
        call.caller.over(call, ENDED)


class Answering:
    """One device's answer on its way; ``rung_ns``: when that device began to ring."""

    def __init__(self, call: Call, device: Device, planned_ns: int, rung_ns: int) -> None:
        self._call = call
        self._device = device
        self._planned_ns = planned_ns
        self._rung_ns = rung_ns
        self.marker, self._number = call.callee.live.ledger.marker(device.member)

    def left(self, sent_ns: int) -> None:
        """All others must hear of it; for the caller it ends the journey that its dialling began."""
        call, member = self._call, self._device.member
        others = Audience(call.others(self._device))
        sent = self._number, call.room, member, self._planned_ns, sent_ns
        _owe(call, self.marker, Operation.CALL_ANSWER, others, sent)
        _owe(call, f"{self.marker}/{ACTIVE}", Operation.CALL_STATUS, others, sent)
        # From the dialling to the hearing, without the time a person took to pick up.
        journey_ns = self._planned_ns - (self._rung_ns - call.planned_ns)
        sent = self._number, call.room, member, journey_ns, sent_ns
        caller = Audience(frozenset({call.device.member}) if call.device.member.connected else frozenset())
        _owe(call, self.marker + CONNECTED, Operation.CALL_CONNECTED, caller, sent)

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or another was first."""
        call = self._call
        live = call.callee.live
        if outcome.ok:
            if call.answered_by is not None:
                live.recorder.count("call.two_winners")
            call.answered_by = self._device
            live.recorder.count("call.answered")
            return
        for key in (self.marker, f"{self.marker}/{ACTIVE}", self.marker + CONNECTED):
            live.ledger.withdraw(key)
        known = {
            "CALL_ALREADY_ANSWERED": "raced",
            "CALL_NOT_RINGING": "too_late",
            "CALL_NOT_FOUND": "too_late",
        }
        _refused(live, outcome, known)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        call = self._call
        call.callee.unable(Operation.CALL_ANSWER, self._planned_ns, 1, cause, detail)


class Closing:
    """A declining, or a hanging up, on its way."""

    def __init__(self, call: Call, device: Device, operation: Operation, planned_ns: int) -> None:
        self._call = call
        self._device = device
        self._operation = operation
        self._status = DECLINED if operation is Operation.CALL_DECLINE else ENDED
        self._planned_ns = planned_ns
        self.marker, self._number = device.live.ledger.marker(device.member)
        call.closings.append(self)

    def left(self, sent_ns: int) -> None:
        """All others must hear of it."""
        call = self._call
        others = Audience(call.others(self._device))
        sent = self._number, call.room, self._device.member, self._planned_ns, sent_ns
        if self._operation is Operation.CALL_DECLINE:
            _owe(call, self.marker, Operation.CALL_DECLINE, others, sent)
        _owe(call, f"{self.marker}/{self._status}", Operation.CALL_STATUS, others, sent)

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or the call was over already."""
        live = self._device.live
        if outcome.ok:
            if self._operation is Operation.CALL_DECLINE:
                live.recorder.count("call.declined")
            return
        self.withdraw()
        _refused(live, outcome, {"CALL_NOT_FOUND": "over_already", "CALL_NOT_RINGING": "over_already"})

    def withdraw(self) -> None:
        """Nobody hears of this."""
        for key in (self.marker, f"{self.marker}/{self._status}"):
            self._device.live.ledger.withdraw(key)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave: the server finds out by itself that a party is gone."""
        self._device.live.recorder.count("call.unsaid")


def send(device: Device, action: Action, errand: Dialling | Answering | Closing, **variables: object) -> None:
    """Put one of the above on its way, from this device."""
    device.link.send(action, device.variables(**variables), errand)


def _owe(
    call: Call,
    key: str,
    operation: Operation,
    to: Audience,
    sent: tuple[int, Room, Member, int, int],
) -> None:
    number, room, sender, planned_ns, sent_ns = sent
    call.caller.live.ledger.sent(key, number, operation, room, sender, planned_ns, sent_ns, to=to)


def _refused(live: LiveRun, outcome: Outcome, legal: dict[str, str]) -> None:
    """What a server may rightly refuse is an outcome; everything else is a failure."""
    code = outcome.error or "unknown"
    live.recorder.count(
        f"call.{legal[code]}" if code in legal else f"refused.{live.contract.counted_as(code)}"
    )
    if code not in legal and not live.closed:
        live.fire("WSC", Operation.CALL_STATUS, None, ActionFailed(Cause.CONNECT_ERROR, code))
