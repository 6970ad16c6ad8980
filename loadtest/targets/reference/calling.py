"""What happens when somebody calls, answers, declines, hangs up or vanishes?

The use cases of calls, the same for a socket and for a polling user. What follows from a request carries
that request's `meta`; what the server does by itself (timeout, disconnect) carries none.
"""

from typing import Any

import msgspec

from loadtest.targets.reference.actions import Action
from loadtest.targets.reference.call_payloads import parse_decline, parse_initiate, parse_request
from loadtest.targets.reference.calls import Call, Calls, Device
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domain
from loadtest.targets.reference.fanout import Event
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor, Session

# What a polling user who names no device answers and declines with.
POLLING_DEVICE = "polling"
Meta = msgspec.Raw | None


class Calling(Domain):
    def __init__(self, core: Core) -> None:
        settings = core.settings
        self._presence = core.presence
        self._feeds = core.call_feeds
        self._fanout = core.fanout
        self._clock = core.clock
        self._calls = Calls(
            f"c{core.boot}", int(settings.ring_timeout_s * SECOND), int(settings.party_grace_s * SECOND)
        )

    def actions(self) -> list[Action]:
        return [
            Action("call:initiate", self.initiate, "event"),
            Action("call:answer", self.answer, "event"),
            Action("call:decline", self.decline, "event"),
            Action("call:end", self.end, "event"),
            Action("call:status", self.status, "event"),
        ]

    # -- what is asked for

    def initiate(self, actor: Actor, payload: object) -> dict[str, Any]:
        """call:initiate: every device of the callee rings. The same clientCallId again, while that call is
        open, gets the same call."""
        wanted = parse_initiate(payload)
        caller, callee, now_ns = actor.user_id, wanted.callee_id, self._clock.now_ns()
        if callee == caller:
            raise Refusal("PAYLOAD_INVALID", "calleeId must be somebody else")
        begun = self._calls.begun_with(caller, wanted.client_id)
        if begun is not None:
            return {**self._initiated(begun, now_ns), "duplicate": True}
        if not self._presence.is_reachable(callee, now_ns):
            raise Refusal("USER_OFFLINE", f"{callee} has no socket and does not poll")
        call = self._calls.initiate(caller, callee, wanted.media, wanted.client_id, now_ns)
        for user in call.parties:
            self._sign_of_life(user, now_ns)
        incoming: dict[str, Any] = {
            "callId": call.id,
            "callerId": caller,
            "calleeId": callee,
            "media": call.media,
            **_given(conversationId=wanted.conversation_id, sdp=wanted.sdp),
            "ts": now_ns // MS,
            "expiresAt": call.rings_until_ns // MS,
        }
        event = Event.of("call:incoming", incoming, wanted.meta)
        self._fanout.to_users([callee], event, sender=caller, feeds=self._feeds)
        self._tell_status(call, now_ns, wanted.meta)
        return self._initiated(call, now_ns)

    def answer(self, actor: Actor, payload: object) -> dict[str, Any]:
        """call:answer: the first device wins; both parties learn which, so that the others stop ringing."""
        asked = parse_request(payload)
        call, now_ns = self._of(actor, asked.call_id)
        device = Device(actor.user_id, _device_id(actor, asked.device_id), _socket_id(actor))
        self._calls.answer(call, device, now_ns)
        self._tell(
            call, "call:answered", {"answeredBy": device.told(), **_given(sdp=asked.sdp)}, now_ns, asked.meta
        )
        return {"ok": True, "callId": call.id, "status": call.state}

    def decline(self, actor: Actor, payload: object) -> dict[str, Any]:
        """call:decline: one device declines for the user."""
        asked = parse_decline(payload)
        call, now_ns = self._of(actor, asked.call_id)
        self._calls.decline(call, actor.user_id, now_ns)
        by = {"userId": actor.user_id, "deviceId": _device_id(actor, asked.device_id)}
        self._tell(call, "call:declined", {"declinedBy": by, "reason": asked.reason}, now_ns, asked.meta)
        return {"ok": True, "callId": call.id, "status": call.state}

    def end(self, actor: Actor, payload: object) -> dict[str, Any]:
        """call:end: either party hangs up, ringing or not. Who comes second is told how it ended."""
        asked = parse_request(payload)
        call, now_ns = self._of(actor, asked.call_id)
        ended_now = self._calls.end(call, actor.user_id, now_ns)
        ack = {"ok": True, "callId": call.id, "status": call.state, "durationMs": call.duration_ms}
        if not ended_now:
            return {**ack, "duplicate": True}
        by = {"userId": actor.user_id, "deviceId": _device_id(actor, asked.device_id)}
        self._tell_end(call, {"endedBy": by, "reason": "hangup"}, now_ns, asked.meta)
        return ack

    def status(self, actor: Actor, payload: object) -> dict[str, Any]:
        """call:status: how does it stand? What a client asks that was away for a while."""
        call, _ = self._of(actor, parse_request(payload).call_id)
        answered_by = call.answered_by.told() if call.answered_by is not None else None
        ended_at = call.ended_ns // MS if call.ended_ns is not None else None
        return {
            "ok": True,
            "call": {
                "callId": call.id,
                "callerId": call.caller,
                "calleeId": call.callee,
                "media": call.media,
                "status": call.state,
                **_given(answeredBy=answered_by),
                "startedAt": call.started_ns // MS,
                **_given(endedAt=ended_at),
            },
        }

    # -- what happens by itself

    def authenticated(self, session: Session) -> None:
        self._calls.attached(session.user_id, self._clock.now_ns())

    def disconnected(self, session: Session) -> None:
        if not self._presence.has_socket(session.user_id):
            self._calls.detached(session.user_id, self._clock.now_ns())

    def polled(self, user_id: str) -> None:
        self._calls.heard(user_id, self._clock.now_ns())

    def tick(self, now_ns: int) -> None:
        for call in self._calls.due(now_ns):
            reason = "timeout" if call.state == "missed" else "disconnect"
            self._tell_end(call, {"reason": reason}, now_ns, None)

    def stats(self) -> dict[str, Any]:
        return {"calls": self._calls.tally()}

    # -- what is told

    def _tell(self, call: Call, name: str, fields: dict[str, Any], now_ns: int, meta: Meta) -> None:
        """The event of a transition to both parties, and the new status after it."""
        event = Event.of(name, {"callId": call.id, **fields, "ts": now_ns // MS}, meta)
        self._fanout.to_users(call.parties, event, sender=call.caller, feeds=self._feeds)
        self._tell_status(call, now_ns, meta)

    def _tell_end(self, call: Call, fields: dict[str, Any], now_ns: int, meta: Meta) -> None:
        self._tell(call, "call:ended", {**fields, "durationMs": call.duration_ms}, now_ns, meta)

    def _tell_status(self, call: Call, now_ns: int, meta: Meta) -> None:
        event = Event.of("call:status", {"callId": call.id, "status": call.state, "ts": now_ns // MS}, meta)
        self._fanout.to_users(call.parties, event, sender=call.caller, feeds=self._feeds)

    def _initiated(self, call: Call, now_ns: int) -> dict[str, Any]:
        return {
            "ok": True,
            "callId": call.id,
            "status": call.state,
            "expiresAt": call.rings_until_ns // MS,
            "devices": self._presence.devices(call.callee, now_ns),
        }

    # -- who asks

    def _of(self, actor: Actor, call_id: str) -> tuple[Call, int]:
        """The call, for one of its parties, and the time. Raises Refusal CALL_NOT_FOUND, FORBIDDEN."""
        now_ns = self._clock.now_ns()
        call = self._calls.of(call_id, actor.user_id)
        self._sign_of_life(actor.user_id, now_ns)
        return call, now_ns

    def _sign_of_life(self, user: str, now_ns: int) -> None:
        if self._presence.has_socket(user):
            self._calls.attached(user, now_ns)
        else:
            self._calls.heard(user, now_ns)


def _given(**fields: object) -> dict[str, object]:
    """What is optional and there."""
    return {name: value for name, value in fields.items() if value is not None}


def _device_id(actor: Actor, named: str | None) -> str:
    own = actor.session.device_id if actor.session is not None else POLLING_DEVICE
    return named or own


def _socket_id(actor: Actor) -> str | None:
    return actor.session.sid if actor.session is not None else None
