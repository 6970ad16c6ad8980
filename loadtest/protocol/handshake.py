"""Did the server agree to speak WebSocket?

The HTTP answer is kept apart from what follows it: the core gets the head of the answer alone, so that it
never sees a byte of a frame before ``websocket.py`` has cut the stream into whole frames. The raw answer is
kept, within bounds: a refusal is worth reading even if it breaks off in the middle of its body.
"""

from __future__ import annotations

import re

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State as CoreState

from loadtest.protocol.engineio import UNSUPPORTED_VERSION, parse_refusal
from loadtest.protocol.errors import HandshakeError, OtherVersion

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 2_048

_HEAD_END = b"\r\n\r\n"
_VERSION = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.\d (\d{3})\b *([^\r\n]*)")


class Handshake:
    """The client's side of one HTTP upgrade, after the request is out. set_cookies: what came with a 101."""

    __slots__ = ("_answer", "_body_at", "_core", "set_cookies")

    def __init__(self, core: ClientProtocol) -> None:
        self._core = core
        self._answer = bytearray()
        self._body_at: int | None = None
        self.set_cookies: list[str] = []

    def receive_data(self, data: bytes) -> bytes | None:
        """The bytes after the answer's head once the connection is a WebSocket, None while more is needed.

        Raises HandshakeError once it is clear that it will not be one.
        """
        if self._body_at is not None:
            self._receive_body(data)
            return None
        answer = self._answer
        seen = max(0, len(answer) - len(_HEAD_END) + 1)
        answer += data
        if not answer.startswith(_VERSION[: len(answer)]):
            raise HandshakeError(f"the server does not speak HTTP/1: {bytes(answer[:40])!r}")
        end = answer.find(_HEAD_END, seen)
        if end < 0:
            if len(answer) > MAX_HEAD_BYTES:
                raise self._refusal(f"headers longer than {MAX_HEAD_BYTES} bytes")
            return None
        end += len(_HEAD_END)
        rest = bytes(answer[end:])
        self._core.receive_data(bytes(answer[:end]))
        if self._core.state is CoreState.OPEN:
            for event in self._core.events_received():
                # The core's parser holds the answer for as long as it lives: 1.2 KB a connection, for nothing.
                if isinstance(event, Response):
                    self.set_cookies = event.headers.get_all("Set-Cookie")
                    event.headers.clear()
            return rest
        self._body_at = end
        del answer[end:]
        self._receive_body(rest)
        return None

    def receive_eof(self) -> HandshakeError:
        """What the end of the stream means here; it is always a failure."""
        if not self._answer:
            return HandshakeError("the server closed the connection without answering the upgrade request")
        self._core.receive_eof()
        return self._refusal("the answer breaks off")

    def _receive_body(self, data: bytes) -> None:
        """Wait until the refusal is whole, or long enough to be read."""
        assert self._body_at is not None
        room = self._body_at + MAX_BODY_BYTES - len(self._answer)
        self._answer += data[:room]
        if self._core.handshake_exc is None and data:
            self._core.receive_data(data)
        if self._core.handshake_exc is not None or len(data) >= room:
            raise self._refusal("the server did not upgrade")

    def _refusal(self, what: str) -> HandshakeError:
        responses = [event for event in self._core.events_received() if isinstance(event, Response)]
        line = _STATUS_LINE.match(self._answer)
        status = int(line[1]) if line else None
        if responses:
            body = bytes(responses[0].body[:MAX_BODY_BYTES])  # without the lengths of a chunked one
        else:
            body = bytes(self._answer[self._body_at or len(self._answer) :])
        if status == 101 or line is None:
            return HandshakeError(
                f"bad answer to the WebSocket upgrade: {self._core.handshake_exc or what}", status, body
            )
        code, _ = parse_refusal(body)
        phrase = f"{status} {line[2].decode('latin-1')}".rstrip()
        detail = f": {body[:200].decode('utf-8', 'replace')}" if body else ""
        kind = OtherVersion if code == UNSUPPORTED_VERSION else HandshakeError
        return kind(
            f"the server answered the WebSocket upgrade with HTTP {phrase}{detail}", status, body, code
        )
