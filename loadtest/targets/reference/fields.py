"""Is one field of a payload well formed? What the parsers of all domains read their fields with."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from loadtest.targets.reference.refusal import Refusal

BODY_LIMIT = 8_192
META_LIMIT_BYTES = 1_024
CLIENT_ID_LIMIT = 64
USER_ID_LIMIT = 128
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9:_.-]{1,128}", re.ASCII)


def is_conversation_id(text: str) -> bool:
    return _CONVERSATION_ID.fullmatch(text) is not None


def object_of(payload: object) -> Mapping[str, Any]:
    """Raises PAYLOAD_INVALID."""
    if not isinstance(payload, Mapping):
        raise Refusal("PAYLOAD_INVALID", "the payload must be one JSON object")
    return payload


def body_of(fields: Mapping[str, Any]) -> str:
    """`body`, the text of a message. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    body = fields.get("body")
    if not isinstance(body, str):
        raise Refusal("PAYLOAD_INVALID", "body must be a string")
    if len(body) > BODY_LIMIT:
        raise Refusal("PAYLOAD_TOO_LARGE", f"body has {len(body)} characters, {BODY_LIMIT} are allowed")
    return body


def conversation_of(fields: Mapping[str, Any]) -> str:
    """`conversationId`. Raises PAYLOAD_INVALID."""
    conversation_id = fields.get("conversationId")
    if not isinstance(conversation_id, str) or not is_conversation_id(conversation_id):
        raise Refusal("PAYLOAD_INVALID", "conversationId must be 1-128 characters of A-Z a-z 0-9 : _ . -")
    return conversation_id


def whole(value: object, name: str) -> int:
    """`value` as a whole number from 0. Raises PAYLOAD_INVALID, which calls it `name`."""
    # JSON's true is an int to Python and never a sequence number.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a whole number from 0")
    return value


def meta_of(fields: Mapping[str, Any]) -> msgspec.Raw | None:
    """`meta`, encoded for passing it on. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    return opaque(fields, "meta", META_LIMIT_BYTES)


def opaque(fields: Mapping[str, Any], name: str, limit_bytes: int) -> msgspec.Raw | None:
    """An object that is passed on unread; None if there is none. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Refusal("PAYLOAD_INVALID", f"{name} must be an object")
    encoded = msgspec.json.encode(value)
    if len(encoded) > limit_bytes:
        raise Refusal("PAYLOAD_TOO_LARGE", f"{name} takes {len(encoded)} bytes, {limit_bytes} are allowed")
    return msgspec.Raw(encoded)


def text_of(fields: Mapping[str, Any], name: str, limit: int) -> str:
    """A string of 1 to `limit` characters. Raises PAYLOAD_INVALID."""
    value = fields.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a string of 1-{limit} characters")
    return value


def optional_text_of(fields: Mapping[str, Any], name: str, limit: int) -> str | None:
    """As `text_of`; None if there is none."""
    return None if fields.get(name) is None else text_of(fields, name, limit)


def choice_of(
    fields: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str | None = None
) -> str:
    """One of `allowed`; without a `default` it must be given. Raises PAYLOAD_INVALID."""
    value = fields.get(name, default)
    if not isinstance(value, str) or value not in allowed:
        raise Refusal("PAYLOAD_INVALID", f"{name} must be {' or '.join(allowed)}")
    return value
