"""What does a user do, in the words of the application? Events and the requests that do the same."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from loadtest.contract.answers import AckRule, Answer, HttpCall, badly_named
from loadtest.contract.path import JsonPath
from loadtest.contract.table import Expect, Given, Millis, Name, Table
from loadtest.contract.template import Template, Variables

Args = Annotated[Template, Expect(list)]
_NO_ARGS: Final = Template.parse([])
_NOTHING: Final[Mapping[str, JsonPath]] = MappingProxyType({})


class Authenticate(Table, frozen=True, kw_only=True):
    """What a socket says once it is connected, what it waits for, or both.

    With neither ``ack`` nor ``wait``, saying it is enough. capture: what the awaited event brings.
    """

    emit: Name | None = None
    args_template: Args = msgspec.field(default=_NO_ARGS, name="args")
    ack: AckRule | None = None
    wait: Name | None = None
    capture: Mapping[str, JsonPath] = _NOTHING

    def captured(self, args: object) -> dict[str, object]:
        """Variables for later templates out of the awaited event; no absent ones."""
        read = ((name, path.read(args)) for name, path in self.capture.items())
        return {name: value for name, value in read if value is not None}

    def args(self, variables: Variables) -> list[object]:
        """The arguments of the event."""
        return self.args_template.render(variables)  # type: ignore[return-value]  # Expect(list)

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        if self.emit is None and self.wait is None:
            yield "emit", 'missing, as is "wait": there is nothing to say and nothing to wait for'
        if self.emit is None and self.ack is not None:
            yield "ack", 'nothing is emitted that could be acknowledged, "emit" is missing'
        if self.capture and self.wait is None:
            yield "capture", 'needs "wait", the event it reads; what an ack brings is captured in "ack"'
        yield from badly_named("capture", self.capture)


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

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        # The id of a call may come with the ring as well, so "initiate" need not capture it.
        yield from _uncaptured("status", self.status, "status")


class Chats(Table, frozen=True, kw_only=True):
    """How visitors and operators talk. ``online``: an operator says whether it is there, and for how many."""

    start: Annotated[Action, Given("topic", "marker")]
    message: Annotated[Action, Given("chat", "body", "marker")]
    close: Annotated[Action, Given("chat", "marker")]
    online: Annotated[Action, Given("status", "capacity", "marker")]
    accept: Annotated[Action | None, Given("chat", "marker")] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from _uncaptured("start", self.start, "chat", "status")


class Presence(Table, frozen=True, kw_only=True):
    """How one asks who is there."""

    get: Annotated[Action, Given("users")]


def _uncaptured(name: str, action: object, *variables: str) -> Iterator[tuple[str, str]]:
    """What users go on with, and no answer to this action gives them."""
    if not isinstance(action, Action):  # left out, or faulty
        return
    for key, answer in (("ack", action.ack), ("http", action.http)):
        if not isinstance(answer, Answer) or not isinstance(answer.capture, Mapping):
            continue
        for variable in variables:
            if variable not in answer.capture:
                yield f"{name}.{key}.capture.{variable}", "missing, users cannot go on without it"
