"""How does a session move from long-polling to WebSocket, as a browser's does, while it is talked on?

Sans-IO, beside the PollingClient whose session it moves:

    upgrade = Upgrade(polling, "ws://127.0.0.1:3000")
    upgrade.open()                       # on a connection of its own; then data_to_send(), as with Client
    upgrade.receive_data(data)           # the server answers our probe: polling pauses
    if upgrade.ready:                    # what was in flight has been answered
        client = upgrade.finish()        # says so; from here on the session is this Client's

Until it is finished everything travels by polling. If it fails the session stays there, and polling goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from loadtest.protocol.client import DEFAULT_MAX_SIZE, Client, new_websocket
from loadtest.protocol.engineio import BASE64, PacketType, decode_base64, encode_packet
from loadtest.protocol.errors import HandshakeError, ProtocolError
from loadtest.protocol.life import State
from loadtest.protocol.polling import PollingClient

_PROBE = b"probe"
_PING = encode_packet(PacketType.PING, _PROBE)
_PONG = encode_packet(PacketType.PONG, _PROBE)
_OVER = (State.CLOSING, State.CLOSED)


class _Step(Enum):
    IDLE = "nothing sent yet"
    ASKING = "WebSocket upgrade sent, waiting for 101"
    PROBING = "probe sent, waiting for its answer"
    PAUSING = "waiting until nothing is in flight on polling"
    DONE = "the session has moved"
    FAILED = "the session stays on polling"


class Upgrade:
    """One attempt to move ``polling``'s session."""

    __slots__ = ("_headers", "_polling", "_step", "_ws")

    def __init__(
        self,
        polling: PollingClient,
        url: str,
        *,
        path: str = "/socket.io",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        max_size: int = DEFAULT_MAX_SIZE,
        compression: bool = False,
    ) -> None:
        """The arguments are those of ``Client``. Raises LocalProtocolError as it does."""
        assert polling.engine_sid is not None, "there is no session to move yet"
        self._polling = polling
        self._headers = headers
        self._ws = new_websocket(url, path, query, polling.engine_sid, max_size, compression)
        self._step = _Step.IDLE

    def open(self) -> None:
        """Queue the HTTP upgrade request. Raises LocalProtocolError if a header cannot be sent."""
        self._ws.open(self._headers)
        self._step = _Step.ASKING

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes came on the new connection. Raises ProtocolError if that was the end of the attempt."""
        if self._step in (_Step.DONE, _Step.FAILED):
            return
        ws = self._ws
        messages = ws.receive_data(bytes(data))
        if self._step is _Step.ASKING and ws.is_upgraded:
            ws.send_text(_PING)
            self._step = _Step.PROBING
        for message in messages:
            if self._step is not _Step.PROBING or message != _PONG:
                self._fail(ProtocolError(f"not the answer to a probe: {message!r:.60}"))
            self._polling.pause()
            self._step = _Step.PAUSING
        if ws.fault is not None:
            self._fail(ws.fault)
        if ws.closed is not None:
            code, reason = ws.closed
            self._fail(ProtocolError(f"the server closed the probe: code {code} {reason}".rstrip()))

    def receive_eof(self) -> None:
        """The stream ended; that raises, unless the attempt was over before."""
        if self._step in (_Step.DONE, _Step.FAILED):
            return
        self._ws.receive_eof()
        self._fail(self._ws.fault or HandshakeError("the server closed the connection of the probe"))

    def data_to_send(self) -> list[bytes]:
        """Drain what is to be written to the new connection, in order."""
        return self._ws.data_to_send()

    def abandon(self) -> None:
        """Give the attempt up; polling goes on."""
        if self._step is _Step.PAUSING:
            self._polling.resume()
        if self._step is not _Step.DONE:
            self._step = _Step.FAILED
            self._ws.close()

    @property
    def ready(self) -> bool:
        """Whether finish() may be called: the server expects us, and polling has nothing in flight."""
        polling = self._polling
        return self._step is _Step.PAUSING and polling.quiet and polling.state not in _OVER

    def finish(self) -> Client:
        """Queue the upgrade packet, and behind it what polling had no time to say."""
        assert self.ready, self._step
        ws = self._ws
        ws.send_text(encode_packet(PacketType.UPGRADE))
        for packet in self._polling.take_queue():
            if packet[:1] == BASE64:
                ws.send_binary(decode_base64(packet))
            else:
                ws.send_text(packet)
        self._step = _Step.DONE
        return Client.taking_over(self._polling, ws)

    def _fail(self, error: ProtocolError) -> None:
        self.abandon()
        raise error
