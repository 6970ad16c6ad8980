"""Which variables does a part of a contract name, and which ones does it bring?"""

from collections.abc import Iterator, Mapping

import msgspec

from loadtest.contract.answers import Answer
from loadtest.contract.login import Login
from loadtest.contract.template import Template, TextTemplate


def mentioned(*parts: object) -> frozenset[str]:
    """The variables that any template in these tables names; faulty or missing parts name none."""
    found: frozenset[str] = frozenset()
    for part in parts:
        if isinstance(part, (Template, TextTemplate)):
            found |= part.variables
        else:
            found |= mentioned(*_inside(part))
    return found


def captured(*parts: object) -> frozenset[str]:
    """The names of all that the answers in these tables bring."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, Login):
            found.update(part.capture_cookie, part.capture_header)
        own = getattr(part, "capture", None)
        if isinstance(own, Mapping):
            found.update(own)
        if not isinstance(part, Answer):
            found |= captured(*_inside(part))
    return frozenset(found)


def _inside(part: object) -> Iterator[object]:
    if isinstance(part, msgspec.Struct):
        yield from msgspec.structs.asdict(part).values()
    elif isinstance(part, tuple):
        yield from part
    elif isinstance(part, Mapping):
        yield from part.values()
