"""How does a frame get from the application onto a connection, and how does the server notice a dead one?

python-engineio keeps a writer task, a reader task per frame and a ping task for every connection, and
encodes each frame once per recipient: some 60 µs per delivery. Here a WebSocket connection is written to
directly and read by one task, timers watch the pings, and a broadcast is one byte string for all. Long-
polling keeps engineio's queue.
"""

import asyncio
import time
from typing import Any

import engineio
from engineio import async_socket, exceptions, packet, payload

# 17 acks in one POST are ordinary after a burst; engineio drops all of them beyond its default of 16.
payload.Payload.max_decode_packets = 10_000


class Outgoing:
    """One Engine.IO message on its way to any number of connections, encoded once for each transport."""

    __slots__ = ("_frame", "_packet", "text")

    def __init__(self, text: bytes) -> None:
        """`text` is the Engine.IO packet, type digit included: `b'42["message:new",{…}]'`."""
        self.text = text
        self._frame: bytes | None = None
        self._packet: Any = None

    @property
    def frame(self) -> bytes:
        """The unmasked, uncompressed WebSocket text frame (RFC 6455, 5.2)."""
        if self._frame is None:
            self._frame = text_frame(self.text)
        return self._frame

    @property
    def packet(self) -> Any:
        """What engineio's polling queue takes."""
        if self._packet is None:
            self._packet = packet.Packet(packet.MESSAGE)
            self._packet.encode_cache = self.text.decode()
        return self._packet


def text_frame(text: bytes) -> bytes:
    """A whole server-to-client text frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


def _text_of(frame: bytes) -> bytes:
    """What `text_frame` made the frame of."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Wire:
    """The WebSocket under a connection: uvicorn's sans-IO protocol object and its transport.

    Frames written here pass by the protocol's own output buffer, which is empty between its calls. Where
    the peer and we agreed to compress, the protocol makes them anew: each connection has a state of its own.
    """

    __slots__ = ("_compresses", "_protocol", "_websocket")

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        # The ASGI send callable is a bound method of the protocol.
        self._protocol = websocket.asgi_send.__self__
        self._compresses = bool(self._protocol.conn.extensions)

    def write(self, frame: bytes) -> bool:
        protocol = self._protocol
        if protocol.close_sent or protocol.transport.is_closing():
            return False
        if self._compresses:
            protocol.conn.send_text(_text_of(frame))
            frame = b"".join(protocol.conn.data_to_send())
        protocol.transport.write(frame)
        return True

    async def close(self) -> None:
        """Says goodbye, unless the peer has stopped reading: then it would be waited for without end."""
        if self._protocol.writable.is_set():
            await self._websocket.close()
        else:
            self.abort()

    def abort(self) -> None:
        """Ends the TCP connection at once, without a closing handshake."""
        self._protocol.transport.abort()


class EngineSocket(async_socket.AsyncSocket):  # type: ignore[misc]  # engineio has no types
    """One Engine.IO session: polling by engineio's queue, WebSocket by a Wire."""

    last_ping: float | None
    connected: bool
    upgraded: bool

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.wire: Wire | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def transport(self) -> str:
        """What carries the session now: websocket or polling."""
        return "polling" if self.wire is None else "websocket"

    def push(self, outgoing: Outgoing) -> bool:
        """Hands one message over, at once and without a task; False if the connection is gone."""
        if self.closed or self.closing:
            return False
        if self.wire is not None:
            return self.wire.write(outgoing.frame)
        self.queue.put_nowait(outgoing.packet)
        return True

    async def send(self, pkt: Any) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        self._transmit(pkt)

    async def receive(self, pkt: Any) -> None:
        if pkt.packet_type != packet.MESSAGE:
            await super().receive(pkt)
            return
        try:
            await self.server.handlers["message"](self.sid, pkt.data)
        except ValueError as bad:
            # A peer that sends no Socket.IO is hung up on, as the Node server does.
            raise exceptions.UnknownPacketError from bad

    async def handle_post_request(self, environ: Any) -> None:
        try:
            await super().handle_post_request(environ)
        except ValueError as bad:
            # engineio would answer OK to a payload it could not read.
            raise exceptions.UnknownPacketError from bad

    def abort(self) -> None:
        """Cuts the TCP connection under the session, as a network would."""
        if self.wire is not None:
            self.wire.abort()
        else:
            self._close_soon(self.server.reason.TRANSPORT_ERROR)

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        if self.closed or self.closing:
            return
        self._cancel_timer()
        await super().close(wait=False, abort=abort, reason=reason)
        self.server.sockets.pop(self.sid, None)
        wire, self.wire = self.wire, None
        if wire is None:
            self.queue.put_nowait(None)  # ends a pending poll
        elif reason == self.server.reason.PING_TIMEOUT:
            wire.abort()  # nobody would answer a closing handshake
        else:
            await wire.close()

    def schedule_ping(self) -> None:
        if self.last_ping:
            self.last_ping = None
            self._cancel_timer()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        self.last_ping = time.time()
        self._transmit(packet.Packet(packet.PING))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(
            self.server.ping_timeout, self._close_soon, self.server.reason.PING_TIMEOUT
        )

    def _close_soon(self, reason: str) -> None:
        self.server.hold(asyncio.ensure_future(self.close(wait=False, abort=True, reason=reason)))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _transmit(self, pkt: Any) -> None:
        if self.wire is None:
            self.queue.put_nowait(pkt)
        elif isinstance(encoded := pkt.encode(), str):
            self.wire.write(text_frame(encoded.encode()))

    async def _websocket_handler(self, ws: Any) -> None:
        if not self.connected:
            self.connected = self.upgraded = True
        elif not await self._take_over(ws):
            return
        self.wire = Wire(ws)
        while not self.queue.empty():  # what polling did not carry any more
            if (left := self.queue.get_nowait()) is not None:
                self._transmit(left)
        try:
            await self._read(ws)
        finally:
            self._cancel_timer()
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    async def _take_over(self, ws: Any) -> bool:
        """The upgrade dance: `2probe`, `3probe`, the pending poll ends with a noop, `5`. False if it
        breaks off."""
        self.upgrading = True
        try:
            if await ws.wait() != "2probe":
                return False
            await ws.send("3probe")
            self.queue.put_nowait(packet.Packet(packet.NOOP))
            if await ws.wait() != "5":
                return False
            self.upgraded = True
            return True
        except OSError:
            return False
        finally:
            self.upgrading = False

    async def _read(self, ws: Any) -> None:
        """Carries out one frame after the other until the peer goes, misbehaves, or is closed by us."""
        while not self.closed:
            try:
                data = await ws.wait()
                if not data:
                    return
                await self.receive(packet.Packet(encoded_packet=data))
            except (OSError, ValueError, exceptions.EngineIOError):
                return


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]  # engineio has no types
    """python-engineio's server with sessions of the class above; dead peers are found by timers, not by a
    patrol."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"monitor_clients": False}))
        self._tasks: set[asyncio.Future[None]] = set()

    def hold(self, task: "asyncio.Future[None]") -> None:
        """Keeps a task from being collected before it is done: the loop itself holds it weakly."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle_connect(self, environ: Any, transport: str, jsonp_index: int | None = None) -> Any:
        sid = self.generate_id()
        session = self.sockets[sid] = EngineSocket(self, sid)
        handshake = {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingInterval": round(self.ping_interval * 1000),
            "pingTimeout": round(self.ping_timeout * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        await session.send(packet.Packet(packet.OPEN, handshake))
        await self._trigger_event("connect", sid, environ, run_async=False)
        session.schedule_ping()
        if transport == "websocket":
            return await session.handle_get_request(environ)
        session.connected = True
        return self._ok(await session.poll(), jsonp_index=jsonp_index)
