"""What does the page of a capacity plan say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from loadtest.analysis.capacity import Capacity
from loadtest.analysis.capacity_model import EXTRAPOLATED, predict, reach
from loadtest.analysis.capacity_search import PASS
from loadtest.measure.units import say_ms, say_rate
from loadtest.report import capacity_words as words
from loadtest.report.capacity_chart import INKS, Timed, cpu_chart, final_states, latency_chart, timed
from loadtest.report.capacity_tables import COLUMNS, Line, cluster, lines, servers, servers_notes
from loadtest.report.sections.figure import KeyEntry, Picture
from loadtest.report.sections.floors import Beneath
from loadtest.report.table import Table
from loadtest.report.template import fill
from loadtest.report.words import UNKNOWN, count, date, percent, plural, transport_name

TONES = {
    "pass": "valid",
    "fail": "invalid",
    "inconclusive": "suspect",
    "invalid": "invalid",
    "incomplete": "invalid",
}


class Tile(NamedTuple):
    """One figure above all others."""

    name: str
    number: str
    detail: str


class Page(NamedTuple):
    """The parts of the page in their order."""

    facts: list[str]
    state: str
    badge: str
    says: str
    sure: list[str]
    tiles: list[Tile]
    pictures: list[Picture]
    servers: Table | None
    servers_notes: list[str]
    cluster: Table | None
    columns: list[str]
    lines: list[Line]
    costs: list[str]
    floors: Beneath | None
    floors_why: str
    meaning: list[str]
    command: str


def capacity_page(
    plan: Capacity, started: str, command: str, floors: Beneath | None = None, floors_why: str = ""
) -> str:
    """One self-contained page. The same plan gives the same bytes. floors_why: why there are none."""
    shown = timed(plan)
    page = Page(
        _facts(plan, started),
        TONES[plan.state],
        words.BADGES[plan.state],
        words.sentence(plan),
        words.sureness(plan),
        _tiles(plan),
        _pictures(plan, shown),
        servers(plan) if plan.servers else None,
        servers_notes(plan),
        cluster(plan) if plan.setting.cluster else None,
        COLUMNS,
        lines(plan, shown),
        _costs(plan),
        floors,
        floors_why,
        _meaning(plan),
        command,
    )
    return fill("capacity.html.j2", page=page)


def _facts(plan: Capacity, started: str) -> list[str]:
    setting = plan.setting
    known = (
        [f"{setting.scenario} over {transport_name(setting.transport)}"]
        if setting.transport
        else [setting.scenario]
    )
    return [
        *known,
        setting.target,
        f"{count(setting.low)} to {count(setting.high)} users",
        plural(len(plan.tried), "trial"),
        f"{setting.level_s:g} s each",
        date(started),
    ]


def _tiles(plan: Capacity) -> list[Tile]:
    carried = UNKNOWN if plan.passed is None else count(plan.passed)
    if plan.passed is not None and plan.kind != "bracket":
        carried = f"≥ {carried}"
    above = f"kept there, not at {count(plan.failed)}" if plan.failed and plan.passed else ""
    name, detail = words.resource(plan.resource)
    broke = plan.broke
    tiles = [Tile("Users one server carries", carried, above or "all SLOs kept there")]
    if plan.passed is None:
        tiles = [Tile("Users one server carries", UNKNOWN, "no level passed")]
    limit = broke.name.rpartition(": ")[2] if broke else UNKNOWN
    tiles.append(
        Tile(
            "What breaks first",
            limit,
            broke.name.rpartition(": ")[0] if broke else plan.broke_why or "nothing",
        )
    )
    return [*tiles, Tile("What is used up", name, detail)]


def _pictures(plan: Capacity, shown: Timed) -> list[Picture]:
    if not plan.tried:
        return []
    of = [one for one in shown.seen if one.value is not None]
    key = _key(final_states(plan), plan)
    limit = [] if shown.limit is None else [KeyEntry(f"limit {shown.limit:g} ms", "bad", "limit")]
    least, most = min(one.users for one in plan.tried), max(one.users for one in plan.tried)
    between = f"from {count(least)} to {plural(most, 'user')}"
    span = (
        f", between {say_ms(min(one.value or 0 for one in of))} and {say_ms(max(one.value or 0 for one in of))}"
        if of
        else ""
    )
    pictures = [
        Picture(
            f"Latency against users: {shown.name}",
            latency_chart(plan, shown, "latency"),
            f"{shown.name} of {plural(len(shown.seen), 'trial')} {between}{span}.",
            "A mark is a trial, the bar its 95 % interval; a triangle at the top: it lies among what never came.",
            [*key, *limit],
        )
    ]
    if any(one.cpu_percent is not None for one in plan.tried):
        line = [KeyEntry("fitted to what passed, 95 % band", "long-polling")] if plan.model else []
        pictures.append(
            Picture(
                "The server's CPU against users",
                cpu_chart(plan, "cpu"),
                f"Percent of one core the server took in {plural(len(plan.tried), 'trial')} {between}.",
                _cpu_caption(plan),
                [*key, *line, KeyEntry("one core", "bad", "limit")],
            )
        )
    return pictures


def _key(states: Sequence[str], plan: Capacity) -> list[KeyEntry]:
    found = [
        KeyEntry(words.STATES[state][0], INKS[state], "dot")
        for state in dict.fromkeys(INKS)
        if state in states
    ]
    return found + ([KeyEntry("bracket", "upgrade", "band")] if plan.passed and plan.failed else [])


def _cpu_caption(plan: Capacity) -> str:
    if plan.model is None:
        return f"No line: {plan.model_why}."
    return (
        "The line is dotted where it is extrapolated, up to half as far again as what was measured and passed, "
        "and dashed, without a number, up to twice as far."
    )


def _costs(plan: Capacity) -> list[str]:
    """What a user costs the server, in sentences."""
    model = plan.model
    if model is None:
        return [f"What a user costs the server is not told: {plan.model_why}."]
    each = f"{model.per_user_percent:.3g} % for each user"
    if model.per_delivery_percent is None:
        each += " with everything that it causes at this rate"
    else:
        each += f", {model.per_delivery_percent:.3g} % for each delivery a second"
    said = [
        f"Of one core, the server takes {model.idle_percent:.3g} % for nothing and {each} (non-negative least "
        f"squares over {plural(model.points, 'trial')} of levels that passed)."
    ]
    if model.per_delivery_percent is None:
        said.append(
            "All trials had one rate, so users and deliveries went together and their costs cannot be told apart."
        )
    if plan.fills_core is not None:
        how = reach(plan.fills_core, model.most_users)
        low, high = (predict(model, plan.fills_core)[2:]) if how == EXTRAPOLATED else (None, None)
        sure = (
            f" (extrapolated; there, 95 % of trials would take {percent(low)} to {percent(high)})"
            if low is not None
            else ""
        )
        said.append(f"By its CPU alone it would fill a core at {plural(plan.fills_core, 'user')}{sure}.")
    else:
        said.append("Where its CPU would fill a core lies too far beyond what was measured to be told.")
    return said


def _meaning(plan: Capacity) -> list[str]:
    """What the number stands for: without the workload it means nothing."""
    parameters = plan.setting.parameters
    at = [one for one in plan.tried if one.users == plan.passed and one.state == PASS]
    load = (
        f" At {plural(plan.passed or 0, 'user')} that was {at[-1].deliveries_per_s:,.0f} deliveries a second."
        if at
        else ""
    )
    return [
        f"The load is users × rate × fan-out, not users: {_workload(parameters)}.{load} Twice the rate, or "
        "conversations twice as large, and it is about half as many users. Conversations that grow with the users "
        "make the load grow with their square.",
        "It holds for this scenario, this transport and size of message, this server and this machine. Over a "
        "real network latency comes on top.",
        "It is not how many connections the server can hold, and not how many may come at once: at each level "
        "users join slowly, and what is measured begins once everybody is there.",
        "A level passes if every SLO is kept by its whole 95 % interval. It fails if one is broken by the whole "
        "of it, if less than 99 % was delivered by the end, if somebody did not get in, or if latency kept "
        "rising. What three trials cannot decide counts as failed, for a plan must not rest on luck.",
    ]


def _workload(parameters: dict[str, Any]) -> str:
    rate, room = parameters.get("rate_per_min"), parameters.get("room_size")
    said = []
    if isinstance(rate, int | float):
        said.append(f"each user sends {say_rate(rate / 60)}")
    if isinstance(room, int):
        said.append(f"to {plural(room - 1, 'other')}")
    elif isinstance(room, dict):
        sizes = ", ".join(f"{size} ({percent(100 * share)})" for size, share in room.items())
        said.append(f"in conversations of {sizes}")
    if isinstance(parameters.get("payload_bytes"), int):
        said.append(f"{parameters['payload_bytes']} bytes at a time")
    return ", ".join(said) or "as the scenario does"
