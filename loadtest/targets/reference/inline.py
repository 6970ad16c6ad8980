"""How does python-socketio run an event without a task, and forget a client without searching every room?"""

from collections.abc import Callable
from typing import Any

import msgspec
import socketio

from loadtest.targets.reference.engine import EngineServer


class Json:
    """msgspec behind the two functions that python-socketio and python-engineio call."""

    @staticmethod
    def dumps(value: object, **_options: object) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: object) -> Any:
        return msgspec.json.decode(text)


class Manager(socketio.AsyncManager):  # type: ignore[misc]  # socketio has no types
    """Knows who is connected, and no rooms but each socket's own: rooms and fan-out are the application's.

    The inherited disconnect searches all rooms, one per socket: when 10,000 sockets go at once, 10^8 lookups.
    """

    def basic_disconnect(self, sid: str, namespace: str, **_options: Any) -> None:
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            waiting = pending.get(namespace, [])
            if sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    del pending[namespace]
        self.basic_leave_room(sid, namespace, sid)
        self.basic_leave_room(sid, namespace, None)


class InlineServer(socketio.AsyncServer):  # type: ignore[misc]  # socketio has no types
    """An AsyncServer that gives every event to one function, within the turn in which its frame was read.

    The library's own way is a task per event and no word about whether the client waits for an ack; the
    contract wants an `error` event exactly when it does not. `handle` is called with (sid, ack id or
    None, [event, *args]).
    """

    def __init__(self, handle: Callable[[str, int | None, list[Any]], None], **options: Any) -> None:
        super().__init__(client_manager=Manager(), json=Json, async_mode="asgi", **options)
        self._handle = handle

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    async def _handle_event(
        self,
        eio_sid: str,
        namespace: str | None,
        id: int | None,  # noqa: A002
        data: Any,
    ) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise ValueError("an event must be an array that begins with its name")
        if sid is not None:
            self._handle(sid, id, data)
