"""Which tables stand on the page of ``loadtest bandwidth``?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_claim import name_of
from loadtest.analysis.bandwidth_cost import Arm, Cost
from loadtest.analysis.bandwidth_model import PLAIN, WIRE, Pair
from loadtest.analysis.bandwidth_surface import TRIALS, Check, Crossing, Point, Surface
from loadtest.analysis.verdict import Verdict
from loadtest.measure.units import say_bytes
from loadtest.report import bandwidth_words as words
from loadtest.report.sections.verdicts import TONES
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN

HOUR_S = 3600
_METHODS = {TRIALS: "trials"}


class Told(NamedTuple):
    """All that the page is made of. models: the closed form by (headers, feeds, way of the socket).

    claim: the saving that was claimed, 0 to 1. runs: where the runs lie, from the page. notes: a sentence each.
    """

    costs: Sequence[Cost]
    surface: Surface
    verdicts: Sequence[Verdict]
    models: Mapping[tuple[str, int, str], Pair]
    claim: float
    facts: Sequence[str]
    started: str
    runs: str
    notes: Sequence[str]
    command: str


def savings(told: Told, level: str, states: Mapping[str, str]) -> Table:
    """Ways of polling downwards, rates across; coloured by the verdict on the claim."""
    points = [one for one in told.surface.points if one.level == level]
    columns = sorted({words.column(one) for one in points})
    rows: dict[tuple[Arm, bool], dict[tuple[int, float], Point]] = {}
    for point in points:
        rows.setdefault((point.polling, point.compression), {})[words.column(point)] = point
    shown = [
        Row(
            [Cell(words.arm_name(arm), accent=words.accent(arm)[0]), Cell(_socket(compression))],
            [_saving(row.get(place), states) for place in columns],
        )
        for (arm, compression), row in sorted(
            rows.items(), key=lambda pair: (words.order(pair[0][0]), pair[0][1])
        )
    ]
    heads = [words.when((CONNECT, IDLE, ACTIVE)[place], rate) for place, rate in columns]
    return table(f"Saved {words.LEVELS[level]}", ["of polling by", "WebSocket"], heads, shown)


def _socket(compression: bool) -> str:
    return words.COMPRESSED if compression else "plain"


def _saving(point: Point | None, states: Mapping[str, str]) -> Cell:
    if point is None:
        return Cell(UNKNOWN, "not measured", "quiet")
    decided = point.low is not None
    return Cell(words.percent(point.saving), tone=TONES[states[name_of(point)]] if decided else "")


def ends(told: Told) -> Table:
    """A row for each way and level: where the claim ends, and where both cost the same."""
    rows: dict[tuple[Arm, bool, str], list[Crossing]] = {}
    for one in told.surface.crossings:
        rows.setdefault((one.polling, one.compression, one.level), []).append(one)
    shown = [
        Row(
            [Cell(words.arm_name(arm), accent=words.accent(arm)[0]), Cell(_socket(compression))],
            [Cell(words.level_name(level)), *(cell for one in pair for cell in _end(one))],
        )
        for (arm, compression, level), pair in sorted(rows.items(), key=lambda item: _of_end(*item[0]))
    ]
    columns = [
        "level",
        f"{100 * told.claim:g} % ends at",
        "95 % interval",
        "both cost the same at",
        "95 % interval",
    ]
    return table("Messages delivered to each user per second", ["polling", "WebSocket"], columns, shown)


def _of_end(arm: Arm, compression: bool, level: str) -> tuple[object, ...]:
    return level != WIRE, words.order(arm), compression


def _end(one: Crossing) -> list[Cell]:
    return [
        Cell(words.ends_at(one), tone="quiet" if one.rate is None else ""),
        known(words.ends_between(one)),
    ]


def costs(told: Told, level: str) -> Table:
    """Bytes per user for connecting, per user and hour idle, per delivered message at each rate."""
    columns = sorted({_place(one) for one in told.costs})
    rows: dict[Arm, dict[tuple[int, float], list[Cost]]] = {}
    for cost in told.costs:
        rows.setdefault(cost.arm, {}).setdefault(_place(cost), []).append(cost)
    heads = [
        {CONNECT: "connect", IDLE: "idle hour"}.get(regime, f"{rate:g}/s")
        for regime, rate in (((CONNECT, IDLE, ACTIVE)[place], rate) for place, rate in columns)
    ]
    shown = [
        Row(
            [Cell(words.arm_name(arm), accent=words.accent(arm)[0])],
            [_price(row.get(place, []), level) for place in columns],
        )
        for arm, row in sorted(rows.items(), key=lambda pair: words.order(pair[0]))
    ]
    caption = f"Bytes {words.LEVELS[level]}: per connect, per idle hour, per message at each rate"
    return table(caption, ["way"], heads, shown)


def _place(cost: Cost) -> tuple[int, float]:
    return ((CONNECT, IDLE, ACTIVE).index(cost.regime), cost.rate)


def _price(costs: Sequence[Cost], level: str) -> Cell:
    if not costs:
        return Cell(UNKNOWN, "not measured", "quiet")
    amounts = [one for cost in costs if (one := cost.at(level)) is not None]
    if len(amounts) < len(costs):
        return Cell(UNKNOWN, "the kernel did not count segments", "quiet")
    mean = sum(amounts) / len(amounts)
    regime = costs[0].regime
    if regime == ACTIVE:
        heard = sum(one.delivered for one in costs) / len(costs)
        return (
            Cell(say_bytes(mean / heard))
            if heard
            else Cell(UNKNOWN, "no message fell into the window", "quiet")
        )
    scaled = next((one.scaled for one in costs if one.scaled), None)
    why = f"from heartbeats every {scaled:g} s, for the server’s own period" if scaled else ""
    return Cell(say_bytes(mean * (HOUR_S if regime == IDLE else 1)), why)


def checks(checks: Sequence[Check]) -> Table:
    rows = [
        Row(
            [
                Cell(words.arm_name(one.arm), accent=words.accent(one.arm)[0]),
                Cell(words.when(ACTIVE if one.rate else IDLE, one.rate)),
            ],
            [
                Cell(words.level_name(one.level)),
                Cell(f"{one.measured:,.1f}"),
                Cell(f"{one.modelled:,.1f}"),
                Cell(words.percent(one.off), tone="" if one.close else "warn"),
            ],
        )
        for one in sorted(checks, key=lambda one: (words.order(one.arm), one.rate, one.level != WIRE))
    ]
    heads = ["level", "measured, B/s per user", "closed form", "off"]
    return table("Measured beside the closed form", ["way", "rate"], heads, rows)


def sizes(models: Mapping[tuple[str, int, str], Pair]) -> Table:
    """What single exchanges weigh: the numbers that the closed form was filled in with."""
    rows: dict[str, Row] = {}
    for (headers, feeds, way), pair in models.items():
        if feeds == 1:
            feed = pair.polling.feeds[0]
            exchanges = {
                "a poll without news": feed.quiet,
                "a poll with news, these aside": feed.news,
                "each message in it": feed.item,
                "a preflight": feed.preflight,
                "a message sent": pair.polling.post,
            }
            for name, size in exchanges.items():
                if round(size.bytes):
                    rows[f"{headers}{name}"] = _size(f"polling, {headers} headers", name, *size)
            socket = f"WebSocket, {_socket(way != PLAIN)}"
            rows[f"{way}heard"] = _size(socket, "a message heard", *pair.pushing.heard)
            rows[f"{way}said"] = _size(
                socket, "a message sent, its answer and own copy", *pair.pushing.emitted
            )
            rows[f"{way}beat"] = _size(socket, "a heartbeat, by the protocol", *pair.pushing.beat)
    shown = sorted(rows.values(), key=lambda row: row.heads[0].text)
    return table("What single exchanges weigh", ["way", "exchange"], ["bytes", "segments"], shown)


def _size(way: str, what: str, size: float, segments: float) -> Row:
    return Row([Cell(way), Cell(what)], [Cell(f"{size:,.0f}"), Cell(f"{abs(segments):.1f}")])


def points(points: Sequence[Point]) -> Table:
    rows = [
        Row(
            [
                Cell(words.arm_name(one.polling), accent=words.accent(one.polling)[0]),
                Cell(_socket(one.compression)),
            ],
            [
                Cell(words.when(one.regime, one.rate)),
                Cell(words.level_name(one.level)),
                Cell(f"{one.delivered:.3g}/s" if one.regime == ACTIVE else UNKNOWN),
                Cell(words.percent(one.saving)),
                known(words.between(one.low, one.high)),
                known(words.percent(one.modelled)),
                Cell(f"{one.trials} {_METHODS.get(one.method, 'within the run')}"),
            ],
        )
        for one in sorted(
            points,
            key=lambda one: (words.order(one.polling), one.compression, words.column(one), one.level != WIRE),
        )
    ]
    heads = ["rate", "level", "really heard", "saved", "95 % interval", "closed form", "interval from"]
    return table("Every point", ["polling", "WebSocket"], heads, rows)
