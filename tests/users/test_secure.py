"""Does a connection over TLS carry every byte in order, know whom it talks to, and end once with its cause?"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from tls_end import VERSIONS, Authority, listening

from loadtest.users import greeting, secure
from loadtest.users import wire as wire_module
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.secure import Secure, SecureWire, TlsFailed, new_wire
from loadtest.users.wire import QUEUE_LIMIT, Wire

Until = Callable[[Callable[[], object]], None]
HERE = "127.0.0.1"


class Owner:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[tuple[Cause, str]] = []
        self.failures: list[BaseException] = []
        self.lags: list[int] = []
        self.raising: BaseException | None = None

    def received(self, data: memoryview, read_ns: int) -> None:
        self.data += data
        if self.raising is not None:
            raise self.raising

    def ended(self, cause: Cause, detail: str) -> None:
        self.ends.append((cause, detail))

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


class End:
    """The server's end of the newest connection, once it is there; it reads only when told to."""

    def __init__(self) -> None:
        self.sock: Any = None
        self.release = Event()

    def serve(self, sock: Any, _address: object) -> None:
        self.sock = sock
        self.release.wait()

    def read(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size and (data := self.sock.recv(min(1 << 16, size - len(got)))):
            got += data
        return bytes(got)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    secure.context.cache_clear()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process trusts the test's CA."""
    return authority.trusted(monkeypatch, tmp_path)


@pytest.fixture(params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def end(authority: Authority, version: str) -> Iterator[tuple[End, int]]:
    """A server of that version of TLS, and its port."""
    one = End()
    with listening(one.serve, context=authority.server(version=version)) as port:
        yield one, port
        one.release.set()
        if one.sock is not None:
            one.sock.close()


@pytest.fixture
def joined(ca: Path, end: tuple[End, int], until: Until) -> Iterator[tuple[Wire, Owner, End]]:
    """Both ends of one connection."""
    server, port = end
    owner = Owner()
    wire = new_wire(Secure(HERE), owner, owner.lags.append)
    wire.connect(socket.AF_INET, (HERE, port), 10)
    until(lambda: server.sock is not None)
    yield wire, owner, server
    wire.close()


Joined = tuple[SecureWire, Owner, End]


def test_bytes_go_both_ways(joined: Joined, version: str, until: Until) -> None:
    wire, owner, end = joined
    assert isinstance(wire, SecureWire)
    assert end.sock.version() == f"TLSv{version}"
    assert end.sock.selected_alpn_protocol() is None
    assert wire.handshake_ns > 0
    wire.write([b"ask", b"", b"ing"])
    assert end.read(6) == b"asking"
    end.sock.sendall(b"answer")
    until(lambda: owner.data == b"answer")
    assert (wire.sent_bytes, wire.received_bytes) == (6, 6)
    if wire_module.STAMPED:
        assert len(owner.lags) == 1
        assert 0 <= owner.lags[0] < 10**10
        assert wire.arrived_ns is not None
        outside = wire.carried()
        assert outside.bytes_sent > 6 + 200, "the kernel counts the handshake, too"
        assert outside.bytes_received > 6 + 200


def test_without_stamps_the_lag_is_unknown(
    monkeypatch: pytest.MonkeyPatch, ca: Path, end: tuple[End, int], until: Until
) -> None:
    monkeypatch.setattr(wire_module, "STAMPED", False)
    server, port = end
    owner = Owner()
    wire = new_wire(Secure(HERE), owner, owner.lags.append)
    wire.connect(socket.AF_INET, (HERE, port), 10)
    until(lambda: server.sock is not None)
    server.sock.sendall(b"x" * 50_000)
    until(lambda: len(owner.data) == 50_000)
    assert owner.lags == []
    assert wire.arrived_ns is None
    wire.close()


@pytest.mark.parametrize("size", [10, 16_384, 16_385, 1_000_000])
def test_echoes(joined: Joined, until: Until, size: int) -> None:
    wire, owner, end = joined
    said = os.urandom(size)
    wire.write([said])
    assert end.read(size) == said
    end.sock.sendall(said)
    until(lambda: len(owner.data) == size)
    assert owner.data == said
    assert wire._raw.tls.pending() == 0, "no watcher tells of bytes that stay inside"


def test_a_burst_of_large_messages(joined: Joined, until: Until) -> None:
    wire, owner, end = joined
    said = [bytes([65 + number]) * 300_000 for number in range(50)]
    writer = gevent.spawn(lambda: [end.sock.sendall(one) for one in said])
    until(lambda: len(owner.data) == 50 * 300_000)
    writer.join()
    assert bytes(owner.data) == b"".join(said)
    assert wire._raw.tls.pending() == 0
    assert owner.ends == []


def test_while_the_server_does_not_read_the_queue_grows_and_then_all_arrives_in_order(
    joined: Joined, until: Until
) -> None:
    """What OpenSSL did not take is offered to it again as it was: otherwise two messages become one."""
    wire, owner, end = joined
    end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    wire._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    said: list[bytes] = []
    while len(said) < 3_000 and wire._queued < 300_000:
        said.append(os.urandom(10_000))
        wire.write([said[-1], b"pong"])
        said.append(b"pong")
    assert wire._queued >= 300_000, "the sockets took all: the test did not get to the queue"
    assert end.read(sum(map(len, said))) == b"".join(said)
    until(lambda: wire._queued == 0)
    wire.write([b"straight"])
    assert end.read(8) == b"straight"
    assert owner.ends == []


def test_one_message_may_be_longer_than_the_queue(joined: Joined, until: Until) -> None:
    wire, owner, end = joined
    said = os.urandom(6 * QUEUE_LIMIT)
    wire.write([said])
    assert wire._queued == len(said), "the socket took it all at once"
    assert end.read(len(said)) == said
    assert owner.ends == []


def test_a_server_that_does_not_read_is_given_up_at_the_queue_s_limit(joined: Joined) -> None:
    wire, owner, _ = joined
    for _ in range(200):
        wire.write([b"x" * 100_000])
    ((cause, _detail),) = owner.ends
    assert cause is Cause.WRITE_QUEUE_FULL
    assert wire.closed


def test_a_goodbye_and_a_cut_are_told_apart(joined: Joined, until: Until) -> None:
    _wire, owner, end = joined
    end.sock.sendall(b"last words")
    plain = end.sock.unwrap  # sends close_notify, and waits for ours
    leaving = gevent.spawn(plain)
    until(lambda: owner.ends)
    assert owner.data == b"last words"
    assert owner.ends == [(Cause.TRANSPORT_CLOSE, "end of stream")]
    leaving.join(5)
    assert leaving.successful(), "our own close said goodbye"


def test_a_stream_that_ends_without_a_goodbye(joined: Joined, until: Until) -> None:
    _wire, owner, end = joined
    with socket.socket(fileno=os.dup(end.sock.fileno())) as below:
        below.shutdown(socket.SHUT_RDWR)
    until(lambda: owner.ends)
    assert owner.ends == [(Cause.TRANSPORT_CLOSE, "end of stream, without TLS's goodbye")]


def test_a_reset_is_a_broken_transport(joined: Joined, until: Until) -> None:
    _wire, owner, end = joined
    end.sock.sendall(b"x")
    until(lambda: owner.data)  # and with it TLS's own records, such as tickets
    end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.sock.close()
    end.release.set()
    until(lambda: owner.ends)
    assert owner.ends == [(Cause.TRANSPORT_ERROR, os.strerror(errno.ECONNRESET))]


def test_what_no_key_fits_is_an_error_of_tls(joined: Joined, until: Until) -> None:
    _wire, owner, end = joined
    os.write(end.sock.fileno(), b"nothing that was ever encrypted" * 10)
    until(lambda: owner.ends)
    ((cause, detail),) = owner.ends
    assert cause is Cause.TLS_ERROR
    assert detail


def test_an_abort_says_no_goodbye(joined: Joined) -> None:
    wire, _, end = joined
    wire.abort()
    with pytest.raises(OSError):  # noqa: PT011
        end.sock.recv(1)


def test_closing_may_be_repeated(joined: Joined) -> None:
    wire, owner, end = joined
    assert wire.local_port == end.sock.getpeername()[1]
    for _ in range(2):
        wire.close()
    assert end.sock.recv(1) == b""
    assert owner.ends == []
    wire.abort()
    never = new_wire(Secure(HERE), Owner(), lambda lag: None)
    never.abort()
    never.close()


def test_reading_ahead_and_pausing(joined: Joined, until: Until) -> None:
    wire, owner, end = joined
    wire.pause_reading(True)
    end.sock.sendall(b"x" * 100_000)
    wire.read_now()
    assert owner.data == b""
    wire.pause_reading(False)
    end.sock.sendall(b"y")
    gevent.sleep(0.01)
    wire.read_now()
    until(lambda: len(owner.data) == 100_001)


def test_an_exception_of_the_owner_is_its_own(joined: Joined, until: Until) -> None:
    _wire, owner, end = joined
    owner.raising = ssl.SSLEOFError("of somebody else's")
    end.sock.sendall(b"x")
    until(lambda: owner.failures)
    assert owner.failures == [owner.raising]
    assert owner.ends == []


def test_one_context_for_all(ca: Path) -> None:
    assert secure.context(True) is secure.context(True)
    assert secure.context(True).verify_mode is ssl.CERT_REQUIRED
    assert secure.context(False).verify_mode is ssl.CERT_NONE


# -- no keys ------------------------------------------------------------------------------------------------


def _dial(port: int, name: str = HERE, verify: bool = True, timeout_s: float = 10) -> None:
    wire = new_wire(Secure(name, verify), Owner(), lambda lag: None)
    wire.connect(socket.AF_INET, (HERE, port), timeout_s)
    wire.close()


def _failure_of(dial: Callable[[], None]) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as failed:
        dial()
    return failed.value


def _failure(port: int, **terms: Any) -> TlsFailed:
    with pytest.raises(TlsFailed) as failed:
        _dial(port, **terms)
    assert failed.value.cause is Cause.TLS_ERROR
    return failed.value


def _hold(sock: Any, _address: object) -> None:
    while sock.recv(1 << 16):
        pass


def test_a_certificate_that_nobody_here_trusts(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    secure.context.cache_clear()
    with listening(_hold, context=authority.server()) as port:
        failure = _failure(port)
        assert "certificate: unable to get local issuer certificate" in failure.detail
        assert "SSL_CERT_FILE=ca.pem" in failure.advice and "--rt-insecure" in failure.advice
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
        assert "nowhere.pem, which is not there" in _failure(port).advice
        _dial(port, verify=False)


def test_a_certificate_of_somebody_else(authority: Authority, ca: Path) -> None:
    with listening(_hold, context=authority.server("chat.example")) as port:
        for name in (HERE, "localhost"):
            failure = _failure(port, name=name)
            assert "mismatch" in failure.detail
            assert name in failure.advice
        _dial(port, name="chat.example")
        _dial(port, name="CHAT.example")
        _dial(port, name=HERE, verify=False)


def test_who_does_not_speak_tls(ca: Path) -> None:
    def website(sock: Any, _address: object) -> None:
        sock.recv(1 << 16)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        sock.close()

    with listening(website) as port:
        assert "TLS" in _failure(port).detail
        place = Place(2, (HERE, port), f"{HERE}:{port}", f"https://{HERE}:{port}", Secure(HERE))
        assert greeting.misfit(place, 5) == f"it speaks plain HTTP; use http://{HERE}:{port}"
        assert not greeting.speaks_tls(place._replace(secure=None))
    with listening(lambda sock, address: sock.close()) as port, pytest.raises(ConnectFailed) as failed:
        _dial(port)
    assert failed.value.cause in (Cause.TLS_ERROR, Cause.TRANSPORT_ERROR)


def test_who_never_answers(ca: Path) -> None:
    with listening(_hold) as port, pytest.raises(ConnectFailed) as failed:
        _dial(port, timeout_s=0.05)
    assert failed.value.cause is Cause.CONNECT_TIMEOUT


def test_a_kill_in_the_handshake_leaves_nothing_behind(ca: Path, until: Until) -> None:
    end = End()
    with listening(end.serve) as port:
        caller = gevent.spawn(_dial, port)
        until(lambda: end.sock is not None)
        caller.kill()
        assert end.sock.recv(1) != b"", "its hello"
        while end.sock.recv(1 << 16):
            pass
        end.release.set()


def test_closed_in_the_handshake_it_stays_closed(ca: Path, authority: Authority, until: Until) -> None:
    gate = Event()

    def serve(sock: Any, _address: object) -> None:
        gate.wait()
        tls = authority.server().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
            tls.recv(1)
        finally:
            tls.close()

    with listening(serve) as port:
        wire = new_wire(Secure(HERE), Owner(), lambda lag: None)
        caller = gevent.spawn(_failure_of, lambda: wire.connect(socket.AF_INET, (HERE, port), 10))
        gevent.sleep(0.01)
        wire.close()
        gate.set()
        assert caller.get().cause is Cause.CLIENT


def test_what_speaks_tls_is_recognised_whoever_it_is(authority: Authority, ca: Path) -> None:
    with listening(_hold, context=authority.server("chat.example")) as port:
        place = Place(2, (HERE, port), f"{HERE}:{port}", f"http://{HERE}:{port}")
        assert greeting.speaks_tls(place)
        secured = place._replace(base=f"https://{HERE}:{port}", secure=Secure(HERE))
        misfit = greeting.misfit(secured, 5)
        assert misfit is not None and "mismatch" in misfit and "--rt-insecure" in misfit
        assert greeting.misfit(secured._replace(secure=Secure("chat.example")), 5) is None
    with pytest.raises(ConnectFailed):
        greeting.misfit(secured, 5)
    assert not greeting.speaks_tls(place)
