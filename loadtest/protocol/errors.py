"""What can go wrong on a connection, and whose fault is it?

* Exception
  x ProtocolError          the peer broke the protocol; the only family receive_data() and receive_eof() raise
    - HandshakeError       the HTTP upgrade or first poll was refused, or its answer made no sense
      . OtherVersion      the server speaks another version of the protocol, such as Socket.IO 2
    - RequestRefused       a later request of long-polling was answered with an HTTP error
    - FrameTooLarge        the peer announced a frame or message beyond max_size
  x LocalProtocolError     the caller asked for something illegal in this state, or for what cannot be encoded
    - HoldsBinary          bytes stand where only JSON may
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.protocol.events import ClientEvent


class ProtocolError(Exception):
    """The peer broke the protocol; the connection is over.

    ``events`` holds what arrived whole before the fault in the same read: a delivery that came in is
    counted, however the read ended.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.events: list[ClientEvent] = []


class HandshakeError(ProtocolError):
    """The server did not answer the WebSocket upgrade with a valid 101, or the first poll with 200.

    ``status`` is the HTTP status, or None if what came was not HTTP; ``body`` the first 2 KiB of the answer's
    body as far as it arrived (``b'{"code":1,"message":"Session ID unknown"}'``), ``code`` Engine.IO's number
    in it, if there is one.
    """

    def __init__(
        self, message: str, status: int | None = None, body: bytes = b"", code: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.code = code


class OtherVersion(HandshakeError):
    """The server speaks another version of the protocol, or says that it does not speak ours."""


class RequestRefused(ProtocolError):
    """A poll or a POST of an open session was answered with the HTTP error ``status``.

    400 says that the server knows the session no more; ``code`` is Engine.IO's number for why, if it gave one.
    """

    def __init__(self, message: str, status: int, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class FrameTooLarge(ProtocolError):
    """A frame, or the message its fragments add up to, is longer than ``max_size``."""


class LocalProtocolError(Exception):
    """The caller did something illegal in this state, or passed what cannot be sent. A bug on our side."""


class HoldsBinary(LocalProtocolError):
    """Bytes among what is to be sent as JSON, which would carry them as text without a word."""
