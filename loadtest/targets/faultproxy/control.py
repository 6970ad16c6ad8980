"""How are faults ordered? `GET /` says what there is, `POST /fault` carries one out. Loopback only."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.faultproxy.orders import OrderError, parse_order
from loadtest.targets.faultproxy.proxy import Proxy

HOST = "127.0.0.1"
_LONGEST_BODY = 8 * 1024 * 1024


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; 0 takes a free port. Raises OSError."""
    return socket.create_server((HOST, port))


def url(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"


class Control:
    """The endpoint, on the loop that runs the proxy: an order takes effect between two bytes."""

    def __init__(self, proxy: Proxy, listening: socket.socket) -> None:
        self._proxy = proxy
        self._listening = listening
        routes = [
            Route("/", self._report, methods=["GET"]),
            Route("/fault", self._fault, methods=["POST"]),
        ]
        handlers = {404: _no_such_route, 405: _no_such_route}
        config = uvicorn.Config(
            Starlette(routes=routes, exception_handlers=handlers),  # type: ignore[arg-type]
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve([self._listening]))

    async def close(self) -> None:
        if self._task is not None:
            self._server.should_exit = True
            await self._task

    async def _report(self, _request: Request) -> Response:
        return _answer(self._proxy.report())

    async def _fault(self, request: Request) -> Response:
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > _LONGEST_BODY:
                return _refused(413, "PAYLOAD_TOO_LARGE", f"{_LONGEST_BODY} bytes are allowed")
        try:
            order = parse_order(msgspec.json.decode(received), kinds=self._proxy.kinds)
        except OrderError as bad:
            return _refused(400, "PAYLOAD_INVALID", str(bad))
        except ValueError as bad:
            return _refused(400, "PAYLOAD_INVALID", f"the body is not JSON: {bad}")
        struck, at_ns = self._proxy.strike(order)
        return _answer({"ok": True, "kind": order.kind, "struck": struck, "atNs": at_ns})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are for the proxy, which then ends this as well.
        yield


def _answer(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _refused(status: int, code: str, message: str) -> Response:
    return _answer({"ok": False, "error": {"code": code, "message": message}}, status)


async def _no_such_route(_request: Request, exception: HTTPException) -> Response:
    if exception.status_code == 405:
        return _refused(405, "METHOD_NOT_ALLOWED", "this path does not take that method")
    return _refused(404, "NOT_FOUND", "there are GET / and POST /fault")
