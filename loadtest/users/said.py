"""What becomes of something a user says to its conversation?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.contract import Action
from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.users.causes import Cause
from loadtest.users.link import ActionFailed, Outcome, Variables

if TYPE_CHECKING:
    from loadtest.users.device import Device


class Said:
    """Something said to a conversation, on its way; sent again, with the same mark, if no answer came."""

    __slots__ = (
        "_device",
        "_echo",
        "_gone",
        "_marker",
        "_number",
        "_operation",
        "_planned_ns",
        "_room",
        "action",
        "variables",
    )

    def __init__(
        self,
        device: Device,
        operation: Operation,
        action: Action,
        room: Room,
        marker: str,
        number: int,
        planned_ns: int,
        echo: bool,
        variables: Variables,
    ) -> None:
        self._device = device
        self._operation = operation
        self._room = room
        self._marker = marker
        self._number = number
        self._planned_ns = planned_ns
        self._echo = echo
        self._gone = False
        self.action = action
        self.variables = variables

    @property
    def volatile(self) -> bool:
        """Whether it is worth nothing later: a client does not keep it."""
        return self._operation.volatile

    @property
    def _is_message(self) -> bool:
        return self._operation is Operation.MESSAGE_DELIVER

    def left(self, sent_ns: int) -> None:
        """It is on its way: everybody present is owed it now. The second time, it was owed before."""
        device = self._device
        live = device.live
        if self._gone:
            live.recorder.count("resent")
            return
        self._gone = True
        self.owe(sent_ns)

    def owe(self, sent_ns: int) -> None:
        """Who must get it, now that it has left."""
        device = self._device
        live, action = device.live, self.action
        wants_ack = self._is_message and (
            action.ack is not None or action.emit is None or not device.link.ordered
        )
        live.ledger.sent(
            self._marker,
            self._number,
            self._operation,
            self._room,
            device.member,
            self._planned_ns,
            sent_ns,
            self._echo,
            wants_ack,
            self._audience(),
        )
        if self._is_message:
            live.recorder.count("sent")
            if wants_ack:
                device.unacked[self._marker] = self

    def _audience(self) -> Audience | None:
        """None: all others in the room. A feed is its user's: what one does is no news to its own devices."""
        device = self._device
        if device.live.directed and self._is_message:
            peers = self._peers()
            owed = frozenset(one for one in peers if one.connected)
            return Audience(owed, legal=device.user.members, away=peers - owed)
        if self._is_message or device.link.ordered or len(device.user.devices) == 1:
            return None
        own = device.user.members
        return Audience(self._room.present[0] - own, legal=own)

    def _peers(self) -> frozenset[Member]:
        """The devices of the one user that a message is for; none if that user has left."""
        peer = self._device.live.by_name.get(str(self.variables.get("peer")))
        return frozenset() if peer is None else peer.members

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or refused it."""
        device = self._device
        live = device.live
        device.unacked.pop(self._marker, None)
        if outcome.ok:
            live.ledger.acked(self._marker, outcome.read_ns)
            if live.ids is not None:
                self._learn_id(outcome)
            if outcome.rule.capture:
                live.named.remember(device.identity, outcome.rule.captured(outcome.root))
            if self._operation is Operation.RECEIPT_DELIVER and self._overtaken(outcome):
                live.ledger.withdraw(self._marker)
            if self._is_message and not live.closed:
                live.fire("WSC", Operation.MESSAGE_ACK, outcome.read_ns - self._planned_ns, None)
            return
        live.ledger.refused(self._marker, outcome.read_ns)
        error = live.contract.counted_as(outcome.error)
        live.recorder.count(f"refused.{error}")
        if not live.closed:
            live.fire("WSC", Operation.MESSAGE_ACK, None, ActionFailed(Cause.CONNECT_ERROR, error))

    def _learn_id(self, outcome: Outcome) -> None:
        """The server calls it something, and whoever is delivered it hears of it by that name."""
        given, ids = outcome.rule.server_id(outcome.root), self._device.live.ids
        if given is None or ids is None:
            return
        for early in ids.learn(self._operation, given, self._marker, outcome.read_ns):
            early.device.heard_early(self._operation, self._marker, early)

    def _overtaken(self, outcome: Outcome) -> bool:
        """Whether another device of the user has moved the read mark further: then nobody hears of this one."""
        mark, asked = outcome.rule.seq(outcome.root), self.variables.get("seq")
        return mark is not None and isinstance(asked, int) and mark > asked

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        if not self._gone:  # else it waits among the unanswered for the next way back
            self._device.hold_or_fail(self, cause, detail)

    def give_up(self, cause: Cause, detail: str) -> None:
        """It will not leave any more: nobody will get it, and that is counted."""
        device = self._device
        live, excused = device.live, device.excused()
        if self._is_message and live.directed:
            owed, transport = len(self._peers()), device.member.transport
            live.ledger.never_left(self._operation, transport, self._planned_ns, owed, device.member.provoked)
        else:
            live.ledger.not_sent(self._operation, self._room, device.member, self._planned_ns, self._echo)
        live.recorder.count("not_sent")
        if self._is_message and not excused:
            live.fire("WSE", Operation.MESSAGE_DELIVER, None, ActionFailed(cause, detail))


class Probe:
    """Something said to a room only to see that it comes back."""

    __slots__ = ("_device", "_marker", "_number", "_planned_ns", "_room")

    def __init__(self, device: Device, room: Room, marker: str, number: int, planned_ns: int) -> None:
        self._device = device
        self._room = room
        self._marker = marker
        self._number = number
        self._planned_ns = planned_ns

    def left(self, sent_ns: int) -> None:
        """It is on its way, and owed to the device itself."""
        device = self._device
        device.live.recorder.count("probes")
        device.live.ledger.probe(
            self._marker, self._number, self._room, device.member, self._planned_ns, sent_ns
        )

    def answered(self, outcome: Outcome) -> None:
        """A refused probe proves nothing."""
        if not outcome.ok:
            self._device.live.ledger.withdraw(self._marker)
            self._device.live.recorder.count("probes.refused")

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave: the next way back has probes of its own."""
