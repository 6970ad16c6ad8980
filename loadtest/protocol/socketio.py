"""How does a Socket.IO 5 packet look on the wire?

Here a packet is the whole Engine.IO message with its leading ``4``, as it stands in a text frame or a polling
body: cutting that byte off would copy every payload once more.

    4 <type> [<attachments>-] [<namespace>,] [<ack id>] [JSON]

    40  40{"token":"x"}  40/admin,{"token":"x"}     connect, and the answer 40{"sid":"...","pid":"..."}
    41  41/admin,                                   disconnect
    42["name",arg,...]  4212["name"]  42/admin,13["name"]     event, with an ack id if it wants an answer
    43  4312["result"]                              ack of the event with that id
    44{"message":"no","data":{}}  44"no"            connect error; python-socketio sends the bare string too
    452-["up",{"_placeholder":true,"num":0}]  461-15[...]     binary event and ack: so many binary messages follow
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from loadtest.protocol.attachments import Unfinished, holds_binary, take_apart
from loadtest.protocol.errors import HoldsBinary, LocalProtocolError, OtherVersion, ProtocolError
from loadtest.protocol.events import Ack, Connected, ConnectError, Disconnected, Event, SocketEvent

MESSAGE = b"4"

# The official parser closes the connection on these, whoever sends them.
RESERVED_NAMES = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)

MAX_ATTACHMENTS = 10
"""As many binary messages as the official parser takes with one packet."""

_PACKET = re.compile(
    rb"4([0-6])(?:(\d+)-)?(?:(/[^,]*)(?:,|\Z))?(\d+)?(.*)", re.DOTALL
)  # bytes patterns: \d is ASCII only
_from_json = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode


def check_name(name: str) -> None:
    """Raises LocalProtocolError for a name that no event may have."""
    if name in RESERVED_NAMES:
        raise LocalProtocolError(f"{name!r} is reserved: the server closes the connection on it")


def decode(packet: bytes) -> SocketEvent | Unfinished:
    """What a packet says. ProtocolError, with the beginning of the packet, if it says nothing legal.

    Events and acks of the default namespace, nearly all there is, are taken at the top without the pattern.
    """
    kind = packet[:3]
    if kind == b"42[":
        return _event(packet[2:], packet, None, "/")
    if kind[:2] == b"42" or kind[:2] == b"43":
        start = packet.find(b"[", 2, 24)
        if start > 0 and packet[2:start].isdigit():
            ack_id = int(packet[2:start])
            if kind[:2] == b"42":
                return _event(packet[start:], packet, ack_id, "/")
            return _ack(packet[start:], packet, ack_id, "/")
    return _decode_any(packet)


def encode_connect(auth: Mapping[str, object] | None = None, namespace: str = "/") -> bytes:
    """A CONNECT; without ``auth`` it has no payload, as the browser client sends it.

    LocalProtocolError if that is no namespace, or ``auth`` no JSON.
    """
    if not namespace.startswith("/") or "," in namespace:
        raise LocalProtocolError(f"{namespace!r} is no namespace: it begins with / and has no comma")
    return _encode(b"40", namespace, b"", b"" if auth is None else _json(dict(auth)))


def encode_event(args: Sequence[object], ack_id: int | None = None, namespace: str = "/") -> bytes:
    """An EVENT of ``args``, whose first is the name. HoldsBinary if there are bytes among them."""
    text = _json(args)
    if namespace == "/":
        return b"42" + text if ack_id is None else b"42%d%b" % (ack_id, text)
    return _encode(b"42", namespace, b"" if ack_id is None else b"%d" % ack_id, text)


def encode_ack(ack_id: int, args: Sequence[object], namespace: str = "/") -> bytes:
    """The answer to the server's event that had ``ack_id``. HoldsBinary if there are bytes among ``args``."""
    return _encode(b"43", namespace, b"%d" % ack_id, _json(args))


def encode_binary_event(
    args: Sequence[object], ack_id: int | None = None, namespace: str = "/"
) -> tuple[bytes, list[bytes]]:
    """As encode_event(), for any ``args``: the packet, and the binary messages that follow it."""
    return _encode_binary(b"45", namespace, b"" if ack_id is None else b"%d" % ack_id, args)


def encode_binary_ack(ack_id: int, args: Sequence[object], namespace: str = "/") -> tuple[bytes, list[bytes]]:
    """As encode_ack(), for any ``args``: the packet, and the binary messages that follow it."""
    return _encode_binary(b"46", namespace, b"%d" % ack_id, args)


def encode_disconnect(namespace: str = "/") -> bytes:
    """Leave the namespace; the server does not answer."""
    return _encode(b"41", namespace, b"", b"")


def _encode(kind: bytes, namespace: str, ack_id: bytes, text: bytes) -> bytes:
    place = b"" if namespace == "/" else namespace.encode() + b","
    return kind + place + ack_id + text


def _encode_binary(
    kind: bytes, namespace: str, ack_id: bytes, args: Sequence[object]
) -> tuple[bytes, list[bytes]]:
    attachments: list[bytes] = []
    try:
        text = _to_json(take_apart(args, attachments))
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"cannot be encoded as JSON: {error}") from None
    if len(attachments) > MAX_ATTACHMENTS:
        raise LocalProtocolError(
            f"{len(attachments)} attachments: the server closes the connection on more than {MAX_ATTACHMENTS}"
        )
    return _encode(b"%b%d-" % (kind, len(attachments)), namespace, ack_id, text), attachments


def _json(value: object) -> bytes:
    """Compact JSON. LocalProtocolError for what JSON cannot carry."""
    try:
        if holds_binary(value):
            raise HoldsBinary("bytes where only JSON can be sent")
        return _to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"cannot be encoded as JSON: {error}") from None


def _decode_any(packet: bytes) -> SocketEvent | Unfinished:
    match = _PACKET.fullmatch(packet)
    if match is None:
        _refuse("not a Socket.IO packet", packet)
    kind, attachments, place, digits, text = match.groups()
    if (kind in b"56") != (attachments is not None):
        _refuse("attachments are announced where none belong, or not where they do", packet)
    try:
        namespace = "/" if place is None else place.decode()
        ack_id = None if digits is None else int(digits)
        count = None if attachments is None else int(attachments)
    except ValueError:
        _refuse("bad namespace, ack id or number of attachments", packet)
    if count is not None and not 1 <= count <= MAX_ATTACHMENTS:
        _refuse(f"{count} attachments: the official client takes 1 to {MAX_ATTACHMENTS}", packet)
    if kind in b"25":
        event = _event(text, packet, ack_id, namespace)
        return event if count is None else Unfinished(event, count)
    if kind in b"36":
        if ack_id is None:
            _refuse("ack without an id", packet)
        ack = _ack(text, packet, ack_id, namespace)
        return ack if count is None else Unfinished(ack, count)
    if ack_id is not None:
        _refuse("ack id where none belongs", packet)
    if kind == b"0":
        return _connected(text, packet, namespace)
    if kind == b"4":
        return _connect_error(text, packet, namespace)
    if text:
        _refuse("disconnect with a payload", packet)
    return Disconnected(namespace)


def _event(text: bytes, packet: bytes, ack_id: int | None, namespace: str) -> Event:
    try:
        args = _from_json(text)
    except (ValueError, RecursionError):
        args = _json_of_javascript(text, packet)
    if type(args) is not list or not args:
        _refuse("event payload is not an array with a name", packet)
    name = args.pop(0)
    if type(name) is not str or name in RESERVED_NAMES:
        _refuse("not a legal event name", packet)
    return Event(name, args, ack_id, namespace)


def _ack(text: bytes, packet: bytes, ack_id: int, namespace: str) -> Ack:
    args = _parse(text, packet)
    if type(args) is not list:
        _refuse("ack payload is not an array", packet)
    return Ack(ack_id, args, namespace)


def _connected(text: bytes, packet: bytes, namespace: str) -> Connected:
    if not text:
        raise OtherVersion(
            f"the server speaks Socket.IO 2 (Engine.IO 3): {packet[:80]!r} lets us in without a word"
        )
    answer = _parse(text, packet)
    if not isinstance(answer, dict) or type(answer.get("sid")) is not str:
        _refuse("connect answer without a sid", packet)
    pid = answer.get("pid")
    return Connected(answer["sid"], pid if type(pid) is str else None, namespace)


def _connect_error(text: bytes, packet: bytes, namespace: str) -> ConnectError:
    answer = _parse(text, packet)
    if type(answer) is str:
        return ConnectError(answer, None, namespace)
    if not isinstance(answer, dict):
        _refuse("connect error is neither an object nor a string", packet)
    message = answer.get("message", "")
    return ConnectError(message if type(message) is str else str(message), answer.get("data"), namespace)


def _parse(text: bytes, packet: bytes) -> Any:
    try:
        return _from_json(text)
    except (ValueError, RecursionError):
        return _json_of_javascript(text, packet)


def _json_of_javascript(text: bytes, packet: bytes) -> Any:
    r"""Read again what msgspec refused and JSON.parse takes.

    A chat message cut in the middle of an emoji leaves a lone surrogate, which JSON.stringify writes as
    ``"\\ud83d"``; and 1e400 is Infinity. NaN and Infinity as words stay refused, as in a browser.
    """
    try:
        return json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return _refuse(f"bad JSON ({error})", packet)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _refuse(what: str, packet: bytes) -> NoReturn:
    raise ProtocolError(f"{what}: {packet[:80]!r}") from None
