"""Which bytes make a Socket.IO client, and what do the server's bytes say?

Engine.IO 4 and Socket.IO 5 over WebSocket, without a socket, clock, thread or file: bytes in, events out, the
time as an argument. ``Client`` is the door; its parts (engineio, socketio, websocket) work alone too.
"""

from loadtest.protocol.client import Client
from loadtest.protocol.errors import FrameTooLarge, HandshakeError, LocalProtocolError, ProtocolError
from loadtest.protocol.events import (
    Ack,
    ClientEvent,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    Opened,
    SocketEvent,
)
from loadtest.protocol.life import TRANSITIONS, Input, State, as_markdown

__all__ = [
    "TRANSITIONS",
    "Ack",
    "Client",
    "ClientEvent",
    "Closed",
    "ConnectError",
    "Connected",
    "Disconnected",
    "Event",
    "FrameTooLarge",
    "HandshakeError",
    "Input",
    "LocalProtocolError",
    "Opened",
    "ProtocolError",
    "SocketEvent",
    "State",
    "as_markdown",
]
