"""How is a capacity plan put into words?"""

from __future__ import annotations

from loadtest.analysis.capacity import (
    LOOP_LAG,
    MEMORY,
    OTHER,
    SERVER_CPU,
    Capacity,
    Resource,
)
from loadtest.analysis.capacity_search import (
    AT_LEAST,
    BRACKET,
    CONFIRM,
    CONTRAST,
    FAIL,
    GENERATOR,
    GENERATOR_BOUND,
    OPEN,
    PASS,
    SEARCH,
)
from loadtest.analysis.capacity_trial import DIED, Tried
from loadtest.analysis.servers_needed import FAILURE, Servers
from loadtest.measure.threshold import ThresholdError, parse_slo
from loadtest.measure.units import say_ms, say_seconds
from loadtest.report.verdict_words import say
from loadtest.report.words import UNKNOWN, count, percent, plural

STATES = {
    PASS: ("kept", "good"),
    FAIL: ("failed", "bad"),
    OPEN: ("not decided", "warn"),
    GENERATOR: ("generator's limit", "quiet"),
    DIED: ("target died", "bad"),
}
"""What the trials of a level say, and its tone."""
ROLES = {SEARCH: "search", CONFIRM: "confirms", CONTRAST: "must break"}
BADGES = {
    "pass": "found", "fail": "none", "inconclusive": "lower bound", "invalid": "nothing valid",
    "incomplete": "incomplete",
}  # fmt: skip

_SILENT = "the server tells nothing of its CPU; --server-metrics names who does"


def sentence(plan: Capacity) -> str:
    """The verdict, in a sentence or two, without the last full stop."""
    if plan.cut:
        return f"{_so_far(plan)}; the search did not come to its end: {plan.cut}"
    match plan.kind:
        case "bracket":
            between = f"{count(plan.passed)} to {count(plan.failed)}"
            at = f"at {count(plan.failed)} {broke(plan)}; {binds(plan)}"
            return f"at this workload one server carries {between} users; {at}"
        case "at_least":
            return (
                f"at this workload one server carries at least {count(plan.passed)} users: that is the end of the "
                "range, and nothing broke there"
            )
        case "generator_bound":
            return _generator_bound(plan)
        case _:
            return (
                f"at this workload one server does not carry {count(plan.failed)} users, "
                f"{'the lowest level' if plan.failed == plan.setting.low else 'and nothing below held twice'}: "
                f"{broke(plan)}; {binds(plan)}"
            )


def _so_far(plan: Capacity) -> str:
    if plan.passed is None and plan.failed is None:
        return "nothing is known"
    if plan.passed is None:
        return f"{count(plan.failed)} users, the lowest level, failed: {broke(plan)}"
    more = f", {count(plan.failed)} failed" if plan.failed else ""
    return f"one server carried {count(plan.passed)} users so far{more}"


def _generator_bound(plan: Capacity) -> str:
    last = next((one for one in reversed(plan.tried) if one.state == GENERATOR), None)
    why = f": at {count(last.users)} {last.why}" if last else ""
    if plan.passed is None:
        return f"nothing valid was measured, the generator was at its limit from the first level on{why}"
    return f"at this workload one server carries ≥ {count(plan.passed)} users (generator-bound){why}"


def broke(plan: Capacity) -> str:
    """``p(95)<100 of message.deliver breaks``; what else it failed for."""
    at_edge = [one for one in plan.tried if one.users == plan.failed and one.state != PASS]
    undecided = bool(at_edge) and at_edge[-1].state == OPEN
    if plan.broke is None:
        return f"the level fails, {plan.broke_why}" if plan.broke_why else "the level fails"
    try:
        selector, threshold = parse_slo(plan.broke.name)
    except ThresholdError:
        said = plan.broke.name
    else:
        said = f"{threshold.text} of {selector}"
    if undecided:
        return f"{said} is not decided in {plural(len(at_edge[-3:]), 'trial')}, which counts as failed"
    return f"{said} breaks"


def binds(plan: Capacity) -> str:
    """``the server's CPU binds (97 % of one core)``."""
    found = plan.resource
    if found is None:
        return "what binds is not known"
    cpu = f"{percent(found.percent)} of one core"
    match found.name:
        case "server_cpu":
            return f"the server's CPU binds ({cpu})"
        case "memory":
            return f"the server's memory grows by {percent(found.memory_percent_per_hour, 1)} an hour"
        case "loop_lag":
            return f"the server's event loop lags by {say_ms(found.loop_lag_ms)}"
        case "other":
            return f"it is not the server's CPU that binds ({cpu})"
        case _:
            return f"what binds is not known: {_SILENT}"


def resource(found: Resource | None) -> tuple[str, str]:
    """(in two words, in some more)."""
    if found is None:
        return UNKNOWN, "no level failed"
    at = f"at {plural(found.users, 'user')}"
    names = {
        SERVER_CPU: ("server CPU", f"{percent(found.percent)} of one core {at}"),
        MEMORY: ("memory", f"grows by {percent(found.memory_percent_per_hour, 1)} an hour {at}"),
        LOOP_LAG: ("loop lag", f"{say_ms(found.loop_lag_ms)} {at}"),
        OTHER: ("not the CPU", f"the server's is at {percent(found.percent)} of one core {at}"),
    }
    return names.get(found.name, ("not known", _SILENT))


def sureness(plan: Capacity) -> list[str]:
    """What to know beside the verdict, a sentence each without its full stop."""
    setting = plan.setting
    said = []
    if plan.kind in (BRACKET, AT_LEAST) and not plan.cut:
        fresh = plural(setting.fresh, "fresh trial")
        if plan.confirmed:
            sides = " on each side" if plan.kind == BRACKET else ""
            said.append(f"confirmed by {fresh}{sides}")
        else:
            said.append(
                f"not confirmed: {fresh} contradicted the search again and again, levels vary too much"
            )
    if plan.kind == GENERATOR_BOUND and plan.passed is not None:
        said.append("that is no maximum: use --processes, or a larger machine for the generator")
    if setting.shared and plan.passed is not None:
        said.append(
            "generator and server shared a machine and took CPU from each other: read it as a lower bound"
        )
    if setting.level_s < 60:
        said.append(
            f"levels of {setting.level_s:g} s are for a first look: what grows slowly, a queue or a "
            "memory, does not show in them"
        )
    if not setting.own:
        said.append(
            "the target was not started anew between levels: after one that failed it was given time to work off "
            "what it owed"
        )
    return said


def asked(one: Servers) -> str:
    """Why so many servers."""
    return "one may fail" if one.because == FAILURE else "load and headroom"


def spread(one: Servers) -> str:
    """Over how long the users of a failed server must spread their return."""
    if one.spread_s is None:
        return UNKNOWN
    return "none needed" if one.spread_s == 0 else say_seconds(one.spread_s)


def outline(plan: Capacity) -> list[str]:
    """The plan on a terminal."""
    head = sentence(plan)
    lines = [f"{BADGES[plan.state].upper()}: {head[:1].upper()}{head[1:]}."]
    lines += [f"  - {line}" for line in sureness(plan)]
    for level in levels(plan):
        last = level[-1]
        said = STATES[last.state][0]
        lines.append(f"  {last.users:>7,} users  {said}" + (f" ({last.why})" if last.why else ""))
    if plan.broke is not None:
        lines.append(f"  at {plural(plan.failed or 0, 'user')}: {say(plan.broke)}")
    for one in plan.servers:
        needed = UNKNOWN if one.servers is None else plural(one.servers, "server")
        linear = ", assumes linear scaling" if one.linear else ""
        lines.append(
            f"  for {plural(one.users, 'user')}: {needed} ({asked(one)}{linear}{one.why and ': ' + one.why})"
        )
    return lines


def levels(plan: Capacity) -> list[list[Tried]]:
    """Trials by visit, visits by users and then in the order they came."""
    visits: dict[int, list[Tried]] = {}
    for one in plan.tried:
        visits.setdefault(one.visit, []).append(one)
    return sorted(visits.values(), key=lambda some: (some[0].users, some[0].visit))
