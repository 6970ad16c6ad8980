"""How is a payload made? JSON with ``${variables}``, compiled to closures when the contract is loaded.

A string that is exactly one ``${name}`` becomes the variable with its type; inside longer text a variable is
written as text (null as nothing, other values that are not text as JSON). ``$${`` stands for a plain ``${``.
A table key whose value is exactly a variable that is null is left out: that is how JSON says "not given".
A table ``{"$bytes": "text"}`` stands for the bytes of that text, for events that carry binary data.
In a request path values are percent-encoded, and a list becomes its values with commas in between.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Self
from urllib.parse import quote

import msgspec

from loadtest.contract.faults import join

Variables = Mapping[str, object]
Render = Callable[[Variables], object]

BYTES: Final = "$bytes"
_TOKEN: Final = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<name>[a-z_][a-z0-9_]*)\}|(?P<broken>\$\{)")


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled JSON value. ``render`` makes a fresh one; KeyError for a variable it is not given."""

    variables: frozenset[str]
    render: Render = field(repr=False)

    @classmethod
    def parse(cls, source: object) -> Self:
        """Compile any JSON value. Raises ValueError naming everything ``problems`` finds."""
        found = [f"{at}: {reason}".removeprefix(": ") for at, reason in problems(source)]
        if found:
            raise ValueError("; ".join(found))
        return cls(frozenset(_names(source)), _compile(source))


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A compiled line of text, such as a header value or, with ``url``, a request path."""

    variables: frozenset[str]
    render: Callable[[Variables], str] = field(repr=False)

    @classmethod
    def parse(cls, source: str, *, url: bool = False) -> Self:
        """Compile. ``url``: percent-encode what is filled in, so that no value changes the structure."""
        found = [reason for _, reason in problems(source)]
        if found:
            raise ValueError("; ".join(found))
        return cls(frozenset(_names(source)), _line(source, _quoted if url else as_text))


def problems(source: object, known: Collection[str] | None = None, at: str = "") -> Iterator[tuple[str, str]]:
    """Everything wrong with a template, as (place inside it, reason). ``known``: the variables there are."""
    match source:
        case str():
            for token in _TOKEN.finditer(source):
                if token["broken"]:
                    yield (
                        at,
                        f'not a variable in {source!r}: write "${{name}}", or "$${{" for a literal "${{"',
                    )
                elif token["name"] and known is not None and token["name"] not in known:
                    listed = ", ".join(sorted(known)) or "none here"
                    yield at, f"unknown variable ${{{token['name']}}}, known: {listed}"
        case bool() | None:
            return
        case int() if not -(2**63) <= source < 2**64:
            yield at, "a number beyond 64 bits, which JSON readers do not keep; write it as text"
        case int():
            return
        case float() if not isfinite(source):
            yield at, "JSON has no infinity and no NaN"
        case float():
            return
        case list():
            for index, item in enumerate(source):
                yield from problems(item, known, f"{at}[{index}]")
        case dict() if BYTES in source:
            if len(source) > 1 or not isinstance(source[BYTES], str):
                yield at, f'"{BYTES}" stands alone in its table and holds text: {{ "{BYTES}" = "${{body}}" }}'
            yield from problems(source[BYTES], known, at)
        case dict():
            for key, value in source.items():
                if "${" in key:
                    yield join(at, key), "variables are for values, a key is taken as it stands"
                yield from problems(value, known, join(at, key))
        case _:
            yield at, "JSON has no date or time, write it as text"


def as_text(value: object) -> str:
    """A variable inside longer text."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _quoted(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join([quote(as_text(one), safe="") for one in value])
    return quote(as_text(value), safe="")


def _names(source: object) -> Iterator[str]:
    if isinstance(source, str):
        yield from (token["name"] for token in _TOKEN.finditer(source) if token["name"])
    elif isinstance(source, (list, dict)):
        for item in source.values() if isinstance(source, dict) else source:
            yield from _names(item)


def _compile(source: object) -> Render:
    match source:
        case str():
            name = _exactly(source)
            return _line(source, as_text) if name is None else _variable(name)
        case list():
            return _list(source)
        case {"$bytes": str() as inside}:
            write = _line(inside, as_text)
            return lambda variables: write(variables).encode()
        case dict():
            return _table(source)
        case _:
            return lambda _: source


def _exactly(source: object) -> str | None:
    """The variable a string consists of, if it is one and nothing else."""
    token = _TOKEN.fullmatch(source) if isinstance(source, str) else None
    return token["name"] if token else None


def _variable(name: str) -> Render:
    return lambda variables: variables[name]


def _list(source: list[object]) -> Render:
    parts = [_compile(item) for item in source]
    if len(parts) == 1:  # by far the commonest: an event with one argument
        only = parts[0]
        return lambda variables: [only(variables)]
    return lambda variables: [part(variables) for part in parts]


def _table(source: dict[str, object]) -> Render:
    # A variable is looked up here rather than through its closure: half the time of a typical payload.
    items = [(key, _exactly(value), _compile(value)) for key, value in source.items()]

    def render(variables: Variables) -> dict[str, object]:
        table = {}
        for key, name, part in items:
            if name is None:
                table[key] = part(variables)
            elif (value := variables[name]) is not None:
                table[key] = value
        return table

    return render


def _line(source: str, write: Callable[[object], str]) -> Callable[[Variables], str]:
    """Text with variables in it: literal pieces and names in turn."""
    pieces: list[str] = [""]
    names: list[str] = []
    position = 0
    for token in _TOKEN.finditer(source):
        pieces[-1] += source[position : token.start()]
        position = token.end()
        if token["name"]:
            names.append(token["name"])
            pieces.append("")
        else:
            pieces[-1] += "${"
    pieces[-1] += source[position:]
    first, rest = pieces[0], tuple(zip(names, pieces[1:], strict=True))
    if not rest:
        return lambda _: first
    return lambda variables: first + "".join([write(variables[name]) + after for name, after in rest])
