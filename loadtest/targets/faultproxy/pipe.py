"""What becomes of the bytes of one direction?

They leave as soon as they came, unless a fault holds them or the other side takes no more. Whatever is held
leaves in order, and how the sender ended (half-close or reset) comes after it.
"""

from __future__ import annotations

import enum
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from loadtest.targets.faultproxy.bucket import Bucket
from loadtest.targets.faultproxy.timers import Timer, Timers

CHUNK = 64 * 1024
# As much as the kernel keeps for a connection: a long delay on a fast line holds a window, not everything.
IN_FLIGHT = 4 * 1024 * 1024


class Ended(enum.Enum):
    """How the source ended."""

    NOT_YET = 0
    CLOSED = 1
    RESET = 2


class Pipe:
    """From `source` to `sink`. Told by its link when one of them is ready; tells it, by `changed`, when it
    wants to be told of other things, by `sink_lost` that the sink takes nothing any more, and by
    `pass_reset` that the sink is to be reset now."""

    __slots__ = (
        "_blocked",
        "_bucket",
        "_delay_ns",
        "_due_ns",
        "_ended_due_ns",
        "_held",
        "_held_bytes",
        "_timer",
        "_timers",
        "black",
        "changed",
        "closed",
        "ended",
        "finished",
        "forwarded",
        "pass_reset",
        "sink",
        "sink_lost",
        "source",
    )

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        timers: Timers,
        changed: Callable[[], None],
        sink_lost: Callable[[Pipe], None],
        pass_reset: Callable[[Pipe], None],
    ) -> None:
        self.source = source
        self.sink = sink
        self.changed = changed
        self.sink_lost = sink_lost
        self.pass_reset = pass_reset
        self.forwarded = 0  # bytes that the sink's kernel took
        self.black = False
        self.ended = Ended.NOT_YET
        self.finished = False  # the sink was told of the end, or there is none left to tell
        self.closed = False
        self._timers = timers
        self._timer: Timer | None = None
        self._held: deque[tuple[int, memoryview]] = deque()  # due, bytes
        self._held_bytes = 0
        self._due_ns = 0  # of the last byte held: none overtakes it
        self._ended_due_ns = 0
        self._blocked = False  # the sink's kernel took less than offered
        self._delay_ns = 0
        self._bucket: Bucket | None = None

    @property
    def wants_read(self) -> bool:
        if self.black or self.ended is not Ended.NOT_YET:
            return False
        return self._held_bytes < IN_FLIGHT if self._delay_ns else not self._held

    @property
    def wants_write(self) -> bool:
        return self._blocked and not self.black

    # -- what the sockets say

    def source_ready(self) -> None:
        """There is something to read."""
        try:
            data = self.source.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.end(Ended.RESET)
            return
        if not data:
            self.end(Ended.CLOSED)
        elif self._delay_ns or self._held or self._bucket is not None:
            self._hold(memoryview(data))
            self.pump()
        else:
            sent = self._send(data)
            if sent is not None and sent < len(data):
                self._hold(memoryview(data)[sent:])
                self.changed()

    def sink_ready(self) -> None:
        """The sink may take more."""
        self._blocked = False
        self.pump()

    def end(self, how: Ended) -> None:
        """The source has ended; the sink learns of it once all before it is there."""
        self.ended = how
        self._ended_due_ns = max(self._due_ns, monotonic_ns() + self._delay_ns)
        self.pump()

    def drain(self) -> None:
        """Read what the source sent before it was reset: some of it may be in the kernel still."""
        while self.ended is Ended.NOT_YET:
            try:
                data = self.source.recv(CHUNK)
            except OSError:
                return
            if not data:
                return
            self._hold(memoryview(data))

    def abandon(self) -> None:
        """The sink is gone: nothing more can be told to it."""
        self.finished = True
        self.ended = Ended.RESET
        self._blocked = False
        self._forget()

    def close(self) -> None:
        self.closed = True
        self._forget()

    # -- what the faults say

    def set_delay(self, delay_ns: int) -> None:
        """Hold back what comes from now on; 0 also lets go what is held."""
        self._delay_ns = delay_ns
        if not delay_ns:
            self._held = deque((0, data) for _due_ns, data in self._held)
            self._due_ns = self._ended_due_ns = 0

    def set_rate(self, bytes_per_second: int) -> None:
        """Let pass so much; 0 is no limit."""
        self._bucket = Bucket(bytes_per_second, monotonic_ns()) if bytes_per_second else None

    # -- the way through

    def pump(self) -> None:
        """Let go what is due and may go, then say what is wanted next."""
        if self.black or self.closed or self.finished:
            return
        now_ns = monotonic_ns()
        while self._held and not self._blocked:
            allowed, again_ns = self._may_pass(now_ns)
            if not allowed:
                self._wake_at(again_ns)
                break
            due_ns, data = self._held.popleft()
            sent = self._send(data[:allowed])
            if sent is None:
                return
            self._held_bytes -= sent
            if sent < len(data):
                self._held.appendleft((due_ns, data[sent:]))
            if self._bucket is not None:
                self._bucket.spend(sent)
        if self.ended is not Ended.NOT_YET:
            self._pass_end(now_ns)
        self.changed()

    def _may_pass(self, now_ns: int) -> tuple[int, int]:
        """How many of the first bytes held may go now; if none, when to ask again."""
        due_ns, data = self._held[0]
        if due_ns > now_ns:
            return 0, due_ns
        if self._bucket is None:
            return len(data), now_ns
        available = self._bucket.available(now_ns)
        ready_ns = self._bucket.ready_ns(len(data))
        return (min(len(data), available), now_ns) if ready_ns <= now_ns else (0, ready_ns)

    def _pass_end(self, now_ns: int) -> None:
        # What a reset sender had not delivered is lost anyway, so its reset does not wait for a full sink.
        if self._held and not (self.ended is Ended.RESET and self._blocked):
            return
        if self._ended_due_ns > now_ns:
            self._wake_at(self._ended_due_ns)
        elif self.ended is Ended.RESET:
            self.pass_reset(self)
        else:
            self.finished = True
            try:
                self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the sink was reset: reading from it says so

    def _send(self, data: bytes | memoryview) -> int | None:
        """How many bytes the sink took; None if it takes nothing any more."""
        try:
            sent = self.sink.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.sink_lost(self)
            return None
        self.forwarded += sent
        self._blocked = sent < len(data)
        return sent

    def _hold(self, data: memoryview) -> None:
        self._due_ns = max(self._due_ns, monotonic_ns() + self._delay_ns)
        self._held.append((self._due_ns, data))
        self._held_bytes += len(data)

    def _forget(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, due_ns: int) -> None:
        if self._timer is not None:
            if self._timer.call is not None and self._timer.due_ns == due_ns:
                return
            self._timer.cancel()
        self._timer = self._timers.call_at(due_ns, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.pump()
