"""Which operations are measured, and by what names?

These names stand in run files, summaries, SLOs and pages; they never change their meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """Something a user does or receives, from its planned moment to the frame that ends it."""

    SESSION_CONNECT = "session.connect"
    SESSION_JOIN = "session.join"
    SESSION_RESUME = "session.resume"
    MESSAGE_ACK = "message.ack"
    MESSAGE_DELIVER = "message.deliver"
    MESSAGE_ECHO = "message.echo"
    MESSAGE_RESYNC = "message.resync"
    RECEIPT_DELIVER = "receipt.deliver"
    TYPING_DELIVER = "typing.deliver"
    PRESENCE_DELIVER = "presence.deliver"
    CALL_RING = "call.ring"
    CALL_ANSWER = "call.answer"
    CALL_CONNECTED = "call.connected"
    CALL_DECLINE = "call.decline"
    CALL_STATUS = "call.status"
    CHAT_ASSIGN = "chat.assign"
    CHAT_DELIVER = "chat.deliver"
    CHAT_STATUS = "chat.status"
    POLL_REQUEST = "poll.request"

    @property
    def fans_out(self) -> bool:
        """Whether one message is owed to several: its failure is counted as theirs."""
        return self.value.endswith((".deliver", ".echo", ".resync"))

    @property
    def volatile(self) -> bool:
        """Whether losing one is legal: a ratio to report, not a failure."""
        return self is Operation.TYPING_DELIVER


MAIN = (Operation.MESSAGE_DELIVER, Operation.CALL_RING, Operation.CHAT_DELIVER)
"""What people mostly do: the first of these that a run has is what it is there for."""
