"""What does the server tell a user, and what does it say of what happened, to whom and by whom?"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from loadtest.contract.path import JsonPath
from loadtest.contract.table import Name, Operation, Table, text, whole
from loadtest.contract.template import as_text

# <run>:<sender>:<n>, not starting in the middle of a word: a marker cut in front would be another marker.
MARKER: Final = re.compile(r"(?<![\w-])[\w-]+:[\w.@-]+:[0-9]+")

_PRESENCE: Final = "presence.deliver"
# The paths without which a user could not tell what it was told; for messages the marker is enough.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "call.ring": ("subject",),
    "call.answer": ("subject",),
    "call.decline": ("subject",),
    "call.status": ("subject", "status"),
    "chat.assign": ("subject", "sender", "operator"),
    "chat.deliver": ("subject", "sender"),
    "chat.status": ("subject", "status"),
    _PRESENCE: ("sender", "status"),
}

# What may be known by the server's id alone, and the action whose answer tells the sender that id.
ANSWERED: Final[Mapping[str, str]] = {
    "message.deliver": "send",
    "receipt.deliver": "read",
    "typing.deliver": "typing.start",
}


class Delivery(Table, frozen=True, kw_only=True):
    """An event that brings something to a receiver, and how to tell what it brings.

    ``args`` below: the event's arguments. A payload from a feed or from ``missed`` is ``[payload]``.
    """

    operation: Operation
    on: Name
    marker_at: JsonPath | None = msgspec.field(default=None, name="marker")
    marker_in_at: JsonPath | None = msgspec.field(default=None, name="marker_in")
    marker_pattern: re.Pattern[str] = MARKER
    id_at: JsonPath | None = msgspec.field(default=None, name="id")
    room_at: JsonPath | None = msgspec.field(default=None, name="room")
    seq_at: JsonPath | None = msgspec.field(default=None, name="seq")
    sender_at: JsonPath | None = msgspec.field(default=None, name="sender")
    subject_at: JsonPath | None = msgspec.field(default=None, name="subject")
    status_at: JsonPath | None = msgspec.field(default=None, name="status")
    operator_at: JsonPath | None = msgspec.field(default=None, name="operator")
    reason_at: JsonPath | None = msgspec.field(default=None, name="reason")
    recipients: Literal["room", "others", "user", "both"] = "room"
    volatile: bool = False

    def marker(self, args: object) -> str | None:
        """The marker that travelled with it; None if it is somebody else's, or nobody's."""
        if self.marker_at is not None:
            return text(self.marker_at, args)
        if self.marker_in_at is None:
            return None
        inside = self.marker_in_at.read(args)
        if isinstance(inside, (bytes, bytearray)):
            inside = inside.decode("utf-8", "replace")
        found = self.marker_pattern.search(inside) if isinstance(inside, str) else None
        return found.group() if found else None

    def server_id(self, args: object) -> str | None:
        """The id that the server gave it, and its acknowledgement to the sender as well."""
        value = self.id_at.read(args) if self.id_at else None
        return None if value is None else as_text(value)

    def room(self, args: object) -> str | None:
        """The conversation it belongs to, as ``${room}`` has it."""
        return text(self.room_at, args)

    def seq(self, args: object) -> int | None:
        """Its number within the room."""
        return whole(self.seq_at, args)

    def sender(self, args: object) -> str | None:
        """Who caused it, or whom it is about, as ``${user}`` has it."""
        return text(self.sender_at, args)

    def subject(self, args: object) -> str | None:
        """The call or the chat it is about, as ``${call}`` or ``${chat}`` has it."""
        return text(self.subject_at, args)

    def status(self, args: object) -> str | None:
        """What has become of its subject, or of its sender."""
        return text(self.status_at, args)

    def operator(self, args: object) -> str | None:
        """The operator who takes part, as ``${user}`` has it."""
        return text(self.operator_at, args)

    def reason(self, args: object) -> str | None:
        """Why it came about: ``new`` or ``reassigned``."""
        return text(self.reason_at, args)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        if self.marker_at is not None and self.marker_in_at is not None:
            yield "marker_in", '"marker" says where the marker is already, keep one of them'
        marked = self.marker_at is not None or self.marker_in_at is not None
        if self.id_at is not None and marked:
            yield "id", "the marker says which message this is already, keep one of them"
        if self.id_at is not None and self.operation and self.operation not in ANSWERED:
            yield "id", f"the sender of {self.operation} learns no id, it needs a marker"
        # Who comes and goes does so without a request that could carry a marker.
        told = self.sender_at is not None and self.status_at is not None
        exempt = self.operation == _PRESENCE or (told and not self.operation)
        if not marked and self.id_at is None and not exempt:
            yield "marker", 'missing, as are "marker_in" and "id": nothing says which message this is'
        for key in NEEDED.get(self.operation, ()):
            if getattr(self, f"{key}_at") is None:
                yield key, f"missing, {self.operation} means nothing without it"


class ErrorEvent(Table, frozen=True, kw_only=True):
    """An event by which the server says that something went wrong."""

    on: Name
    code_at: JsonPath | None = msgspec.field(default=None, name="code")
    marker_at: JsonPath | None = msgspec.field(default=None, name="marker")
    count_as: Mapping[str, Name] = MappingProxyType({})

    def code(self, args: object) -> str | None:
        """The server's code."""
        value = self.code_at.read(args) if self.code_at else None
        return None if value is None else as_text(value)

    def marker(self, args: object) -> str | None:
        """The marker of the message that was refused, if the event names it."""
        return text(self.marker_at, args)
