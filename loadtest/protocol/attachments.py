"""How do bytes travel in a packet of JSON?

Each stands apart, as a binary message behind the packet, and a placeholder with its number in its place:

    452-["up",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]    and two binary messages
"""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest.protocol.errors import ProtocolError
from loadtest.protocol.events import Ack, Event

_BYTES = (bytes, bytearray, memoryview)


class Unfinished:
    """An event or ack whose binary messages have not all come yet; ``namespace`` is where it belongs."""

    __slots__ = ("_attachments", "_event", "_missing", "namespace")

    def __init__(self, event: Event | Ack, count: int) -> None:
        self._event = event
        self._missing = count
        self._attachments: list[bytes] = []
        self.namespace = event.namespace

    def attach(self, data: bytes) -> Event | Ack | None:
        """The next binary message; the whole, once it was the last. ProtocolError if it does not fit together."""
        self._attachments.append(data)
        self._missing -= 1
        if self._missing:
            return None
        try:
            args = put_together(self._event.args, self._attachments)
        except RecursionError:
            raise ProtocolError("arguments nested too deeply") from None
        return msgspec.structs.replace(self._event, args=args)


def put_together(value: Any, attachments: list[bytes]) -> Any:
    """What JSON brought, with each attachment in its place. ProtocolError for a place that there is none for."""
    if isinstance(value, list):
        return [put_together(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(attachments):
            raise ProtocolError(f"there is no attachment {number!r:.40}, {len(attachments)} were announced")
        return attachments[number]
    return {name: put_together(item, attachments) for name, item in value.items()}


def take_apart(value: Any, attachments: list[bytes]) -> Any:
    """What JSON can carry of it; the bytes in it are added to ``attachments``."""
    if isinstance(value, dict):
        return {name: take_apart(item, attachments) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [take_apart(item, attachments) for item in value]
    if not isinstance(value, _BYTES):
        return value
    attachments.append(bytes(value))
    return {"_placeholder": True, "num": len(attachments) - 1}


def holds_binary(value: object) -> bool:
    """Is there a bytes object anywhere? msgspec would send it as a base64 string without a word."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return isinstance(value, _BYTES)
    for item in value:
        # Strings and numbers are most of what is sent: passing them here saves a call for each.
        kind = type(item)
        if kind is not str and kind is not int and holds_binary(item):
            return True
    return False
