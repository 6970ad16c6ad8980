"""One server with many manners, a namespace for each; contracts in the tests describe them."""

import json
import socket
from typing import Any
from urllib.parse import parse_qs

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

sio = socketio.AsyncServer(async_mode="asgi", namespaces="*")
people: dict[tuple[str, str], str] = {}


# -- /objects: a name in CONNECT's auth, objects as arguments, {error}, all but the sender


@sio.on("connect", namespace="/objects")
async def come_in(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if not isinstance(auth, dict) or "name" not in auth:
        raise socketio.exceptions.ConnectionRefusedError("no name")
    await sio.save_session(sid, {"name": auth["name"]}, namespace="/objects")


@sio.on("hello", namespace="/objects")
async def hello(sid: str, data: dict[str, str]) -> dict[str, Any]:
    return {"ticket": f"ticket of {data['name']}"}


@sio.on("enter", namespace="/objects")
async def enter(sid: str, data: dict[str, str]) -> dict[str, Any]:
    if not data.get("ticket"):
        return {"error": {"code": "NO_TICKET"}}
    await sio.enter_room(sid, data["room"], namespace="/objects")
    return {"last": 0}


@sio.on("send", namespace="/objects")
async def send(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    if not data.get("text"):
        return {"error": {"code": "EMPTY"}}
    name = (await sio.get_session(sid, namespace="/objects"))["name"]
    said = {"id": data["id"], "from": name, "in": data["room"], "number": 1}
    await sio.emit("sent", said, room=data["room"], skip_sid=sid, namespace="/objects")
    return {"number": 1}


@sio.on("shout", namespace="/objects")
async def shout(sid: str, data: dict[str, Any]) -> None:
    """No answer at all to who does not speak up: only an event."""
    await sio.emit("trouble", {"why": "TOO_LOUD"}, to=sid, namespace="/objects")


# -- /direct: one user to another, nothing acknowledged, the server says who one is


@sio.on("connect", namespace="/direct")
async def come_in_directly(sid: str, environ: dict[str, Any], auth: Any) -> None:
    people["/direct", auth["name"]] = sid
    await sio.emit("welcome", {"you": {"id": sid}}, to=sid, namespace="/direct")


@sio.on("dm", namespace="/direct")
async def direct(sid: str, mine: str, to: str, text: str) -> None:
    if mine == sid:
        await sio.emit("dm", (text, "a trailing argument"), to=people["/direct", to], namespace="/direct")


# -- /binary: bytes there, bytes back, to everybody


@sio.on("blob", namespace="/binary")
async def blob(sid: str, data: dict[str, bytes]) -> None:
    await sio.emit("blob", {"part": data["part"]}, namespace="/binary")


# -- /posted: what is posted over HTTP is delivered by an event


async def post(request: Request) -> JSONResponse:
    said = json.loads(await request.body())
    if request.headers.get("x-key") != "secret":
        return JSONResponse({"reason": "BAD_KEY"}, 403)
    await sio.emit("news", said, namespace="/posted")
    return JSONResponse({"taken": True}, 202)


async def key(request: Request) -> JSONResponse:
    return JSONResponse({"ok": True}, headers={"X-Key": "secret"})


# -- /query: the room is in the query; /room-<name>: in the name of the namespace


@sio.on("connect", namespace="/query")
async def come_in_asking(sid: str, environ: dict[str, Any], auth: Any) -> None:
    (room,) = parse_qs(environ["QUERY_STRING"])["room"]
    await sio.save_session(sid, {"room": room}, namespace="/query")
    await sio.enter_room(sid, room, namespace="/query")


@sio.on("say", namespace="*")
async def say(namespace: str, sid: str, text: str) -> None:
    room = (await sio.get_session(sid, namespace=namespace)).get("room")
    await sio.emit("said", text, room=room, namespace=namespace)


if __name__ == "__main__":
    routes = [Route("/messages", post, methods=["POST"]), Route("/key", key, methods=["GET"])]
    app = socketio.ASGIApp(sio, Starlette(routes=routes))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
