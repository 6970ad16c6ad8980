"""How do bytes get from a socket to a protocol and back, at the least cost per event?

One libev watcher per connection, whose callback runs on the hub: no reader greenlet, no switch per event.
The read is stamped before anything is parsed, and where the platform has SO_TIMESTAMPNS the kernel's own
arrival stamp comes with it: the difference, the receive lag, is the generator's own delay, measured
instead of guessed. Writes go straight to the socket; what it does not take waits in a bounded queue.
"""

from __future__ import annotations

import _socket
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter_ns, time_ns
from typing import Any, Protocol

from gevent import get_hub

from loadtest.measure.units import SECOND
from loadtest.users import sources, tcp
from loadtest.users.causes import Cause, ConnectFailed, after, cause_of, end_of_stream

QUEUE_LIMIT = 1 << 20
"""Bytes that may wait behind others for a server that does not read; beyond it the connection is given up."""

LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER's value for closing with a reset."""

_READ, _WRITE = 1, 2
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0
STAMPED = sys.platform.startswith("linux") and struct.calcsize("l") == 8

# All reads of a process happen one after the other on its hub: one buffer serves every connection. Who
# keeps bytes copies them.
_buffer = bytearray(1 << 16)  # longer than any record of TLS
_view = memoryview(_buffer)
_into = [_buffer]


class Owner(Protocol):
    """Who uses a Wire. ``failed`` hears of exceptions that must not reach the hub."""

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes were read at ``read_ns``; the memory is reused after the call."""

    def ended(self, cause: Cause, detail: str) -> None:
        """The connection is over, and already closed."""

    def failed(self, error: BaseException) -> None:
        """The code behind ``received`` raised; the connection is over, and already closed."""


class Wire:
    """One TCP connection on the hub. ``arrived_ns``: kernel stamp of the newest read, None where unknown.

    ``owner`` may be replaced while it is open. lag: told the receive lag (ns) of each read.
    handshake_ns: what agreeing on keys took, a part of ``connect``; 0 without TLS.
    """

    handshake_ns = 0

    __slots__ = (
        "_carried",
        "_descriptor",
        "_heard_ns",
        "_lag",
        "_port",
        "_queue",
        "_queued",
        "_raw",
        "_read_watcher",
        "_write_watcher",
        "arrived_ns",
        "closed",
        "owner",
        "paused",
        "received_bytes",
        "sent_bytes",
    )

    def __init__(self, owner: Owner, lag: Callable[[int], object]) -> None:
        self.owner = owner
        self._lag = lag
        self._raw: Any = None
        self._port: int | None = None
        self._read_watcher: Any = None
        self._write_watcher: Any = None
        self._queue: deque[bytes] | None = None
        self._queued = 0
        self._carried = tcp.Carried()
        self._heard_ns = 0
        self.arrived_ns: int | None = None
        self.closed = self.paused = False
        self.sent_bytes = self.received_bytes = 0

    def connect(self, family: int, address: tuple[Any, ...], timeout_s: float) -> None:
        """Open the connection; blocks the greenlet. Raises ConnectFailed."""
        try:
            sock = sources.connected(family, address, timeout_s)
        except OSError as error:
            timed_out = isinstance(error, TimeoutError)
            cause = Cause.CONNECT_TIMEOUT if timed_out else cause_of(error)
            raise ConnectFailed(cause, error.strerror or str(error)) from None
        self._start(sock)

    def _start(self, sock: Any) -> None:
        if self.closed:  # by who did not wait for it
            sock.close()
            raise ConnectFailed(Cause.CLIENT, "closed meanwhile")
        raw = bare(sock)
        self._watch(raw, raw.fileno())

    def _watch(self, raw: Any, descriptor: int) -> None:
        """From here on the hub tells us what comes in."""
        self._raw, self._descriptor = raw, descriptor
        self._heard_ns = perf_counter_ns()
        self._read_watcher = get_hub().loop.io(descriptor, _READ)
        if not self.paused:
            self._read_watcher.start(self._readable)

    def write(self, chunks: Iterable[bytes]) -> None:
        """Send now what the socket takes, queue the rest in order."""
        for data in chunks:
            if not data or self.closed:
                continue
            if self._queue:
                self._enqueue(data)
                continue
            try:
                sent = self._raw.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._broke(error)
                return
            self.sent_bytes += sent
            if sent < len(data):
                self._enqueue(data[sent:] if sent else data)

    def _enqueue(self, data: bytes) -> None:
        if self._queue is None:
            self._queue = deque()
        # A single message may be longer than that: nobody has refused to read it yet.
        if self._queued and self._queued + len(data) > QUEUE_LIMIT:
            self._end(Cause.WRITE_QUEUE_FULL, f"{self._queued} bytes wait for a server that does not read")
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._write_watcher is None:
            self._write_watcher = get_hub().loop.io(self._descriptor, _WRITE)
        self._write_watcher.start(self._writable)

    def _writable(self) -> None:
        try:
            queue = self._queue
            while queue:
                data = queue[0]
                sent = self._raw.send(data)
                self.sent_bytes += sent
                self._queued -= sent
                if sent < len(data):
                    queue[0] = data[sent:]
                    return
                queue.popleft()
            self._write_watcher.stop()
        except BlockingIOError:
            pass
        except OSError as error:
            self._broke(error)
        except Exception as error:
            self._broken(error)

    # What the owner does stands in a try of its own: its OSError, of some file, is not the server's.

    def _readable(self) -> int:
        """The hot path; how many bytes were read.

        Nothing may leave it: an exception would stop the watcher for good, silently.
        """
        try:
            if STAMPED:
                size, ancillary, _, _ = self._raw.recvmsg_into(_into, _ANCILLARY)
            else:
                size, ancillary = self._raw.recv_into(_buffer), None
            read_ns = perf_counter_ns()
        except BlockingIOError:
            return 0
        except OSError as error:
            self._broke(error)
            return 0
        # Apart from the read, so that an error of the owner's is not taken for one of the socket's.
        try:
            if not size:
                self._ended("end of stream", read_ns)
                return 0
            self._heard_ns = read_ns
            if ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                lag = time_ns() - (seconds * SECOND + nanoseconds)
                self.arrived_ns = read_ns - lag
                self._lag(lag)
            self.received_bytes += size
            self.owner.received(_view[:size], read_ns)
        except Exception as error:
            self._broken(error)
        return size

    def read_now(self) -> None:
        """Take what waits in the socket, ahead of the hub's turn; nothing while reading is paused.

        For who is about to conclude something from silence. ``owner.received`` is called from here.
        """
        while not self.closed and not self.paused and self._raw is not None:
            if self._readable() < len(_buffer):
                return

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the socket, as a client that hangs does; or go on reading."""
        if paused == self.paused:
            return
        self.paused = paused
        if self._read_watcher is None or self.closed:
            return
        if paused:
            self._read_watcher.stop()
        else:
            self._heard_ns = perf_counter_ns()  # the silence up to here was ours
            self._read_watcher.start(self._readable)

    @property
    def local_port(self) -> int | None:
        """Our end's port, by which others on the way know this connection; None unless it is open."""
        if self._raw is None or self.closed:
            return None
        if self._port is None:  # asked for once: each second somebody counts the connections that are open
            self._port = self._raw.getsockname()[1]
        return self._port

    def _ended(self, what: str, now_ns: int) -> None:
        """The stream ended."""
        self._end(*end_of_stream(what, now_ns - self._heard_ns))

    def _broke(self, error: OSError) -> None:
        """The socket says that the connection is no more."""
        silent_ns = perf_counter_ns() - self._heard_ns
        self._end(cause_of(error), (error.strerror or str(error)) + after(silent_ns))

    def _end(self, cause: Cause, detail: str) -> None:
        if self.closed:
            return
        self.close()
        try:
            self.owner.ended(cause, detail)
        except Exception as error:
            self._broken(error)

    def _broken(self, error: BaseException) -> None:
        self.close()
        self.owner.failed(error)

    def carried(self) -> tcp.Carried:
        """Bytes and segments so far; the last known once closed."""
        if self._raw is not None and not self.closed:
            info = tcp.read(self._raw)
            self._carried = info or tcp.Carried(self.sent_bytes, self.received_bytes)
        return self._carried

    def close(self) -> None:
        """Close; the watchers first, or a new connection with the same descriptor would get our events."""
        if self.closed or self._raw is None:
            self.closed = True
            return
        self.carried()
        self.closed = True
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._raw.close()

    def abort(self) -> None:
        """Close with a reset, as a cut network or a killed process does; what was queued is lost."""
        if self._raw is not None and not self.closed:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.close()


def bare(sock: Any, kind: type[_socket.socket] = _socket.socket) -> _socket.socket:
    """The socket below gevent's wrapper, which would block the hub's greenlet and gives up its descriptor here."""
    raw = kind(fileno=sock.detach())
    raw.setblocking(False)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if STAMPED:
        raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return raw


METHOD = tcp.TCP_INFO if sys.platform.startswith("linux") else tcp.ESTIMATED
