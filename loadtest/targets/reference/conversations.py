"""Which conversations exist, and what belongs to one?"""

from loadtest.targets.reference.messages import MessageLog
from loadtest.targets.reference.readmarks import ReadMarks
from loadtest.targets.reference.refusal import Refusal


class Conversation:
    __slots__ = ("id", "log", "marks", "members")

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.log = MessageLog()
        self.marks = ReadMarks()
        self.members: set[str] = set()


class Conversations:
    """A conversation comes into being when the first user joins it, and outlives its members."""

    def __init__(self) -> None:
        self._known: dict[str, Conversation] = {}

    def open(self, conversation_id: str) -> Conversation:
        conversation = self._known.get(conversation_id)
        if conversation is None:
            conversation = self._known[conversation_id] = Conversation(conversation_id)
        return conversation

    def find(self, conversation_id: str) -> Conversation | None:
        return self._known.get(conversation_id)

    def of_member(self, conversation_id: str, user: str) -> Conversation:
        """The conversation, if `user` belongs to it. Raises Refusal FORBIDDEN (404 over HTTP if there is
        none)."""
        conversation = self._known.get(conversation_id)
        if conversation is None:
            raise Refusal("FORBIDDEN", f"there is no conversation {conversation_id}", status=404)
        if user not in conversation.members:
            raise Refusal("FORBIDDEN", f"{user} is not a member of {conversation_id}: join its room first")
        return conversation
