"""How does a connection speak TLS on the hub?

OpenSSL sits on the descriptor itself and is driven by the same watchers as plain bytes are. Four rules keep that
right. A read takes a whole record, 16 KiB at most, so that no decrypted byte is left inside, where no watcher
would tell of it. What OpenSSL could not write whole is offered to it again before anything else, byte for byte.
That it wants to read first is no error. And a stream that ends without TLS's own goodbye was cut.
"""

from __future__ import annotations

import _socket
import errno
import functools
import os
import socket
import ssl
from time import perf_counter_ns
from typing import Any, NamedTuple

from gevent import socket as gsocket

from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause, ConnectFailed, cause_of
from loadtest.users.wire import Owner, Wire, bare

_HOST_MISMATCH, _ADDRESS_MISMATCH = 62, 64
"""OpenSSL's X509_V_ERR numbers for a certificate that is somebody else's."""

_first = [bytearray(1)]


class Secure(NamedTuple):
    """What TLS has to know of a host: the name that its certificate is held against, and whether it is at all."""

    name: str
    verify: bool = True


class TlsFailed(ConnectFailed):
    """No keys were agreed on. advice: what to do about it, where that is known."""

    def __init__(self, error: OSError, name: str) -> None:
        super().__init__(Cause.TLS_ERROR, said(error))
        self.advice = _advice(error, name)


def new_wire(secure: Secure | None, owner: Owner, lag: Any) -> Wire:
    """A connection that is not open yet; None: without TLS."""
    return Wire(owner, lag) if secure is None else SecureWire(secure, owner, lag)


class SecureWire(Wire):
    """A Wire over TLS. Bytes it counts itself are those inside, the kernel's those outside, handshake included."""

    __slots__ = ("_secure", "_until_ns", "handshake_ns")

    def __init__(self, secure: Secure, owner: Owner, lag: Any) -> None:
        super().__init__(owner, lag)
        self._secure = secure
        self._until_ns = 0
        self.handshake_ns = 0

    def connect(self, family: int, address: tuple[Any, ...], timeout_s: float) -> None:
        """Open the connection and agree on keys, all in ``timeout_s``; blocks. Raises ConnectFailed."""
        self._until_ns = perf_counter_ns() + round(timeout_s * SECOND)
        super().connect(family, address, timeout_s)

    def _start(self, sock: Any) -> None:
        begun_ns = perf_counter_ns()
        raw = bare(sock, _Referable)
        try:
            # The name goes to OpenSSL, which holds the certificate against it as a part of the handshake.
            tls = context(self._secure.verify)._wrap_socket(  # type: ignore[attr-defined]
                raw, False, _ascii(self._secure.name)
            )
            self._shake_hands(tls, raw)
            if self.closed:  # by who did not wait for it
                raise ConnectFailed(Cause.CLIENT, "closed meanwhile")
        except BaseException:
            raw.close()
            raise
        self.handshake_ns = perf_counter_ns() - begun_ns
        self._watch(_Sealed(raw, tls), raw.fileno())

    def _shake_hands(self, tls: Any, raw: Any) -> None:
        try:
            while True:
                try:
                    tls.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    wait = gsocket.wait_read
                except ssl.SSLWantWriteError:
                    wait = gsocket.wait_write
                wait(raw.fileno(), max(0.001, (self._until_ns - perf_counter_ns()) / SECOND))
        except TimeoutError:
            raise ConnectFailed(Cause.CONNECT_TIMEOUT, "no answer to the TLS handshake") from None
        except ssl.SSLError as error:
            raise TlsFailed(error, self._secure.name) from None
        except OSError as error:
            detail = error.strerror or str(error)
            raise ConnectFailed(cause_of(error), f"{detail}, in the TLS handshake") from None

    def read_now(self) -> None:
        """As in Wire; it has all only when OpenSSL asks for more."""
        while not self.closed and not self.paused and self._raw is not None:
            if not self._readable():
                return

    def _broke(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLEOFError):
            # Python says so of a reset, too, but the look before the read has met that first.
            self._ended("end of stream, without TLS's goodbye", perf_counter_ns())
        elif isinstance(error, ssl.SSLError):
            self._end(Cause.TLS_ERROR, said(error))
        else:
            super()._broke(error)

    def close(self) -> None:
        """Say goodbye as TLS does, if nothing waits before it, and close."""
        if self._raw is not None and not self.closed and not self._queued:
            self._raw.say_goodbye()
        super().close()

    def abort(self) -> None:
        """As in Wire: without a word."""
        if self._raw is not None:
            self._raw.silent = True
        super().abort()


class _Referable(_socket.socket):
    """OpenSSL's object refers to its socket weakly, which the plain one does not allow."""

    __slots__ = ("__weakref__",)


class _Sealed:
    """What a Wire needs of a socket, with TLS in between."""

    __slots__ = ("silent", "socket", "tls")

    def __init__(self, raw: Any, tls: Any) -> None:
        self.socket = raw
        self.tls = tls
        self.silent = False

    def recvmsg_into(self, buffers: list[bytearray], ancillary_size: int) -> tuple[int, Any, int, None]:
        """One record, whole, and the kernel's stamp of its first byte."""
        # OpenSSL hands no stamps on: a look at the first byte that it will read brings that one's.
        _, ancillary, _, _ = self.socket.recvmsg_into(_first, ancillary_size, socket.MSG_PEEK)
        return self.recv_into(buffers[0]), ancillary, 0, None

    def recv_into(self, buffer: bytearray) -> int:
        """One record, whole; 0 after TLS's goodbye."""
        try:
            return int(self.tls.read(len(buffer), buffer))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            # Half a record, or one of TLS's own, such as a ticket to come back with.
            raise BlockingIOError from None
        except ssl.SSLZeroReturnError:
            return 0

    def send(self, data: bytes) -> int:
        """All or nothing. After nothing the same bytes must come again, and no others: a Wire's queue does so."""
        try:
            return int(self.tls.write(data))
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None

    def say_goodbye(self) -> None:
        """close_notify, as far as the socket takes it; nobody waits for the other's."""
        if self.silent:
            return
        try:
            self.tls.shutdown()
        except (OSError, ValueError):
            pass

    def getsockopt(self, *args: Any) -> Any:
        """The socket's."""
        return self.socket.getsockopt(*args)

    def setsockopt(self, *args: Any) -> None:
        """The socket's."""
        self.socket.setsockopt(*args)

    def getsockname(self) -> Any:
        """The socket's."""
        return self.socket.getsockname()

    def close(self) -> None:
        """The socket's."""
        self.socket.close()


@functools.cache
def context(verify: bool) -> ssl.SSLContext:
    """One for the whole process: each costs a megabyte, and 20 ms to read the system's certificates.

    OpenSSL itself honours SSL_CERT_FILE and SSL_CERT_DIR. Made at the first use, which is after the fork.
    """
    made = ssl.create_default_context()
    # A renegotiation, which TLS 1.3 has no more, would make a write wait for a read.
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _ascii(name: str) -> str | None:
    return name.encode("idna").decode("ascii") or None


def said(error: OSError) -> str:
    """What OpenSSL says, without its file names and numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message.rstrip('.')}"
    reason = getattr(error, "reason", None)
    if isinstance(error, ssl.SSLEOFError):
        return "the other end hung up in the TLS handshake"
    return f"TLS: {reason.lower().replace('_', ' ')}" if reason else str(error)


def _advice(error: OSError, name: str) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    if error.verify_code in (_HOST_MISMATCH, _ADDRESS_MISMATCH):
        return f"name the host as its certificate does instead of {name}, or trust anybody: --rt-insecure"
    path = os.environ.get("SSL_CERT_FILE")
    if path and not os.path.exists(path):
        return f"SSL_CERT_FILE names {path}, which is not there"
    return "name its CA, SSL_CERT_FILE=ca.pem locust ..., or trust anybody: --rt-insecure"
