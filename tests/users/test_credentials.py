"""Does a device log in once, keep what it got, and get something new when that no longer holds?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import gevent
import jwt
import pytest
from gevent.pywsgi import WSGIServer

from loadtest.contract import Contract, load, parse
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.credentials import Credentials
from loadtest.users.login import Named

Until = Callable[[Callable[[], object]], None]
LOGIN = """
name = "x"
format = 1

[[login]]
method = "POST"
path = "/login"
form = { name = "${user}" }
capture = { token = "$.token" }

[send]
emit = "say"
args = ["${room}", "${marker}", "${token}"]

[[deliveries]]
operation = "message.deliver"
on = "said"
marker = "$[0]"
"""


class Desk:
    """Gives a new token to whoever asks, and a cookie; ``status``: what it answers with."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = "200 OK"

    def __call__(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        self.asked.append(environ["wsgi.input"].read().decode())
        start(self.status, [("Set-Cookie", "sid=1; HttpOnly"), ("Set-Cookie", "theme=dark")])
        return [b'{"token": "token %d"}' % len(self.asked)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def at(desk: Desk) -> Iterator[Place]:
    server = WSGIServer(("127.0.0.1", 0), desk, log=None)
    server.start()
    port = server.server_port
    yield Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    server.stop(timeout=0)


def credentials(contract: Contract, place: Place, faults: list[BaseException] | None = None) -> Credentials:
    live = SimpleNamespace(
        contract=contract,
        place=place,
        settings=SimpleNamespace(token_secret="s" * 32, headers="library"),
        fault=([] if faults is None else faults).append,
        record_lag=lambda lag_ns: None,
        note_limits=lambda error: None,
        named=Named.of(contract),
    )
    return Credentials(cast(Any, live), "run-0.0.1", "d-0.0.1", "user", "the-room")


def test_a_login_happens_once(desk: Desk, at: Place) -> None:
    made = credentials(parse(LOGIN), at)
    for _ in range(2):
        made.log_in(5)
    assert desk.asked == ["name=run-0.0.1"]
    assert made.identity["token"] == "token 1"
    assert made.cookies.headers == [("Cookie", "sid=1; theme=dark")]


def test_a_token_that_expired_is_got_anew(desk: Desk, at: Place, until: Until) -> None:
    made = credentials(parse(LOGIN), at)
    made.log_in(5)
    made.renew(at_once=False)  # the next connection will ask
    assert made.identity["token"] == "token 1"
    made.log_in(5)
    assert made.identity["token"] == "token 2"
    made.renew(at_once=True)
    until(lambda: made.identity["token"] == "token 3")


def test_a_refused_login_is_said(desk: Desk, at: Place) -> None:
    desk.status = "403 Forbidden"
    faults: list[BaseException] = []
    made = credentials(parse(LOGIN), at, faults)
    with pytest.raises(ConnectFailed) as caught:
        made.log_in(5)
    assert caught.value.cause is Cause.CONNECT_ERROR
    assert caught.value.detail == 'login step 1, POST /login: answered HTTP 403 {"token": "token 1"}'
    made.renew(at_once=True)  # nobody waits for that one: the next poll asks again
    gevent.sleep(0.05)
    assert faults == []


def test_without_a_login_users_sign_for_themselves(at: Place) -> None:
    made = credentials(load(None), at)
    made.log_in(5)
    assert set(made.identity) == {"user", "device", "role", "token"}
    claims = jwt.decode(str(made.identity["token"]), "s" * 32, ["HS256"])
    assert (claims["sub"], claims["role"]) == ("run-0.0.1", "user")
    old = made.identity["token"]
    made.identity["token"] = "expired"
    made.renew(at_once=True)
    assert made.identity["token"] != "expired" and old


def test_what_the_contract_names_early_is_there_from_the_start(at: Place) -> None:
    text = LOGIN.replace(
        'form = { name = "${user}" }', 'form = { room = "${room}", o = "${origin}", seat = "${seat}" }'
    )
    made = credentials(parse(text.replace('"$.token"', '"$.token", seat = "$.seat"')), at)
    assert made.identity["room"] == "the-room" and made.identity["origin"] == at.base
    assert made.identity["seat"] is None
