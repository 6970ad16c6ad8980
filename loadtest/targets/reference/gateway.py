"""What does a Socket.IO client get to see? The contract's socket door: CONNECT, authenticate, events and
their acks."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import socketio

from loadtest.targets.reference.actions import SOCKET_SCOPES, Actions
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.faults import Fault, chosen
from loadtest.targets.reference.inline import InlineServer
from loadtest.targets.reference.refusal import AUTH_CODES, Refusal
from loadtest.targets.reference.rooms import USER_ROOM
from loadtest.targets.reference.sessions import Actor, Connection
from loadtest.targets.reference.state import State
from loadtest.targets.reference.tokens import Claims

AUTHENTICATE_WITHIN_NS = 10 * SECOND
Run = Callable[[Connection, str, object], dict[str, Any] | None]
log = logging.getLogger("loadtest.reference")


class Gateway:
    def __init__(self, core: Core, actions: Actions, state: State) -> None:
        settings = core.settings
        self._windows = core.windows
        self._tokens = core.tokens
        self._fanout = core.fanout
        self._faults = core.faults
        self._counters = core.counters
        self._clock = core.clock
        self._actions = actions
        self._state = state
        self._scope = SOCKET_SCOPES[settings.rate_limit_scope]
        self.sessions: dict[str, Connection] = {}
        self.sio = InlineServer(
            self._on_event,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            max_http_buffer_size=settings.max_http_buffer_bytes,
            cors_allowed_origins=settings.cors_origin,
        )
        self.sio.on("connect", self._on_connect)
        self.sio.on("disconnect", self._on_disconnect)

    # -- coming and going

    async def _on_connect(self, sid: str, environ: dict[str, Any], auth: object) -> bool:
        engine = self.sio.eio.sockets[self.sio.manager.eio_sid_from_sid(sid, "/")]
        delay = self._faults.lasting("acceptDelay")
        if delay is not None and self._faults.strikes("acceptDelay"):
            await asyncio.sleep(delay.ms / 1000)
            if engine.closed:
                return False
        session = Connection(sid, engine, self._windows.new())
        if isinstance(auth, dict) and "token" in auth:
            try:
                hello = await self._let_in(session, auth)
            except Refusal as no:
                raise socketio.exceptions.ConnectionRefusedError(no.code, {"code": no.code}) from no
            # CONNECT goes out when this handler has returned; an event before it would reach a client
            # without a socket.
            asyncio.get_running_loop().call_soon(self._greet, session, hello)
        else:
            session.deadline = asyncio.get_running_loop().call_later(
                self._clock.wait_s(AUTHENTICATE_WITHIN_NS), self._disconnect_soon, session
            )
        self.sessions[sid] = session
        return True

    def _on_disconnect(self, sid: str, _reason: str) -> None:
        session = self.sessions.pop(sid, None)
        if session is None:
            return
        session.in_time()
        if session.authenticated:
            self._leave(session)

    def _leave(self, session: Connection) -> None:
        self._state.leave(session)

    def _disconnect_soon(self, session: Connection) -> None:
        self.sio.eio.hold(asyncio.ensure_future(self.sio.disconnect(session.sid)))

    # -- authentication

    async def _let_in(self, session: Connection, given: object) -> dict[str, Any]:
        """Authenticates a socket that has not been answered yet. Raises Refusal AUTH_*."""
        return self._authenticate(session, given)

    def _greet(self, session: Connection, hello: dict[str, Any]) -> None:
        self._fanout.to_session(session, "authenticated", hello)

    def _authenticate(self, session: Connection, given: object) -> dict[str, Any]:
        """Binds the socket to the token's user; returns what `authenticated` says. Raises Refusal AUTH_*."""
        self._identify(session, given)
        self._state.enter(session)
        return self._hello(session)

    def _identify(self, session: Connection, given: object) -> None:
        claims = self._claims(given)
        if session.authenticated and session.user_id != claims.user_id:
            raise Refusal("AUTH_MISMATCH", f"the socket already belongs to {session.user_id}")
        device = given.get("deviceId") if isinstance(given, dict) else None
        session.user_id, session.role = claims.user_id, claims.role
        session.device_id = device if isinstance(device, str) and device else session.device_id or session.sid
        session.expires_at_ms = claims.expires_at_ms

    def _hello(self, session: Connection) -> dict[str, Any]:
        session.in_time()
        return {
            "ok": True,
            "userId": session.user_id,
            "role": session.role,
            "deviceId": session.device_id,
            "socketId": session.sid,
            "rooms": [USER_ROOM + session.user_id],
            "serverTime": self._clock.now_ns() // MS,
            "expiresAt": session.expires_at_ms,
        }

    def _claims(self, given: object) -> Claims:
        if not isinstance(given, dict):
            raise Refusal("AUTH_INVALID", "the payload must be {userId, token}")
        if self._faults.strikes("denyAuth"):
            raise Refusal("AUTH_INVALID", "denied by an ordered fault")
        claims = self._tokens.verify(given.get("token"), self._clock.now_ns())
        if given.get("userId", claims.user_id) != claims.user_id:
            raise Refusal("AUTH_MISMATCH", "the token was issued to another user")
        return claims

    # -- events

    def _on_event(self, sid: str, ack_id: int | None, data: list[Any]) -> None:
        session = self.sessions.get(sid)
        if session is None:
            return
        name, payload = data[0], data[1] if len(data) > 1 else None
        self._conclude(session, ack_id, name, payload, self._perform)

    def _conclude(
        self, session: Connection, ack_id: int | None, name: str, payload: object, run: Run
    ) -> None:
        """Answers with what `run` returns, or why it does not."""
        try:
            answer = run(session, name, payload)
        except Refusal as no:
            answer = self._refuse(session, name, payload, no, acked=ack_id is not None)
        except Exception:
            log.exception("%s failed", name)
            failed = Refusal("INTERNAL", "the server failed; its log says why")
            answer = self._refuse(session, name, payload, failed, acked=ack_id is not None)
        if ack_id is not None:
            body = b"" if answer is None else msgspec.json.encode(answer)
            session.engine.push(Outgoing(b"43%d[%b]" % (ack_id, body)))

    def _perform(self, session: Connection, name: str, payload: object) -> dict[str, Any] | None:
        if name == "authenticate":
            self._counters.received[name] += 1
            hello = self._authenticate(session, payload)
            self._counters.accepted[name] += 1
            self._fanout.to_session(session, "authenticated", hello)
            return hello
        if not session.authenticated:
            raise Refusal("NOT_AUTHENTICATED", "authenticate first")
        if name not in self._actions:
            raise Refusal("PAYLOAD_INVALID", "there is no such event")
        return self._actions.perform(
            name, Actor(session.user_id, session.role, session.window, session), payload, self._scope
        )

    def _refuse(
        self, session: Connection, name: str, payload: object, no: Refusal, *, acked: bool
    ) -> dict[str, Any]:
        """The ack of a refusal; the `error` event too where nobody waits for an ack or the contract wants
        both."""
        fatal = no.code in AUTH_CODES
        if fatal or not acked or no.code == "RATE_LIMITED":
            error = {"code": no.code, "message": no.message, "event": name, **no.detail, "fatal": fatal}
            if isinstance(payload, dict) and isinstance(payload.get("clientMsgId"), str):
                error["clientMsgId"] = payload["clientMsgId"]
            self._fanout.to_session(session, "error", error)
        if fatal:
            self._disconnect_soon(session)
        return {"ok": False, "error": no.error()}

    # -- ordered faults and the end

    def strike(self, fault: Fault) -> list[str]:
        """Carries out dropSockets or kick once; returns the ids of the sockets it struck."""
        exposed = [
            sid for sid, session in self.sessions.items() if fault.transport in ("", session.engine.transport)
        ]
        struck = chosen(fault, exposed)
        for session in [self.sessions[sid] for sid in struck]:
            if fault.kind == "dropSockets":
                session.engine.abort()
            else:
                self._disconnect_soon(session)
        return struck

    async def close(self) -> None:
        """Ends every session, and with it every pending poll, so that the server can stop at once."""
        for engine in list(self.sio.eio.sockets.values()):
            await engine.close(abort=True)
