"""Which bytes make a Socket.IO client, and what do the server's bytes say?

Engine.IO 4 and Socket.IO 5 without a socket, clock, thread or file: bytes in, events out, the time as an
argument. ``Client`` speaks WebSocket, ``PollingClient`` long-polling, ``Upgrade`` moves a session from the one
to the other; their parts (session, engineio, socketio, websocket) work alone too.
"""

from loadtest.protocol.client import Client
from loadtest.protocol.errors import (
    FrameTooLarge,
    HandshakeError,
    HoldsBinary,
    LocalProtocolError,
    OtherVersion,
    ProtocolError,
    RequestRefused,
)
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
from loadtest.protocol.life import TRANSITIONS, Input, Standing, State, as_markdown
from loadtest.protocol.namespaces import Namespace, Recovery
from loadtest.protocol.polling import PollingClient, Post
from loadtest.protocol.session import Session
from loadtest.protocol.upgrade import Upgrade

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
    "HoldsBinary",
    "Input",
    "LocalProtocolError",
    "Namespace",
    "Opened",
    "OtherVersion",
    "PollingClient",
    "Post",
    "ProtocolError",
    "Recovery",
    "RequestRefused",
    "Session",
    "SocketEvent",
    "Standing",
    "State",
    "Upgrade",
    "as_markdown",
]
