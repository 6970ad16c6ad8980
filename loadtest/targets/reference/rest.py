"""What does a polling client get to see? The contract's HTTP door, over the same actions, store and feeds."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.actions import HTTP_READS, HTTP_SCOPE, Actions
from loadtest.targets.reference.answers import answer, get, route, whole_parameter
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domains
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor
from loadtest.targets.reference.settings import RATE_WINDOW_MS

PAGE_LIMIT = 500
DEFAULT_PAGE = 100


class Rest:
    """What all routes share, and the routes that belong to no domain."""

    def __init__(self, core: Core, actions: Actions, domains: Domains) -> None:
        self._settings = core.settings
        self._tokens = core.tokens
        self._clock = core.clock
        self._actions = actions
        self._domains = domains
        self._windows: dict[str, SlidingWindow] = {}

    def routes(self) -> list[Route]:
        return [get("/", self._health), get("/api/config", self._config)]

    def feed(self, path: str, feeds: Feeds) -> Route:
        """A route to read one's own feed among `feeds`."""

        async def read(request: Request) -> Response:
            return self._read(request, feeds)

        return get(path, read)

    def action(self, method: str, path: str, event: str, status: int = 200) -> Route:
        """A route that carries out `event` and answers its ack.

        The payload is the body, and over it what the path names (`/api/calls/{callId}`); where the path
        names something the body may be missing. A repetition (`duplicate`) is answered 200. GET is
        charged to no rate limit.
        """

        async def carry_out(request: Request) -> Response:
            ack = await self.perform(request, event)
            assert ack is not None
            return answer(ack, 200 if ack.get("duplicate") else status)

        return route(method, path, carry_out)

    async def perform(self, request: Request, event: str) -> dict[str, Any] | None:
        """Carries `event` out for whoever asks, as `action` describes it. Raises Refusal."""
        actor = self.actor(request)
        payload: object = {}
        if request.method != "GET":
            payload = await self.body(request, may_be_empty=bool(request.path_params))
        if isinstance(payload, dict):
            payload = payload | request.path_params
        return self.perform_with(request, event, payload, actor)

    def perform_with(
        self, request: Request, event: str, payload: object, actor: Actor | None = None
    ) -> dict[str, Any] | None:
        """The same with a payload that the route has put together itself."""
        scope = HTTP_READS if request.method == "GET" else HTTP_SCOPE
        return self._actions.perform(event, actor or self.actor(request), payload, scope)

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
                **({"faultControl": self._settings.fault_control} if self._settings.fault_control else {}),
            }
        )

    # -- feeds

    def _read(self, request: Request, feeds: Feeds) -> Response:
        user = self.actor(request).user_id
        limit = whole_parameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT)
        now_ns = self._clock.now_ns()
        self._domains.polled(user)
        page = feeds.read(user, request.query_params.get("cursor"), limit, now_ns)
        tag = feeds.etag(user, page.pos)
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

    # -- what a request says

    def actor(self, request: Request) -> Actor:
        """Who asks. Raises Refusal NOT_AUTHENTICATED, AUTH_*."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal("NOT_AUTHENTICATED", "the header Authorization: Bearer <token> is missing")
        claims = self._tokens.verify(token.strip(), self._clock.now_ns())
        window = self._windows.get(token)
        if window is None:
            window = self._windows[token] = SlidingWindow(self._settings.rate_limit, RATE_WINDOW_MS * MS)
        return Actor(claims.user_id, claims.role, window)

    async def body(self, request: Request, *, may_be_empty: bool = False) -> object:
        """The JSON of a request; `{}` where nothing was said and `may_be_empty`. Raises PAYLOAD_TOO_LARGE,
        PAYLOAD_INVALID."""
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > self._settings.max_http_buffer_bytes:
                raise Refusal(
                    "PAYLOAD_TOO_LARGE", f"{self._settings.max_http_buffer_bytes} bytes are allowed"
                )
        if not received and may_be_empty:
            return {}
        try:
            return msgspec.json.decode(received)
        except ValueError as bad:
            raise Refusal("PAYLOAD_INVALID", f"the body is not JSON: {bad}") from bad
