"""How does a polling client start, take, hold and close a live chat?"""

from starlette.routing import Route

from loadtest.targets.reference.core import Core
from loadtest.targets.reference.rest import Rest


def support_routes(rest: Rest, core: Core) -> list[Route]:
    return [
        rest.feed("/api/live-chat/feed", core.chat_feeds),
        rest.action("POST", "/api/live-chat", "liveChat:start", status=201),
        rest.action("PUT", "/api/live-chat/operator-status", "liveChat:operatorStatus"),
        rest.action("POST", "/api/live-chat/{chatId}/messages", "liveChat:message", status=201),
        rest.action("POST", "/api/live-chat/{chatId}/accept", "liveChat:accept"),
        rest.action("POST", "/api/live-chat/{chatId}/close", "liveChat:close"),
    ]
