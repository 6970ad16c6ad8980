"""How does a user without a socket learn what is new? By asking one route again and again."""

from typing import Annotated, Literal
from urllib.parse import quote

import msgspec

from loadtest.contract.path import JsonPath
from loadtest.contract.table import Millis, Name, Operation, Status, Statuses, Table, Url
from loadtest.contract.template import TextTemplate, Variables, as_text


class Feed(Table, frozen=True, kw_only=True):
    """A route that polling users ask again and again, and how to read what is new."""

    name: Name
    path: Annotated[TextTemplate, Url]
    operations: tuple[Operation, ...] = ()
    interval_ms: Millis
    cursor: Name
    items_at: JsonPath = msgspec.field(name="items")
    event_at: JsonPath | Name = msgspec.field(name="event")
    data_at: JsonPath | None = msgspec.field(default=None, name="data")
    next_at: JsonPath | None = msgspec.field(default=None, name="next")
    more_at: JsonPath | None = msgspec.field(default=None, name="has_more")
    etag: bool = False
    ok_statuses: Statuses = msgspec.field(default=(200,), name="ok")
    unchanged: tuple[Status, ...] = (304,)
    expired: tuple[Status, ...] = (410,)
    expired_cursor_at: JsonPath | None = msgspec.field(default=None, name="expired_cursor")

    def carries(self, operation: str) -> bool:
        """Whether it may bring that operation; one that does not say what it carries may bring any."""
        return not self.operations or operation in self.operations

    def target(self, variables: Variables, cursor: str | None = None) -> str:
        """The request target; without a cursor, the question where the feed stands now."""
        path = self.path.render(variables)
        if cursor is None:
            return path
        return f"{path}{'&' if '?' in path else '?'}{quote(self.cursor)}={quote(cursor, safe='')}"

    def outcome(self, status: int) -> Literal["news", "unchanged", "expired", "failed"]:
        """What a status says about the feed."""
        if status in self.ok_statuses:
            return "news"
        if status in self.unchanged:
            return "unchanged"
        return "expired" if status in self.expired else "failed"

    def events(self, body: object) -> list[tuple[str, list[object]]]:
        """What is new, as (event, arguments) for ``Contract.deliveries_on``; odd items are left out."""
        items = self.items_at.read(body)
        found: list[tuple[str, list[object]]] = []
        for item in items if isinstance(items, list) else []:
            event = self.event_at if isinstance(self.event_at, str) else self.event_at.read(item)
            if isinstance(event, str):
                found.append((event, [item if self.data_at is None else self.data_at.read(item)]))
        return found

    def next_cursor(self, body: object) -> str | None:
        """The cursor of the next request, from an answer with news."""
        return _cursor(self.next_at, body)

    def fresh_cursor(self, body: object) -> str | None:
        """The cursor to go on with, from an answer that says the old one has expired."""
        return _cursor(self.expired_cursor_at, body)

    def has_more(self, body: object) -> bool:
        """Whether to ask again at once."""
        return self.more_at is not None and bool(self.more_at.read(body))


def _cursor(path: JsonPath | None, body: object) -> str | None:
    """A cursor is opaque: a number becomes text, as in the query it goes into."""
    value = path.read(body) if path else None
    return None if value is None else as_text(value)
