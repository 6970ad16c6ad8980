"""What does the application under test say and hear? Its contract, typed: events, rooms, routes, claims.

One Struct per table of the TOML file; docs/contract.md explains each key.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from loadtest.contract.actions import Action, Authenticate, Calls, Chats, Presence, Typing
from loadtest.contract.delivery import Delivery, ErrorEvent
from loadtest.contract.feed import Feed
from loadtest.contract.path import JsonPath
from loadtest.contract.table import Count, Expect, Given, Millis, Name, Operation, Status, Table, Url, text
from loadtest.contract.template import Template, TextTemplate, Variables

FORMAT: Final = 1  # the newest format of the file that this release reads

Need = Literal["calls", "live chat", "presence"]
"""What users may need beyond conversations."""

# By need: the table with its actions, what they must hear of, and what they cannot do without.
_NEEDS: Final[Mapping[Need, tuple[str, tuple[Operation, ...], str]]] = {
    "calls": ("calls", ("call.ring", "call.answer", "call.decline", "call.status"), "call"),
    "live chat": (
        "chats",
        ("chat.assign", "chat.deliver", "chat.status", "presence.deliver"),
        "ask for help in a live chat",
    ),
    "presence": ("presence", ("presence.deliver",), "ask who is there"),
}


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
    """The headers of every request of a polling user, in order, as a library or as a browser sends them.

    preflight: those of the OPTIONS request by which a browser asks whether a page of another origin may send a
    request at all. Empty: the page comes from the server itself, and nobody asks.
    """

    library: tuple[Header, ...]
    browser: tuple[Header, ...]
    preflight: Annotated[tuple[Header, ...], Given("method", "names")] = ()

    def lines(self, kind: Literal["library", "browser"], variables: Variables) -> list[tuple[str, str]]:
        """Names and values, in order."""
        chosen = self.library if kind == "library" else self.browser
        return [(header.name, header.value.render(variables)) for header in chosen]

    def asking(self, method: str, names: str, variables: Variables) -> list[tuple[str, str]]:
        """Names and values of a preflight for a request of that method with these headers, in order."""
        known = {**variables, "method": method, "names": names}
        return [(header.name, header.value.render(known)) for header in self.preflight]

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        lists = [("library", self.library), ("browser", self.browser)]
        if self.preflight:
            lists.append(("preflight", self.preflight))
        for kind, chosen in lists:
            if not any(header.name.lower() == "host" for header in chosen):
                yield kind, 'no Host among the headers, HTTP/1.1 needs ["Host", "${host}"]'


class Token(Table, frozen=True, kw_only=True):
    """What users prove themselves with. ``lifetime_s``: for how long one is good, from its making."""

    lifetime_s: Count = 86_400


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
        """The feeds to poll in order to hear of these operations, in the order of the file.

        What several feeds carry costs no further feed if one of them is polled for something else anyway. A
        feed that does not say what it carries is always polled, and spares no other.
        """
        carriers = [[feed for feed in self.feeds if one in feed.operations] for one in operations]
        sure = [feed for feed in self.feeds if not feed.operations]
        sure += [found[0] for found in carriers if len(found) == 1]
        more = [found for found in carriers if not any(feed in sure for feed in found)]
        needed = [*sure, *(feed for found in more for feed in found)]
        return tuple(feed for feed in self.feeds if feed in needed)

    def missing_for(self, kind: Need, polling: bool) -> str | None:
        """What this contract lacks for users with that need, in one line; None: nothing.

        ``polling``: some of them have no socket.
        """
        table, operations, act = _NEEDS[kind]
        actions: Table | None = getattr(self, table)
        lacks, so = f'contract "{self.name}": has no', f"so users cannot {act}"
        if actions is None:
            return f"{lacks} [{table}], {so}"
        for one in operations:
            if all(delivery.operation != one for delivery in self.deliveries):
                return f"{lacks} [[deliveries]] of {one}, {so}"
        if not polling:
            return None
        so = f"so users without a socket cannot {act}"
        for name, action in msgspec.structs.asdict(actions).items():
            if isinstance(action, Action) and action.http is None:
                return f"{lacks} {table}.{name}.http, {so}"
        for one in operations:
            if not any(feed.carries(one) for feed in self.feeds):
                return f"{lacks} [[feeds]] with {one}, {so}"
        return None

    def feed(self, name: str) -> Feed | None:
        """The feed of that name."""
        return next((feed for feed in self.feeds if feed.name == name), None)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from _twice((f"feeds[{index}]", ".name", feed.name) for index, feed in enumerate(self.feeds))
        yield from _twice(self._events())
        if self.feeds and self.headers is None:
            yield "headers", "missing, [[feeds]] make polling users, and their requests need headers"
        if self.feeds and isinstance(self.send, Action) and self.send.http is None:
            yield "send.http", "missing, [[feeds]] make polling users, who send over HTTP"

    def _events(self) -> Iterator[tuple[str, str, str]]:
        """Everything that says what becomes of an event: only the first of a name would ever be asked."""
        for index, delivery in enumerate(self.deliveries):
            yield f"deliveries[{index}]", ".on", delivery.on
        for index, rule in enumerate(self.errors):
            yield f"errors[{index}]", ".on", rule.on
        for index, event in enumerate(self.ignored):
            yield f"ignored[{index}]", "", event


def _twice(named: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """Names that are there already, among (place, key in it, name)."""
    places: dict[str, str] = {}
    for place, key, name in named:
        if name in places:
            yield f"{place}{key}", f"{name!r} is taken by {places[name]}"
        elif name:  # a faulty one is empty
            places[name] = place
