"""A chat around flask-chat-events; Flask's session says who somebody is."""

import logging
import socket

from flask import Flask, request, session
from flask_chat_events import ChatEvents, PresenceRegistry
from flask_socketio import SocketIO

app = Flask(__name__)
app.secret_key = "of the tests"
socketio = SocketIO(app, async_mode="threading")
chat = ChatEvents(socketio, registry=PresenceRegistry())
chat.register_handlers(authenticate=lambda: session.get("username"))


@app.post("/login")
def login() -> tuple[str, int]:
    session["username"] = request.get_json()["username"]
    return "", 204


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logging.getLogger("werkzeug").disabled = True
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    socketio.run(app, host="127.0.0.1", port=port, allow_unsafe_werkzeug=True)
