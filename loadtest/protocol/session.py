"""What does one Socket.IO client do with the packets it gets, whatever carries them?

The half that WebSocket, long-polling and the upgrade between them have in common: the life, the heartbeat,
the ids of acks, binary messages, and connection state recovery. A carrier adds how packets become bytes and back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from loadtest.protocol.attachments import Unfinished
from loadtest.protocol.engineio import (
    BASE64,
    Binary,
    PacketType,
    decode_base64,
    decode_packet,
    encode_packet,
    parse_handshake,
)
from loadtest.protocol.errors import HoldsBinary, LocalProtocolError, ProtocolError
from loadtest.protocol.events import ClientEvent, Closed, Connected, Event, SocketEvent
from loadtest.protocol.life import Input, State, advance
from loadtest.protocol.namespaces import (
    INPUT_OF,
    Namespace,
    Recovery,
    admitted,
    connect_payload,
    take_offset,
)
from loadtest.protocol.socketio import (
    MESSAGE,
    RESERVED_NAMES,
    check_name,
    decode,
    encode_ack,
    encode_binary_ack,
    encode_binary_event,
    encode_connect,
    encode_disconnect,
    encode_event,
)

_NONE: Mapping[str, Namespace] = MappingProxyType({})
"""Most connections have no further namespaces, and share this for them."""


class Session(ABC):
    """One connection, to one namespace first; a carrier's class adds open() and where bytes go in and out.

    ``state``            where its life stands (life.py)
    ``namespace``        the first namespace: what is said of ``state`` and ``sid`` is about this one
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
        "_others",
        "_pid",
        "_unfinished",
        "engine_sid",
        "last_ping_ns",
        "max_payload",
        "namespace",
        "sid",
        "silence_limit_ns",
        "state",
    )

    def __init__(
        self,
        carry: Callable[[bytes], None],
        auth: Mapping[str, object] | None,
        recovery: Recovery | None,
        namespace: str,
    ) -> None:
        """``carry`` takes a packet that is to be sent. LocalProtocolError if ``auth`` cannot be encoded."""
        self._carry = carry
        self._pid: str | None = None if recovery is None else recovery.pid
        self._offset: str | None = None if recovery is None else recovery.offset
        self._connect = encode_connect(connect_payload(auth, recovery), namespace)
        self._next_ack_id = 0
        self._others: Mapping[str, Namespace] = _NONE
        self._unfinished: Unfinished | None = None
        self.namespace = namespace
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

        Bytes may stand anywhere in ``args``. Raises LocalProtocolError unless CONNECTED, for a reserved name, for
        what cannot be carried, and for a message longer than the server's maxPayload: it would close the
        connection on it.
        """
        if self.state is not State.CONNECTED:
            advance(self.state, Input.SEND)
        if name in RESERVED_NAMES:
            check_name(name)
        ack_id = self._next_ack_id if ack else None
        try:
            self._send(encode_event((name, *args), ack_id, self.namespace))
        except HoldsBinary:
            self._send_binary(*encode_binary_event((name, *args), ack_id, self.namespace))
        if ack:
            self._next_ack_id += 1
        return ack_id

    def ack(self, ack_id: int, *args: object) -> None:
        """Queue the answer to an Event that had ``ack_id``. Raises LocalProtocolError as emit() does."""
        advance(self.state, Input.SEND)
        self._answer(ack_id, args, self.namespace)

    def _answer(self, ack_id: int, args: tuple[object, ...], namespace: str) -> None:
        try:
            self._send(encode_ack(ack_id, args, namespace))
        except HoldsBinary:
            self._send_binary(*encode_binary_ack(ack_id, args, namespace))

    def join(
        self, namespace: str, auth: Mapping[str, object] | None = None, recovery: Recovery | None = None
    ) -> Namespace:
        """Queue a CONNECT to a further namespace, by which to speak there. Connected or ConnectError will name it;
        either way the others go on, and so does the connection.

        Raises LocalProtocolError before the session is open, for the first namespace, and for one that we are in
        or have asked for.
        """
        advance(self.state, Input.JOIN)
        if namespace == self.namespace:
            raise LocalProtocolError(f"{namespace!r} is the first namespace, which is joined by itself")
        joined = self._others.get(namespace) or Namespace(self, namespace)
        joined.ask(auth, recovery)
        self._others = {**self._others, namespace: joined}
        return joined

    def disconnect(self) -> None:
        """Queue our goodbye: DISCONNECT from each namespace that we are in, then the transport's own.

        Before the server's first answer there is nothing to say: the state is CLOSED at once. A second call
        does nothing.
        """
        was = self.state
        after = advance(was, Input.LEAVE)
        for namespace in self._others.values():
            namespace.leave()
        if was is State.CONNECTED:
            self._carry(encode_disconnect(self.namespace))
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

    def _send_binary(self, packet: bytes, attachments: list[bytes]) -> None:
        """Send a packet and what follows it: all of it, or nothing."""
        packets = [self._as_packet(attachment) for attachment in attachments]
        longest, limit = max(map(len, packets)), self.max_payload
        if limit is not None and longest > limit:
            raise LocalProtocolError(
                f"attachment of {longest} bytes is longer than the server's maxPayload of {limit} bytes"
            )
        self._send(packet)
        for one in packets:
            self._carry_binary(one)

    @abstractmethod
    def _as_packet(self, data: bytes) -> bytes:
        """A binary message as the carrier writes it."""

    @abstractmethod
    def _carry_binary(self, packet: bytes) -> None:
        """Send such a packet."""

    @abstractmethod
    def _hang_up(self, error: ProtocolError | None) -> None:
        """Queue the transport's goodbye, if it has one and can still be heard; ``error`` is what ended us."""

    def _take_packets(self, packets: Iterable[Any], now_ns: int, events: list[ClientEvent]) -> None:
        """The hot path: one turn of the loop per packet. What they say is added to ``events``."""
        for packet in packets:
            if packet[:1] == MESSAGE and self._unfinished is None:  # a Binary is a tuple, and equals no bytes
                event: Any = decode(packet)
                kind = type(event)
                if event.namespace != self.namespace or kind is Unfinished:
                    self._take_aside(event, events)
                    continue
                if kind is not Event or self.state is not State.CONNECTED:
                    event = self._take(event)
                elif self._pid is not None:
                    self._offset = take_offset(event) or self._offset
                events.append(event)
            else:
                self._take_other(packet, now_ns, events)
                if self.state is State.CLOSED:
                    return

    def _take_aside(self, event: SocketEvent | Unfinished, events: list[ClientEvent]) -> None:
        """A packet that lacks its attachments, or belongs to a further namespace."""
        if isinstance(event, Unfinished):
            self._unfinished = event
            return
        namespace = self._others.get(event.namespace)
        if namespace is None:
            raise ProtocolError(f"packet of namespace {event.namespace!r}, which we did not join")
        events.append(namespace.take(event))

    def _take(self, event: SocketEvent) -> SocketEvent:
        """What a packet of the first namespace does to our life; the event to report."""
        self.state = advance(self.state, INPUT_OF[type(event)])
        if isinstance(event, Connected):
            said = admitted(event, self._pid)
            self.sid, self._pid = event.sid, event.pid
            return said
        if isinstance(event, Event) and self._pid is not None:
            self._offset = take_offset(event) or self._offset
        return event

    def _take_other(self, packet: bytes | Binary, now_ns: int, events: list[ClientEvent]) -> None:
        """A binary message, or what is none at all; between the parts of one packet only the latter may stand."""
        if isinstance(packet, Binary):
            self._attach(packet.data, events)
        elif packet[:1] == BASE64:
            self._attach(decode_base64(packet), events)
        elif packet[:1] == MESSAGE:
            raise ProtocolError(f"text where an attachment was announced: {packet[:80]!r}")
        else:
            self._take_engine(packet, now_ns, events)

    def _attach(self, data: bytes, events: list[ClientEvent]) -> None:
        if self._unfinished is None:
            raise ProtocolError(f"binary message of {len(data)} bytes that no packet announced")
        event = self._unfinished.attach(data)
        if event is not None:
            self._unfinished = None
            if event.namespace == self.namespace:
                events.append(self._take(event))
            else:
                self._take_aside(event, events)

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
        for namespace in self._others.values():
            namespace.session = self
        other.state = State.CLOSED
