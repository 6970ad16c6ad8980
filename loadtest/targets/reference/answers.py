"""In what form does the HTTP door answer, and say no?"""

import logging
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.refusal import Refusal

Endpoint = Callable[[Request], Awaitable[Response]]
log = logging.getLogger("loadtest.reference")


def route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, refusing(endpoint), methods=[method])


def get(path: str, endpoint: Endpoint) -> Route:
    return route("GET", path, endpoint)


def post(path: str, endpoint: Endpoint) -> Route:
    return route("POST", path, endpoint)


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
    application = Starlette(
        routes=routes, middleware=[cors], exception_handlers={404: _no_such_route, 405: _no_such_route}
    )
    # A slash too many would be sent elsewhere; the contract knows no other answer than 404.
    application.router.redirect_slashes = False
    return application


def whole_parameter(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number of the query. Raises PAYLOAD_INVALID."""
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdigit() and lowest <= int(given[:17]) <= highest):
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a whole number from {lowest} to {highest}")
    return int(given)
