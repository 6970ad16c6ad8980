"""Is what a client says about a live chat well formed?"""

from typing import cast

import msgspec

from loadtest.targets.reference.fields import (
    CLIENT_ID_LIMIT,
    body_of,
    choice_of,
    meta_of,
    object_of,
    optional_text_of,
    text_of,
    whole,
)
from loadtest.targets.reference.operators import Status
from loadtest.targets.reference.refusal import Refusal

STATUSES: tuple[Status, ...] = ("online", "away", "offline")
TOPIC_LIMIT = 256
CHAT_ID_LIMIT = 64
CAPACITY_LIMIT = 100


class Declaration(msgspec.Struct, frozen=True):
    status: Status
    capacity: int | None
    meta: msgspec.Raw | None


class AboutChat(msgspec.Struct, frozen=True):
    """liveChat:accept and liveChat:close."""

    chat_id: str
    meta: msgspec.Raw | None


class Say(msgspec.Struct, frozen=True):
    chat_id: str
    body: str
    client_id: str
    meta: msgspec.Raw | None


def parse_start(payload: object) -> msgspec.Raw | None:
    """liveChat:start: its `meta`. `topic` is checked only, for no event carries it. Raises PAYLOAD_INVALID,
    PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    optional_text_of(fields, "topic", TOPIC_LIMIT)
    return meta_of(fields)


def parse_declaration(payload: object) -> Declaration:
    """liveChat:operatorStatus. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    status = cast(Status, choice_of(fields, "status", STATUSES))
    capacity = fields.get("capacity")
    if capacity is not None and not 1 <= whole(capacity, "capacity") <= CAPACITY_LIMIT:
        raise Refusal("PAYLOAD_INVALID", f"capacity must be a whole number from 1 to {CAPACITY_LIMIT}")
    return Declaration(status, capacity, meta_of(fields))


def parse_about_chat(payload: object) -> AboutChat:
    """liveChat:accept and liveChat:close. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    return AboutChat(text_of(fields, "chatId", CHAT_ID_LIMIT), meta_of(fields))


def parse_say(payload: object) -> Say:
    """liveChat:message. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    return Say(
        chat_id=text_of(fields, "chatId", CHAT_ID_LIMIT),
        body=body_of(fields),
        client_id=text_of(fields, "clientMsgId", CLIENT_ID_LIMIT),
        meta=meta_of(fields),
    )
