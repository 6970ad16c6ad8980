"""How are ways of polling, savings and the rates where they end put into words?"""

from __future__ import annotations

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm
from loadtest.analysis.bandwidth_model import BROWSER, SOCKET, WIRE
from loadtest.analysis.bandwidth_surface import Crossing, Point
from loadtest.report.words import UNKNOWN

LEVELS = {WIRE: "on the wire (level C)", SOCKET: "on the sockets (level B)"}
COMPRESSED = "compressed"


def arm_name(arm: Arm) -> str:
    """``interval polling, browser, three feeds``; ``WebSocket, compressed``."""
    if arm.transport == WEBSOCKET:
        return f"WebSocket, {COMPRESSED}" if arm.compression else "WebSocket"
    headers = "browser" if arm.headers == BROWSER else "library"
    if arm.transport == LONG_POLLING:
        return f"long polling, {headers}"
    feeds = {1: "one feed", 3: "three feeds"}.get(arm.feeds, f"{arm.feeds} feeds")
    return f"interval polling, {headers}, {feeds}"


def accent(arm: Arm) -> tuple[str, str]:
    """(CSS variable, line or dotted)."""
    if arm.transport == WEBSOCKET:
        return "websocket", "dotted" if arm.compression else "line"
    if arm.transport == LONG_POLLING:
        return "long-polling", "dotted" if arm.headers == BROWSER else "line"
    assert arm.transport == INTERVAL_POLLING
    return "other-1" if arm.headers == BROWSER else "interval-polling", "line" if arm.feeds == 1 else "dotted"


def order(arm: Arm) -> tuple[bool, bool, bool, int, bool]:
    """The socket first, then interval polling, the library's few headers before a browser's many."""
    return (
        arm.transport != WEBSOCKET,
        arm.transport != INTERVAL_POLLING,
        arm.headers == BROWSER,
        arm.feeds,
        arm.compression,
    )


def percent(saving: float | None) -> str:
    """``90.8 %``, ``−19.0 %``; an en dash for what is not known."""
    if saving is None:
        return UNKNOWN
    said = f"{abs(100 * saving):.1f}"
    return f"{'−' if saving < 0 and float(said) else ''}{said} %"


def between(low: float | None, high: float | None) -> str:
    """``88.1 % to 92.4 %``; an en dash where there is no interval."""
    return UNKNOWN if low is None or high is None else f"{percent(low)} to {percent(high)}"


def level_name(level: str) -> str:
    """``wire`` or ``sockets``."""
    return "wire" if level == WIRE else "sockets"


def when(regime: str, rate: float) -> str:
    """``connecting``, ``idle``, ``0.1/s``."""
    return {CONNECT: "connecting", IDLE: "idle"}.get(regime, f"{rate:g}/s")


def column(point: Point) -> tuple[int, float]:
    """Where it stands in a table: connecting, idle, then by rate."""
    return ((CONNECT, IDLE, ACTIVE).index(point.regime), point.rate)


def say_rate(rate: float) -> str:
    """``0.11/s``, ``3.1/s``, ``12/s``: two figures, no exponents."""
    return f"{float(f'{rate:.2g}'):g}/s" if rate >= 1e-4 else "0/s"


def where(one: Crossing) -> str:
    """``90 % ends at 0.11/s (0.10/s to 0.12/s)``, ``polling is the cheaper from 3.1/s on``."""
    what = f"{100 * one.saving:g} %"
    interval = ends_between(one)
    beside = f" ({interval})" if interval != UNKNOWN else ""
    if one.rate is None:
        still = "push is still the cheaper" if not one.saving else f"{what} is still saved"
        return f"{still} at {say_rate(one.most)}"
    if one.rate <= 0:
        return f"{what} is saved at no rate" if one.saving else "polling is the cheaper at every rate"
    if one.saving:
        return f"{what} ends at {ends_at(one)}{beside}"
    beyond = ", extrapolated" if one.extrapolated else ""
    return f"polling is the cheaper from {say_rate(one.rate)} on{beside}{beyond}"


def ends_at(one: Crossing) -> str:
    """``0.11/s``, ``3.1/s, extrapolated``, ``beyond 7.5/s``."""
    if one.rate is None:
        return f"beyond {say_rate(one.most)}"
    if one.rate <= 0:
        return "never reached"
    return say_rate(one.rate) + (", extrapolated" if one.extrapolated else "")


def ends_between(one: Crossing) -> str:
    """``0.10/s to 0.12/s``; ``6.1/s or more``."""
    if one.low is None:
        return UNKNOWN
    return (
        f"{say_rate(one.low)} or more" if one.high is None else f"{say_rate(one.low)} to {say_rate(one.high)}"
    )
