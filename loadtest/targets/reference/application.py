"""Which parts make the reference server, and which request goes through which door?"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.actions import Actions, calibration_actions
from loadtest.targets.reference.answers import answer, http_app
from loadtest.targets.reference.call_rest import call_routes
from loadtest.targets.reference.calling import Calling
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domain, Domains
from loadtest.targets.reference.gateway import Gateway
from loadtest.targets.reference.hooks import Hooks
from loadtest.targets.reference.messaging import Messaging
from loadtest.targets.reference.messaging_rest import messaging_routes
from loadtest.targets.reference.presence_rest import presence_routes
from loadtest.targets.reference.presence_watch import PresenceWatch
from loadtest.targets.reference.rest import Rest
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.support import Support
from loadtest.targets.reference.support_rest import support_routes

SOCKET_PATH = "/socket.io"
DISABLED = {"code": "WEBSOCKET_DISABLED"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def domains(core: Core) -> list[Domain]:
    """The parts of the application. PresenceWatch comes first: the others ask `core.presence` who is here."""
    return [PresenceWatch(core), Messaging(core), Calling(core), Support(core)]


def domain_routes(rest: Rest, core: Core) -> list[Route]:
    """The HTTP routes of the same parts."""
    return [
        *presence_routes(rest),
        *messaging_routes(rest, core),
        *call_routes(rest, core),
        *support_routes(rest, core),
    ]


class Application:
    """The ASGI application: Socket.IO below /socket.io, everything else HTTP."""

    def __init__(self, settings: Settings) -> None:
        self.core = Core.build(settings)
        self._settings = settings
        self._faults = self.core.faults
        self.domains = Domains(domains(self.core))
        table = self.domains.actions() + calibration_actions(self.core.clock)
        actions = Actions(table, self.core.counters, self.core.clock)
        self.gateway = Gateway(self.core, actions, self.domains)
        self.rest = Rest(self.core, actions, self.domains)
        routes = self.rest.routes() + domain_routes(self.rest, self.core)
        if settings.test_hooks:
            routes += Hooks(self.core, self.rest, self.gateway, self.domains).routes()
        if not settings.enable_websocket:
            everything = ["GET", "POST", "PUT", "DELETE", "PATCH"]
            routes.append(Route(SOCKET_PATH + "{rest:path}", _disabled, methods=everything))
        self._http = http_app(routes, settings.cors_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_socket = self._settings.enable_websocket and (scope["path"] + "/").startswith(SOCKET_PATH + "/")
        if scope["type"] == "websocket":
            if not is_socket:
                await _refuse_upgrade(send, 404)
            elif self._faults.strikes("refuseUpgrade"):
                await _refuse_upgrade(send, 503)
            else:
                await self.gateway.sio.handle_request(scope, receive, send)
        elif is_socket:
            await self.gateway.sio.handle_request(scope, receive, send)
        else:
            await self._http(scope, receive, send)


async def _disabled(_request: Request) -> Response:
    return answer(DISABLED, status=404)


async def _refuse_upgrade(send: Send, status: int) -> None:
    """Answers a WebSocket handshake with an HTTP status (ASGI extension websocket.http.response)."""
    refusal = answer(DISABLED if status == 404 else {"code": "UPGRADE_REFUSED"}, status)
    await send({"type": "websocket.http.response.start", "status": status, "headers": refusal.raw_headers})
    await send({"type": "websocket.http.response.body", "body": refusal.body})
