"""How does a polling client ask who is here?"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.answers import answer, get
from loadtest.targets.reference.rest import Rest


def presence_routes(rest: Rest) -> list[Route]:
    async def presence(request: Request) -> Response:
        users = request.query_params.get("userIds", "")
        return answer(await rest.perform_with(request, "presence:get", {"userIds": users.split(",")}))

    return [get("/api/presence", presence)]
