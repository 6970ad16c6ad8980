"""Does the null server let everybody in, and pass on what is said to exactly those who are there?"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from loadtest.targets.null.lane import Lane
from loadtest.targets.null.server import delay_ns
from loadtest.targets.reference.settings import SettingsError

pytestmark = pytest.mark.e2e


class Voice:
    """A WebSocket in a namespace that answers pings by itself and keeps what else it hears."""

    def __init__(self, opened: websocket.WebSocket) -> None:
        self._ws = opened
        self._heard: list[list[Any]] = []
        self._acks = 0
        assert opened.recv().startswith("0{")
        opened.send("40")
        assert opened.recv().startswith("40{")

    def _next(self) -> tuple[int | None, Any]:
        """(ack id or None, content) of the next event or ack."""
        while (frame := self._ws.recv()) == "2":
            self._ws.send("3")
        if frame.startswith("43"):
            number, _, content = frame[2:].partition("[")
            return int(number), json.loads("[" + content)
        assert frame.startswith("42"), frame
        return None, json.loads(frame[2:])

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """Emit, and wait for the ack; what comes before it is kept."""
        self._acks += 1
        self._ws.send(f"42{self._acks}{json.dumps([name, fields])}")
        while True:
            number, content = self._next()
            if number == self._acks:
                answer: dict[str, Any] = content[0]
                return answer
            self._heard.append(content)

    def heard(self) -> list[list[Any]]:
        """All events so far: whatever the server had sent by now is here before the ack of an echo."""
        assert self.ask("echo", n=1) == {"ok": True, "n": 1}
        heard, self._heard = self._heard, []
        return heard


Speak = Callable[..., Voice]


@pytest.fixture
def null(start: Any) -> Any:
    return start("--target", "null")


@pytest.fixture
def voice(wire: Any, null: Any) -> Speak:
    """A user that is authenticated and in a room."""

    def speak(user: str, room: str = "conversation:a", at: Any = null) -> Voice:
        found = Voice(wire(at))
        assert found.ask("authenticate", userId=user, token="anything") == {"ok": True, "userId": user}
        assert found.ask("joinRoom", room=room)["ok"]
        return found

    return speak


def test_it_says_yes_to_a_token_of_anybody_and_passes_the_preflight_routes(null: Any) -> None:
    assert null.get("/").body == {"status": "ok"}
    assert null.get("/api/config").body == {
        "websocket": True,
        "socketPath": "/socket.io",
        "rateLimit": {"limit": 0},
    }
    assert null.get("/api/messages/feed").code == "NOT_FOUND"


def test_a_message_reaches_everybody_in_its_room_with_its_mark_and_number(voice: Speak) -> None:
    ann, ben, cleo = voice("ann"), voice("ben"), voice("cleo", "conversation:b")
    said = {"conversationId": "a", "body": "hello", "clientMsgId": "m1", "meta": {"m": "m1"}}
    assert ann.ask("message:send", **said) == {"ok": True, "seq": 1}
    assert ben.ask("message:send", **said) == {"ok": True, "seq": 2}
    for one in (ann, ben):
        assert one.heard() == [
            ["message:new", {**said, "seq": 1, "senderId": "ann"}],
            ["message:new", {**said, "seq": 2, "senderId": "ben"}],
        ]
    assert cleo.heard() == []


def test_signals_go_to_the_others(voice: Speak) -> None:
    ann, ben = voice("ann"), voice("ben")
    signal = {"conversationId": "a", "meta": {"m": "m1"}}
    ann.ask("typing:start", **signal)
    assert ann.ask("message:read", upToSeq=7, **signal) == {"ok": True, "upToSeq": 7}
    assert ann.heard() == []
    assert ben.heard() == [
        ["typing:start", {**signal, "userId": "ann"}],
        ["message:read", {**signal, "upToSeq": 7, "userId": "ann"}],
    ]


def test_who_has_left_or_hung_up_hears_nothing_and_numbers_go_on(
    voice: Speak, null: Any, until: Any, wire: Any
) -> None:
    ann, ben = voice("ann"), voice("ben")
    gone = voice("cleo")
    assert ben.ask("leaveRoom", room="conversation:a")["ok"]
    gone._ws.close()
    until(lambda: null.stats()["sockets"] == 2)
    ann.ask("message:send", conversationId="a")
    assert ben.heard() == []
    assert [name for name, _ in ann.heard()] == ["message:new"]
    assert null.stats()["emitted"] == {"message:new": 1}
    assert ben.ask("joinRoom", room="conversation:a")["lastSeq"] == 1


def test_what_it_does_not_know_comes_back_as_it_was(voice: Speak) -> None:
    assert voice("ann").ask("no:such", a=[1, {"b": None}]) == {"ok": True, "a": [1, {"b": None}]}


def test_what_is_said_is_held_back_and_its_ack_is_not(voice: Speak, start: Any) -> None:
    ann = voice("ann", at=start("--target", "null", NULL_DELAY_MS="60"))
    begun_s = time.monotonic()
    ann.ask("message:send", conversationId="a")
    assert ann._heard == []
    ann._heard.append(ann._next()[1])
    assert time.monotonic() - begun_s >= 0.06
    assert [name for name, _ in ann.heard()] == ["message:new"]


@pytest.mark.parametrize("given", ["-1", "x", "nan", "60001"])
def test_a_delay_that_is_none_is_one_line_and_exit_2(given: str) -> None:
    with pytest.raises(SettingsError, match=f"NULL_DELAY_MS={given} must be milliseconds from 0 to 60000"):
        delay_ns({"NULL_DELAY_MS": given})


@pytest.mark.parametrize(
    ("flags", "environment", "says"),
    [
        (["--no-websocket"], {}, "has no HTTP polling"),
        ([], {"NULL_DELAY_MS": "x"}, "NULL_DELAY_MS=x"),
        ([], {"RATE_LIMIT": "x"}, "RATE_LIMIT=x"),
    ],
)
def test_wrong_switches_are_one_line_and_exit_2(
    flags: list[str], environment: dict[str, str], says: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "loadtest", "serve", "--target", "null", "--port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert says in result.stderr


def test_it_stands_behind_the_fault_proxy(start: Any) -> None:
    behind = start("--target", "null", "--through-faults")
    assert behind.get("/api/config").body["faultControl"].startswith("http://127.0.0.1:")


def test_an_upgrade_elsewhere_is_refused(null: Any) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(null.url.replace("http", "ws") + "/chat", timeout=10)


def test_off_loopback_it_tells_nothing_of_itself(start: Any) -> None:
    quiet = start("--target", "null", TEST_HOOKS="0")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(quiet.url + "/__stats", timeout=10)
    with refused.value:
        assert refused.value.code == 404


def test_a_signal_ends_it_with_0_even_with_open_sockets(voice: Speak, null: Any) -> None:
    voice("ann")
    assert null.stop() == 0


def test_a_lane_keeps_the_order_and_does_nothing_too_early() -> None:
    hold_ns = 5_000_000
    done: list[tuple[int, int]] = []

    async def play() -> list[int]:
        lane, put = Lane(hold_ns), []
        over = asyncio.Event()
        for number in range(20):
            put.append(time.monotonic_ns())
            lane.put(lambda number=number: done.append((number, time.monotonic_ns())))  # type: ignore[misc]
            await asyncio.sleep(0)
        lane.put(over.set)
        await over.wait()
        return put

    put = asyncio.run(play())
    assert [number for number, _ in done] == list(range(20))
    assert all(at - put[number] >= hold_ns for number, at in done)


def test_a_lane_without_a_delay_acts_at_once() -> None:
    done: list[int] = []
    Lane(0).put(lambda: done.append(1))
    assert done == [1]
