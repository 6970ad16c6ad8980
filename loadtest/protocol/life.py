"""What may happen to a connection, and when?

The life is a table: for every state, which inputs are legal and where they lead. ``Client`` executes it,
the tests walk it, ``as_markdown()`` prints it. What is not in a row is illegal there: the caller's fault for
the inputs in ``LOCAL``, the peer's for all others.
"""

from __future__ import annotations

from enum import Enum

from loadtest.protocol.errors import LocalProtocolError, ProtocolError


class State(Enum):
    """Where a connection stands."""

    IDLE = "nothing sent yet"
    OPENING = "first request sent: the WebSocket upgrade, or the first poll"
    HANDSHAKING = "answered, waiting for the Engine.IO open packet"
    CONNECTING = "Socket.IO CONNECT sent, waiting for the answer"
    CONNECTED = "in the namespace: events flow both ways"
    DETACHED = "session open, but the namespace refused or dismissed us"
    CLOSING = "we said goodbye, waiting for the server to close"
    CLOSED = "over"


class Input(Enum):
    """What can happen to it."""

    OPEN = "open() called"
    SEND = "emit() or ack() called"
    JOIN = "join() called"
    LEAVE = "disconnect() called"
    ANSWERED = "101, or 200 to the first poll"
    SESSION = "Engine.IO open (0)"
    PING = "Engine.IO ping (2)"
    NOOP = "Engine.IO noop (6)"
    JOINED = "CONNECT answer (40)"
    REFUSED = "CONNECT_ERROR (44)"
    EVENT = "EVENT (42)"
    ACK = "ACK (43)"
    DISMISSED = "DISCONNECT (41)"
    CLOSE = "close frame or Engine.IO close (1)"
    EOF = "end of stream"
    FAULT = "the peer broke the protocol"


LOCAL = frozenset({Input.OPEN, Input.SEND, Input.JOIN, Input.LEAVE})

# What ends a connection in whatever state it is after the first answer.
_ENDS = {Input.CLOSE: State.CLOSED, Input.EOF: State.CLOSED, Input.FAULT: State.CLOSED}


def _stay(state: State, *inputs: Input) -> dict[Input, State]:
    return dict.fromkeys(inputs, state)


TRANSITIONS: dict[State, dict[Input, State]] = {
    State.IDLE: {
        Input.OPEN: State.OPENING,
        Input.LEAVE: State.CLOSED,
        Input.FAULT: State.CLOSED,
    },
    State.OPENING: {
        Input.ANSWERED: State.HANDSHAKING,
        # Nothing can be said yet: leaving is just closing the socket.
        Input.LEAVE: State.CLOSED,
        # An end before the answer is a failed handshake, so it is a fault here.
        Input.FAULT: State.CLOSED,
    },
    State.HANDSHAKING: {
        Input.SESSION: State.CONNECTING,
        Input.LEAVE: State.CLOSING,
        **_ENDS,
    },
    State.CONNECTING: {
        Input.JOINED: State.CONNECTED,
        Input.REFUSED: State.DETACHED,
        Input.DISMISSED: State.DETACHED,
        # Connection state recovery sends the missed events before the CONNECT answer, and python-socketio
        # whatever the application emits inside its connect handler.
        **_stay(State.CONNECTING, Input.EVENT, Input.ACK, Input.PING, Input.NOOP, Input.JOIN),
        Input.LEAVE: State.CLOSING,
        **_ENDS,
    },
    State.CONNECTED: {
        **_stay(State.CONNECTED, Input.SEND, Input.EVENT, Input.ACK, Input.PING, Input.NOOP, Input.JOIN),
        Input.DISMISSED: State.DETACHED,
        Input.LEAVE: State.CLOSING,
        **_ENDS,
    },
    State.DETACHED: {
        # The heartbeat goes on; what is still under way is reported rather than lost.
        **_stay(State.DETACHED, Input.EVENT, Input.ACK, Input.PING, Input.NOOP, Input.JOIN),
        Input.LEAVE: State.CLOSING,
        **_ENDS,
    },
    State.CLOSING: {
        # Everything the server sent before it read our goodbye.
        **_stay(
            State.CLOSING,
            *(Input.SESSION, Input.JOINED, Input.REFUSED, Input.DISMISSED),
            *(Input.EVENT, Input.ACK, Input.PING, Input.NOOP, Input.LEAVE),
        ),
        **_ENDS,
    },
    State.CLOSED: _stay(State.CLOSED, Input.LEAVE),
}


def advance(state: State, cause: Input) -> State:
    """The state after ``cause``. If illegal: LocalProtocolError or ProtocolError, by whose input it is."""
    after = TRANSITIONS[state].get(cause)
    if after is None:
        raise _illegal(cause, f"in state {state.name} ({state.value})")
    return after


def _illegal(cause: Input, where: str) -> LocalProtocolError | ProtocolError:
    """What to raise: it says whose input it is."""
    message = f"{cause.value} is illegal {where}"
    return LocalProtocolError(message) if cause in LOCAL else ProtocolError(message)


class Standing(Enum):
    """Where a connection stands in a namespace that it joined beside its first."""

    OUTSIDE = "not asked, refused, dismissed, or left"
    ASKING = "CONNECT sent, waiting for the answer"
    INSIDE = "events flow both ways"


STANDINGS: dict[Standing, dict[Input, Standing]] = {
    Standing.OUTSIDE: {
        Input.JOIN: Standing.ASKING,
        # What the server sent before it heard that we left, and an answer that we did not wait for.
        **dict.fromkeys(
            (Input.EVENT, Input.ACK, Input.JOINED, Input.REFUSED, Input.DISMISSED, Input.LEAVE),
            Standing.OUTSIDE,
        ),
    },
    Standing.ASKING: {
        Input.JOINED: Standing.INSIDE,
        **dict.fromkeys((Input.REFUSED, Input.DISMISSED, Input.LEAVE), Standing.OUTSIDE),
        **dict.fromkeys((Input.EVENT, Input.ACK), Standing.ASKING),
    },
    Standing.INSIDE: {
        **dict.fromkeys((Input.DISMISSED, Input.LEAVE), Standing.OUTSIDE),
        **dict.fromkeys((Input.SEND, Input.EVENT, Input.ACK), Standing.INSIDE),
    },
}


def step(standing: Standing, cause: Input) -> Standing:
    """As ``advance``, in a further namespace."""
    after = STANDINGS[standing].get(cause)
    if after is None:
        raise _illegal(cause, f"{standing.name} a namespace ({standing.value})")
    return after


def as_markdown() -> str:
    """The table, a row per state and a column per input; an empty cell is illegal."""
    lines = ["| | " + " | ".join(cause.value for cause in Input) + " |", "|---" * (len(Input) + 1) + "|"]
    for state, row in TRANSITIONS.items():
        cells = (row[cause].name if cause in row else "" for cause in Input)
        lines.append(f"| **{state.name}**: {state.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
