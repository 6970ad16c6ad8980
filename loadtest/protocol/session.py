"""What does one Socket.IO client do with the packets it gets, whatever carries them?

The half that WebSocket, long-polling and the upgrade between them have in common: the life, the heartbeat,
the ids of acks, and connection state recovery. A carrier adds how packets become bytes and back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from loadtest.protocol.engineio import PacketType, decode_packet, encode_packet, parse_handshake
from loadtest.protocol.errors import LocalProtocolError, ProtocolError
from loadtest.protocol.events import (
    ClientEvent,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    SocketEvent,
)
from loadtest.protocol.life import Input, State, advance
from loadtest.protocol.socketio import (
    MESSAGE,
    RESERVED_NAMES,
    decode,
    encode_ack,
    encode_connect,
    encode_disconnect,
    encode_event,
)


class Recovery(NamedTuple):
    """What the next connection says to get back what it missed: connection state recovery.

    pid: the secret id that the server gave us for it. offset: of the newest event we have; without one the
    server has nothing to begin from and lets us in as somebody new.
    """

    pid: str
    offset: str | None = None


class Session(ABC):
    """One connection to the default namespace; a carrier's class adds open() and where bytes go in and out.

    ``state``            where its life stands (life.py)
    ``sid``              our Socket.IO id, once Connected
    ``engine_sid``       the Engine.IO session's id, once Opened
    ``last_ping_ns``     ``now_ns`` of the newest server ping, or of Opened
    ``silence_limit_ns`` ping interval + timeout, once Opened: without a ping for longer the server is dead.
                         Nothing but pings counts, as in the browser client
    ``max_payload``      longest message in bytes the server takes, if it said so when Opened
    """

    __slots__ = (
        "_carry",
        "_connect",
        "_next_ack_id",
        "_offset",
        "_pid",
        "engine_sid",
        "last_ping_ns",
        "max_payload",
        "sid",
        "silence_limit_ns",
        "state",
    )

    def __init__(
        self,
        carry: Callable[[bytes], None],
        auth: Mapping[str, object] | None,
        recovery: Recovery | None,
    ) -> None:
        """``carry`` takes a packet that is to be sent. LocalProtocolError if ``auth`` cannot be encoded."""
        self._carry = carry
        self._pid = self._offset = None
        payload = auth
        if recovery is not None:
            self._pid, self._offset = recovery
            known = {} if recovery.offset is None else {"offset": recovery.offset}
            payload = {"pid": recovery.pid, **known, **(auth or {})}
        self._connect = encode_connect(payload)
        self._next_ack_id = 0
        self.state = State.IDLE
        self.sid: str | None = None
        self.engine_sid: str | None = None
        self.last_ping_ns = 0
        self.silence_limit_ns: int | None = None
        self.max_payload: int | None = None

    @property
    def recovery(self) -> Recovery | None:
        """What to say on the next connection; None where the server recovers nobody.

        As in the official client the offset outlives a recovery that was refused, until an event brings a
        newer one.
        """
        return None if self._pid is None else Recovery(self._pid, self._offset)

    def emit(self, name: str, *args: object, ack: bool = False) -> int | None:
        """Queue an event; with ``ack`` returns the id that the server's Ack will carry, counted from 0.

        Raises LocalProtocolError unless CONNECTED, for a reserved name, for what JSON cannot carry, and for a
        message longer than the server's maxPayload: it would close the connection on it.
        """
        if self.state is not State.CONNECTED:
            advance(self.state, Input.SEND)
        if name in RESERVED_NAMES:
            raise LocalProtocolError(f"{name!r} is reserved: the server closes the connection on it")
        ack_id = self._next_ack_id if ack else None
        self._send(encode_event((name, *args), ack_id))
        if ack:
            self._next_ack_id += 1
        return ack_id

    def ack(self, ack_id: int, *args: object) -> None:
        """Queue the answer to an Event that had ``ack_id``. Raises LocalProtocolError as emit() does."""
        advance(self.state, Input.SEND)
        self._send(encode_ack(ack_id, args))

    def disconnect(self) -> None:
        """Queue our goodbye: DISCONNECT if we are in the namespace, then the transport's own.

        Before the server's first answer there is nothing to say: the state is CLOSED at once. A second call
        does nothing.
        """
        was = self.state
        after = advance(was, Input.LEAVE)
        if was is State.CONNECTED:
            self._carry(encode_disconnect())
        self.state = after
        if after is not was:
            self._hang_up(None)

    def _send(self, packet: bytes) -> None:
        limit = self.max_payload
        if limit is not None and len(packet) > limit:
            raise LocalProtocolError(
                f"message of {len(packet)} bytes is longer than the server's maxPayload of {limit} bytes"
            )
        self._carry(packet)

    @abstractmethod
    def _hang_up(self, error: ProtocolError | None) -> None:
        """Queue the transport's goodbye, if it has one and can still be heard; ``error`` is what ended us."""

    def _take_packets(self, packets: Iterable[bytes], now_ns: int, events: list[ClientEvent]) -> None:
        """The hot path: one turn of the loop per packet. What they say is added to ``events``."""
        for packet in packets:
            if packet[:1] == MESSAGE:
                event = decode(packet)
                if event.namespace != "/":
                    raise ProtocolError(f"packet of namespace {event.namespace!r}, which we did not join")
                if type(event) is not Event or self.state is not State.CONNECTED:
                    event = self._take(event)
                elif self._pid is not None:
                    self._take_offset(event)
                events.append(event)
            else:
                self._take_engine(packet, now_ns, events)
                if self.state is State.CLOSED:
                    return

    def _take(self, event: SocketEvent) -> SocketEvent:
        """What a Socket.IO packet does to our life; the event to report."""
        kind = type(event)
        if kind is Event:
            cause = Input.EVENT
        elif kind is Connected:
            cause = Input.JOINED
        elif kind is ConnectError:
            cause = Input.REFUSED
        elif kind is Disconnected:
            cause = Input.DISMISSED
        else:
            cause = Input.ACK
        self.state = advance(self.state, cause)
        if isinstance(event, Connected):
            recovered = event.pid is not None and event.pid == self._pid
            self.sid, self._pid = event.sid, event.pid
            return msgspec.structs.replace(event, recovered=True) if recovered else event
        if isinstance(event, Event) and self._pid is not None:
            self._take_offset(event)
        return event

    def _take_offset(self, event: Event) -> None:
        """Keep the offset that a recovering server hangs on its events, and hand up what the sender sent.

        Only events without an ack have it, and volatile ones do not: a string at the end of one of those is
        taken for an offset here as it is in the official client. Nothing tells the two apart.
        """
        args = event.args
        if args and event.ack_id is None and type(args[-1]) is str:
            self._offset = args.pop()

    def _take_engine(self, packet: bytes, now_ns: int, events: list[ClientEvent]) -> None:
        """Answer or report an Engine.IO packet that is not a message."""
        kind, data = decode_packet(packet)
        if kind is PacketType.PING:
            self.state = advance(self.state, Input.PING)
            self.last_ping_ns = now_ns
            self._carry(encode_packet(PacketType.PONG, data))
        elif kind is PacketType.OPEN:
            opened = parse_handshake(data)
            self.state = advance(self.state, Input.SESSION)
            self.engine_sid = opened.sid
            self.last_ping_ns = now_ns
            self.silence_limit_ns = opened.ping_interval_ns + opened.ping_timeout_ns
            self.max_payload = opened.max_payload
            events.append(opened)
            if self.state is State.CONNECTING:  # not if we have said goodbye already
                self._carry(self._connect)
        elif kind is PacketType.CLOSE:
            self.state = advance(self.state, Input.CLOSE)
            self._hang_up(None)
            events.append(Closed(None, "Engine.IO close packet"))
        elif kind is PacketType.NOOP:
            self.state = advance(self.state, Input.NOOP)
        else:
            raise ProtocolError(f"{kind.name} packet from a server: {packet[:40]!r}")

    def _fail(self, error: ProtocolError, events: list[ClientEvent]) -> None:
        """Tell the server why, if it can still hear it, and end."""
        error.events = events
        self.state = advance(self.state, Input.FAULT)
        self._hang_up(error)

    def _inherit(self, other: Session) -> None:
        """Go on where ``other`` stands, which ends with this."""
        for name in Session.__slots__:
            setattr(self, name, getattr(other, name))
        other.state = State.CLOSED
