"""How are counts, shares, ratios and dates worded on the page?

Durations, sizes and rates are worded by loadtest.measure.units; this is what a page needs beside.
"""

from __future__ import annotations

import re

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
UNKNOWN = "–"

TRANSPORTS = {
    "websocket": "WebSocket",
    "upgrade": "upgrade to WebSocket",
    "long-polling": "long polling",
    "interval-polling": "interval polling",
}

STATISTIC_NAMES = {
    "mean": "mean",
    "p50": "median (p50)",
    "p95": "p95",
    "p99": "p99",
    "p999": "p99.9",
    "max": "slowest",
}


def transport_name(transport: str) -> str:
    """The name people use."""
    return TRANSPORTS.get(transport, transport)


def count(value: int | None) -> str:
    """``12,345``; an en dash for what is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def percent(value: float | None, digits: int = 0) -> str:
    """``12 %`` of a value that is in percent."""
    return UNKNOWN if value is None else f"{value:.{digits}f} %"


def times(ratio: float | None) -> str:
    """``340×``, ``7.5×``, ``0.82×``."""
    if ratio is None:
        return UNKNOWN
    if ratio >= 100:
        return f"{ratio:,.0f}×"
    return f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def date(started: str) -> str:
    """``23 November 2026, 08:15 UTC`` of an ISO 8601 moment; what is none is given back as it is."""
    match = re.match(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)", started)
    if not match or not 1 <= int(match[2]) <= 12:
        return started
    return f"{int(match[3])} {MONTHS[int(match[2]) - 1]} {match[1]}, {match[4]} UTC"


def tick_ms(value: float) -> str:
    """``0.1 ms``, ``10 ms``, ``1 s``: a label on an axis."""
    return f"{value / 1000:g} s" if value >= 1000 * (1 - 1e-9) else f"{float(f'{value:.2g}'):g} ms"


def tick_percentile(inverse: float) -> str:
    """``p50``, ``p99.9`` of 1 / (1 - q)."""
    return f"p{round(100 * (1 - 1 / inverse), 6):g}"


def plural(number: int, one: str, many: str = "") -> str:
    """``1 drop``, ``2 drops``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
