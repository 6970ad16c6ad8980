"""What does one Socket.IO client do with the bytes it gets?

Sans-IO: bytes in, events out, and nothing else. The caller owns the socket and the clock and passes both in:

    client = Client("ws://127.0.0.1:3000", auth={"token": token})
    client.open()
    send(client.data_to_send())
    for event in client.receive_data(received, now_ns): ...
    send(client.data_to_send())              # pongs and the CONNECT are queued by the client itself
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from websockets.extensions import ClientExtensionFactory
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode

from loadtest.protocol.engineio import PacketType, decode_packet, encode_packet, parse_handshake
from loadtest.protocol.errors import FrameTooLarge, LocalProtocolError, ProtocolError
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
from loadtest.protocol.websocket import WebSocket

DEFAULT_MAX_SIZE = 16 * 1024 * 1024

# Half the memory of zlib's default at little loss for chat-sized messages: 52 KB a connection against 116.
_DEFLATE_MEMORY_LEVEL = 5


class Client:
    """One connection to the default namespace over WebSocket, from the upgrade request to the close.

    ``state``            where its life stands (life.py)
    ``sid``              our Socket.IO id, once Connected
    ``last_ping_ns``     ``now_ns`` of the newest server ping, or of Opened
    ``silence_limit_ns`` ping interval + timeout, once Opened: without a ping for longer the server is dead.
                         Nothing but pings counts, as in the browser client
    ``max_payload``      longest message in bytes the server takes, if it said so when Opened
    """

    __slots__ = (
        "_connect",
        "_headers",
        "_next_ack_id",
        "_ws",
        "last_ping_ns",
        "max_payload",
        "sid",
        "silence_limit_ns",
        "state",
    )

    def __init__(
        self,
        url: str,
        *,
        path: str = "/socket.io",
        auth: Mapping[str, object] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        max_size: int = DEFAULT_MAX_SIZE,
        compression: bool = False,
    ) -> None:
        """``url`` is the base (``ws://127.0.0.1:3000``), ``max_size`` the longest message taken, in bytes.

        Raises LocalProtocolError if the URL is no WebSocket URL, or ``auth`` cannot be encoded as JSON.
        """
        extensions: Sequence[ClientExtensionFactory] | None = None
        if compression:
            settings = {"memLevel": _DEFLATE_MEMORY_LEVEL}
            extensions = [
                ClientPerMessageDeflateFactory(client_max_window_bits=True, compress_settings=settings)
            ]
        address = f"{url.rstrip('/')}/{path.strip('/')}/?EIO=4&transport=websocket"
        self._ws = WebSocket(address, max_size=max_size, extensions=extensions)
        self._connect = encode_connect(auth)
        self._headers = headers
        self._next_ack_id = 0
        self.state = State.IDLE
        self.sid: str | None = None
        self.last_ping_ns = 0
        self.silence_limit_ns: int | None = None
        self.max_payload: int | None = None

    def open(self) -> None:
        """Queue the HTTP upgrade request. Raises LocalProtocolError if a header cannot be sent."""
        after = advance(self.state, Input.OPEN)
        self._ws.open(self._headers)
        self.state = after

    def receive_data(self, data: bytes | bytearray | memoryview, now_ns: int) -> list[ClientEvent]:
        """What ``data``, read at ``now_ns``, completes. It is copied: the caller may reuse its buffer.

        Raises ProtocolError, whose ``events`` are those before the fault; the state is CLOSED then, and
        data_to_send() may hold a last close frame. After Closed, or a fault, nothing more is reported.
        """
        events: list[ClientEvent] = []
        if self.state is State.CLOSED:
            return events
        try:
            self._receive(data if type(data) is bytes else bytes(data), now_ns, events)
        except ProtocolError as error:
            self._fail(error, events)
            raise
        return events

    def receive_eof(self, now_ns: int) -> list[ClientEvent]:
        """The server ended the stream at ``now_ns``. Before the upgrade that raises HandshakeError."""
        if self.state is State.CLOSED:
            return []
        self._ws.receive_eof()
        try:
            if self._ws.fault is not None:
                raise self._ws.fault
            self.state = advance(self.state, Input.EOF)
        except ProtocolError as error:
            self._fail(error, [])
            raise
        return [Closed(None, "end of stream")]

    def data_to_send(self) -> list[bytes]:
        """Drain what is to be written to the socket, in order."""
        return self._ws.data_to_send()

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
        """Queue our goodbye: DISCONNECT if we are in the namespace, then the WebSocket close frame.

        Before the upgrade there is nothing to say: the state is CLOSED at once. A second call does nothing.
        """
        if self.state is State.CONNECTED:
            self._ws.send_text(encode_disconnect())
        self.state = advance(self.state, Input.LEAVE)
        self._ws.close()

    def _receive(self, data: bytes, now_ns: int, events: list[ClientEvent]) -> None:
        """The hot path: one turn of the loop per message."""
        ws = self._ws
        if self.state is State.IDLE:
            raise ProtocolError("the server spoke before the upgrade request")
        texts = ws.receive_data(data)
        if self.state is State.OPENING and ws.is_upgraded:
            self.state = advance(self.state, Input.UPGRADED)
        for text in texts:
            if text[:1] == MESSAGE:
                event = decode(text)
                if event.namespace != "/":
                    raise ProtocolError(f"packet of namespace {event.namespace!r}, which we did not join")
                if type(event) is not Event or self.state is not State.CONNECTED:
                    self._take(event)
                events.append(event)
            else:
                self._take_engine(text, now_ns, events)
                if self.state is State.CLOSED:
                    return
        if ws.fault is not None:
            raise ws.fault
        if ws.closed is not None:
            self.state = advance(self.state, Input.CLOSE)
            events.append(Closed(*ws.closed))

    def _take(self, event: SocketEvent) -> None:
        """What a Socket.IO packet does to our life."""
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
            self.sid = event.sid

    def _take_engine(self, packet: bytes, now_ns: int, events: list[ClientEvent]) -> None:
        """Answer or report an Engine.IO packet that is not a message."""
        kind, data = decode_packet(packet)
        if kind is PacketType.PING:
            self.state = advance(self.state, Input.PING)
            self.last_ping_ns = now_ns
            self._ws.send_text(encode_packet(PacketType.PONG, data))
        elif kind is PacketType.OPEN:
            opened = parse_handshake(data)
            self.state = advance(self.state, Input.SESSION)
            self.last_ping_ns = now_ns
            self.silence_limit_ns = opened.ping_interval_ns + opened.ping_timeout_ns
            self.max_payload = opened.max_payload
            events.append(opened)
            self._ws.send_text(self._connect)  # goes nowhere if we have said goodbye already
        elif kind is PacketType.CLOSE:
            self.state = advance(self.state, Input.CLOSE)
            self._ws.close()
            events.append(Closed(None, "Engine.IO close packet"))
        elif kind is PacketType.NOOP:
            self.state = advance(self.state, Input.NOOP)
        else:
            raise ProtocolError(f"{kind.name} packet from a server: {packet[:40]!r}")

    def _send(self, packet: bytes) -> None:
        limit = self.max_payload
        if limit is not None and len(packet) > limit:
            raise LocalProtocolError(
                f"message of {len(packet)} bytes is longer than the server's maxPayload of {limit} bytes"
            )
        self._ws.send_text(packet)

    def _fail(self, error: ProtocolError, events: list[ClientEvent]) -> None:
        """Tell the server why, if it can still hear it, and end."""
        error.events = events
        self.state = advance(self.state, Input.FAULT)
        large = isinstance(error, FrameTooLarge)
        self._ws.close(CloseCode.MESSAGE_TOO_BIG if large else CloseCode.PROTOCOL_ERROR)
