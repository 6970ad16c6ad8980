"""Who hears what the server says on a connection of our client, and who waits for which answer?

The same for every carrier, and one for the life of a session: it stays when an upgrade changes the carrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from gevent.event import AsyncResult

from loadtest.protocol import (
    Ack,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    HandshakeError,
    Opened,
    OtherVersion,
    ProtocolError,
    Recovery,
    RequestRefused,
    Session,
)
from loadtest.users.causes import Cause, ConnectFailed

if TYPE_CHECKING:
    from loadtest.users.connection import Listeners, OnAck

SESSION_UNKNOWN = 1
"""Engine.IO's number for it; python-engineio sends words in its place."""
PYTHON_UNKNOWN = "Invalid session"

Ending = tuple[Cause, str]
"""Why a connection is over: its cause, and what the server or the system said."""


class Talk:
    """One session's listeners, its acks under way, and who waits for it to open.

    opened: the server's terms, once it named them, and ``opened_ns`` when. ready: told when the namespace let
    us in. recovered: whether the server restored the state of the connection before.
    """

    __slots__ = ("_ending", "_was_open", "acks", "listeners", "opened", "opened_ns", "ready", "recovered")

    def __init__(self, listeners: Listeners) -> None:
        self.listeners = listeners
        self.acks: dict[int, OnAck] = {}
        self.opened: Opened | None = None
        self.opened_ns = 0
        self.ready: AsyncResult | None = AsyncResult()
        self.recovered = False
        self._was_open = False
        self._ending: Ending | None = None

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings; None before it said so."""
        return None if self.opened is None else self.opened.ping_interval_ns

    @property
    def ping_timeout_ns(self) -> int | None:
        """How long it waits for the answer to a ping; None before it said so."""
        return None if self.opened is None else self.opened.ping_timeout_ns

    def wait(self) -> int:
        """Until the namespace lets us in: when it did (ns). Raises ConnectFailed. Blocks."""
        assert self.ready is not None
        joined_ns: int = self.ready.get()
        if self._ending is not None:  # lost while the news was waking us
            raise ConnectFailed(*self._ending)
        self.ready = None
        self._was_open = True
        return joined_ns

    def dispatch(self, events: Sequence[Any], read_ns: int) -> Ending | None:
        """Tell who is concerned; what ended the connection, if one of these events did."""
        on_event = self.listeners.event
        ending: Ending | None = None
        for event in events:
            kind = type(event)
            if kind is Event:
                on_event(event.name, event.args, read_ns)
            elif kind is Ack:
                on_ack = self.acks.pop(event.ack_id, None)
                if on_ack is not None:
                    on_ack(event.args, read_ns)
            else:
                # A kick and its close frame may come in one read; the first is the reason.
                ending = ending or self._turn(event, read_ns)
        return ending

    def _turn(self, event: Any, read_ns: int) -> Ending | None:
        """The events that change what the connection is."""
        match event:
            case Opened():
                self.opened_ns = read_ns
                self.opened = event
            case Connected(recovered=recovered):
                self.recovered = recovered
                if self.ready is not None:
                    self.ready.set(read_ns)
            case ConnectError(message=message):
                return Cause.CONNECT_ERROR, message
            case Disconnected():
                return Cause.SERVER_NAMESPACE, "the server disconnected us"
            case Closed(code=code, reason=reason):
                detail = reason if code is None else f"close code {code} {reason}".rstrip()
                return Cause.TRANSPORT_CLOSE, detail
        return None

    def end(self, cause: Cause, detail: str) -> None:
        """The connection is over and not by our will; told once."""
        if self._ending is not None:
            return
        self._ending = cause, detail
        waiting, self.acks = self.acks, {}
        ready, self.ready = self.ready, None
        if ready is not None:
            ready.set_exception(ConnectFailed(cause, detail))
        elif self._was_open:
            self.listeners.lost(cause, detail)
        now_ns = perf_counter_ns()
        for on_ack in waiting.values():
            on_ack(None, now_ns)

    def forget(self) -> None:
        """We end the connection ourselves: nobody is told of it, nor of answers that do not come."""
        self._ending = self._ending or (Cause.CLIENT, "closed by us")
        self.ready = None
        self.acks.clear()


def ending_of(error: ProtocolError) -> Ending:
    """What a breach of the protocol, or a refusal in its place, means for the connection."""
    match error:
        case OtherVersion():
            return Cause.OTHER_VERSION, str(error)
        case HandshakeError():
            return Cause.HANDSHAKE_REFUSED, str(error)
        case RequestRefused(status=HTTPStatus.BAD_REQUEST):
            unknown = error.code == SESSION_UNKNOWN or PYTHON_UNKNOWN in str(error)
            # Of whatever else it refuses, the server closes the session.
            return Cause.SESSION_UNKNOWN if unknown else Cause.TRANSPORT_CLOSE, str(error)
        case RequestRefused():
            return Cause.TRANSPORT_ERROR, str(error)
    return Cause.PARSE_ERROR, str(error)


class Talking:
    """What a connection of our client tells of its session, whatever carries it."""

    __slots__ = ()

    _client: Session
    _talk: Talk

    @property
    def session(self) -> str:
        """The Socket.IO id."""
        return self._client.sid or ""

    @property
    def opened(self) -> Opened | None:
        """The terms that the server named."""
        return self._talk.opened

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings."""
        return self._talk.ping_interval_ns

    @property
    def ping_timeout_ns(self) -> int | None:
        """How long the server waits for the answer to a ping."""
        return self._talk.ping_timeout_ns

    @property
    def recovery(self) -> Recovery | None:
        """What the next connection needs for the server to restore this one's state."""
        return self._client.recovery

    @property
    def recovered(self) -> bool:
        """Whether the server restored the state of the connection before."""
        return self._talk.recovered
