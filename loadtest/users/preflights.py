"""Which requests does a browser ask about first, and for how long is an answer good?

The page of a polling user may come from another origin than the server (CORS). Before a request with a header
of its own, such as Authorization, a browser then sends an OPTIONS request, and keeps the answer for as long as
Access-Control-Max-Age says, for that very address with its query: a feed asked with another cursor is another
address (WHATWG, Fetch, "CORS-preflight cache").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from loadtest.contract import Headers
from loadtest.measure.units import SECOND
from loadtest.users.http import Response, compose

DEFAULT_AGE_S, LONGEST_AGE_S = 5, 7200
"""Where the server names no age, and what Chromium cuts longer ones to."""
_KEPT = 64
"""Addresses remembered; a feed's older cursors are never asked for again."""
_ASKED_FOR = frozenset({"authorization", "content-type"})
"""Of the headers that polling users send, those a script sets; the browser adds the others by itself, also
If-None-Match, where its own cache asks whether something changed."""


class Preflights:
    """What one user may send without asking; ``sent`` counts how often it was asked about."""

    def __init__(self, headers: Headers | None, variables: Mapping[str, object]) -> None:
        self._headers = headers if headers is not None and headers.preflight else None
        self._variables = variables
        self._until_ns: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.sent = 0

    def before(self, method: str, target: str, names: Iterable[str], now_ns: int) -> bytes | None:
        """The OPTIONS request that must be answered first; None: no need to ask.

        names: the headers of the request, in lower case.
        """
        if self._headers is None:
            return None
        asked = ",".join(sorted(_ASKED_FOR.intersection(names)))
        simple = not asked and method in ("GET", "HEAD", "POST")
        if simple or self._until_ns.get((target, asked), 0) > now_ns:
            return None
        self.sent += 1
        lines = self._headers.asking(method, asked, self._variables)
        head = "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")
        return compose("OPTIONS", target, head)

    def allowed(self, target: str, names: Iterable[str], response: Response) -> bool:
        """Whether the answer lets the page go on; remembered, so that nobody asks again too soon."""
        if not 200 <= response.status < 300 or "access-control-allow-origin" not in response.headers:
            return False
        asked = ",".join(sorted(_ASKED_FOR.intersection(names)))
        age = response.headers.get("access-control-max-age", "")
        age_s = min(int(age), LONGEST_AGE_S) if age.isascii() and age.isdigit() else DEFAULT_AGE_S
        self._until_ns[target, asked] = response.read_ns + age_s * SECOND
        self._until_ns.move_to_end((target, asked))
        while len(self._until_ns) > _KEPT:
            self._until_ns.popitem(last=False)
        return True
