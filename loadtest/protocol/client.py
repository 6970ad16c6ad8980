"""What does one Socket.IO client over WebSocket do with the bytes it gets?

Sans-IO: bytes in, events out, and nothing else. The caller owns the socket and the clock and passes both in:

    client = Client("ws://127.0.0.1:3000", auth={"token": token})
    client.open()
    send(client.data_to_send())
    for event in client.receive_data(received, now_ns): ...
    send(client.data_to_send())              # pongs and the CONNECT are queued by the client itself
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from websockets.extensions import ClientExtensionFactory
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode

from loadtest.protocol.engineio import target
from loadtest.protocol.errors import FrameTooLarge, ProtocolError
from loadtest.protocol.events import ClientEvent, Closed
from loadtest.protocol.life import Input, State, advance
from loadtest.protocol.namespaces import Recovery
from loadtest.protocol.session import Session
from loadtest.protocol.websocket import WebSocket

DEFAULT_MAX_SIZE = 16 * 1024 * 1024

# Half the memory of zlib's default at little loss for chat-sized messages: 52 KB a connection against 116.
_DEFLATE_MEMORY_LEVEL = 5


class Client(Session):
    """A session over WebSocket from the upgrade request, or from an upgrade of long-polling, to the close."""

    __slots__ = ("_headers", "_ws")

    def __init__(
        self,
        url: str,
        *,
        path: str = "/socket.io",
        query: str = "",
        namespace: str = "/",
        auth: Mapping[str, object] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        max_size: int = DEFAULT_MAX_SIZE,
        compression: bool = False,
        recovery: Recovery | None = None,
        engine_sid: str | None = None,
    ) -> None:
        """``url`` is the base (``ws://127.0.0.1:3000``), ``max_size`` the longest message taken, in bytes.

        ``query`` (``a=b&c=d``) is added to Engine.IO's own. ``namespace`` is the first, which ``auth`` is for.
        ``engine_sid`` claims to go on with a session of that id, which is how a server's answer to an unknown
        one is provoked. Raises LocalProtocolError if the URL is no WebSocket URL, ``namespace`` is none, or
        ``auth`` cannot be encoded as JSON.
        """
        self._ws = new_websocket(url, path, query, engine_sid, max_size, compression)
        self._headers = headers
        super().__init__(self._ws.send_text, auth, recovery, namespace)

    @classmethod
    def taking_over(cls, session: Session, ws: WebSocket) -> Client:
        """``session`` as it goes on over ``ws``, which speaks WebSocket already."""
        client = cls.__new__(cls)
        client._inherit(session)
        client._ws = ws
        client._headers = ()
        client._carry = ws.send_text
        return client

    @property
    def set_cookies(self) -> list[str]:
        """Values of the Set-Cookie headers that came with the server's agreement to upgrade."""
        return self._ws.set_cookies

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
        ws = self._ws
        try:
            if self.state is State.IDLE:
                raise ProtocolError("the server spoke before the upgrade request")
            packets = ws.receive_data(data if type(data) is bytes else bytes(data))
            if self.state is State.OPENING and ws.is_upgraded:
                self.state = advance(self.state, Input.ANSWERED)
            self._take_packets(packets, now_ns, events)
            if self.state is not State.CLOSED:
                if ws.fault is not None:
                    raise ws.fault
                if ws.closed is not None:
                    self.state = advance(self.state, Input.CLOSE)
                    events.append(Closed(*ws.closed))
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

    def _as_packet(self, data: bytes) -> bytes:
        return data

    def _carry_binary(self, packet: bytes) -> None:
        self._ws.send_binary(packet)

    def _hang_up(self, error: ProtocolError | None) -> None:
        if error is None:
            self._ws.close()
        else:
            large = isinstance(error, FrameTooLarge)
            self._ws.close(CloseCode.MESSAGE_TOO_BIG if large else CloseCode.PROTOCOL_ERROR)


def new_websocket(
    url: str, path: str, query: str, engine_sid: str | None, max_size: int, compression: bool
) -> WebSocket:
    """A WebSocket to the Engine.IO server at ``url``, not open yet; with ``engine_sid`` to that session of it.

    Raises LocalProtocolError if the URL is no WebSocket URL.
    """
    extensions: Sequence[ClientExtensionFactory] | None = None
    if compression:
        settings = {"memLevel": _DEFLATE_MEMORY_LEVEL}
        extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True, compress_settings=settings)]
    address = url.rstrip("/") + target(path, query, "websocket")
    if engine_sid is not None:
        address += f"&sid={quote(engine_sid, safe='')}"
    return WebSocket(address, max_size=max_size, extensions=extensions)
