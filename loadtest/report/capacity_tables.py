"""Which tables does the page of a capacity plan have: servers for so many users, and every trial of the search?"""

from __future__ import annotations

from typing import NamedTuple

from loadtest.analysis.capacity import Capacity
from loadtest.analysis.capacity_model import EXTRAPOLATED, Model, predict
from loadtest.analysis.capacity_search import GENERATOR, OPEN, PASS
from loadtest.analysis.capacity_trial import Tried
from loadtest.analysis.cluster import FEWEST, times_one
from loadtest.analysis.cluster import fit as fit_law
from loadtest.analysis.figures import say_share
from loadtest.analysis.verdict import MS_UNIT
from loadtest.measure.units import say_between_ms, say_bytes, say_ms
from loadtest.report import capacity_words as words
from loadtest.report.capacity_chart import Timed
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import UNKNOWN, count, percent, plural


class Line(NamedTuple):
    """One trial in the table of levels; ``link``: its page, from the plan's; ``first``: of its level."""

    users: str
    link: str
    role: str
    state: str
    tone: str
    first: bool
    cells: list[str]
    why: str


def servers(plan: Capacity) -> Table:
    rows = []
    for one in plan.servers:
        grown = f"{count(one.users)}" + (f" (grown: {count(one.grown)})" if one.grown != one.users else "")
        cells = [
            Cell(UNKNOWN if one.servers is None else count(one.servers), one.why, "strong"),
            Cell(words.asked(one) if one.servers is not None else UNKNOWN),
            Cell(count(one.users_each)),
            Cell(_cpu_of(plan.model, one.users_each)),
            Cell(count(one.users_each_after)),
            Cell(words.spread(one)),
        ]
        rows.append(Row([Cell(grown)], cells))
    return table(
        "Servers needed",
        ["users at peak"],
        ["servers", "because of", "users on each", "CPU of each", "after one fails", "spread of the return"],
        rows,
    )


def _cpu_of(model: Model | None, users: int | None) -> str:
    if model is None or users is None:
        return UNKNOWN
    found = predict(model, users)
    if found.value is None:
        return UNKNOWN
    said = percent(found.value)
    if found.how == EXTRAPOLATED:
        return f"{said} ({percent(found.low)} to {percent(found.high)}, extrapolated)"
    return said


def servers_notes(plan: Capacity) -> list[str]:
    terms = plan.terms
    if terms is None:
        return []
    said = [
        f"Counted with {count(terms.carries)} users on a server, the lower end of the bracket, of which "
        f"{percent(100 * terms.headroom)} stay free; and so that one may fail while the others carry everybody."
    ]
    if terms.growth:
        said.append(f"The users are taken to grow by {percent(100 * terms.growth)}.")
    if not terms.cluster:
        said.append(
            "This assumes linear scaling: that two servers carry twice what one does. What ties them together (an "
            "adapter, a broker, a database) was not measured; where you have, say it with --cluster-throughput."
        )
    if terms.connects_per_s is not None:
        said.append(
            f"When a server fails its users come back to the others. One server took in "
            f"{terms.connects_per_s:.0f} users a second here, as fast as they were sent: at least so many. "
            "The last column is over how long their return must be spread by a random wait."
        )
    return said


def cluster(plan: Capacity) -> Table:
    measured = plan.setting.cluster
    law = fit_law(measured)
    rows = []
    for servers, throughput in measured.items():
        times = times_one(measured, servers).value or 0.0
        rows.append(
            Row(
                [Cell(plural(servers, "server"))],
                [Cell(f"{throughput:,.0f}"), Cell(f"{times:.2f}×"), Cell(percent(100 * times / servers))],
            )
        )
    why = ""
    if law is None:
        why = f"no scalability law is fitted to fewer than {FEWEST} counts of servers: nothing beyond them is told"
    elif law.peak is not None:
        why = f"more than {law.peak:.0f} servers would deliver less (universal scalability law)"
    if why:
        rows[-1].cells[-1] = rows[-1].cells[-1]._replace(why=why)
    return table(
        "Several servers together, as measured", ["servers"], ["throughput", "of one", "of linear"], rows
    )


COLUMNS = [
    "users", "for", "level", "the SLO shown above", "p50", "p95", "p99", "delivered", "deliveries per s",
    "server CPU", "loop lag p99", "memory", "generator CPU",
]  # fmt: skip


def lines(plan: Capacity, shown: Timed) -> list[Line]:
    found = []
    for level in words.levels(plan):
        for index, one in enumerate(level):
            word, tone = words.STATES[one.state]
            if one.state == OPEN and one is level[-1] and one.users == plan.failed:
                word = "not decided: fails"
            found.append(
                Line(
                    count(one.users),
                    f"{one.path}/report.html" if one.path else "",
                    words.ROLES[one.role],
                    word,
                    tone,
                    index == 0,
                    _cells(one, shown),
                    _why(one, shown),
                )
            )
    return found


def _why(one: Tried, shown: Timed) -> str:
    """Why a level says what it says, where its row does not show it already."""
    shown_already = (f"broken: {shown.name}", f"not decided: {shown.name}", "")
    return "" if one.state == PASS or one.why in shown_already else one.why


def _cells(one: Tried, shown: Timed) -> list[str]:
    own = next((it for it in one.own if it.name == shown.name and it.unit == MS_UNIT), None)
    latency = one.latency_ms
    return [
        say_between_ms(*own.ci95) if own and own.ci95 else say_ms(own.observed) if own else UNKNOWN,
        say_ms(latency.p50),
        say_ms(latency.p95),
        say_ms(latency.p99),
        UNKNOWN if one.delivered is None else say_share(one.delivered),
        f"{one.deliveries_per_s:,.0f}",
        percent(one.cpu_percent),
        say_ms(one.loop_lag_ms),
        say_bytes(one.rss_bytes),
        percent(one.generator_cpu_percent) + (" !" if one.state == GENERATOR else ""),
    ]
