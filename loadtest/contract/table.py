"""What do the tables of a contract file have in common? A base class, and notes for the builder."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from loadtest.contract.path import JsonPath

Name = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Millis = Annotated[int, msgspec.Meta(ge=1)]
Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
Statuses = Annotated[tuple[Status, ...], msgspec.Meta(min_length=1)]

Operation = Literal[
    "message.deliver",
    "receipt.deliver",
    "typing.deliver",
    "presence.deliver",
    "call.ring",
    "call.answer",
    "call.decline",
    "call.status",
    "chat.assign",
    "chat.deliver",
    "chat.status",
]
"""What a delivery is measured as."""

ALWAYS: Final = frozenset({"user", "device", "token"})  # the variables that every template may use


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file.

    Fields that hold a path end in ``_at`` and are spelled without it in TOML, so that the method of that name
    can read the value: ``delivery.marker(args)``.
    """

    def problems(self) -> Iterator[tuple[str, str]]:
        """Faults no single key shows, as (key below the table, reason).

        The builder asks faulty tables too, so that every fault is told at once; a faulty key then holds
        ``()``, and what is yielded for it is dropped.
        """
        yield from ()


class Url:
    """Note on text: a path on the server, starts with "/"; what a template fills in is percent-encoded."""


class Given:
    """Note on a table: the variables its templates may use beside the ones in ALWAYS."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)


class Expect:
    """Note on a Template: the kind of JSON value its outermost level must be."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


def whole(path: JsonPath | None, root: object) -> int | None:
    """The whole number at a path; None for anything else, true and false included."""
    value = path.read(root) if path else None
    return value if type(value) is int else None


def text(path: JsonPath | None, root: object) -> str | None:
    """The text at a path; None for anything else."""
    value = path.read(root) if path else None
    return value if isinstance(value, str) else None
