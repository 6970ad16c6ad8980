"""How do the runs of a page compare, same statistic on both sides?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.compare import ACTIVE_HOUR, Comparison, Ratio, compare
from loadtest.analysis.validity import INVALID
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_bytes, say_ms
from loadtest.report.subject import MAIN, Subject, main_operation
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import STATISTIC_NAMES, times

NAMES = STATISTIC_NAMES | {
    "bytes_per_delivery": "bytes per delivered message",
    "bytes_per_user_hour": "bytes per idle user and hour",
    ACTIVE_HOUR: "bytes per active user and hour",
}


class Versus(NamedTuple):
    """Two runs against one another: a sentence, and the ratios."""

    sentence: str
    table: Table


def ratios(subjects: Sequence[Subject]) -> list[Versus]:
    """Every other run against the first one given that is fastest; empty for a single run."""
    if len(subjects) < 2:
        return []
    main = main_operation([one.summary for one in subjects])
    found = []
    for other, one in _pairs(subjects, main):
        compared = compare(other.summary, one.summary, main)
        if compared is None:
            continue
        pair = (other, one)
        found.append(_versus(pair[compared.slower], pair[compared.faster], compared, main))
    return found


def _pairs(subjects: Sequence[Subject], main: Operation) -> list[tuple[Subject, Subject]]:
    """(other, fastest) pairs."""
    fastest = subjects[0]
    for one in subjects[1:]:
        compared = compare(fastest.summary, one.summary, main)
        if compared is not None and compared.faster == 1:
            fastest = one
    return [(one, fastest) for one in subjects if one is not fastest]


THINGS = {
    Operation.MESSAGE_DELIVER: "a message",
    Operation.CALL_RING: "the ringing of a call",
    Operation.CHAT_DELIVER: "a live chat message",
}


def _versus(slower: Subject, faster: Subject, compared: Comparison, main: Operation) -> Versus:
    mean = compared.latency[0].ratio
    took = f"took {times(mean)} the time of" if mean else "is set beside"
    sentence = (
        f"In the mean, {THINGS[main]} over {slower.label} {took} one over {faster.label}. "
        "Each row sets the same statistic of both against one another: mean against mean, slowest against "
        "slowest; never the worst case of one against the typical case of the other."
    )
    if INVALID in (slower.summary.validity.state, faster.summary.validity.state):
        sentence = "One of these runs is invalid, so these ratios prove nothing. " + sentence
    if all(one.summary.run.environment.get("same_host_as_target") for one in (slower, faster)):
        sentence += (
            " Client and server ran on one machine, so there is no network in either side: across one, both gain "
            "the round trip, and the ratios shrink."
        )
    rows = [_row(ratio, slower, faster) for ratio in compared.latency]
    more = [_row(ratio, slower, faster) for ratio in compared.bandwidth]
    return Versus(
        sentence,
        table(
            f"{slower.label} against {faster.label}",
            [f"{MAIN[main]} and bytes on the socket"],
            [slower.label, faster.label, "ratio"],
            rows + more,
        ),
    )


def _row(ratio: Ratio, slower: Subject, faster: Subject) -> Row:
    say = say_ms if ratio.unit == "ms" else say_bytes
    most = max(ratio.more or 0.0, ratio.less or 0.0)
    cells = [
        known(say(value), "" if value is not None else ratio.why)._replace(
            bar=value / most if value is not None and most else None, accent=subject.accent
        )
        for value, subject in ((ratio.more, slower), (ratio.less, faster))
    ]
    tone = "strong" if ratio.ratio is not None else "quiet"
    return Row([Cell(NAMES[ratio.what])], [*cells, Cell(times(ratio.ratio), tone=tone)])
