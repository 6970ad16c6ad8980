"""Which conversations exist, what belongs to one, and who belongs to which?"""

from collections.abc import Collection

from loadtest.targets.reference.messages import MessageLog
from loadtest.targets.reference.readmarks import ReadMarks
from loadtest.targets.reference.refusal import Refusal

_NONE: dict[str, "Conversation"] = {}


class Conversation:
    """`members` changes by Conversations.join and .leave only: it has a reverse there.

    Strangers may join by asking for the room, unless it is a live chat, where `liveChat:message` is the
    only way to say something.
    """

    __slots__ = ("id", "live_chat", "log", "marks", "members")

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.log = MessageLog()
        self.marks = ReadMarks()
        self.members: set[str] = set()
        self.live_chat = False


class Conversations:
    """A conversation comes into being when the first user joins it, and outlives its members."""

    def __init__(self) -> None:
        self._known: dict[str, Conversation] = {}
        self._of_user: dict[str, dict[str, Conversation]] = {}

    def open(self, conversation_id: str) -> Conversation:
        conversation = self._known.get(conversation_id)
        if conversation is None:
            conversation = self._known[conversation_id] = Conversation(conversation_id)
        return conversation

    def find(self, conversation_id: str) -> Conversation | None:
        return self._known.get(conversation_id)

    def join(self, conversation_id: str, user: str) -> Conversation:
        """`user` belongs to the conversation from now on, invited or not."""
        conversation = self.open(conversation_id)
        conversation.members.add(user)
        self._of_user.setdefault(user, {})[conversation_id] = conversation
        return conversation

    def open_to(self, conversation_id: str, user: str) -> Conversation:
        """The same for whoever comes by themselves. Raises Refusal FORBIDDEN."""
        conversation = self._known.get(conversation_id)
        if conversation is not None and conversation.live_chat and user not in conversation.members:
            raise Refusal("FORBIDDEN", f"{user} is not a member of {conversation_id}")
        return self.join(conversation_id, user)

    def leave(self, conversation_id: str, user: str) -> None:
        mine = self._of_user.get(user)
        if mine is None or (conversation := mine.pop(conversation_id, None)) is None:
            return
        conversation.members.discard(user)
        if not mine:
            del self._of_user[user]

    def forget(self, conversation_id: str) -> None:
        """Nobody belongs to it any more, and nothing of it is kept."""
        conversation = self._known.pop(conversation_id, None)
        if conversation is not None:
            for user in list(conversation.members):
                self.leave(conversation_id, user)

    def of_user(self, user: str) -> Collection[Conversation]:
        """The conversations `user` belongs to. Not a copy: do not keep it across a join."""
        return self._of_user.get(user, _NONE).values()

    def of_member(self, conversation_id: str, user: str) -> Conversation:
        """The conversation, if `user` belongs to it. Raises Refusal FORBIDDEN (404 over HTTP if there is
        none)."""
        conversation = self._known.get(conversation_id)
        if conversation is None:
            raise Refusal("FORBIDDEN", f"there is no conversation {conversation_id}", status=404)
        if user not in conversation.members:
            raise Refusal("FORBIDDEN", f"{user} is not a member of {conversation_id}: join its room first")
        return conversation
