"""How does one connection take part in several namespaces?

The first one's life is the connection's (life.py). Each further one is asked for, entered, left and dismissed
from by itself, counts its own acks, and has a recovery of its own; a refusal concerns nobody but the one refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.protocol.errors import HoldsBinary, LocalProtocolError
from loadtest.protocol.events import Ack, Connected, ConnectError, Disconnected, Event, SocketEvent
from loadtest.protocol.life import Input, Standing, State, step
from loadtest.protocol.socketio import (
    check_name,
    encode_binary_event,
    encode_connect,
    encode_disconnect,
    encode_event,
)

if TYPE_CHECKING:
    from loadtest.protocol.session import Session

INPUT_OF = {
    Event: Input.EVENT,
    Ack: Input.ACK,
    Connected: Input.JOINED,
    ConnectError: Input.REFUSED,
    Disconnected: Input.DISMISSED,
}
"""What each packet of a server is to a namespace's life."""


class Recovery(NamedTuple):
    """What the next connection says to get back what it missed: connection state recovery.

    pid: the secret id that the server gave us for it. offset: of the newest event we have; without one the
    server has nothing to begin from and lets us in as somebody new.
    """

    pid: str
    offset: str | None = None


def connect_payload(
    auth: Mapping[str, object] | None, recovery: Recovery | None
) -> Mapping[str, object] | None:
    """What a CONNECT carries; None for nothing."""
    if recovery is None:
        return auth
    known = {} if recovery.offset is None else {"offset": recovery.offset}
    return {"pid": recovery.pid, **known, **(auth or {})}


def take_offset(event: Event) -> str | None:
    """Take the offset that a recovering server hangs on its events off again, and hand it up.

    Only events without an ack have it, and volatile ones do not: a string at the end of one of those is taken
    for an offset here as it is in the official client. Nothing tells the two apart.
    """
    args = event.args
    if args and event.ack_id is None and type(args[-1]) is str:
        offset: str = args.pop()
        return offset
    return None


def admitted(event: Connected, pid: str | None) -> Connected:
    """The answer to a CONNECT, which brings back what was missed if it gives us the id that we had."""
    recovered = event.pid is not None and event.pid == pid
    return msgspec.structs.replace(event, recovered=True) if recovered else event


class Namespace:
    """A further namespace of a session. ``sid``: our id there, once Connected; ``standing``: where we stand."""

    __slots__ = ("_next_ack_id", "_offset", "_pid", "name", "session", "sid", "standing")

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.standing = Standing.OUTSIDE
        self.sid: str | None = None
        self._next_ack_id = 0
        self._pid: str | None = None
        self._offset: str | None = None

    @property
    def recovery(self) -> Recovery | None:
        """As Session.recovery, here."""
        return None if self._pid is None else Recovery(self._pid, self._offset)

    def ask(self, auth: Mapping[str, object] | None, recovery: Recovery | None) -> None:
        """Queue a CONNECT. Raises LocalProtocolError if one is under way, or was answered."""
        packet = encode_connect(connect_payload(auth, recovery), self.name)
        self.standing = step(self.standing, Input.JOIN)
        if recovery is not None:
            self._pid, self._offset = recovery
        self.session._carry(packet)

    def emit(self, name: str, *args: object, ack: bool = False) -> int | None:
        """As Session.emit, here; acks are counted by themselves."""
        self._check()
        check_name(name)
        ack_id = self._next_ack_id if ack else None
        try:
            self.session._send(encode_event((name, *args), ack_id, self.name))
        except HoldsBinary:
            self.session._send_binary(*encode_binary_event((name, *args), ack_id, self.name))
        if ack:
            self._next_ack_id += 1
        return ack_id

    def ack(self, ack_id: int, *args: object) -> None:
        """As Session.ack, here."""
        self._check()
        self.session._answer(ack_id, args, self.name)

    def _check(self) -> None:
        step(self.standing, Input.SEND)
        if self.session.state in (State.CLOSING, State.CLOSED):
            raise LocalProtocolError(f"the connection is over, and {self.name!r} with it")

    def leave(self) -> None:
        """Queue a DISCONNECT, if there is something to leave. What is on its way is still reported."""
        was, self.standing = self.standing, step(self.standing, Input.LEAVE)
        if was is not Standing.OUTSIDE and self.session.state is not State.CLOSED:
            self.session._carry(encode_disconnect(self.name))

    def take(self, event: SocketEvent) -> SocketEvent:
        """A packet of this namespace; what to report. Raises ProtocolError for one that cannot stand here."""
        was = self.standing
        self.standing = step(was, INPUT_OF[type(event)])
        if isinstance(event, Connected) and was is Standing.ASKING:
            said = admitted(event, self._pid)
            self.sid, self._pid = event.sid, event.pid
            return said
        if isinstance(event, Event) and self._pid is not None:
            self._offset = take_offset(event) or self._offset
        return event
