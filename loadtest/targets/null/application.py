"""Which doors has the null server? Socket.IO, and the few HTTP routes that a preflight asks for."""

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import psutil
from starlette.requests import Request
from starlette.responses import Response

from loadtest.targets.null.parlour import Parlour
from loadtest.targets.reference.answers import answer, get, http_app
from loadtest.targets.reference.application import SOCKET_PATH
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.inline import InlineServer
from loadtest.targets.reference.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
MS = 1_000_000


class Application:
    """The ASGI application; ``counters`` hold the lag of its loop."""

    def __init__(self, settings: Settings, delay_ns: int) -> None:
        self.counters = Counters()
        self._fault_control = settings.fault_control
        self._parlour = Parlour(delay_ns)
        self._process = psutil.Process()
        self.sio = InlineServer(
            self._parlour.hear,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            max_http_buffer_size=settings.max_http_buffer_bytes,
            cors_allowed_origins=settings.cors_origin,
        )
        self.sio.on("connect", self._come)
        self.sio.on("disconnect", lambda sid, _reason: self._parlour.go(sid))
        routes = [get("/", self._health), get("/api/config", self._config)]
        if settings.test_hooks:
            routes.append(get("/__stats", self._stats))
        self._http = http_app(routes, settings.cors_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["path"] + "/").startswith(SOCKET_PATH + "/"):
            await self.sio.handle_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await self._http(scope, receive, send)

    async def close(self) -> None:
        """End every session."""
        for engine in list(self.sio.eio.sockets.values()):
            await engine.close(abort=True)

    async def _come(self, sid: str, _environ: dict[str, Any], _auth: object = None) -> bool:
        eio_sid = self.sio.manager.eio_sid_from_sid(sid, "/")
        self._parlour.come(sid, self.sio.eio.sockets[eio_sid])
        return True

    async def _health(self, _request: Request) -> Response:
        return answer({"status": "ok"})

    async def _config(self, _request: Request) -> Response:
        told: dict[str, Any] = {"websocket": True, "socketPath": SOCKET_PATH, "rateLimit": {"limit": 0}}
        if self._fault_control:
            told["faultControl"] = self._fault_control
        return answer(told)

    async def _stats(self, _request: Request) -> Response:
        parlour = self._parlour
        return answer(
            {
                "sockets": len(parlour.guests),
                "rooms": len(parlour),
                "received": parlour.received,
                "emitted": parlour.emitted,
                "accepted": parlour.received,
                "pid": os.getpid(),
                "cpuSeconds": time.process_time(),
                "rssBytes": self._process.memory_info().rss,
                "loopLagMsP99": self.counters.lag_p99_ns() / MS,
            }
        )
