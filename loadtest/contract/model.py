"""What does the application under test say and hear? Its contract, typed: events, rooms, routes, claims.

One Struct per table of the TOML file; docs/contract.md explains each key.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from loadtest.contract.answers import AckRule, HttpCall
from loadtest.contract.feed import Feed
from loadtest.contract.path import JsonPath
from loadtest.contract.table import (
    Count,
    Expect,
    Given,
    Millis,
    Name,
    Operation,
    Status,
    Table,
    Url,
    text,
    whole,
)
from loadtest.contract.template import Template, TextTemplate, Variables, as_text

FORMAT: Final = 1  # the newest format of the file that this release reads

# <run>:<sender>:<n>, not starting in the middle of a word: a marker cut in front would be another marker.
MARKER: Final = re.compile(r"(?<![\w-])[\w-]+:[\w.@-]+:[0-9]+")


Args = Annotated[Template, Expect(list)]
_NO_ARGS: Final = Template.parse([])


class Health(Table, frozen=True, kw_only=True):
    """The route that tells that the server is up, and its answer. Without ``json`` any body will do."""

    path: Annotated[str, Url]
    status: Status = 200
    json: object = None

    def ok(self, status: int, body: object) -> bool:
        """Whether this is the answer of a healthy server of this contract."""
        return status == self.status and (self.json is None or body == self.json)


class ConfigRoute(Table, frozen=True, kw_only=True):
    """Where the server announces itself: whether sockets are on, and who steers faults on the way to it."""

    path: Annotated[str, Url]
    websocket_at: JsonPath | None = msgspec.field(default=None, name="websocket")
    fault_control_at: JsonPath | None = msgspec.field(default=None, name="fault_control")

    def websocket(self, body: object) -> bool:
        """False only if the server says so in as many words."""
        return self.websocket_at is None or self.websocket_at.read(body) is not False

    def fault_control(self, body: object) -> str | None:
        """The control URL of a fault proxy, if there is one."""
        return text(self.fault_control_at, body)


class Connect(Table, frozen=True, kw_only=True):
    """How a socket reaches the server."""

    path: Annotated[str, Url] = "/socket.io"
    namespace: Annotated[str, Url] = "/"
    auth_template: Annotated[Template, Expect(dict)] | None = msgspec.field(default=None, name="auth")
    health: Health | None = None
    config: ConfigRoute | None = None

    def auth(self, variables: Variables) -> object | None:
        """What CONNECT carries; None where the contract has nothing to say there."""
        return self.auth_template.render(variables) if self.auth_template else None


class Header(Table, frozen=True, kw_only=True):
    """One header line. In TOML a pair: ``["Accept", "*/*"]``."""

    name: str
    value: TextTemplate


class Headers(Table, frozen=True, kw_only=True):
    """The headers of every request of a polling user, in order, as a library or as a browser sends them."""

    library: tuple[Header, ...]
    browser: tuple[Header, ...]

    def lines(self, kind: Literal["library", "browser"], variables: Variables) -> list[tuple[str, str]]:
        """Names and values, in order."""
        chosen = self.library if kind == "library" else self.browser
        return [(header.name, header.value.render(variables)) for header in chosen]

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        for kind, chosen in (("library", self.library), ("browser", self.browser)):
            if not any(header.name.lower() == "host" for header in chosen):
                yield kind, 'no Host among the headers, HTTP/1.1 needs ["Host", "${host}"]'


class Authenticate(Table, frozen=True, kw_only=True):
    """What a socket says once it is connected. With neither ``ack`` nor ``wait``, saying it is enough."""

    emit: Name
    args_template: Args = msgspec.field(default=_NO_ARGS, name="args")
    ack: AckRule | None = None
    wait: Name | None = None

    def args(self, variables: Variables) -> list[object]:
        """The arguments of the event."""
        return self.args_template.render(variables)  # type: ignore[return-value]  # Expect(list)


class Action(Table, frozen=True, kw_only=True):
    """Something a user does: an event, the HTTP request that does the same, or both."""

    emit: Name | None = None
    args_template: Args = msgspec.field(default=_NO_ARGS, name="args")
    ack: AckRule | None = None
    http: HttpCall | None = None

    def args(self, variables: Variables) -> list[object]:
        """The arguments of the event."""
        return self.args_template.render(variables)  # type: ignore[return-value]  # Expect(list)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        if self.emit is None and self.http is None:
            yield "emit", 'missing, as is "http": an action needs at least one of them'
        if self.emit is None and self.ack is not None:
            yield "ack", 'nothing is emitted that could be acknowledged, "emit" is missing'


class Typing(Table, frozen=True, kw_only=True):
    """The signal that somebody is writing, and its end."""

    start: Action
    stop: Action | None = None


class Calls(Table, frozen=True, kw_only=True):
    """How users call each other. ``status``: the question what became of a call."""

    initiate: Annotated[Action, Given("callee", "marker")]
    answer: Annotated[Action, Given("call", "marker")]
    decline: Annotated[Action, Given("call", "marker")]
    end: Annotated[Action, Given("call", "marker")]
    status: Annotated[Action | None, Given("call")] = None
    ring_timeout_ms: Millis = 30_000


class Chats(Table, frozen=True, kw_only=True):
    """How visitors and operators talk. ``online``: an operator says whether it is there, and for how many."""

    start: Annotated[Action, Given("topic", "marker")]
    message: Annotated[Action, Given("chat", "body", "marker")]
    close: Annotated[Action, Given("chat", "marker")]
    online: Annotated[Action, Given("status", "capacity", "marker")]
    accept: Annotated[Action | None, Given("chat", "marker")] = None


class Presence(Table, frozen=True, kw_only=True):
    """How one asks who is there."""

    get: Annotated[Action, Given("users")]


class Token(Table, frozen=True, kw_only=True):
    """What a user proves itself with."""

    lifetime_s: Count = 86_400


class Delivery(Table, frozen=True, kw_only=True):
    """An event that brings something to a receiver, and how to tell what it brings.

    ``args`` below: the event's arguments. A payload from a feed or from ``missed`` is ``[payload]``.
    """

    operation: Operation
    on: Name
    marker_at: JsonPath | None = msgspec.field(default=None, name="marker")
    marker_in_at: JsonPath | None = msgspec.field(default=None, name="marker_in")
    marker_pattern: re.Pattern[str] = MARKER
    room_at: JsonPath | None = msgspec.field(default=None, name="room")
    seq_at: JsonPath | None = msgspec.field(default=None, name="seq")
    sender_at: JsonPath | None = msgspec.field(default=None, name="sender")
    subject_at: JsonPath | None = msgspec.field(default=None, name="subject")
    status_at: JsonPath | None = msgspec.field(default=None, name="status")
    operator_at: JsonPath | None = msgspec.field(default=None, name="operator")
    reason_at: JsonPath | None = msgspec.field(default=None, name="reason")
    recipients: Literal["room", "others", "user", "both"] = "room"
    volatile: bool = False

    def marker(self, args: object) -> str | None:
        """The marker that travelled with it; None if it is somebody else's."""
        if self.marker_at is not None:
            return text(self.marker_at, args)
        if self.marker_in_at is None:
            return None
        found = self.marker_pattern.search(text(self.marker_in_at, args) or "")
        return found.group() if found else None

    def room(self, args: object) -> str | None:
        """The conversation it belongs to, as ``${room}`` has it."""
        return text(self.room_at, args)

    def seq(self, args: object) -> int | None:
        """Its number within the room."""
        return whole(self.seq_at, args)

    def sender(self, args: object) -> str | None:
        """Who caused it, or whom it is about, as ``${user}`` has it."""
        return text(self.sender_at, args)

    def subject(self, args: object) -> str | None:
        """The call or the chat it is about, as ``${call}`` or ``${chat}`` has it."""
        return text(self.subject_at, args)

    def status(self, args: object) -> str | None:
        """What has become of its subject, or of its sender."""
        return text(self.status_at, args)

    def operator(self, args: object) -> str | None:
        """The operator who takes part, as ``${user}`` has it."""
        return text(self.operator_at, args)

    def reason(self, args: object) -> str | None:
        """Why it came about: ``new`` or ``reassigned``."""
        return text(self.reason_at, args)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        told = self.sender_at is not None and self.status_at is not None  # an event nobody of ours caused
        if self.marker_at is None and self.marker_in_at is None and not told:
            yield "marker", 'missing, as is "marker_in": nothing says which message this is'
        if self.marker_at is not None and self.marker_in_at is not None:
            yield "marker_in", '"marker" says where the marker is already, keep one of them'


class ErrorEvent(Table, frozen=True, kw_only=True):
    """An event by which the server says that something went wrong."""

    on: Name
    code_at: JsonPath | None = msgspec.field(default=None, name="code")
    marker_at: JsonPath | None = msgspec.field(default=None, name="marker")
    count_as: Mapping[str, Name] = MappingProxyType({})

    def code(self, args: object) -> str | None:
        """The server's code."""
        value = self.code_at.read(args) if self.code_at else None
        return None if value is None else as_text(value)

    def marker(self, args: object) -> str | None:
        """The marker of the message that was refused, if the event names it."""
        return text(self.marker_at, args)


class RateLimit(Table, frozen=True, kw_only=True):
    """At most ``limit`` messages of one socket in ``window_ms`` milliseconds."""

    limit: Count
    window_ms: Millis


class Documented(Table, frozen=True, kw_only=True):
    """What the application's own documentation promises: the numbers its claims are tested against."""

    reconnect_delays_ms: tuple[Millis, ...] = ()
    rate_limit: RateLimit | None = None
    poll_ms: Mapping[str, Millis] = MappingProxyType({})


class Hooks(Table, frozen=True, kw_only=True):
    """Routes that exist for tests only: counters to compare with, and faults to order."""

    stats: Annotated[str, Url] | None = None
    fault: Annotated[str, Url] | None = None


class Contract(Table, frozen=True, kw_only=True):
    """The whole contract of one application."""

    name: Name
    format: Count
    connect: Connect = Connect()
    headers: Annotated[Headers | None, Given("host", "origin")] = None
    authenticate: Authenticate | None = None
    join: Annotated[Action | None, Given("room", "since_seq")] = None
    leave: Annotated[Action | None, Given("room")] = None
    send: Annotated[Action, Given("room", "body", "marker")]
    read: Annotated[Action | None, Given("room", "seq", "marker")] = None
    typing: Annotated[Typing | None, Given("room", "marker")] = None
    calls: Calls | None = None
    chats: Chats | None = None
    presence: Presence | None = None
    token: Token = Token()
    deliveries: Annotated[tuple[Delivery, ...], msgspec.Meta(min_length=1)]
    feeds: tuple[Feed, ...] = ()
    errors: tuple[ErrorEvent, ...] = ()
    ignored: tuple[Name, ...] = ()
    documented: Documented = Documented()
    hooks: Hooks = Hooks()

    def deliveries_on(self, event: str) -> tuple[Delivery, ...]:
        """What an event delivers; empty for an event this contract does not know."""
        return tuple([delivery for delivery in self.deliveries if delivery.on == event])

    def error_on(self, event: str) -> ErrorEvent | None:
        """The rule for an error event; None for any other event."""
        return next((rule for rule in self.errors if rule.on == event), None)

    def counted_as(self, code: str | None) -> str:
        """The name under which an error code is counted, whether from an ack, an event or an answer."""
        if code is None:
            return "unknown"
        return next((rule.count_as[code] for rule in self.errors if code in rule.count_as), code)

    def feeds_for(self, operations: Collection[str]) -> tuple[Feed, ...]:
        """The feeds that carry any of these operations; a feed that does not say what it carries, carries all."""
        return tuple(
            feed
            for feed in self.feeds
            if not feed.operations or any(one in operations for one in feed.operations)
        )

    def missing_for(self, need: str, polling: bool) -> str | None:
        """What this contract lacks for users who need ``calls`` or ``live chat``, in one line; None: nothing."""
        table: Calls | Chats | None = self.calls
        what, wanted = "calls", "call.ring"
        if need != "calls":
            table, what, wanted = self.chats, "chats", "chat.assign"
        lacks = f'contract "{self.name}": has no'
        if table is None:
            return f"{lacks} [{what}], so there is no {need} with this server"
        if all(delivery.operation != wanted for delivery in self.deliveries):
            return f"{lacks} [[deliveries]] of {wanted}, so nothing says how {need} arrive"
        if polling:
            actions = msgspec.structs.asdict(table).items()
            without = [name for name, one in actions if isinstance(one, Action) and one.http is None]
            if without:
                return f"{lacks} {what}.{without[0]}.http, which polling users need"
            if not self.feeds_for((wanted,)):
                return f"{lacks} [[feeds]] with {wanted}, which polling users need"
        return None

    def feed(self, name: str) -> Feed | None:
        """The feed of that name."""
        return next((feed for feed in self.feeds if feed.name == name), None)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from _twice("feeds", "name", [feed.name for feed in self.feeds])
        yield from _twice("errors", "on", [rule.on for rule in self.errors])
        if self.feeds and self.headers is None:
            yield "headers", "missing, [[feeds]] make polling users, and their requests need headers"
        if self.feeds and isinstance(self.send, Action) and self.send.http is None:
            yield "send.http", "missing, [[feeds]] make polling users, who send over HTTP"


def _twice(table: str, key: str, values: list[str]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        if value and value in values[:index]:
            yield f"{table}[{index}].{key}", f"{value!r} is taken by {table}[{values.index(value)}]"
