"""Which server was each user on, and what did it cost to reach somebody on another one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.spread import ServerShare, Spread, Way
from loadtest.report.sections.durations import COLUMNS, cells
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import count, plural

SERVERS = [
    "connected at the end",
    "connections in all",
    "read from the same",
    "read from others",
    "late or lost",
]


class SpreadSection(NamedTuple):
    """The section."""

    sentences: list[str]
    servers: Table
    ways: Table


def spread(subjects: Sequence[Subject]) -> SpreadSection | None:
    """Servers and ways between them; None where no target named its servers."""
    shown = [(one, one.summary.spread) for one in subjects if one.summary.spread is not None]
    if not shown:
        return None
    told = [one for one, _ in shown]
    return SpreadSection(
        [_sentence(one, found) for one, found in shown],
        table(
            "Users and their messages by server, measured phase",
            ["server", *whose(told)],
            SERVERS,
            [_server(one, share) for one, share in _by_name(shown)],
        ),
        table(
            "Messages within one server and across two, measured phase",
            ["on the way", *whose(told)],
            ["expected", "late or lost", *COLUMNS],
            [
                _way(says, one, getattr(found, name))
                for name, says in (("within", "to the same server"), ("across", "to another server"))
                for one, found in shown
            ],
        ),
    )


def _by_name(shown: Sequence[tuple[Subject, Spread]]) -> list[tuple[Subject, ServerShare]]:
    """What is to be compared in neighbouring rows."""
    return sorted(
        ((one, share) for one, found in shown for share in found.servers), key=lambda pair: pair[1].name
    )


def _sentence(subject: Subject, found: Spread) -> str:
    ends = ", ".join(f"{count(share.connected)} on {share.name}" for share in found.servers)
    said = f"{subject.intro}{plural(len(found.servers), 'server')} took connections; at the end there were {ends}."
    if found.moved:
        said += f" {plural(found.moved, 'connection')} came back on another server than before."
    deserted = [share.name for share in found.servers if not share.connected]
    return said + (f" Nobody was on {' and '.join(deserted)} any more." if deserted else "")


def _server(subject: Subject, share: ServerShare) -> Row:
    figures = (share.connected, share.connections, share.within, share.across)
    lost = Cell(count(share.missing), tone="bad" if share.missing else "quiet")
    return Row([Cell(share.name), *subject.who], [*(Cell(count(one)) for one in figures), lost])


def _way(says: str, subject: Subject, way: Way) -> Row:
    lost = Cell(count(way.missing), tone="bad" if way.missing else "quiet")
    return Row([Cell(says), *subject.who], [Cell(count(way.expected)), lost, *cells(way.latency_ms, way.why)])
