"""How does a polling client join, say, read and look up messages?"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.answers import answer, get, post, whole_parameter
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.fields import is_conversation_id
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rest import DEFAULT_PAGE, PAGE_LIMIT, Rest
from loadtest.targets.reference.ways import Way


def messaging_routes(rest: Rest, core: Core, way: Way) -> list[Route]:
    async def history(request: Request) -> Response:
        user = rest.asker(request).user_id
        conversation_id = request.path_params["id"]
        if not is_conversation_id(conversation_id):
            raise Refusal("NOT_FOUND", "there is no such conversation")
        limit = whole_parameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT)
        after_seq = whole_parameter(request, "afterSeq", 0, 0, 2**53)
        return answer(await way.look_up(user, conversation_id, after_seq, limit))

    async def send(request: Request) -> Response:
        ack = await rest.perform(request, "message:send")
        assert ack is not None
        if ack["duplicate"]:
            return answer(ack)
        return answer({field: ack[field] for field in ("ok", "id", "seq", "ts")}, status=201)

    async def typing(request: Request) -> Response:
        rest.asker(request)  # who may not ask is told so before what was wrong with the question
        payload = await rest.body(request)
        state = payload.get("state") if isinstance(payload, dict) else None
        if state not in ("start", "stop"):
            raise Refusal("PAYLOAD_INVALID", "state must be start or stop")
        await rest.perform_with(request, f"typing:{state}", payload)
        return Response(status_code=204)

    return [
        rest.feed("/api/messages/feed", core.message_feeds),
        get("/api/conversations/{id}/messages", history),
        rest.action("POST", "/api/rooms/join", "joinRoom"),
        rest.action("POST", "/api/rooms/leave", "leaveRoom"),
        post("/api/messages", send),
        rest.action("POST", "/api/messages/read", "message:read"),
        post("/api/typing", typing),
    ]
