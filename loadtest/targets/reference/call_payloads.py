"""Is what a client says about a call well formed?"""

import msgspec

from loadtest.targets.reference.fields import (
    CLIENT_ID_LIMIT,
    USER_ID_LIMIT,
    choice_of,
    conversation_of,
    meta_of,
    object_of,
    opaque,
    optional_text_of,
    text_of,
)

MEDIA = ("audio", "video")
REASONS = ("rejected", "busy")
SDP_LIMIT_BYTES = 16_384
CALL_ID_LIMIT = 64
DEVICE_ID_LIMIT = 128


class Initiate(msgspec.Struct, frozen=True):
    callee_id: str
    media: str
    conversation_id: str | None
    sdp: msgspec.Raw | None
    client_id: str | None
    meta: msgspec.Raw | None


class Request(msgspec.Struct, frozen=True):
    """What call:answer, call:decline, call:end and call:status have in common, and what some have more."""

    call_id: str
    device_id: str | None
    sdp: msgspec.Raw | None
    reason: str
    meta: msgspec.Raw | None


def parse_initiate(payload: object) -> Initiate:
    """call:initiate. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    return Initiate(
        callee_id=text_of(fields, "calleeId", USER_ID_LIMIT),
        media=choice_of(fields, "media", MEDIA),
        conversation_id=conversation_of(fields) if fields.get("conversationId") is not None else None,
        sdp=opaque(fields, "sdp", SDP_LIMIT_BYTES),
        client_id=optional_text_of(fields, "clientCallId", CLIENT_ID_LIMIT),
        meta=meta_of(fields),
    )


def parse_request(payload: object) -> Request:
    """call:answer, call:end and call:status. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    fields = object_of(payload)
    return Request(
        call_id=text_of(fields, "callId", CALL_ID_LIMIT),
        device_id=optional_text_of(fields, "deviceId", DEVICE_ID_LIMIT),
        sdp=opaque(fields, "sdp", SDP_LIMIT_BYTES),
        reason="",
        meta=meta_of(fields),
    )


def parse_decline(payload: object) -> Request:
    """call:decline. Raises PAYLOAD_INVALID, PAYLOAD_TOO_LARGE."""
    reason = choice_of(object_of(payload), "reason", REASONS, "rejected")
    return msgspec.structs.replace(parse_request(payload), reason=reason)
