"""Which runs does a page speak of, and by which name and colour does the reader know each?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.summary import OperationRow, Summary
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.report.table import Cell
from loadtest.report.words import TRANSPORTS, transport_name

OTHERS = ("other-1", "other-2", "other-3")
FIRST = (Operation.MESSAGE_DELIVER, Operation.MESSAGE_ECHO, Operation.MESSAGE_ACK, Operation.MESSAGE_RESYNC)
"""What people come for stands first; the rest by name."""

MAIN = {
    Operation.MESSAGE_DELIVER: "Delivery latency",
    Operation.CALL_RING: "Ring latency",
    Operation.CHAT_DELIVER: "Live chat latency",
}
"""What a run is there for, the first of these that it did: by it runs are named fast or slow."""


class Subject(NamedTuple):
    """A run on a page: ``accent`` is a CSS variable, ``slug`` makes ids unique, ``alone``: the only run."""

    run: Run
    summary: Summary
    label: str
    accent: str
    slug: str
    alone: bool

    @property
    def who(self) -> list[Cell]:
        """The cell that says whose row it is, where there is more than one run."""
        return [] if self.alone else [Cell(self.label, accent=self.accent)]

    @property
    def of(self) -> str:
        """``, WebSocket`` behind a heading, where there is more than one run."""
        return "" if self.alone else f", {self.label}"

    @property
    def intro(self) -> str:
        """``WebSocket: `` before a sentence, where there is more than one run."""
        return "" if self.alone else f"{self.label}: "


def subjects(runs: Sequence[Run], summaries: Sequence[Summary]) -> list[Subject]:
    """A transport keeps its colour on every page; a second run of one transport gets a spare one."""
    transports = [one.run.transport for one in summaries]
    used: set[str] = set()
    spare = list(OTHERS)
    found = []
    for index, (run, summary) in enumerate(zip(runs, summaries, strict=True)):
        transport = summary.run.transport
        accent = transport if transport in TRANSPORTS and transport not in used else ""
        if not accent:
            accent = spare.pop(0) if spare else OTHERS[-1]
        used.add(accent)
        label = transport_name(transport)
        if transports.count(transport) > 1:
            label += f" {summary.run.id[:4]}" if _distinct(summaries) else f" ({index + 1})"
        found.append(Subject(run, summary, label, accent, f"r{index + 1}", len(summaries) == 1))
    return found


def _distinct(summaries: Sequence[Summary]) -> bool:
    return len({one.run.id[:4] for one in summaries}) == len(summaries)


def measured_operations(summaries: Sequence[Summary]) -> list[Operation]:
    """Those of MAIN that were expected in the measured phase of every one of these runs."""
    of_each = [
        {row.name for row in one.operations if row.phase == Phase.MEASURE and row.expected}
        for one in summaries
    ]
    return [one for one in MAIN if all(one in names for names in of_each)]


def main_operation(summaries: Sequence[Summary]) -> Operation:
    """What these runs are there for; of runs that did nothing of the kind, the delivery of messages."""
    return next(iter(measured_operations(summaries)), Operation.MESSAGE_DELIVER)


def whose(shown: Sequence[Subject]) -> list[str]:
    """The heading of the column that ``who`` fills."""
    return ["transport"] if len(shown) > 1 else []


def by_operation(shown: Sequence[Subject], phases: Sequence[str]) -> list[tuple[Subject, OperationRow]]:
    """Rows of all runs in these phases, what is to be compared in neighbouring rows."""
    found = [(one, row) for one in shown for row in one.summary.operations if row.phase in phases]
    return sorted(found, key=lambda pair: (_place(pair[1].name), pair[1].name, shown.index(pair[0])))


def _place(operation: str) -> int:
    return next((index for index, one in enumerate(FIRST) if one == operation), len(FIRST))
