"""What becomes of something a user says to its conversation?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.contract import Action
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Room
from loadtest.users.causes import Cause
from loadtest.users.link import ActionFailed, Outcome

if TYPE_CHECKING:
    from loadtest.users.user import RealtimeUser


class Said:
    """Something said to a conversation, on its way."""

    __slots__ = ("_action", "_echo", "_marker", "_number", "_operation", "_planned_ns", "_room", "_user")

    def __init__(
        self,
        user: RealtimeUser,
        operation: Operation,
        action: Action,
        room: Room,
        marker: str,
        number: int,
        planned_ns: int,
        echo: bool,
    ) -> None:
        self._user = user
        self._operation = operation
        self._action = action
        self._room = room
        self._marker = marker
        self._number = number
        self._planned_ns = planned_ns
        self._echo = echo

    @property
    def _is_message(self) -> bool:
        return self._operation is Operation.MESSAGE_DELIVER

    def left(self, sent_ns: int) -> None:
        """It is on its way: everybody present is owed it now."""
        user = self._user
        wants_ack = self._is_message and (
            self._action.ack is not None or user.member.transport != "websocket"
        )
        user.live.ledger.sent(
            self._marker,
            self._number,
            self._operation,
            self._room,
            user.member,
            self._planned_ns,
            sent_ns,
            self._echo,
            wants_ack,
        )
        if self._is_message:
            user.live.recorder.count("sent")

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or refused it."""
        live = self._user.live
        if outcome.ok:
            live.ledger.acked(self._marker, outcome.read_ns)
            if self._is_message and not live.closed:
                live.fire("WSC", Operation.MESSAGE_ACK, outcome.read_ns - self._planned_ns, None)
            return
        live.ledger.refused(self._marker, outcome.read_ns)
        error = live.contract.counted_as(outcome.error)
        live.recorder.count(f"refused.{error}")
        if not live.closed:
            live.fire("WSC", Operation.MESSAGE_ACK, None, ActionFailed(Cause.CONNECT_ERROR, error))

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave: nobody will get it, and that is counted."""
        user = self._user
        user.live.ledger.not_sent(self._operation, self._room, user.member, self._planned_ns, self._echo)
        user.live.recorder.count("not_sent")
        if self._is_message:
            user.live.fire("WSE", Operation.MESSAGE_DELIVER, None, ActionFailed(cause, detail))
