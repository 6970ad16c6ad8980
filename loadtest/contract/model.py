"""What does the application under test say and hear? Its contract, typed: events, rooms, routes, claims.

One Struct per table of the TOML file; docs/contract.md explains each key.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from loadtest.contract.actions import Action, Authenticate, Calls, Chats, Presence, Typing
from loadtest.contract.answers import Answer
from loadtest.contract.connect import Connect, Headers
from loadtest.contract.delivery import ANSWERED, Delivery, ErrorEvent
from loadtest.contract.feed import Feed
from loadtest.contract.login import Login
from loadtest.contract.table import Count, Given, Millis, Name, Operation, Table, Url
from loadtest.contract.variables import captured, mentioned

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
    connect: Annotated[Connect, Given("room", "host", "origin")] = Connect()
    headers: Annotated[Headers | None, Given("host", "origin")] = None
    login: Annotated[tuple[Login, ...], Given("room", "host", "origin")] = ()
    authenticate: Annotated[Authenticate | None, Given("room")] = None
    join: Annotated[Action | None, Given("room", "since_seq")] = None
    leave: Annotated[Action | None, Given("room")] = None
    send: Annotated[Action, Given("room", "body", "marker", "peer")]
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

    @property
    def has_rooms(self) -> bool:
        """Whether anything tells the server which room a user is in; if not, everybody is in one."""
        return "room" in mentioned(
            self.login, self.connect, self.authenticate, self.join, self.leave, self.send
        )

    @property
    def signs(self) -> bool:
        """Whether users prove themselves by a token that they sign with the server's secret."""
        return "token" in mentioned(self) and "token" not in captured(self.login, self.authenticate)

    @property
    def directed(self) -> bool:
        """Whether a message is for one user."""
        return "peer" in mentioned(self.send)

    @property
    def early(self) -> frozenset[str]:
        """The variables that are needed before a user is in its room."""
        return mentioned(self.login, self.connect, self.authenticate)

    @property
    def remembered(self) -> frozenset[str]:
        """The variables that answers bring and other templates of the same user name."""
        talk = self.join, self.leave, self.send, self.read, self.typing
        return captured(self.login, self.authenticate, *talk) & mentioned(self)

    def awaits(self, event: str) -> bool:
        """Whether it is the event that says that a socket is let in."""
        return self.authenticate is not None and self.authenticate.wait == event

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
        for index, delivery in enumerate(self.deliveries):  # empty if one of them is faulty
            yield from self._addressed(f"deliveries[{index}]", delivery)

    def _addressed(self, at: str, delivery: Delivery) -> Iterator[tuple[str, str]]:
        """Whether a delivery and the action that leads to it say the same of ids and of receivers."""
        action: object = self
        name = ANSWERED.get(delivery.operation, "")
        for part in name.split("."):
            action = getattr(action, part, None)
        if delivery.id_at is not None and isinstance(action, Action):
            answers = [one for one in (action.ack, action.http) if isinstance(one, Answer)]
            if not answers or any(one.id_at is None for one in answers):
                yield f"{at}.id", f'needs "id" in {name}.ack too: how else does the sender learn the id?'
        if delivery.operation != "message.deliver" or not isinstance(self.send, Action):
            return
        if self.directed and delivery.recipients not in ("user", "both"):
            yield f"{at}.recipients", 'expected "user" or "both", because [send] names ${peer}'
        if not self.directed and delivery.recipients in ("user", "both"):
            yield (
                f"{at}.recipients",
                f'"{delivery.recipients}" needs ${{peer}} in [send]: for whom is a message?',
            )

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
