"""How is a run told in one line, and a night or a comparison above its runs?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from loadtest.analysis.figures import say_share
from loadtest.measure import run as runs
from loadtest.measure.operations import MAIN, Operation
from loadtest.measure.plan import Phase
from loadtest.measure.units import say_bytes, say_ms
from loadtest.report.shelf import Block, Brief, Bytes, Entry, Group, OperationRow, Verdict
from loadtest.report.table import known
from loadtest.report.words import TRANSPORTS, UNKNOWN, count, plural, transport_name

RISING, FALLING = "ascending", "descending"


class Column(NamedTuple):
    """A heading; ``first``: which way the first click sorts, so that what one looks for comes to the top.

    hint: is shown on pointing. words: not figures. wraps: words that may take two lines.
    """

    title: str
    hint: str = ""
    first: str = RISING
    words: bool = False
    wraps: bool = False


COLUMNS = (
    Column("started, UTC", first=FALLING, words=True),
    Column("run", words=True),
    Column("transport", words=True),
    Column("users", first=FALLING),
    Column("verdict", "Of its SLOs, claims and comparisons", words=True, wraps=True),
    Column("measured", "Whether the generator kept up, and nobody cut it short", words=True, wraps=True),
    Column("delivered", "In time, of those expected"),
    Column("lost", first=FALLING),
    Column("p50", "The median", FALLING),
    Column("p95", first=FALLING),
    Column("p99", first=FALLING),
    Column("per message", "Bytes over the sockets, both ways, for each message delivered", FALLING),
    Column("drops, back", "Connections lost in measure and drain, and how many of them came back", FALLING),
)

ACTIVE = "active"
PERCENTILES = ("p50", "p95", "p99")
SHORT = {"upgrade": "upgrade"}
"""Transports whose name elsewhere is too long for a column."""

KINDS = {
    "nightly": "night",
    "comparison": "comparison",
    "calibration": "calibration",
    "capacity": "capacity plan",
    "claims": "claims session",
    "bandwidth": "bandwidth comparison",
}
VALIDITIES = {"invalid": "bad", "suspect": "warn", "valid": "good"}
VERDICTS = {
    "fail": ("failed", "bad"),
    "invalid": ("invalid", "bad"),
    "incomplete": ("incomplete", "warn"),
    "inconclusive": ("inconclusive", "warn"),
    "pass": ("passed", "good"),
}
"""How states are worded and toned, worst first."""


class Cell(NamedTuple):
    """Words, and the number to sort them by: what has none comes last. ``why`` is shown on pointing.

    tone: as in loadtest.report.table. accent: CSS variable of a swatch. badge: whether a line is drawn around it.
    beside: small words behind it.
    """

    text: str
    value: float | None = None
    why: str = ""
    tone: str = ""
    accent: str = ""
    badge: bool = False
    beside: str = ""


NOTHING = Cell(UNKNOWN, tone="quiet")


class Line(NamedTuple):
    """A row. ``block``: a number for what stands together, later ones higher; None: of no date.

    kind: run, member (a run below its group) or group. link: where its page lies, from the reports. said: what a
    group says of itself in the place of figures.
    """

    kind: str
    block: int | None
    started: Cell
    name: Cell
    link: str
    cells: list[Cell]
    said: str = ""


def lines(blocks: Sequence[Block]) -> list[Line]:
    """A row for each group and each run, in the order given."""
    names = _places(name for block in blocks for name in _names(block))
    made: list[Line] = []
    for index, block in enumerate(blocks):
        place = None if block.moment is None else len(blocks) - index
        if block.group:
            made.append(_group(block, block.group, place, names))
        made += [_run(entry, block.group, place, names) for entry in block.entries]
    return made


def link(folder: Sequence[str], file: str = "") -> str:
    """A relative address of a file below the reports, or of the directory; names may hold any byte."""
    return "/".join(
        quote_from_bytes(one.encode(errors="surrogateescape"), safe="") for one in (*folder, file)
    )


def _names(block: Block) -> list[str]:
    group = [_title(block.group)] if block.group else []
    return group + [entry.facts.scenario for entry in block.entries]


def _title(group: Group) -> str:
    """Its name without the moment that a directory's name begins with: that stands in a column of its own."""
    return re.sub(r"^\d{8}T\d{6}Z-(?=.)", "", group.record.name)


def _places(words: Iterable[str]) -> dict[str, int]:
    """Their places in the alphabet: the page sorts by numbers alone."""
    ordered = sorted(set(words), key=lambda word: (word.casefold(), word))
    return {word: place for place, word in enumerate(ordered)}


def _place(word: str, order: Iterable[str]) -> int:
    """Its place in this order; what another release may say comes last."""
    known_words = list(order)
    return known_words.index(word) if word in known_words else len(known_words)


def _run(entry: Entry, group: Group | None, place: int | None, names: dict[str, int]) -> Line:
    facts, brief = entry.facts, entry.brief
    row = None if brief is None else main_row(brief)
    between = entry.folder[len(group.folder) : -1] if group else entry.folder[:-1]
    main = row.name if row and row.name != Operation.MESSAGE_DELIVER else ""
    beside = ", ".join(filter(None, (*between, main)))
    return Line(
        "member" if group else "run",
        place,
        _started(entry.moment, facts.started),
        Cell(facts.scenario, names[facts.scenario], entry.folder[-1], beside=beside),
        link(entry.folder, runs.REPORT if entry.page else ""),
        [
            _transport(facts.transport),
            NOTHING if facts.users is None else Cell(count(facts.users), facts.users),
            _verdict(brief, entry.why),
            _validity(brief, facts.complete),
            *(_figures(brief, row) if brief else [NOTHING] * 7),
        ],
    )


def _group(block: Block, group: Group, place: int | None, names: dict[str, int]) -> Line:
    record = group.record
    said = [plural(len(block.entries) if record.runs is None else record.runs, "run")]
    if record.exit_code is not None:
        said.append(f"exit code {record.exit_code}")
    if group.why:
        said.append(group.why)
    return Line(
        "group",
        place,
        _started(block.moment, record.started),
        Cell(_title(group), names[_title(group)], group.folder[-1]),
        link(group.folder, record.page if group.page else ""),
        [Cell(KINDS.get(record.kind, record.kind)), Cell(""), _state(record.state)],
        ", ".join(said),
    )


def _started(moment: datetime | None, told: str) -> Cell:
    if moment is None:
        return Cell(told or UNKNOWN, tone="quiet")
    return Cell(moment.isoformat(" ")[:16], moment.timestamp())


def _transport(transport: str) -> Cell:
    if not transport:
        return NOTHING
    text = SHORT.get(transport, transport_name(transport))
    accent = transport if transport in TRANSPORTS else "other-3"
    return Cell(text, _place(transport, TRANSPORTS), accent=accent)


def _state(state: str, said: str = "", why: str = "") -> Cell:
    """A verdict's cell; a state of another release keeps its own word."""
    if not state:
        return NOTHING
    word, tone = VERDICTS.get(state, (state, ""))
    return Cell(f"{said}{word}", _place(state, VERDICTS), why, tone)


def _verdict(brief: Brief | None, why: str) -> Cell:
    """The worst of its verdicts, and of how many."""
    if brief is None:
        return Cell("no summary", why=f"{why}: loadtest report makes one", tone="warn")
    if not brief.verdicts:
        return Cell("no SLO", tone="quiet")
    counted = Counter(verdict.state for verdict in brief.verdicts)
    worst = next((state for state in (*VERDICTS, *counted) if counted[state]), "")
    of = f" of {len(brief.verdicts)}" if worst != "pass" else ""
    return _state(worst, f"{counted[worst]}{of} ", "\n".join(_accused(brief.verdicts)))


def _accused(verdicts: Sequence[Verdict]) -> list[str]:
    """What did not pass, a line each."""
    return [
        f"{VERDICTS.get(one.state, (one.state, ''))[0]}: {one.name}" + (f" ({one.why})" if one.why else "")
        for one in verdicts
        if one.state != "pass"
    ]


def _validity(brief: Brief | None, complete: bool | None) -> Cell:
    """Its badge, and whether it was cut short: among equals, what was comes first."""
    state = brief.validity.state if brief else ""
    reasons = brief.validity.reasons if brief else []
    beside = "cut short" if complete is False else ""
    value = _place(state, VALIDITIES) + 0.5 * (not beside) if state else None
    tone = VALIDITIES.get(state, "quiet")
    return Cell(state or UNKNOWN, value, "\n".join(reasons), tone, badge=bool(state), beside=beside)


def main_row(brief: Brief) -> OperationRow | None:
    """What the run was there for, in measure, over its own transport, or else the row with most in it."""
    rows = [row for row in brief.operations if row.phase == Phase.MEASURE and row.expected]
    for main in MAIN:
        mine = [row for row in rows if row.name == main]
        own = [row for row in mine if row.transport == brief.run.transport]
        if mine:
            return max(own or mine, key=lambda row: row.expected)
    return None


def _figures(brief: Brief, row: OperationRow | None) -> list[Cell]:
    return [*_deliveries(row), _bytes(brief), _drops(brief)]


def _deliveries(row: OperationRow | None) -> list[Cell]:
    if row is None:
        return [Cell(UNKNOWN, why="nothing was expected", tone="quiet")] * (2 + len(PERCENTILES))
    share = row.n / row.expected
    return [
        Cell(say_share(share), share, f"{count(row.n)} of {count(row.expected)}"),
        Cell(count(row.lost), row.lost, tone="bad" if row.lost else "quiet"),
        *(_percentile(row, name) for name in PERCENTILES),
    ]


def _percentile(row: OperationRow, name: str) -> Cell:
    value = getattr(row.latency_ms, name)
    shown = known(say_ms(value), row.why.get(name, "not known" if value is None else ""))
    return Cell(shown.text, value, shown.why, shown.tone)


def _bytes(brief: Brief) -> Cell:
    rows = [row for row in brief.bandwidth if row.regime == ACTIVE]
    own = [row for row in rows if row.transport == brief.run.transport]
    row = next(iter(own or rows), Bytes(why={"bytes_per_delivery": "not counted"}))
    value = row.bytes_per_delivery
    why = row.why.get("bytes_per_delivery", "")
    return Cell(say_bytes(value), value, why, "quiet" if value is None else "")


def _drops(brief: Brief) -> Cell:
    drops, back = brief.reconnection.drops, brief.reconnection.recovered
    if not drops:
        return NOTHING if drops is None else Cell("0", 0, tone="quiet")
    return Cell(
        f"{count(drops)}, {count(back)}", drops, tone="warn" if back is not None and back < drops else ""
    )
