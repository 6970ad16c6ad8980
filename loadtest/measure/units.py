"""How are rates, durations and sizes read from people and worded for them?

Inside, time is integer nanoseconds and a rate is a float of events per second. This is the only module
that turns words into those and back.
"""

from __future__ import annotations

import math
import re

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

_RATE = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:[eE][-+]?\d+)?)\s*(?:/\s*(s|m|h))?\s*$")
_RATE_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]*\.?[0-9]+)\s*(ms|s|m|h)")
_PART_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_rate(text: str) -> float:
    """Events per second from ``6/m``, ``0.1/s``, ``30/h``; a bare number is per minute.

    Raises ValueError when the text is no rate or the rate is not positive.
    """
    match = _RATE.match(text)
    if not match:
        raise ValueError(f"{text!r} is no rate: write 6/m, 0.1/s or 30/h (a bare number is per minute)")
    per_second = float(match[1]) / _RATE_SECONDS[match[2] or "m"]
    if not 0 < per_second < math.inf:
        raise ValueError(f"{text!r} is no rate: it must be finite and greater than zero")
    return per_second


def parse_duration(text: str) -> int:
    """Nanoseconds from ``30s``, ``1m30s``, ``500ms``, ``2h``; a bare number is seconds, as in Locust.

    Raises ValueError when the text is no duration or is negative.
    """
    bare = text.strip()
    try:
        seconds = float(bare)
    except ValueError:
        rest = _PART.sub("", bare)
        if rest.strip() or not bare:
            raise ValueError(f"{text!r} is no duration: write 30s, 1m30s or 500ms") from None
        seconds = sum(float(n) * _PART_SECONDS[unit] for n, unit in _PART.findall(bare))
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text!r} is no duration: it must be finite and not negative")
    return round(seconds * SECOND)


def ms(ns: float) -> float:
    """Milliseconds, to the microsecond: finer digits of a histogram edge mean nothing."""
    return round(ns / MS, 3)


def say_ms(value: float | None) -> str:
    """``0.42 ms``, ``12.3 ms``, ``1.52 s``; an en dash for what is not known."""
    if value is None:
        return "–"
    for below, digits in ((10, 2), (100, 1), (1000, 0)):
        if round(value, digits) < below:  # rounded first: 999.6 is a second, not "1000 ms"
            return f"{value:.{digits}f} ms"
    return f"{value / 1000:.2f} s"


def say_between_ms(low: float | None, high: float | None) -> str:
    """``0.41–0.43 ms``, ``890 ms–1.20 s``, ``0.41 ms or more``; an en dash for what is not known."""
    if low is None:
        return "–"
    if high is None:
        return f"{say_ms(low)} or more"
    (first, of_first), (last, of_last) = say_ms(low).split(" "), say_ms(high).split(" ")
    return f"{first}–{last} {of_last}" if of_first == of_last else f"{first} {of_first}–{last} {of_last}"


def say_bytes(value: float | None) -> str:
    """``312 B``, ``4.1 KB``, ``2.3 MB``: thousands, as networks count."""
    if value is None:
        return "–"
    for unit, digits in (("B", 0), ("KB", 1), ("MB", 1)):
        if abs(round(value, digits)) < 1000:
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def say_seconds(seconds: float) -> str:
    """``8.5 s``, ``45 s``, ``2 min 5 s``."""
    for below, digits in ((10, 1), (60, 0)):
        if round(seconds, digits) < below:
            return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def say_rate(per_second: float) -> str:
    """``6 per minute``, ``3 per second``: whichever keeps the number above one."""
    if per_second >= 1:
        return f"{per_second:g} per second"
    return f"{round(per_second * 60, 6):g} per minute"
