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
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.domains import Domain, Domains
from loadtest.targets.reference.gateway import Gateway
from loadtest.targets.reference.hooks import Hooks, OwnStats
from loadtest.targets.reference.messaging import Messaging
from loadtest.targets.reference.messaging_rest import messaging_routes
from loadtest.targets.reference.presence_rest import presence_routes
from loadtest.targets.reference.presence_watch import PresenceWatch
from loadtest.targets.reference.rest import Rest
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.state import State
from loadtest.targets.reference.support import Support
from loadtest.targets.reference.support_rest import support_routes
from loadtest.targets.reference.ways import Local, Way

SOCKET_PATH = "/socket.io"
DISABLED = {"code": "WEBSOCKET_DISABLED"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def domains(core: Core) -> list[Domain]:
    """The parts of the application. PresenceWatch comes first: the others ask `core.presence` who is here."""
    return [PresenceWatch(core), Messaging(core), Calling(core), Support(core)]


def domain_routes(rest: Rest, core: Core, way: Way) -> list[Route]:
    """The HTTP routes of the same parts."""
    return [
        *presence_routes(rest),
        *messaging_routes(rest, core, way),
        *call_routes(rest, core),
        *support_routes(rest, core),
    ]


class Application:
    """The ASGI application: Socket.IO below /socket.io, everything else HTTP."""

    def __init__(self, settings: Settings, core: Core | None = None) -> None:
        """`core` is built if none is given."""
        self.core = Core.build(settings) if core is None else core
        self._settings = settings
        self._faults = self.core.faults
        self.domains = Domains(domains(self.core))
        self.state = State(self.core, self.domains)
        self.actions = self.actions_counted_in(self.core.counters)
        self.gateway, self.way = self._doors()
        self.own_stats = OwnStats(self.core, self.gateway, self.domains)
        self.rest = Rest(self.core, self.way)
        routes = self.rest.routes() + domain_routes(self.rest, self.core, self.way)
        if settings.test_hooks:
            routes += Hooks(self.core, self.rest, self.gateway, self.way, self.own_stats).routes()
        routes += self._more_routes()
        if not settings.enable_websocket:
            everything = ["GET", "POST", "PUT", "DELETE", "PATCH"]
            routes.append(Route(SOCKET_PATH + "{rest:path}", _disabled, methods=everything))
        self._http = http_app(routes, settings.cors_origin)

    def _doors(self) -> tuple[Gateway, Way]:
        """How sockets and requests get to the state."""
        local = Local(self.state, self.actions, self.core.windows)
        return Gateway(self.core, self.actions, self.state), local

    def _more_routes(self) -> list[Route]:
        """What only one of several instances answers."""
        return []

    def actions_counted_in(self, counters: Counters) -> Actions:
        """The table of what can be asked for."""
        table = self.domains.actions() + calibration_actions(self.core.clock)
        return Actions(table, counters, self.core.clock)

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
