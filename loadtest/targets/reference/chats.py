"""What is a live chat, what may become of it, and what is told about it?"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from loadtest.targets.reference.operators import Status
from loadtest.targets.reference.refusal import Refusal

State = Literal["queued", "assigned", "closed"]
Input = Literal["assign", "accept", "say", "operator_gone", "visitor_gone", "close"]
Reason = Literal["new", "reassigned"]
Role = Literal["visitor", "operator"]
Meta = msgspec.Raw | None

# What is in neither table cannot happen: the server assigns only what waits, and nobody is missed in a
# closed chat.
TRANSITIONS: dict[tuple[State, Input], State] = {
    ("queued", "assign"): "assigned",
    ("queued", "accept"): "assigned",
    ("queued", "say"): "queued",
    ("queued", "visitor_gone"): "closed",
    ("queued", "close"): "closed",
    ("assigned", "say"): "assigned",
    ("assigned", "operator_gone"): "queued",
    ("assigned", "visitor_gone"): "closed",
    ("assigned", "close"): "closed",
    ("closed", "close"): "closed",
}
REFUSALS: dict[tuple[State, Input], str] = {
    ("assigned", "accept"): "CHAT_ALREADY_ASSIGNED",
    ("closed", "accept"): "CHAT_CLOSED",
    ("closed", "say"): "CHAT_CLOSED",
}


@dataclass(eq=False, slots=True)
class Chat:
    """`number` counts all chats in the order of their starts; `operator` is the last one, also when closed.

    `meta` is that of the start, until an operator is lost: what follows then is the server's own doing.
    `told` is the position in the queue that the visitor knows of.
    """

    number: int
    id: str
    visitor: str
    meta: Meta
    state: State = "queued"
    operator: str | None = None
    reason: Reason = "new"
    told: int = 0
    closed_ns: int = 0

    def after(self, given: Input) -> State:
        """The state to which an input leads. Raises Refusal with the code of the table."""
        code = REFUSALS.get((self.state, given))
        if code is not None:
            who = {"operatorId": self.operator} if code == "CHAT_ALREADY_ASSIGNED" else None
            raise Refusal(code, f"the chat {self.id} is {self.state}", detail=who)
        return TRANSITIONS[self.state, given]

    def role_of(self, user: str) -> Role:
        """Which side `user` is on. Raises Refusal FORBIDDEN."""
        if user == self.visitor:
            return "visitor"
        if user == self.operator:
            return "operator"
        raise Refusal("FORBIDDEN", f"{user} takes no part in the chat {self.id}")


class Queued(msgspec.Struct, frozen=True):
    """A chat waits, or (`moved`) has come closer to its turn."""

    chat: Chat
    position: int
    meta: Meta
    moved: bool = False


class Assigned(msgspec.Struct, frozen=True):
    chat: Chat
    operator: str
    reason: Reason
    meta: Meta


class Closed(msgspec.Struct, frozen=True):
    chat: Chat
    meta: Meta


class OnDuty(msgspec.Struct, frozen=True):
    """What an operator is from now on. `chats` are those they had when it happened."""

    operator: str
    status: Status
    active: int
    capacity: int
    chats: list[Chat]
    meta: Meta


Change = Queued | Assigned | Closed | OnDuty
