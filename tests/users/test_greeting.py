"""Is what answers at a host, but not as expected, named in one line that says what to do?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from flags import flags_of
from tls_end import Authority, listening
from websockets.server import ServerProtocol

from loadtest.contract import Contract, load
from loadtest.users import secure
from loadtest.users.target import UNVERIFIED, Refused, examine, locate

HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    secure.context.cache_clear()
    yield
    secure.context.cache_clear()


@pytest.fixture(params=["asks first", "knocks at once"])
def contract(request: pytest.FixtureRequest, tmp_path: Path) -> Contract:
    """With routes to ask, and with nothing but Socket.IO."""
    default = load(None)
    if request.param == "asks first":
        return default
    path = tmp_path / "bare.toml"
    path.write_text(
        'name = "bare"\nformat = 1\n'
        '[send]\nemit = "say"\nargs = ["${body}", "${marker}"]\n'
        '[[deliveries]]\non = "said"\noperation = "message.deliver"\nmarker = "$[1]"\n'
        'recipients = "others"\n'
    )
    return load(path)


def _line(url: str, contract: Contract, transport: str = "websocket", verify: bool = True) -> str:
    settings = flags_of(transport=transport)
    with pytest.raises(Refused) as refused:
        examine(locate(url, verify), settings, contract)
    line = str(refused.value)
    assert "\n" not in line
    return line


def _website(sock: Any, _address: object) -> None:
    while sock.recv(1 << 16):
        sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")


@pytest.mark.parametrize("transport", ["websocket", "long-polling"])
def test_the_wrong_scheme_is_named_with_the_right_one(contract: Contract, transport: str) -> None:
    with listening(_website) as port:
        line = _line(f"https://{HERE}:{port}", contract, transport)
        assert line == f"https://{HERE}:{port}: it speaks plain HTTP; use http://{HERE}:{port}"
    with listening(_website, context=Authority().server("chat.example")) as port:
        line = _line(f"http://{HERE}:{port}", contract, transport)
        assert line == f"http://{HERE}:{port}: it speaks TLS; use https://{HERE}:{port}"


def test_whom_nobody_here_trusts(contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    with listening(_website, context=authority.server()) as port:
        url = f"https://{HERE}:{port}"
        line = _line(url, contract)
        assert line.startswith(f"{url}: certificate: unable to get local issuer certificate; ")
        assert "SSL_CERT_FILE" in line and "--rt-insecure" in line
        authority.trusted(monkeypatch, tmp_path)
        assert "404" in _line(url, contract), "from here on it is a matter of HTTP"
    secure.context.cache_clear()
    with listening(_website, context=authority.server("chat.example")) as port:
        line = _line(f"https://{HERE}:{port}", contract)
        assert "certificate: IP address mismatch" in line and "--rt-insecure" in line
        assert "404" in _line(f"https://{HERE}:{port}", contract, verify=False)


def test_nobody_there(contract: Contract) -> None:
    with listening(_website) as port:
        pass
    assert "no server there" in _line(f"https://{HERE}:{port}", contract)
    assert "no server there" in _line(f"http://{HERE}:{port}", contract)


def test_that_nothing_was_verified_is_said_to_the_reader() -> None:
    assert "--rt-insecure" in UNVERIFIED


@pytest.mark.parametrize("transport", ["websocket", "long-polling"])
def test_a_server_of_socket_io_2_is_named(contract: Contract, transport: str) -> None:
    """As socket.io 2.5 answers; its own routes are those of the contract."""
    handshake = '{"sid":"e","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}'

    def serve(sock: Any, _address: object) -> None:
        ws, over = ServerProtocol(), False
        while not over and (data := sock.recv(1 << 16)):
            target = data.split(b" ", 2)[1]
            if b"transport=websocket" in target:
                ws.receive_data(data)
                (request,) = ws.events_received()
                ws.send_response(ws.accept(request))
                ws.send_text(f"0{handshake}".encode())
                ws.send_text(b"40")
                sock.sendall(b"".join(ws.data_to_send()))
                over = True
            elif b"transport=polling" in target:
                sock.sendall(_answer(f"{len(handshake) + 1}:0{handshake}2:40".encode()))
            else:
                sock.sendall(_answer(b'{"status":"ok"}'))
        gevent.sleep(0.05)

    with listening(serve) as port:
        line = _line(f"http://{HERE}:{port}", contract, transport)
    assert line.startswith(f"http://{HERE}:{port}/socket.io: the server speaks Socket.IO 2 (Engine.IO 3)")
    assert line.endswith("this client speaks Socket.IO 3 and later (Engine.IO 4): upgrade the server")


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
