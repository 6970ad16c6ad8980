"""How does a polling client call, and hear that it is called?"""

from starlette.routing import Route

from loadtest.targets.reference.core import Core
from loadtest.targets.reference.rest import Rest


def call_routes(rest: Rest, core: Core) -> list[Route]:
    return [
        rest.feed("/api/calls/feed", core.call_feeds),
        rest.action("POST", "/api/calls", "call:initiate", status=201),
        rest.action("GET", "/api/calls/{callId}", "call:status"),
        rest.action("POST", "/api/calls/{callId}/answer", "call:answer"),
        rest.action("POST", "/api/calls/{callId}/decline", "call:decline"),
        rest.action("POST", "/api/calls/{callId}/end", "call:end"),
    ]
