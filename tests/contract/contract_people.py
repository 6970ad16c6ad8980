"""Users of a server under test, by socket or by polling, who are asked in the same words.

The socket is spoken frame by frame: a library would hide what a server really sends.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import websocket

from loadtest.contract.development import DEVELOPMENT_SECRET

PATIENCE_S = 10.0
# Long after any test: a server whose clock runs fast lives through years.
FAR = 4_000_000_000
Payload = dict[str, Any]

# Event, and what a polling user does instead: method, path, and the status of an answer that is no repetition.
ROUTES: dict[str, tuple[str, str, int]] = {
    "joinRoom": ("POST", "/api/rooms/join", 200),
    "leaveRoom": ("POST", "/api/rooms/leave", 200),
    "message:send": ("POST", "/api/messages", 201),
    "message:read": ("POST", "/api/messages/read", 200),
    "typing:start": ("POST", "/api/typing", 204),
    "typing:stop": ("POST", "/api/typing", 204),
    "call:initiate": ("POST", "/api/calls", 201),
    "call:status": ("GET", "/api/calls/{callId}", 200),
    "call:answer": ("POST", "/api/calls/{callId}/answer", 200),
    "call:decline": ("POST", "/api/calls/{callId}/decline", 200),
    "call:end": ("POST", "/api/calls/{callId}/end", 200),
    "liveChat:start": ("POST", "/api/live-chat", 201),
    "liveChat:operatorStatus": ("PUT", "/api/live-chat/operator-status", 200),
    "liveChat:message": ("POST", "/api/live-chat/{chatId}/messages", 201),
    "liveChat:accept": ("POST", "/api/live-chat/{chatId}/accept", 200),
    "liveChat:close": ("POST", "/api/live-chat/{chatId}/close", 200),
    "presence:get": ("GET", "/api/presence", 200),
}
FEEDS = {"messages": "/api/messages/feed", "calls": "/api/calls/feed", "live-chat": "/api/live-chat/feed"}

EIO = "/socket.io/?EIO=4&transport=polling"
SEPARATOR = "\x1e"
HEADERS = {"Content-Type": "text/plain;charset=UTF-8"}


@dataclass(frozen=True)
class Answer:
    """What was acknowledged; `status` and `headers` are those of HTTP, None and empty on a socket."""

    body: Any
    status: int | None = None
    headers: Mapping[str, str] | None = None

    def __getitem__(self, field: str) -> Any:
        assert self.body["ok"] is True, self.body
        return self.body[field]

    @property
    def fields(self) -> set[str]:
        assert self.body["ok"] is True, self.body
        return set(self.body)

    @property
    def error(self) -> Payload:
        assert self.body["ok"] is False, self.body
        error: Payload = self.body["error"]
        return error

    @property
    def code(self) -> str:
        return str(self.error["code"])


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits for a condition, and fails if it never holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"not within {patience_s} s: {what}"
        time.sleep(0.005)


class Http:
    """A connection that is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        with self._sent(method, path, data, given) as response:
            text = response.read()
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            answer = json.loads(text) if is_json and text else text
            return Answer(answer, response.status, response.headers)

    def _sent(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, data, headers)
            return self._connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            # A server ends what nobody used for some seconds; it has seen nothing of this request.
            self._connection.close()
            self._connection.request(method, path, data, headers)
            return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()


class Person:
    """Somebody with a name and a token; see the two below for how they get through to the server."""

    mode = ""

    def __init__(self, url: str, user: str, role: str = "user") -> None:
        self.url = url
        self.user = user
        self.role = role
        self.token = sign(user, role)
        self.http = Http(url)
        self.chats: list[str] = []
        self.on_duty = False

    def ask(self, event: str, payload: object = None, **fields: object) -> Answer:
        """What the server answers; `fields` make the payload if none is given."""
        given = fields if payload is None else payload
        answer = self._ask(event, given)
        if event == "liveChat:start" and answer.body.get("ok"):
            self.chats.append(answer["chatId"])
        self.on_duty = self.on_duty or event == "liveChat:operatorStatus"
        return answer

    def _ask(self, event: str, payload: object) -> Answer:
        raise NotImplementedError

    def events(self, *names: str) -> list[Payload]:
        """What has come under these names, once everything has come that was on its way."""
        raise NotImplementedError

    def names(self, prefix: str = "") -> list[str]:
        """The names of all that has come, in order."""
        raise NotImplementedError

    def hear(self, event: str, count: int = 1) -> list[Payload]:
        """The events of that name, once there are `count`."""
        until(lambda: len(self.events(event)) >= count, f"{count} {event} to {self.user} by {self.mode}")
        return self.events(event)

    def join(self, room: str, **more: object) -> Answer:
        answer = self.ask("joinRoom", {"room": f"conversation:{room}", **more})
        assert answer["room"] == f"conversation:{room}"
        return answer

    def send(self, room: str, body: str = "hello", **more: object) -> Answer:
        message = {"conversationId": room, "body": body, "clientMsgId": uuid.uuid4().hex, **more}
        return self.ask("message:send", message)

    def go(self) -> None:
        """Leaves; whoever has taken part in live chats puts that in order first."""
        if self.on_duty:
            self.http.ask("PUT", "/api/live-chat/operator-status", {"status": "offline"}, self.token)
        for chat in self.chats:
            self.http.ask("POST", f"/api/live-chat/{chat}/close", {}, self.token)
        self.http.close()


class Caller(Person):
    """By WebSocket, and authenticated; `authenticate=False` leaves that to the test."""

    mode = "socket"

    def __init__(
        self, url: str, user: str, role: str = "user", device: str | None = None, authenticate: bool = True
    ) -> None:
        super().__init__(url, user, role)
        self.heard: list[tuple[str, Any]] = []
        self._acks: dict[int, Any] = {}
        self._asked = 0
        self.wire = wire(url)
        self.opened = json.loads(self.frame()[1:])
        self.wire.send("40")
        self.sid = json.loads(self.frame().removeprefix("40"))["sid"]
        if authenticate:
            self.hello = self.ask("authenticate", userId=user, token=self.token, **_given(deviceId=device))
            assert self.hello["ok"]

    def frame(self) -> str:
        """The next that is no heartbeat; "" once the server has hung up."""
        while True:
            try:
                frame = self.wire.recv()
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                return ""
            if frame != "2":
                return str(frame)
            self.wire.send("3")

    def tell(self, event: str, payload: object) -> None:
        """Without asking for an acknowledgement."""
        self.wire.send("42" + json.dumps([event, payload]))

    def begin(self, event: str, payload: object) -> int:
        """Asks, and does not wait; the number is for `answer`."""
        self._asked += 1
        self.wire.send(f"42{self._asked}" + json.dumps([event, payload]))
        return self._asked

    def answer(self, number: int) -> Answer:
        while number not in self._acks:
            assert self._take(), f"{self.user} was hung up on"
        (body,) = self._acks.pop(number) or [None]
        return Answer(body)

    def _ask(self, event: str, payload: object) -> Answer:
        return self.answer(self.begin(event, payload))

    def _take(self) -> bool:
        frame = self.frame()
        if frame.startswith("42"):
            name, *arguments = json.loads(frame[2:])
            self.heard.append((name, arguments[0]))
        elif frame.startswith("43"):
            number, _, rest = frame[2:].partition("[")
            self._acks[int(number)] = json.loads("[" + rest)
        return frame not in ("", "41")

    def events(self, *names: str) -> list[Payload]:
        self.settle()
        return [data for name, data in self.heard if name in names]

    def names(self, prefix: str = "") -> list[str]:
        self.settle()
        return [name for name, _ in self.heard if name.startswith(prefix)]

    def settle(self) -> None:
        """Whatever the server had sent is here: connections keep the order."""
        self.answer(self.begin("echo", {}))

    def hear_until_hung_up(self) -> list[tuple[str, Any]]:
        """All that comes until the server is done with us."""
        while self._take():
            pass
        return self.heard

    def drop(self) -> None:
        """Gone without a word."""
        self.wire.shutdown()

    def go(self) -> None:
        super().go()
        self.wire.shutdown()


class Poller(Person):
    """By HTTP alone; reads all three feeds from the beginning."""

    mode = "polling"

    def __init__(self, url: str, user: str, role: str = "user") -> None:
        super().__init__(url, user, role)
        self.heard: list[tuple[str, Any]] = []
        self._cursors: dict[str, str] = {}
        for feed in FEEDS:
            self.poll(feed)

    def _ask(self, event: str, payload: object) -> Answer:
        method, path, _ = ROUTES[event]
        if isinstance(payload, dict):
            path = path.format_map({name: quote(str(value), safe="") for name, value in payload.items()})
            if event.startswith("typing:"):
                payload = {**payload, "state": event.removeprefix("typing:")}
            if event == "presence:get":
                path += "?userIds=" + ",".join(quote(user) for user in payload["userIds"])
        return self.http.ask(method, path, None if method == "GET" else payload, self.token)

    def poll(self, feed: str) -> Payload:
        """One page of it."""
        cursor = self._cursors.get(feed)
        path = FEEDS[feed] + (f"?cursor={cursor}&limit=500" if cursor else "")
        answer = self.http.ask("GET", path, token=self.token)
        assert answer.status == 200, answer
        page: Payload = answer.body
        self._cursors[feed] = page["cursor"]
        self.heard += [(item["event"], item["data"]) for item in page["items"]]
        return page

    def events(self, *names: str) -> list[Payload]:
        self.settle()
        return [data for name, data in self.heard if name in names]

    def names(self, prefix: str = "") -> list[str]:
        self.settle()
        return [name for name, _ in self.heard if name.startswith(prefix)]

    def settle(self) -> None:
        for feed in FEEDS:
            while self.poll(feed)["hasMore"]:
                pass


def sign(user: str, role: str = "user", secret: str = DEVELOPMENT_SECRET, **claims: object) -> str:
    """A token as load tests make them."""
    return jwt.encode({"sub": user, "role": role, "exp": FAR, **claims}, secret, algorithm="HS256")


def wire(url: str, sid: str | None = None, **options: Any) -> websocket.WebSocket:
    """A WebSocket in the hands of a test: a new session, or the upgrade of `sid`."""
    session = "" if sid is None else f"&sid={sid}"
    address = url.replace("http", "ws", 1) + f"/socket.io/?EIO=4&transport=websocket{session}"
    return websocket.create_connection(address, timeout=PATIENCE_S, **options)


class Polling:
    """An Engine.IO session by long polling."""

    def __init__(self, url: str) -> None:
        self.http = Http(url)
        self.opened = json.loads(self.http.ask("GET", EIO).body.decode().removeprefix("0"))
        self.path = f"{EIO}&sid={self.opened['sid']}"

    def post(self, *packets: str) -> Answer:
        return self.http.ask("POST", self.path, raw=SEPARATOR.join(packets).encode(), headers=HEADERS)

    def get(self) -> list[str]:
        """The packets of one poll."""
        answer = self.http.ask("GET", self.path)
        assert answer.status == 200
        return str(answer.body.decode()).split(SEPARATOR)

    def until(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """All packets of as many polls as it takes."""
        packets: list[str] = []
        while not wanted(packets):
            packets += self.get()
        return packets


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
