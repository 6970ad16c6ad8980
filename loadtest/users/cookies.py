"""Which cookies does a user keep, and send back?

As a browser or a phone does it, as far as one host goes: a proxy in front of several servers names the one that
a user was on by a cookie, and without it the next request of a session may reach another server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_OWN = re.compile(rb"\r\nCookie:[^\r]*", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Cookies:
    """What one device keeps, whichever of its connections brought it. Paths and domains are not told apart."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def take(self, line: str) -> None:
        """The value of one Set-Cookie header; what it says has expired is forgotten."""
        pair, *attributes = line.split(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not (name and equals) or not line.isascii() or not line.isprintable():
            return
        if _expired(attributes):
            self._kept.pop(name, None)
        else:
            self._kept[name] = value.strip()

    def take_all(self, lines: Iterable[str]) -> None:
        """The values of several."""
        for line in lines:
            self.take(line)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header that sends them back, if there are any."""
        return [("Cookie", self._line)] if self._kept else []

    def beside(self, lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """These header lines and what is kept; cookies that they have of their own come first, in one line."""
        own = [value for name, value in lines if name.lower() == "cookie"]
        others = [(name, value) for name, value in lines if name.lower() != "cookie"]
        cookies = own + ([self._line] if self._kept else [])
        return [*others, ("Cookie", "; ".join(cookies))] if cookies else others

    @property
    def _line(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._kept.items())

    def dress(self, request: bytes) -> bytes:
        """The bytes of a request, with what is kept; behind the cookies that it has of its own."""
        if not self._kept:
            return request
        head_end = request.index(_HEAD_END)
        line = self._line.encode("ascii")
        own = _OWN.search(request, 0, head_end)
        if own is not None:
            return b"".join((request[: own.end()], b"; ", line, request[own.end() :]))
        return b"".join((request[:head_end], b"\r\nCookie: ", line, request[head_end:]))


def _expired(attributes: list[str]) -> bool:
    """By Max-Age, or else by Expires; what cannot be read does not count, as in browsers."""
    told = {}
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        told[name.strip().lower()] = value.strip()
    if re.fullmatch(r"-?\d+", told.get("max-age", "")):
        return int(told["max-age"]) <= 0
    try:
        until = parsedate_to_datetime(told["expires"])
    except (KeyError, ValueError):
        return False
    return until.replace(tzinfo=until.tzinfo or UTC) <= datetime.now(UTC)
