"""Is what a client says well formed? Untyped JSON in, a typed command or a Refusal out; unknown fields are
ignored."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from loadtest.targets.reference.refusal import Refusal

BODY_LIMIT = 8_192
META_LIMIT_BYTES = 1_024
CLIENT_ID_LIMIT = 64
MESSAGE_TYPES = frozenset({"text", "image", "file"})
USER_ROOM = "user:"
CONVERSATION_ROOM = "conversation:"
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9:_.-]{1,128}", re.ASCII)


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
        since = _whole(since, "sinceSeq")
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
    fields = _object(payload)
    body, client_id, kind = fields.get("body"), fields.get("clientMsgId"), fields.get("type", "text")
    if not isinstance(body, str):
        raise Refusal("PAYLOAD_INVALID", "body must be a string")
    if len(body) > BODY_LIMIT:
        raise Refusal("PAYLOAD_TOO_LARGE", f"body has {len(body)} characters, {BODY_LIMIT} are allowed")
    if not isinstance(client_id, str) or not 1 <= len(client_id) <= CLIENT_ID_LIMIT:
        raise Refusal("PAYLOAD_INVALID", f"clientMsgId must be a string of 1-{CLIENT_ID_LIMIT} characters")
    if not isinstance(kind, str) or kind not in MESSAGE_TYPES:
        raise Refusal("PAYLOAD_INVALID", "type must be text, image or file")
    return Send(_conversation_id(fields), body, client_id, kind, _meta(fields))


def parse_read(payload: object) -> Read:
    """message:read. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE (meta)."""
    fields = _object(payload)
    return Read(_conversation_id(fields), _whole(fields.get("upToSeq"), "upToSeq"), _meta(fields))


def parse_typing(payload: object) -> Typing:
    """typing:start and typing:stop. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE (meta)."""
    fields = _object(payload)
    return Typing(_conversation_id(fields), _meta(fields))


def is_conversation_id(text: str) -> bool:
    return _CONVERSATION_ID.fullmatch(text) is not None


def _object(payload: object) -> Mapping[str, Any]:
    if not isinstance(payload, Mapping):
        raise Refusal("PAYLOAD_INVALID", "the payload must be one JSON object")
    return payload


def _conversation_id(fields: Mapping[str, Any]) -> str:
    conversation_id = fields.get("conversationId")
    if not isinstance(conversation_id, str) or not is_conversation_id(conversation_id):
        raise Refusal("PAYLOAD_INVALID", "conversationId must be 1-128 characters of A-Z a-z 0-9 : _ . -")
    return conversation_id


def _whole(value: object, name: str) -> int:
    # JSON's true is an int to Python and never a sequence number.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a whole number from 0")
    return value


def _meta(fields: Mapping[str, Any]) -> msgspec.Raw | None:
    meta = fields.get("meta")
    if meta is None:
        return None
    if not isinstance(meta, Mapping):
        raise Refusal("PAYLOAD_INVALID", "meta must be an object")
    encoded = msgspec.json.encode(meta)
    if len(encoded) > META_LIMIT_BYTES:
        raise Refusal("PAYLOAD_TOO_LARGE", f"meta takes {len(encoded)} bytes, {META_LIMIT_BYTES} are allowed")
    return msgspec.Raw(encoded)
