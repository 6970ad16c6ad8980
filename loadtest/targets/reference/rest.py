"""What does a polling client get to see? The contract's HTTP door, over the same actions, store and feeds."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.actions import HTTP_SCOPE, Actions
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.feed import etag
from loadtest.targets.reference.payloads import is_conversation_id
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor
from loadtest.targets.reference.settings import RATE_WINDOW_MS

PAGE_LIMIT = 500
DEFAULT_PAGE = 100
Endpoint = Callable[[Request], Awaitable[Response]]
log = logging.getLogger("loadtest.reference")


class Rest:
    def __init__(self, core: Core, actions: Actions) -> None:
        self._settings = core.settings
        self._tokens = core.tokens
        self._conversations = core.conversations
        self._feeds = core.feeds
        self._clock = core.clock
        self._actions = actions
        self._windows: dict[str, SlidingWindow] = {}

    def routes(self) -> list[Route]:
        return [
            get("/", self._health),
            get("/api/config", self._config),
            get("/api/messages/feed", self._feed),
            get("/api/conversations/{id}/messages", self._history),
            post("/api/rooms/join", self._join),
            post("/api/rooms/leave", self._leave),
            post("/api/messages", self._send),
            post("/api/messages/read", self._read),
            post("/api/typing", self._typing),
        ]

    def forget_idle_windows(self) -> None:
        """Drops the rate windows of tokens that have written nothing for a minute."""
        now_ns = self._clock.now_ns()
        for token in [token for token, window in self._windows.items() if window.is_empty(now_ns)]:
            del self._windows[token]

    # -- open to everybody

    async def _health(self, _request: Request) -> Response:
        return answer({"status": "ok"})

    async def _config(self, _request: Request) -> Response:
        return answer(
            {
                "websocket": self._settings.enable_websocket,
                "socketPath": "/socket.io",
                "poll": {"messagesMs": 1500, "callsMs": 3000, "liveChatMs": 2000},
                "rateLimit": {"limit": self._settings.rate_limit, "windowMs": RATE_WINDOW_MS},
                "reconnect": {"attempts": 5, "delaysMs": [1000, 2000, 4000, 8000, 16000]},
            }
        )

    # -- reading

    async def _feed(self, request: Request) -> Response:
        user = self._actor(request).user_id
        limit = _whole(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT)
        now_ns = self._clock.now_ns()
        page = self._feeds.read(user, request.query_params.get("cursor"), limit, now_ns)
        tag = etag(user, page.pos)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if not page.moved and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = {
            "items": page.items,
            "cursor": page.cursor,
            "hasMore": page.has_more,
            "serverTime": now_ns // MS,
        }
        return answer(body, headers=headers)

    async def _history(self, request: Request) -> Response:
        user = self._actor(request).user_id
        conversation_id = request.path_params["id"]
        if not is_conversation_id(conversation_id):
            raise Refusal("NOT_FOUND", "there is no such conversation")
        log = self._conversations.of_member(conversation_id, user).log
        limit = _whole(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT)
        items, more = log.page(_whole(request, "afterSeq", 0, 0, 2**53), limit)
        return answer({"items": items, "lastSeq": log.last_seq, "hasMore": more})

    # -- writing

    async def _join(self, request: Request) -> Response:
        return answer(await self._perform(request, "joinRoom"))

    async def _leave(self, request: Request) -> Response:
        return answer(await self._perform(request, "leaveRoom"))

    async def _send(self, request: Request) -> Response:
        ack = await self._perform(request, "message:send")
        assert ack is not None
        if ack["duplicate"]:
            return answer(ack)
        return answer({field: ack[field] for field in ("ok", "id", "seq", "ts")}, status=201)

    async def _read(self, request: Request) -> Response:
        return answer(await self._perform(request, "message:read"))

    async def _typing(self, request: Request) -> Response:
        actor, payload = self._actor(request), await self.body(request)
        state = payload.get("state") if isinstance(payload, dict) else None
        if state not in ("start", "stop"):
            raise Refusal("PAYLOAD_INVALID", "state must be start or stop")
        self._actions.perform(f"typing:{state}", actor, payload, HTTP_SCOPE)
        return Response(status_code=204)

    async def _perform(self, request: Request, event: str) -> dict[str, Any] | None:
        actor = self._actor(request)
        return self._actions.perform(event, actor, await self.body(request), HTTP_SCOPE)

    # -- what a request says

    def _actor(self, request: Request) -> Actor:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal("NOT_AUTHENTICATED", "the header Authorization: Bearer <token> is missing")
        claims = self._tokens.verify(token.strip(), self._clock.now_ns())
        window = self._windows.get(token)
        if window is None:
            window = self._windows[token] = SlidingWindow(self._settings.rate_limit, RATE_WINDOW_MS * MS)
        return Actor(claims.user_id, window)

    async def body(self, request: Request) -> object:
        """The JSON of a request. Raises PAYLOAD_TOO_LARGE, PAYLOAD_INVALID."""
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > self._settings.max_http_buffer_bytes:
                raise Refusal(
                    "PAYLOAD_TOO_LARGE", f"{self._settings.max_http_buffer_bytes} bytes are allowed"
                )
        try:
            return msgspec.json.decode(received)
        except ValueError as bad:
            raise Refusal("PAYLOAD_INVALID", f"the body is not JSON: {bad}") from bad


def get(path: str, endpoint: Endpoint) -> Route:
    return Route(path, refusing(endpoint), methods=["GET"])


def post(path: str, endpoint: Endpoint) -> Route:
    return Route(path, refusing(endpoint), methods=["POST"])


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def refused(no: Refusal) -> Response:
    headers = {}
    if "retryAfterMs" in no.detail:
        headers["Retry-After"] = str(-(-no.detail["retryAfterMs"] // 1000))
    return answer({"ok": False, "error": no.error(), **no.beside}, no.status, headers)


def refusing(endpoint: Endpoint) -> Endpoint:
    """Answers refusals and failures in the contract's form, under the CORS headers of any other answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as no:
            return refused(no)
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return refused(Refusal("INTERNAL", "the server failed; its log says why"))

    return guarded


async def _no_such_route(_request: Request, exception: Exception) -> Response:
    if isinstance(exception, HTTPException) and exception.status_code == 405:
        return refused(Refusal("METHOD_NOT_ALLOWED", "this path does not take that method"))
    return refused(Refusal("NOT_FOUND", "there is no such path"))


def http_app(routes: list[Route], cors_origin: str) -> Starlette:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=[cors_origin],
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match"],
        expose_headers=["ETag", "Retry-After"],
    )
    return Starlette(
        routes=routes, middleware=[cors], exception_handlers={404: _no_such_route, 405: _no_such_route}
    )


def _whole(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdigit() and lowest <= int(given[:17]) <= highest):
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a whole number from {lowest} to {highest}")
    return int(given)
