"""What does a polling client get to see? The contract's HTTP door, over the same actions, store and feeds."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.actions import HTTP_READS, HTTP_SCOPE
from loadtest.targets.reference.answers import answer, get, route, whole_parameter
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Asker
from loadtest.targets.reference.settings import RATE_WINDOW_MS
from loadtest.targets.reference.ways import Way

PAGE_LIMIT = 500
DEFAULT_PAGE = 100


class Rest:
    """What all routes share, and the routes that belong to no domain."""

    def __init__(self, core: Core, way: Way) -> None:
        self._settings = core.settings
        self._tokens = core.tokens
        self._clock = core.clock
        self._way = way

    def routes(self) -> list[Route]:
        return [get("/", self._health), get("/api/config", self._config)]

    def feed(self, path: str, feeds: Feeds) -> Route:
        """A route to read one's own feed among `feeds`."""

        async def read(request: Request) -> Response:
            return await self._read(request, feeds)

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
        asker = self.asker(request)
        payload: object = {}
        if request.method != "GET":
            payload = await self.body(request, may_be_empty=bool(request.path_params))
        if isinstance(payload, dict):
            payload = payload | request.path_params
        return await self.perform_with(request, event, payload, asker)

    async def perform_with(
        self, request: Request, event: str, payload: object, asker: Asker | None = None
    ) -> dict[str, Any] | None:
        """The same with a payload that the route has put together itself."""
        scope = HTTP_READS if request.method == "GET" else HTTP_SCOPE
        return await self._way.act(asker or self.asker(request), event, payload, scope)

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
                **({"instance": self._settings.instance} if self._settings.shared else {}),
            }
        )

    # -- feeds

    async def _read(self, request: Request, feeds: Feeds) -> Response:
        user = self.asker(request).user_id
        limit = whole_parameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT)
        page, now_ns = await self._way.read(user, feeds, request.query_params.get("cursor"), limit)
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

    def asker(self, request: Request) -> Asker:
        """Who asks. Raises Refusal NOT_AUTHENTICATED, AUTH_*."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal("NOT_AUTHENTICATED", "the header Authorization: Bearer <token> is missing")
        claims = self._tokens.verify(token.strip(), self._clock.now_ns())
        return Asker(claims.user_id, claims.role, token)

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
