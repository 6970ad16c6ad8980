"""Does a connection on the hub carry every byte in order, and end once, with its cause, whatever happens?"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from loadtest.users import wire as wire_module
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.wire import QUEUE_LIMIT, Wire

Until = Callable[[Callable[[], object]], None]


class Owner:
    """Writes down what it hears; ``raising`` is thrown by ``received`` once it hears anything."""

    def __init__(self, raising: BaseException | None = None) -> None:
        self.data = b""
        self.ends: list[tuple[Cause, str]] = []
        self.failures: list[BaseException] = []
        self.lags: list[int] = []
        self.raising = raising

    def received(self, data: memoryview, read_ns: int) -> None:
        self.data += bytes(data)
        if self.raising is not None:
            raise self.raising

    def ended(self, cause: Cause, detail: str) -> None:
        self.ends.append((cause, detail))

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


class Pair:
    """A Wire, its owner and the other end."""

    def __init__(self, listener: socket.socket, owner: Owner | None = None) -> None:
        self.owner = owner or Owner()
        self.wire = Wire(self.owner, self.owner.lags.append)
        self.wire.connect(socket.AF_INET, listener.getsockname(), 5)
        self.peer, _ = listener.accept()
        self.peer.setblocking(False)
        self.got = b""

    def read(self) -> bytes:
        """What has come to the other end, all of it since the start."""
        try:
            while data := self.peer.recv(1 << 20):
                self.got += data
        except BlockingIOError:
            pass
        return self.got

    def close(self) -> None:
        self.wire.close()
        self.peer.close()


@pytest.fixture
def pair(listener: socket.socket) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(owner: Owner | None = None) -> Pair:
        made.append(Pair(listener, owner))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["stamped", "unstamped"])
def stamping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With the kernel's arrival stamps, and as on a platform without them."""
    stamped = bool(request.param == "stamped")
    if stamped and not wire_module.STAMPED:
        pytest.skip("no SO_TIMESTAMPNS here")
    monkeypatch.setattr(wire_module, "STAMPED", stamped)
    return stamped


def test_bytes_go_both_ways_and_reads_are_stamped(pair: Any, until: Until, stamping: bool) -> None:
    one = pair()
    one.wire.write([b"ask", b"", b"ing"])
    until(lambda: one.read() == b"asking")
    one.peer.sendall(b"answer")
    until(lambda: one.owner.data == b"answer")
    assert (one.wire.sent_bytes, one.wire.received_bytes) == (6, 6)
    if stamping:
        (lag,) = one.owner.lags
        assert 0 <= lag < 10**10
        assert one.wire.arrived_ns is not None
    else:
        assert one.wire.arrived_ns is None


def test_what_the_socket_does_not_take_waits_and_arrives_in_order(pair: Any, until: Until) -> None:
    one = pair()
    one.wire._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    chunks = [bytes([65 + n % 26]) * 1000 for n in range(900)]
    for chunk in chunks:
        one.wire.write([chunk])
        if one.wire._queued:
            break
    assert one.wire._queued, "the socket took all: the test did not get to the queue"
    taken = chunks[: chunks.index(chunk) + 1] if chunk in chunks else []
    sent = one.wire.sent_bytes + one.wire._queued
    more = [b"tail%d;" % n for n in range(200)]
    one.wire.write(more)
    expected = b"".join(chunks)[:sent] + b"".join(more)
    until(lambda: len(one.read()) >= len(expected))
    assert one.got == expected
    assert taken
    until(lambda: one.wire._queued == 0)
    one.wire.write([b"straight"])
    until(lambda: one.read().endswith(b"straight"))
    assert one.wire.sent_bytes == len(one.got)


def test_a_server_that_does_not_read_is_given_up_at_the_queue_s_limit(pair: Any, until: Until) -> None:
    one, other = pair(), pair()
    chunk = b"x" * 100_000
    for _ in range(200):
        one.wire.write([chunk, chunk])
        if one.wire.closed:
            break
    ((cause, detail),) = one.owner.ends
    assert cause is Cause.WRITE_QUEUE_FULL
    assert QUEUE_LIMIT - 100_000 < int(detail.split()[0]) <= QUEUE_LIMIT
    one.wire.write([b"more"])  # nothing happens, nothing is raised
    assert len(one.owner.ends) == 1
    other.wire.write([b"still here"])
    until(lambda: other.read() == b"still here")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a bug"),
        OSError(errno.ECONNRESET, "of another file"),
        BlockingIOError(errno.EAGAIN, "of another file"),
        TimeoutError("of something else"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_of_the_owner_is_its_own_and_nobody_else_s(
    pair: Any, until: Until, stamping: bool, error: Exception
) -> None:
    """Also one that looks as if a socket had raised it: the server is not billed for our files."""
    broken, sound = pair(Owner(raising=error)), pair()
    broken.peer.sendall(b"now")
    until(lambda: broken.wire.closed)
    assert broken.owner.failures == [error]
    assert broken.owner.ends == []
    sound.peer.sendall(b"on we go")
    until(lambda: sound.owner.data == b"on we go")


def test_an_exception_on_hearing_of_the_end_does_not_reach_the_hub(pair: Any, until: Until) -> None:
    class Careless(Owner):
        def ended(self, cause: Cause, detail: str) -> None:
            super().ended(cause, detail)
            raise ValueError("a bug")

    by_stream, by_reset = pair(Careless()), pair(Careless())
    by_stream.peer.close()
    _reset(by_reset.peer)
    until(lambda: by_stream.owner.failures and by_reset.owner.failures)
    assert by_stream.wire.closed
    assert by_reset.wire.closed


def test_the_end_of_the_stream_is_the_server_s_close(pair: Any, until: Until, stamping: bool) -> None:
    one = pair()
    one.peer.sendall(b"last words")
    one.peer.close()
    until(lambda: one.owner.ends)
    assert one.owner.data == b"last words"
    assert one.owner.ends == [(Cause.TRANSPORT_CLOSE, "end of stream")]
    assert one.wire.closed


def test_a_reset_is_a_broken_transport(pair: Any, until: Until, stamping: bool) -> None:
    one = pair()
    _reset(one.peer)
    until(lambda: one.owner.ends)
    ((cause, detail),) = one.owner.ends
    assert cause is Cause.TRANSPORT_ERROR
    assert detail == os.strerror(errno.ECONNRESET)


def test_writing_on_a_reset_connection_ends_it_once(pair: Any, until: Until) -> None:
    one = pair()
    _reset(one.peer)
    for _ in range(3):
        one.wire.write([b"into the void"])
    until(lambda: one.owner.ends)
    assert len(one.owner.ends) == 1
    assert one.owner.ends[0][0] is Cause.TRANSPORT_ERROR


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_a_descriptor_used_again_hears_nothing_of_its_past(pair: Any, until: Until) -> None:
    first = pair()
    number = first.wire._descriptor
    first.peer.sendall(b"too late")
    first.wire.close()  # unread bytes, and a watcher that was due
    kept: list[Pair] = []
    while not kept or kept[-1].wire._descriptor != number:
        assert len(kept) < 50, "the number was never given out again"
        kept.append(pair())
    second = kept[-1]
    second.peer.sendall(b"mine")
    until(lambda: second.owner.data)
    assert second.owner.data == b"mine"
    assert first.owner.data == b""
    assert first.owner.ends == []


def test_closing_is_quiet_may_be_repeated_and_tolerates_what_was_never_open(pair: Any, until: Until) -> None:
    one = pair()
    for _ in range(2):
        one.wire.close()
    gevent.sleep(0)
    assert one.owner.ends == []
    until(lambda: _at_end(one.peer))
    never = Wire(Owner(), lambda lag: None)
    never.close()
    assert never.carried().bytes_sent == 0


def _at_end(peer: socket.socket) -> bool:
    try:
        return not peer.recv(10)
    except BlockingIOError:
        return False


def test_reading_ahead_of_the_hub_takes_all_that_waits(pair: Any, until: Until, stamping: bool) -> None:
    one = pair()
    one.peer.setblocking(True)
    one.peer.sendall(b"x" * 200_000)
    select.select([one.wire._raw], [], [], 5)
    one.wire.read_now()  # the hub has had no turn
    assert one.owner.data
    until(lambda: len(one.owner.data) == 200_000)
    one.wire.read_now()
    one.peer.close()
    select.select([one.wire._raw], [], [], 5)
    one.wire.read_now()
    assert one.owner.ends == [(Cause.TRANSPORT_CLOSE, "end of stream")]
    one.wire.read_now()
    Wire(Owner(), lambda lag: None).read_now()


def test_while_reading_is_paused_everything_waits_in_the_socket(pair: Any, until: Until) -> None:
    one, other = pair(), pair()
    one.wire.pause_reading(True)
    one.wire.pause_reading(True)
    one.peer.sendall(b"later")
    other.peer.sendall(b"now")
    until(lambda: other.owner.data)
    one.wire.read_now()
    assert one.owner.data == b""
    one.wire.write([b"out"])
    until(lambda: one.read() == b"out")
    one.wire.pause_reading(False)
    until(lambda: one.owner.data == b"later")
    one.wire.close()
    one.wire.pause_reading(True)


def test_a_pause_from_before_it_was_open(listener: socket.socket, until: Until) -> None:
    wire = Wire(owner := Owner(), lambda lag: None)
    wire.pause_reading(True)
    wire.connect(socket.AF_INET, listener.getsockname(), 5)
    peer, _ = listener.accept()
    peer.sendall(b"early")
    gevent.sleep(0.01)
    assert owner.data == b""
    wire.pause_reading(False)
    until(lambda: owner.data == b"early")
    wire.close()
    peer.close()


def test_an_abort_is_a_reset(pair: Any, until: Until) -> None:
    one = pair()
    port = one.wire.local_port
    assert port == one.peer.getpeername()[1]
    for _ in range(2):
        one.wire.abort()
    assert one.wire.local_port is None
    one.peer.setblocking(True)
    with pytest.raises(ConnectionResetError):
        one.peer.recv(1)
    assert one.owner.ends == []
    never = Wire(Owner(), lambda lag: None)
    never.abort()
    assert never.local_port is None


def test_another_owner_hears_what_comes_from_then_on(pair: Any, until: Until) -> None:
    one, heir = pair(), Owner()
    one.peer.sendall(b"a")
    until(lambda: one.owner.data)
    one.wire.owner = heir
    one.peer.sendall(b"b")
    until(lambda: heir.data)
    assert (one.owner.data, heir.data) == (b"a", b"b")


def test_closed_while_it_connects_it_stays_closed(listener: socket.socket) -> None:
    wire = Wire(Owner(), lambda lag: None)
    before = len(os.listdir("/proc/self/fd"))
    wire.close()
    with pytest.raises(ConnectFailed) as failed:
        wire.connect(socket.AF_INET, listener.getsockname(), 5)
    assert failed.value.cause is Cause.CLIENT
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_there_is_said_as_such() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed) as failed:
            Wire(Owner(), lambda lag: None).connect(socket.AF_INET, nobody.getsockname(), 5)
    assert failed.value.cause is Cause.CONNECT_REFUSED
    assert os.strerror(errno.ECONNREFUSED) in failed.value.detail


def test_a_server_that_accepts_nobody_is_a_timeout_and_gives_the_descriptor_back() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:  # fill its queue, so that the next one gets no answer
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(ConnectFailed) as failed:
                Wire(Owner(), lambda lag: None).connect(socket.AF_INET, full.getsockname(), 0.05)
            assert failed.value.cause is Cause.CONNECT_TIMEOUT
            # A kill or a Timeout of the caller's own comes from outside the OSErrors.
            with gevent.Timeout(0.05, False):
                Wire(Owner(), lambda lag: None).connect(socket.AF_INET, full.getsockname(), 5)
            assert len(os.listdir("/proc/self/fd")) == before
        finally:
            for one in waiting:
                one.close()
