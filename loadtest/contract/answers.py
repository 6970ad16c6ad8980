"""What does an answer say: did it work, what went wrong, which number did the server give?

An ack is a list of arguments (``$[0].ok``), an HTTP answer is a status and a JSON body (``$.ok``);
what is read from them is the same, and so are the methods here. None of them raises on an odd answer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import msgspec

from loadtest.contract.faults import join
from loadtest.contract.header import Header
from loadtest.contract.path import JsonPath
from loadtest.contract.table import Statuses, Table, Url, whole
from loadtest.contract.template import Template, TextTemplate, Variables, as_text

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_NOTHING: Final[Mapping[str, JsonPath]] = MappingProxyType({})


class Answer(Table, frozen=True, kw_only=True):
    """What is read from any answer. ``root`` below: the ack's arguments, or the body of the HTTP answer."""

    error_at: JsonPath | None = msgspec.field(default=None, name="error")
    seq_at: JsonPath | None = msgspec.field(default=None, name="seq")
    last_seq_at: JsonPath | None = msgspec.field(default=None, name="last_seq")
    missed_at: JsonPath | None = msgspec.field(default=None, name="missed")
    id_at: JsonPath | None = msgspec.field(default=None, name="id")
    capture: Mapping[str, JsonPath] = _NOTHING

    def error(self, root: object) -> str | None:
        """The server's error code; None if it gives none."""
        value = self.error_at.read(root) if self.error_at else None
        return None if value is None else as_text(value)

    def seq(self, root: object) -> int | None:
        """The number the server gave the message within its room."""
        return whole(self.seq_at, root)

    def server_id(self, root: object) -> str | None:
        """The id under which the server will deliver it, where the delivery carries no marker."""
        value = self.id_at.read(root) if self.id_at else None
        return None if value is None else as_text(value)

    def last_seq(self, root: object) -> int | None:
        """The highest number in the room at the moment of joining."""
        return whole(self.last_seq_at, root)

    def missed(self, root: object) -> list[object]:
        """What the room received while the user was away: payloads, as the event would have carried them."""
        value = self.missed_at.read(root) if self.missed_at else None
        return value if isinstance(value, list) else []

    def captured(self, root: object) -> dict[str, object]:
        """Variables for later templates, such as an id that only the server can give; no absent ones."""
        read = ((name, path.read(root)) for name, path in self.capture.items())
        return {name: value for name, value in read if value is not None}

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from badly_named("capture", self.capture)


class AckRule(Answer, frozen=True, kw_only=True):
    """When an acknowledgement means success. An empty rule: any acknowledgement does."""

    ok_at: JsonPath | None = msgspec.field(default=None, name="ok")
    ok_is: object = None

    def ok(self, args: object) -> bool:
        """Success: ``ok`` equals ``ok_is`` or is truthy; without ``ok``, nothing at ``error``."""
        if self.ok_at is None:
            return self.error(args) is None
        value = self.ok_at.read(args)
        return bool(value) if self.ok_is is None else value == self.ok_is

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from super().problems()
        if self.ok_is is not None and self.ok_at is None:
            yield "ok_is", 'needs "ok", the path whose value it is compared with'


class HttpCall(Answer, frozen=True, kw_only=True):
    """The same action for a user without a socket: one request, and how to read what comes back.

    headers: for this request alone, beside those that every request carries.
    """

    method: Method
    path: Annotated[TextTemplate, Url]
    json: Template | None = None
    form: Mapping[str, TextTemplate] | None = None
    headers: tuple[Header, ...] = ()
    ok_statuses: Statuses = msgspec.field(default=(200,), name="ok")

    def target(self, variables: Variables) -> str:
        """The request target: path and query."""
        return self.path.render(variables)

    def body(self, variables: Variables) -> object | None:
        """The JSON body; None where the request has none."""
        return self.json.render(variables) if self.json else None

    def filled(self, variables: Variables) -> bytes:
        """The body of a form, as a browser would send it."""
        form = self.form or {}
        return urlencode([(name, value.render(variables)) for name, value in form.items()]).encode("ascii")

    def header_lines(self, variables: Variables) -> str:
        """The header lines of this request alone, each ending in CRLF."""
        return "".join([f"{one.name}: {one.value.render(variables)}\r\n" for one in self.headers])

    def ok(self, status: int) -> bool:
        """Whether a status means success."""
        return status in self.ok_statuses

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from super().problems()
        if self.json is not None and self.form is not None:
            yield "form", '"json" says what the body is already, keep one of them'


def badly_named(key: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What cannot be a variable among the keys of a table, as problems of that table's owner."""
    for name in names:
        if not _NAME.fullmatch(name):
            yield join(key, name), "not a variable's name, expected lower case such as call_id"
