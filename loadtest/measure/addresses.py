"""What of an address may be shown? Where it leads to; not by whose leave."""

from __future__ import annotations

import re

_LEAVE = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"\?[^#\s]*")


def without_credentials(text: str) -> str:
    """An address, fit to be shown: user, password and query, which may hold a key, are replaced.

    >>> without_credentials("http://ann:secret@host:9090/metrics?key=secret#lag=loop_seconds")
    'http://***@host:9090/metrics?***#lag=loop_seconds'
    >>> without_credentials("is this one?")
    'is this one?'
    """
    if "://" not in text:
        return text
    return _QUERY.sub("?***", _LEAVE.sub("***@", text))
