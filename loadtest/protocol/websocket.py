"""How do WebSocket frames become text messages, and back?

RFC 6455, client side. A frame:

    byte 0      FIN 0x80, RSV1 0x40 (compressed), RSV2, RSV3, opcode 0x0f (0 continuation, 1 text, 2 binary,
                8 close, 9 ping, 10 pong)
    byte 1      MASK 0x80 (client to server only), length 0x7f; 126: two bytes of length follow; 127: eight
    4 bytes     the mask key, if MASK
    payload     XOR the mask key repeated, if MASK

The stream is cut into whole frames here. A whole unmasked, uncompressed text message in one frame (0x81),
nearly all that a Socket.IO server sends, is taken as it is; every other frame goes to the core, the
``ClientProtocol`` of ``websockets``: control frames, fragments, deflate, closing, blame. So the core stands
at a frame boundary with nothing buffered whenever it is passed by.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from struct import Struct

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHeader, InvalidURI, PayloadTooBig
from websockets.extensions import ClientExtensionFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State as CoreState
from websockets.uri import parse_uri

from loadtest.protocol.engineio import Binary, Packet
from loadtest.protocol.errors import FrameTooLarge, LocalProtocolError, ProtocolError
from loadtest.protocol.handshake import Handshake

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C compiler where it was installed
    from websockets.utils import apply_mask

_FIN_TEXT = 0x81
_FIN_BINARY = b"\x82"
_MASK = 0x80
_LENGTH_16 = 126
_LENGTH_64 = 127

_short_header = Struct("!BB").pack
_medium_header = Struct("!BBH").pack
_long_header = Struct("!BBQ").pack

# One system call for this many frames; small, since every connection has its own.
_KEYS_PER_REFILL = 64


class WebSocket:
    """One client connection. Messages in and out; whatever ends it is left in ``fault`` or ``closed``.

    ``fault`` is set rather than raised: the messages that came before it in the same read must not be lost.
    """

    __slots__ = (
        "_core",
        "_handshake",
        "_is_binary",
        "_key_at",
        "_keys",
        "_max_size",
        "_message",
        "_needed",
        "_out",
        "_plain",
        "_tail",
        "closed",
        "fault",
        "is_upgraded",
        "set_cookies",
    )

    def __init__(
        self, url: str, *, max_size: int, extensions: Sequence[ClientExtensionFactory] | None = None
    ) -> None:
        try:
            uri = parse_uri(url)
        except (InvalidURI, ValueError) as error:
            raise LocalProtocolError(f"{url!r} is not a WebSocket URL: {error}") from None
        self._core = ClientProtocol(uri, max_size=max_size, extensions=extensions)
        self._max_size = max_size
        self._handshake: Handshake | None = None
        self._out: list[bytes] = []
        self._keys = b""
        self._key_at = 0
        self._plain = False  # may text be sent past the core?
        self._tail = bytearray()  # the beginning of a frame that is not whole yet
        self._needed = 0  # bytes of _tail before looking at it again can make a difference
        self._is_binary = False  # is the open message?
        self._message = bytearray()  # the fragments of an open message, joined: empty ones must not add up
        self.is_upgraded = False  # has the server agreed to speak WebSocket?
        self.set_cookies: list[str] = []  # values of the Set-Cookie headers that came with its agreement
        self.fault: ProtocolError | None = None
        self.closed: tuple[int, str] | None = None  # code and reason of the close frame received

    def open(self, headers: Sequence[tuple[str, str]]) -> None:
        """Queue the upgrade request, with the caller's ``headers`` added or in place of ours.

        Raises LocalProtocolError if a header cannot be sent.
        """
        core = self._core
        try:
            request = core.connect()
            for name, _ in headers:
                request.headers.pop(name, None)
            for name, value in headers:
                if "\r" in name + value or "\n" in name + value:
                    raise ValueError("line break in a header")
                request.headers[name] = value
            core.send_request(request)
        except (ValueError, InvalidHeader) as error:
            raise LocalProtocolError(f"header cannot be sent: {error}") from None
        self._handshake = Handshake(core)
        self._flush_core()

    def receive_data(self, data: bytes) -> list[Packet]:
        """The messages that are complete with ``data``, in order. See ``fault`` and ``closed`` after."""
        if self._handshake is not None:
            try:
                rest = self._handshake.receive_data(data)
            except ProtocolError as error:
                self.fault = error
                return []
            if rest is None:
                return []
            self.set_cookies = self._handshake.set_cookies
            self._handshake = None
            self.is_upgraded = True
            self._plain = not self._core.extensions
            data = rest
        if self._tail:
            self._tail += data
            if len(self._tail) < self._needed:
                return []
            data = bytes(self._tail)
            self._tail.clear()
        messages: list[Packet] = []
        self._split(data, messages)
        return messages

    def receive_eof(self) -> None:
        """The stream has ended; before the upgrade that is a ``fault``."""
        if self._handshake is not None:
            self.fault = self._handshake.receive_eof()

    def send_text(self, payload: bytes) -> None:
        """Queue one text message. Nothing is sent once a close frame is out: RFC 6455 forbids it."""
        if not self._plain:
            if self._core.state is CoreState.OPEN:
                self._core.send_text(payload)
                self._flush_core()
            return
        at = self._key_at
        if at == len(self._keys):
            self._keys = secrets.token_bytes(4 * _KEYS_PER_REFILL)
            at = 0
        self._key_at = at + 4
        key = self._keys[at : at + 4]
        length = len(payload)
        if length < _LENGTH_16:
            header = _short_header(_FIN_TEXT, _MASK | length)
        elif length < 65_536:
            header = _medium_header(_FIN_TEXT, _MASK | _LENGTH_16, length)
        else:
            header = _long_header(_FIN_TEXT, _MASK | _LENGTH_64, length)
        self._out.append(header + key + apply_mask(payload, key))

    def send_binary(self, payload: bytes) -> None:
        """Queue one binary message, as ``send_text`` does."""
        if self._plain:
            self.send_text(payload)
            self._out[-1] = _FIN_BINARY + self._out[-1][1:]
        elif self._core.state is CoreState.OPEN:
            self._core.send_binary(payload)
            self._flush_core()

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Queue a close frame, if the connection is open and none is out yet."""
        if self._core.state is CoreState.OPEN:
            self._core.send_close(code, reason)
            self._flush_core()

    def data_to_send(self) -> list[bytes]:
        """Drain what is queued."""
        if not self._out:
            return []
        out, self._out = self._out, []
        return out

    def _split(self, data: bytes, messages: list[Packet]) -> None:
        """Cut ``data`` into whole frames; keep the beginning of the last one for the next read."""
        core = self._core
        limit = self._max_size - (core.current_size or 0)
        pos, end, needed = 0, len(data), 2
        while (start := pos + 2) <= end:
            length = data[pos + 1]
            if length == _LENGTH_16 and start + 2 <= end:
                start += 2
                length = data[pos + 2] << 8 | data[pos + 3]
            elif length >= _LENGTH_16:
                start, length = _measure(data, pos, end)
                if length < 0:
                    needed = start - pos
                    break
            if length > limit:
                self.fault = FrameTooLarge(f"frame of {length} bytes: max_size leaves {limit}")
                return
            stop = start + length
            if stop > end:
                needed = stop - pos
                break
            if data[pos] == _FIN_TEXT and core.current_size is None and not data[pos + 1] & _MASK:
                messages.append(data[start:stop])
            else:
                self._hand_over(data[pos:stop], messages)
                if self.fault is not None or self.closed is not None:
                    return
                limit = self._max_size - (core.current_size or 0)
            pos = stop
        if pos < end:
            self._tail += data[pos:]
            self._needed = needed

    def _hand_over(self, frame: bytes, messages: list[Packet]) -> None:
        """Let the core judge one whole frame, and take what it makes of it."""
        core = self._core
        core.receive_data(frame)
        for event in core.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.TEXT or event.opcode is Opcode.BINARY:
                self._is_binary = event.opcode is Opcode.BINARY
            elif event.opcode is not Opcode.CONT:
                continue
            self._message += event.data
            if event.fin:
                data, self._message = bytes(self._message), bytearray()
                messages.append(Binary(data) if self._is_binary else data)
        if core.parser_exc is not None:
            kind = FrameTooLarge if isinstance(core.parser_exc, PayloadTooBig) else ProtocolError
            self.fault = kind(f"WebSocket: {core.parser_exc}")
        elif core.close_rcvd is not None:
            self.closed = (int(core.close_rcvd.code), core.close_rcvd.reason)
        self._flush_core()

    def _flush_core(self) -> None:
        # The core marks the end of the stream with an empty chunk; closing the socket is the caller's part.
        self._out += [chunk for chunk in self._core.data_to_send() if chunk]
        if self._core.state is not CoreState.OPEN:
            self._plain = False


def _measure(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Where the payload of the frame at ``pos`` starts, and its length; -1 if its header is not whole yet.

    Counts a mask key that the server should not have sent, so that the core sees the whole offence.
    """
    length = data[pos + 1] & ~_MASK
    start = pos + 2
    if length == _LENGTH_16:
        start += 2
    elif length == _LENGTH_64:
        start += 8
    if start > end:
        return start, -1
    if start > pos + 2:
        length = int.from_bytes(data[pos + 2 : start], "big")
    return start, length + (4 if data[pos + 1] & _MASK else 0)
