"""What was said in a conversation, in which order, and what has somebody missed?"""

from collections import OrderedDict, deque
from itertools import islice

import msgspec

RESYNC_LIMIT = 500
# Four resyncs: a room of a long run must not grow without end.
KEPT_MESSAGES = 2_000
KEPT_RECEIPTS = 1_000


class Receipt(msgspec.Struct, frozen=True):
    """What the sender of a message is told: id, position in the conversation, server time in epoch ms."""

    id: str
    seq: int
    ts: int


class MessageLog:
    """The newest messages of one conversation, encoded as they went out. `seq` counts up from 1 without a
    gap."""

    def __init__(self, keep: int = KEPT_MESSAGES) -> None:
        self.last_seq = 0
        self._kept: deque[msgspec.Raw] = deque(maxlen=keep)

    def next_seq(self) -> int:
        return self.last_seq + 1

    def append(self, encoded: msgspec.Raw) -> None:
        """Stores the message that was encoded with `next_seq()`."""
        self.last_seq += 1
        self._kept.append(encoded)

    def newest_since(self, seq: int, limit: int = RESYNC_LIMIT) -> tuple[list[msgspec.Raw], bool]:
        """The newest messages after `seq`, oldest first, and whether older ones had to be left out."""
        wanted = max(0, self.last_seq - max(seq, 0))
        given = min(wanted, limit, len(self._kept))
        return list(islice(self._kept, len(self._kept) - given, None)), given < wanted

    def page(self, after_seq: int, limit: int) -> tuple[list[msgspec.Raw], bool]:
        """The oldest kept messages after `after_seq`, and whether more follow."""
        first_kept = self.last_seq - len(self._kept) + 1
        start = max(0, after_seq + 1 - first_kept)
        items = list(islice(self._kept, start, start + limit))
        return items, start + len(items) < len(self._kept)


class Receipts:
    """Which of a sender's `clientMsgId`s have been carried out already? The newest of each sender are
    remembered."""

    def __init__(self, keep: int = KEPT_RECEIPTS) -> None:
        self._keep = keep
        self._senders: dict[str, OrderedDict[str, Receipt]] = {}

    def find(self, sender: str, client_id: str) -> Receipt | None:
        sent = self._senders.get(sender)
        return None if sent is None else sent.get(client_id)

    def remember(self, sender: str, client_id: str, receipt: Receipt) -> None:
        sent = self._senders.setdefault(sender, OrderedDict())
        sent[client_id] = receipt
        if len(sent) > self._keep:
            sent.popitem(last=False)
