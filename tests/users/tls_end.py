"""TLS on the test's own hub: a CA made for it, servers that it vouches for, and an end in front of others."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from gevent import socket as gsocket
from gevent import ssl as gssl
from gevent.pool import Pool
from gevent.server import StreamServer

from loadtest.users import secure

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Authority:
    """A CA, and the contexts of servers that it vouches for."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def server(self, *names: str, version: str | None = None) -> ssl.SSLContext:
        """A server with a certificate for these names; ``version``: the only one that it speaks."""
        context: ssl.SSLContext = gssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost", "::1"))).configure_cert(context)
        if version is not None:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        return context

    def trusted(self, patch: pytest.MonkeyPatch, folder: Path) -> Path:
        """From here on this process trusts it, as SSL_CERT_FILE says."""
        path = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(path)
        patch.setenv("SSL_CERT_FILE", str(path))
        secure.context.cache_clear()
        return path


@contextmanager
def listening(
    serve: Callable[[Any, Any], None], context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[int]:
    """The port of a server on the hub; ``serve(sock, address)`` for each connection, over TLS with ``context``."""

    def visit(sock: Any, address: object) -> None:
        try:
            if context is not None:
                sock = context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
                )
                sock.do_handshake()
            serve(sock, address)
        except OSError:
            pass  # the test ended it from the other side, or wanted no keys
        finally:
            sock.close()

    listener = gsocket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(128)
    server = StreamServer(listener, visit, spawn=Pool())  # a stop ends those that are still visiting
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(timeout=0)
        listener.close()
        gevent.sleep(0)


@contextmanager
def in_front_of(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """The port of an end of TLS, which passes on to the server at ``port`` what it deciphers, and back."""
    open_now: list[Any] = []

    def serve(sock: Any, _address: object) -> None:
        behind = gsocket.create_connection(("127.0.0.1", port))
        open_now.extend((sock, behind))
        up = gevent.spawn(_pass_on, sock, behind)
        _pass_on(behind, sock)
        up.kill()
        for one in (sock, behind):
            one.close()

    with listening(serve, context) as own:
        try:
            yield own
        finally:
            for one in open_now:
                one.close()


def _pass_on(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two is gone, and its other half ends by that
