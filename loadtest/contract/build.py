"""How does a TOML table become a typed one? By the field types of its Struct, noting every fault on the way.

msgspec's own conversion stops at the first fault; this one walks the same Structs and goes on. A new table in
the model therefore needs nothing here.
"""

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from loadtest.contract.faults import Faults, join, kind, nearest
from loadtest.contract.header import Header
from loadtest.contract.path import HINT, JsonPath
from loadtest.contract.table import Expect, Given, Table, Url
from loadtest.contract.template import Template, TextTemplate, problems


class _Faulty(tuple[()]):
    """Stands in for a value that could not be built: empty to who iterates, not None to who asks."""


FAULTY: Final = _Faulty()
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_OURS: Final = frozenset({"content-length", "content-type", "transfer-encoding", "if-none-match"})

T = TypeVar("T", bound=Table)


class Builder:
    """Builds Structs from plain data, notes what is wrong. ``known``: the variables of every template."""

    def __init__(self, faults: Faults, known: frozenset[str]) -> None:
        self.faults = faults
        self.known = known

    def table(self, cls: type[T], raw: dict[str, object], at: str = "") -> T:
        """One table. It is fit for use only if no fault was noted."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
        built: dict[str, Any] = {}
        faulty = self._unknown(raw, fields, at)
        for key, field in fields.items():
            before = len(self.faults.lines)
            if key in raw:
                built[field.name] = self.value(field.type, raw[key], join(at, key))
            elif field.required:
                built[field.name] = FAULTY
                if key not in faulty:
                    self.faults.add(join(at, key), "missing")
                    faulty.add(key)
            if len(self.faults.lines) > before and built[field.name] is FAULTY:
                faulty.add(key)
        table = cls(**built)
        for place, reason in table.problems():
            if re.split(r"[.\[]", place)[0] not in faulty:
                self.faults.add(f"{at}.{place}" if at else place, reason)
        return table

    def _unknown(self, raw: dict[str, object], fields: Mapping[str, object], at: str) -> set[str]:
        """Notes unknown keys. Returns the keys they were meant to be: those are misspelt, not missing."""
        meant = set()
        for key in raw:
            if key not in fields:
                near = nearest(key, [field for field in fields if field not in raw])
                if near:
                    meant.add(near)
                hint = f'did you mean "{near}"?' if near else f"known here: {', '.join(fields)}"
                self.faults.add(join(at, key), f"unknown key, {hint}")
        return meant

    def value(self, wanted: Any, raw: object, at: str, notes: tuple[object, ...] = ()) -> Any:
        """One value of whatever type a field has. ``notes``: the metadata of an Annotated type around it."""
        origin, inside = get_origin(wanted), get_args(wanted)
        if origin is Annotated:
            return self._noted(inside[0], raw, at, inside[1:])
        if origin in (Union, types.UnionType):
            return self._union([member for member in inside if member is not types.NoneType], raw, at, notes)
        if origin is tuple:
            return self._list(inside[0], raw, at, notes)
        if origin is Mapping:
            return self._mapping(inside[1], raw, at)
        if wanted is Header:
            return self._header(raw, at)
        if isinstance(wanted, type) and issubclass(wanted, Table):
            if not isinstance(raw, dict):
                return self._fault(at, f"expected a table, found {kind(raw)}")
            return self.table(wanted, raw, at)
        return self._leaf(wanted, raw, at, notes)

    def _fault(self, at: str, reason: str) -> Any:
        self.faults.add(at, reason)
        return FAULTY

    def _noted(self, wanted: Any, raw: object, at: str, notes: tuple[object, ...]) -> Any:
        given = [note.names for note in notes if isinstance(note, Given)]
        outer = self.known
        self.known = outer.union(*given)
        try:
            return self.value(wanted, raw, at, notes)
        finally:
            self.known = outer

    def _union(self, members: list[Any], raw: object, at: str, notes: tuple[object, ...]) -> Any:
        """One type or null is that type (TOML has no null); a path or a text is told apart by the ``$``."""
        if len(members) > 1:
            path = isinstance(raw, str) and raw.startswith("$")
            members = [member for member in members if (member is JsonPath) is path]
        return self.value(members[0], raw, at, notes)

    def _list(self, item: Any, raw: object, at: str, notes: tuple[object, ...]) -> Any:
        if not isinstance(raw, list):
            return self._fault(at, f"expected a list, found {kind(raw)}")
        if not raw and any(isinstance(note, msgspec.Meta) and note.min_length for note in notes):
            return self._fault(at, "expected at least one entry")
        built = [self.value(item, one, f"{at}[{index}]") for index, one in enumerate(raw)]
        # Without its faulty entries a list is another list: whatever it seems to lack may be among them.
        return FAULTY if any(one is FAULTY for one in built) else tuple(built)

    def _mapping(self, item: Any, raw: object, at: str) -> Any:
        if not isinstance(raw, dict):
            return self._fault(at, f"expected a table, found {kind(raw)}")
        return types.MappingProxyType({key: self.value(item, one, join(at, key)) for key, one in raw.items()})

    def _header(self, raw: object, at: str) -> Any:
        match raw:
            case [str() as name, str() as line]:
                pass
            case _:
                return self._fault(at, 'expected a pair of name and value such as ["Accept", "*/*"]')
        if not _TOKEN.fullmatch(name):
            self.faults.add(at, f"{name!r} is not a header name")
        elif name.lower() in _OURS:
            self.faults.add(at, f"{name} depends on the request, the harness writes it; leave it out")
        if not line.isprintable() or not line.isascii():
            self.faults.add(at, f"a header value is printable ASCII, not {line!r}")
        value = self._text(line, at, ())
        return FAULTY if value is FAULTY else Header(name=name, value=value)

    def _leaf(self, wanted: Any, raw: object, at: str, notes: tuple[object, ...]) -> Any:
        if wanted is Template:
            return self._template(raw, at, notes)
        if wanted is object:
            return Template.parse(raw).render({}) if self._sound(raw, frozenset(), at) else FAULTY
        if wanted in (JsonPath, TextTemplate, re.Pattern[str]):
            if not isinstance(raw, str):
                found = kind(raw)
                return self._fault(at, f"{HINT if wanted is JsonPath else 'expected text'}, found {found}")
            return self._text(raw, at, notes) if wanted is TextTemplate else self._parsed(wanted, raw, at)
        return self._scalar(wanted, raw, at, notes)

    def _parsed(self, wanted: Any, raw: str, at: str) -> Any:
        try:
            return JsonPath.parse(raw) if wanted is JsonPath else re.compile(raw)
        except (re.error, OverflowError) as error:
            return self._fault(at, f"not a regular expression: {error}")
        except ValueError as error:
            return self._fault(at, str(error))

    def _sound(self, raw: object, known: frozenset[str], at: str) -> bool:
        before = len(self.faults.lines)
        for place, reason in problems(raw, known, at):
            self.faults.add(place, reason)
        return len(self.faults.lines) == before

    def _template(self, raw: object, at: str, notes: tuple[object, ...]) -> Any:
        for note in notes:
            if isinstance(note, Expect) and not isinstance(raw, note.kind):
                wanted = "a list of arguments" if note.kind is list else "a table"
                return self._fault(at, f"expected {wanted}, found {kind(raw)}")
        return Template.parse(raw) if self._sound(raw, self.known, at) else FAULTY

    def _text(self, raw: str, at: str, notes: tuple[object, ...]) -> Any:
        url = Url in notes
        if url and not self._rooted(raw, at):
            return FAULTY
        return TextTemplate.parse(raw, url=url) if self._sound(raw, self.known, at) else FAULTY

    def _rooted(self, raw: str, at: str) -> bool:
        if not raw.startswith("/"):
            self.faults.add(at, f'expected a path on the server such as "/{raw}", it starts with "/"')
        elif not raw.isascii() or not raw.isprintable() or " " in raw or "#" in raw:
            self.faults.add(
                at, "a path on the server is printable ASCII without spaces and #: percent-encode them"
            )
        else:
            return True
        return False

    def _scalar(self, wanted: Any, raw: object, at: str, notes: tuple[object, ...]) -> Any:
        names = {str: "text", int: "a whole number", bool: "true or false"}
        if get_origin(wanted) is Literal:
            choices = get_args(wanted)
            if raw in choices and isinstance(raw, str):
                return raw
            listed = ", ".join([f'"{one}"' for one in choices])
            return self._fault(at, f"expected one of {listed}, found {raw!r}")
        if type(raw) is not wanted:
            return self._fault(at, f"expected {names[wanted]}, found {kind(raw)}")
        if Url in notes:
            return raw if self._rooted(str(raw), at) else FAULTY
        for note in notes:
            if isinstance(note, msgspec.Meta):
                try:
                    msgspec.convert(raw, Annotated[wanted, note])
                except msgspec.ValidationError:
                    return self._fault(at, _bounds(note))
        return raw


def _bounds(note: msgspec.Meta) -> str:
    """What a value outside its bounds should have been."""
    if note.min_length is not None:
        return "expected text that is not empty"
    return f"expected {note.ge} or more" if note.le is None else f"expected {note.ge} to {note.le}"
