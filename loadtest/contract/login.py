"""How does a user get what it proves itself with, before it connects? By requests whose answers hold it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from loadtest.contract.answers import HttpCall, badly_named
from loadtest.contract.table import Name

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Login(HttpCall, frozen=True, kw_only=True):
    """One step of logging in. What it captures from body, cookies and headers are variables from then on."""

    capture_cookie: Mapping[str, Name] = _NONE
    capture_header: Mapping[str, Name] = _NONE

    def taken(self, body: object, headers: Mapping[str, str]) -> dict[str, object]:
        """What the answer held. headers: by lower-case names, several Set-Cookie lines joined by newlines."""
        cookies = _cookies(headers.get("set-cookie", ""))
        found: dict[str, object] = self.captured(body)
        found |= {name: cookies[one] for name, one in self.capture_cookie.items() if one in cookies}
        sent = {name: headers.get(one.lower()) for name, one in self.capture_header.items()}
        return found | {name: value for name, value in sent.items() if value is not None}

    def lacking(self, taken: Mapping[str, object]) -> list[str]:
        """What was to be captured and is not there: a line for each, with the place where it was looked for."""
        places = {name: path.source for name, path in self.capture.items()}
        places |= {name: f"cookie {one}" for name, one in self.capture_cookie.items()}
        places |= {name: f"header {one}" for name, one in self.capture_header.items()}
        return [f"no {place} for ${{{name}}}" for name, place in places.items() if name not in taken]

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        yield from super().problems()
        yield from badly_named("capture_cookie", self.capture_cookie)
        yield from badly_named("capture_header", self.capture_header)


def _cookies(lines: str) -> dict[str, str]:
    """Names and values of Set-Cookie lines; what follows the first semicolon is for browsers."""
    found = {}
    for line in lines.split("\n"):
        name, equals, value = line.partition(";")[0].partition("=")
        if equals:
            found[name.strip()] = value.strip()
    return found
