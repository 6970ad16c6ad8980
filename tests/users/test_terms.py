"""Do headers, cookies, query and namespace reach the wire, on every transport and by both clients?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from polling_server import PollingServer
from polling_server import listening as polling_at
from socketio_server import SocketIoServer
from socketio_server import listening as socket_at
from websockets.sync.server import serve

from loadtest.contract import Contract, load
from loadtest.users.connection import Listeners, NativeConnection, Place
from loadtest.users.cookies import Cookies
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.stock import StockConnection
from loadtest.users.upgrading import UpgradingConnection
from loadtest.users.ways import approach

Until = Callable[[Callable[[], object]], None]

TERMS = """
namespace = "/chat"
query = { client = "ph one", user = "${user}" }
headers = [["Origin", "https://app.example"], ["Cookie", "sid=${user}"], ["X-Host", "${host}"]]
"""
HEADERS = {"origin": "https://app.example", "cookie": "sid=u1; server=b"}
QUERY = {"client": ["ph one"], "user": ["u1"]}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The built-in one, with terms for Engine.IO of its own."""
    text = (files("loadtest.contract") / "default.toml").read_text("utf-8")
    path = tmp_path / "contract.toml"
    path.write_text(text.replace('\nnamespace = "/"\n', TERMS, 1))
    return load(path)


def _listeners(faults: list[BaseException]) -> Listeners:
    return Listeners(lambda *event: None, lambda *loss: None, faults.append, lambda lag_ns: None)


@pytest.fixture
def cookies() -> Cookies:
    kept = Cookies()
    kept.take("server=b; Path=/")
    return kept


def _asked(target: str, head: dict[str, str], place: Place) -> None:
    parts = urlsplit(target)
    assert parts.path == "/socket.io/"
    query = parse_qs(parts.query)
    assert {name: query[name] for name in QUERY} == QUERY
    assert query["EIO"] == ["4"]
    assert {name: head.get(name) for name in HEADERS} == HEADERS
    assert head["x-host"] == place.host


def _heads(server: PollingServer) -> list[tuple[str, dict[str, str]]]:
    found = []
    for raw in server.heads:
        first, *lines = raw.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        names = [name.lower() for name, _ in pairs]
        assert len(names) == len(set(names)), f"a header twice: {names}"
        found.append((first.split(" ")[1], {name.lower(): value for name, value in pairs}))
    return found


def _way(contract: Contract, place: Place) -> tuple[Any, dict[str, str]]:
    way = approach(contract, {"user": "u1", "token": "t"}, place, "browser")
    return way, {"namespace": way.namespace, "query": way.query}


def test_over_websocket(contract: Contract, cookies: Cookies, until: Until) -> None:
    server = SocketIoServer()
    server.join = lambda visit: visit.text('40/chat,{"sid":"the-sid"}')
    with socket_at(server) as place:
        way, terms = _way(contract, place)
        listeners = _listeners([])
        headers = cookies.beside(way.headers)
        connection = NativeConnection(place, way.path, None, headers, False, listeners, **terms)
        connection.open(5)
        request = server.visits[0].request
        assert request is not None
        _asked(request.path, {name.lower(): value for name, value in request.headers.raw_items()}, place)
        assert server.visits[0].texts == ["40/chat,"]
        assert connection.session == "the-sid"
        connection.close()


def test_over_the_stock_client(contract: Contract, cookies: Cookies) -> None:
    asked: list[Any] = []

    def visit(ws: Any) -> None:
        asked.append(ws.request)
        ws.send('0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}')
        assert ws.recv() == "40/chat,{}"
        ws.send('40/chat,{"sid":"the-sid"}')
        assert ws.recv() == '42/chat,["say",1]'
        ws.send('42/chat,["news",2]')
        for _ in ws:
            pass

    with serve(visit, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        place = Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        way, terms = _way(contract, place)
        heard: list[Any] = []
        came = threading.Event()

        def event(name: str, args: list[Any], read_ns: int) -> None:
            heard.append((name, args))
            came.set()

        listeners = _listeners([])._replace(event=event)
        connection = StockConnection(
            place, way.path, None, listeners, headers=cookies.beside(way.headers), **terms
        )
        connection.open(5)
        assert connection.session == "the-sid"
        connection.emit("say", [1], _Sender())
        assert came.wait(5)
        connection.close()
        server.shutdown()
        thread.join()
    assert heard == [("news", [2])]
    (request,) = asked
    _asked(request.path, {name.lower(): value for name, value in request.headers.raw_items()}, place)


class _Sender:
    def left(self, sent_ns: int) -> None: ...
    def failed(self, cause: Any, detail: str) -> None: ...


def test_over_long_polling(contract: Contract, cookies: Cookies, until: Until) -> None:
    server = PollingServer()
    server.connects = '40/chat,{"sid":"the-sid"}'
    with polling_at(server) as place:
        way, terms = _way(contract, place)
        connection = LongPollingConnection(
            place, way.path, None, way.head, _listeners([]), cookies=cookies, **terms
        )
        connection.open(5)
        connection.emit("say", [1], _Sender())
        until(lambda: '42/chat,["say",1]' in server.got)
        connection.close()
        until(lambda: "1" in server.got)
    assert server.got[0] == "40/chat,"
    assert "41/chat," in server.got
    assert len(server.heads) > 3
    for target, head in _heads(server):
        _asked(target, head, place)


def test_over_an_upgrade(contract: Contract, cookies: Cookies, until: Until) -> None:
    server = PollingServer()
    server.connects = '40/chat,{"sid":"the-sid"}'
    with polling_at(server) as place:
        way, terms = _way(contract, place)
        connection = UpgradingConnection(
            place, way.path, None, way.head, way.headers, False, _listeners([]), cookies=cookies, **terms
        )
        connection.open(5)
        until(lambda: connection.upgraded)
        connection.emit("say", [1], _Sender())
        until(lambda: server.frames[-1:] == ['42/chat,["say",1]'])
        connection.close()
    assert "UPGRADE" in server.log
    for target, head in _heads(server):
        _asked(target, head, place)


def test_what_the_contract_gives_engine_io_stands_in_place_of_the_usual(contract: Contract) -> None:
    place = Place(2, ("127.0.0.1", 1), "127.0.0.1:1", "http://127.0.0.1:1")
    way, _ = _way(contract, place)
    lines = way.head.decode().split("\r\n")
    assert [line for line in lines if line.lower().startswith("origin:")] == ["Origin: https://app.example"]
    assert not [line for line in lines if line.lower().startswith("authorization")]
    plain = approach(load(None), {"user": "u1", "token": "t"}, place, "library")
    assert (plain.query, plain.namespace, plain.headers) == ("", "/", [])
