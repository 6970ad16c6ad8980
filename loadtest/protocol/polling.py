"""What does one Socket.IO client over HTTP long-polling ask, and what does it do with the answers?

Sans-IO: the caller owns the HTTP connections and the clock. It sends what is due and hands in the answers:

    client = PollingClient(auth={"token": token})
    client.open()
    target = client.start_poll()             # GET it; None: nothing to ask now
    events = client.receive_poll(status, body, now_ns)
    post = client.start_post()               # POST post.body to post.target; None: nothing to say now
    events = client.receive_post(status, body, now_ns)

One GET and one POST are in flight at most, as the protocol demands; ask for both again after every answer and
every emit().
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from loadtest.protocol.engineio import (
    UNSUPPORTED_VERSION,
    PacketType,
    encode_base64,
    encode_packet,
    is_older,
    join_payload,
    parse_refusal,
    split_payload,
    target,
)
from loadtest.protocol.errors import HandshakeError, OtherVersion, ProtocolError, RequestRefused
from loadtest.protocol.events import ClientEvent, Closed
from loadtest.protocol.life import Input, State, advance
from loadtest.protocol.namespaces import Recovery
from loadtest.protocol.session import Session

CONTENT_TYPE = "text/plain;charset=UTF-8"
"""Of a POST's body; the official server takes text only."""

_SHOWN_BYTES = 2_048
_CLOSE = encode_packet(PacketType.CLOSE)


class Post(NamedTuple):
    """A POST that is due."""

    target: str
    body: bytes


class PollingClient(Session):
    """A session over long-polling, from the first GET to the last answer.

    ``packets_left``  how many packets have gone out with a Post so far; see ``packets_queued``
    """

    __slots__ = ("_address", "_getting", "_paused", "_posting", "_queue", "packets_left")

    def __init__(
        self,
        *,
        path: str = "/socket.io",
        query: str = "",
        namespace: str = "/",
        auth: Mapping[str, object] | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        """The arguments are those of ``Client``. Raises LocalProtocolError as it does."""
        self._address = target(path, query, "polling")
        self._queue: list[bytes] = []
        self._getting = self._posting = self._paused = False
        self.packets_left = 0
        super().__init__(self._queue.append, auth, recovery, namespace)

    @property
    def packets_queued(self) -> int:
        """How many packets there were to send so far: one that is queued now leaves when ``packets_left``
        reaches what this is right after it."""
        return self.packets_left + len(self._queue)

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight."""
        return not self._getting and not self._posting

    def open(self) -> None:
        """The first GET is due."""
        self.state = advance(self.state, Input.OPEN)

    def start_poll(self) -> str | None:
        """The target of the GET to send now, which counts as in flight from here on; None if none is due."""
        if self._getting or self._paused or self.state in (State.IDLE, State.CLOSING, State.CLOSED):
            return None
        self._getting = True
        return self._target()

    def start_post(self) -> Post | None:
        """The POST to send now, which counts as in flight from here on; None if none is due."""
        if not self._queue or self._posting or self._paused or self.engine_sid is None:
            return None
        if self.state is State.CLOSED:
            return None
        self._posting = True
        count = self._fitting()
        body = join_payload(self._queue[:count])
        del self._queue[:count]
        self.packets_left += count
        return Post(self._target(), body)

    def receive_poll(self, status: int, body: bytes, now_ns: int) -> list[ClientEvent]:
        """What the answer to the GET says, whose last byte was read at ``now_ns``.

        Raises HandshakeError for an error in place of the session, RequestRefused for a later one, and
        ProtocolError, whose ``events`` are those before the fault; the state is CLOSED then.
        """
        self._getting = False
        return self._receive(status, body, now_ns, is_poll=True)

    def receive_post(self, status: int, body: bytes, now_ns: int) -> list[ClientEvent]:
        """The server answered the POST; it raises as receive_poll() does."""
        self._posting = False
        return self._receive(status, body, now_ns, is_poll=False)

    def receive_eof(self, now_ns: int) -> list[ClientEvent]:
        """The connection under a request ended at ``now_ns``. In place of the session: HandshakeError."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.OPENING:
            error = HandshakeError("the server closed the connection without answering the first poll")
            self._fail(error, [])
            raise error
        self.state = advance(self.state, Input.EOF)
        return [Closed(None, "end of stream")]

    # -- used by an upgrade -----------------------------------------------------------------------------

    def pause(self) -> None:
        """Ask and say nothing new; what is in flight goes on."""
        self._paused = True

    def resume(self) -> None:
        """Go on polling."""
        self._paused = False

    def take_queue(self) -> list[bytes]:
        """What was to be said and has not been; it leaves by another way."""
        queue = list(self._queue)
        self._queue.clear()
        self.packets_left += len(queue)
        return queue

    # -- inside -----------------------------------------------------------------------------------------

    def _target(self) -> str:
        # The browser client's cache buster: eight characters that no cache has seen.
        address = f"{self._address}&t={secrets.token_urlsafe(6)}"
        return address if self.engine_sid is None else f"{address}&sid={quote(self.engine_sid, safe='')}"

    def _fitting(self) -> int:
        """How many of the packets go into one body: at least one, and no more than maxPayload takes.

        The close packet goes alone, when all else has been answered: the official server obeys it at once and
        would forget what stands before it in the same body, our DISCONNECT for one.
        """
        packets = self._queue
        last = len(packets) - 1 if len(packets) > 1 and packets[-1] is _CLOSE else len(packets)
        limit = self.max_payload
        if not limit:
            return last
        size = -1
        for count in range(last):
            size += 1 + len(packets[count])
            if count and size > limit:
                return count
        return last

    def _receive(self, status: int, body: bytes, now_ns: int, is_poll: bool) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if self.state is State.CLOSED:
            return events
        try:
            if status != HTTPStatus.OK:
                self._take_refusal(status, body, is_poll)
            elif is_poll:
                self._take_body(body, now_ns, events)
        except ProtocolError as error:
            self._fail(error, events)
            raise
        if self.state is State.CLOSING and self.quiet and not self._queue:
            self.state = advance(self.state, Input.CLOSE)
            events.append(Closed(None, "our goodbye was answered"))
        return events

    def _take_body(self, body: bytes, now_ns: int, events: list[ClientEvent]) -> None:
        if self.state is State.OPENING:
            if is_older(body):
                raise OtherVersion(f"the server speaks Socket.IO 2 (Engine.IO 3): {body[:40]!r}")
            self.state = advance(self.state, Input.ANSWERED)
        elif not body:
            # python-engineio's last word on a session that it has cut.
            self.state = advance(self.state, Input.CLOSE)
            events.append(Closed(None, "empty answer to a poll"))
            return
        self._take_packets(split_payload(body), now_ns, events)
        if self.state is State.HANDSHAKING:
            raise ProtocolError(f"no open packet in the first answer: {body[:80]!r}")

    def _take_refusal(self, status: int, body: bytes, is_poll: bool) -> None:
        if self.state is State.CLOSING:
            # It has heard our goodbye, or has forgotten us: there is nobody to say the rest to.
            self._queue.clear()
            return
        code, said = parse_refusal(body)
        number = "" if code is None else f" (code {code})"
        what = f"HTTP {status}: {said}{number}" if said else f"HTTP {status}"
        if self.state is State.OPENING:
            refusal = OtherVersion if code == UNSUPPORTED_VERSION else HandshakeError
            raise refusal(
                f"the server answered the first poll with {what}", status, body[:_SHOWN_BYTES], code
            )
        kind = "poll" if is_poll else "POST"
        raise RequestRefused(f"the server answered a {kind} with {what}", status, code)

    def _as_packet(self, data: bytes) -> bytes:
        return encode_base64(data)

    def _carry_binary(self, packet: bytes) -> None:
        self._queue.append(packet)

    def _hang_up(self, error: ProtocolError | None) -> None:
        if self.state is State.CLOSING:
            self._paused = False  # a goodbye has no other way
            self._queue.append(_CLOSE)
