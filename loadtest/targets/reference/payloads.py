"""Is what a client says in messaging well formed? Untyped JSON in, a typed command or a Refusal out; unknown
fields are ignored."""

from collections.abc import Mapping

import msgspec

from loadtest.targets.reference.fields import (
    CLIENT_ID_LIMIT,
    body_of,
    choice_of,
    conversation_of,
    is_conversation_id,
    meta_of,
    object_of,
    text_of,
    whole,
)
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rooms import CONVERSATION_ROOM, USER_ROOM

MESSAGE_TYPES = ("text", "image", "file")


class Join(msgspec.Struct, frozen=True):
    """`conversation_id` is None for a user's own room; `since_seq` None asks for no resync."""

    room: str
    conversation_id: str | None
    since_seq: int | None


class Send(msgspec.Struct, frozen=True):
    conversation_id: str
    body: str
    client_id: str
    type: str
    meta: msgspec.Raw | None


class Read(msgspec.Struct, frozen=True):
    conversation_id: str
    up_to: int
    meta: msgspec.Raw | None


class Typing(msgspec.Struct, frozen=True):
    conversation_id: str
    meta: msgspec.Raw | None


def parse_join(payload: object) -> Join:
    """joinRoom and leaveRoom: `{room, sinceSeq?}` or the bare room name. Raises ROOM_INVALID,
    PAYLOAD_INVALID."""
    fields = {"room": payload} if isinstance(payload, str) else payload
    if not isinstance(fields, Mapping) or not isinstance(fields.get("room"), str):
        raise Refusal("ROOM_INVALID", "room must be a string such as conversation:<id>")
    room: str = fields["room"]
    since = fields.get("sinceSeq")
    if since is not None:
        since = whole(since, "sinceSeq")
    if room.startswith(CONVERSATION_ROOM) and is_conversation_id(room[len(CONVERSATION_ROOM) :]):
        return Join(room, room[len(CONVERSATION_ROOM) :], since)
    if room.startswith(USER_ROOM) and len(room) > len(USER_ROOM):
        return Join(room, None, since)
    raise Refusal(
        "ROOM_INVALID",
        "room must be user:<id> or conversation:<id>, an id 1-128 characters of A-Z a-z 0-9 : _ . -",
    )


def parse_send(payload: object) -> Send:
    """message:send. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    body, client_id = body_of(fields), text_of(fields, "clientMsgId", CLIENT_ID_LIMIT)
    kind = choice_of(fields, "type", MESSAGE_TYPES, "text")
    return Send(conversation_of(fields), body, client_id, kind, meta_of(fields))


def parse_read(payload: object) -> Read:
    """message:read. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE (meta)."""
    fields = object_of(payload)
    return Read(conversation_of(fields), whole(fields.get("upToSeq"), "upToSeq"), meta_of(fields))


def parse_typing(payload: object) -> Typing:
    """typing:start and typing:stop. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE (meta)."""
    fields = object_of(payload)
    return Typing(conversation_of(fields), meta_of(fields))
