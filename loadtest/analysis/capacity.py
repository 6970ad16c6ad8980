"""How many users does one server carry, what binds it, and how many servers do all users need?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from loadtest.analysis import capacity_model
from loadtest.analysis.capacity_model import DASHED, REFUSED, Model, Point, reach, saturates_at
from loadtest.analysis.capacity_search import BRACKET, FAIL, LOWEST_FAILS, OPEN, PASS, Done
from loadtest.analysis.capacity_trial import Tried
from loadtest.analysis.exit_code import BROKEN, RUN_INVALID, USAGE
from loadtest.analysis.exit_code import INCONCLUSIVE as UNDECIDED
from loadtest.analysis.exit_code import PASS as WELL
from loadtest.analysis.servers_needed import Servers, Terms, servers_needed
from loadtest.analysis.stages import mean
from loadtest.analysis.verdict import FAIL as NOT_KEPT
from loadtest.analysis.verdict import INCONCLUSIVE, MS_UNIT, Verdict

CPU_FULL = 85.0
"""Percent of one core, in the mean of measure: a server of one thread that busy has nothing left."""
LAG_MS = 50.0
"""A loop that is late by this has no time for anything, whatever it does; or by half of a limit in ms."""
SERVER_CPU, MEMORY, LOOP_LAG, OTHER, UNTOLD = "server_cpu", "memory", "loop_lag", "other", "untold"
TIMES = (1, 2, 5, 10)
"""Of what one server carries: for so many users servers are counted if nobody says for how many."""


class Setting(msgspec.Struct, frozen=True):
    """What was asked, and of what. level_s: seconds of measure of each trial, at least.

    fresh: trials that confirm each side of the bracket. own: whether the command started the server, anew for each
    trial. shared: whether generator and server shared a machine. parameters, environment: of the runs.
    """

    scenario: str
    target: str
    own: bool
    low: int
    high: int
    level_s: float
    fresh: int
    slos: list[str]
    headroom: float
    growth: float
    peak: int | None = None
    cluster: dict[int, float] = {}
    transport: str = ""
    shared: bool = False
    parameters: dict[str, Any] = {}
    environment: dict[str, Any] = {}


class Resource(msgspec.Struct, frozen=True):
    """What was used up at the level that failed.

    percent: the server's CPU there, of one core; of several processes, that of the busiest: it is full first.
    """

    name: str
    users: int
    percent: float | None = None
    loop_lag_ms: float | None = None
    memory_percent_per_hour: float | None = None


class Capacity(msgspec.Struct, frozen=True):
    """The plan. kind, passed, failed, confirmed: as of a search's end. cut: why it was ended before that.

    broke: the SLO that broke at ``failed``, with what was seen; None: it failed for ``broke_why``. model: what a
    user costs, None for ``model_why``. fills_core: users that fill a core by the model, None if that lies too far
    beyond what was measured. terms: what servers are counted by; None without a lower end.
    """

    setting: Setting
    kind: str
    passed: int | None
    failed: int | None
    confirmed: bool
    cut: str
    broke: Verdict | None
    broke_why: str
    resource: Resource | None
    model: Model | None
    model_why: str
    fills_core: int | None
    terms: Terms | None
    servers: list[Servers]
    tried: list[Tried]

    @property
    def complete(self) -> bool:
        """Whether the search came to its end."""
        return not self.cut

    @property
    def state(self) -> str:
        """As the index words it: pass, fail, inconclusive, invalid or incomplete."""
        if self.cut:
            return "incomplete"
        if self.kind == LOWEST_FAILS:
            return "fail"
        if self.passed is None:
            return "invalid"
        return "pass" if self.kind == BRACKET and self.confirmed else "inconclusive"

    def exit_code(self, broken: bool, strict: bool) -> int:
        """broken: it was ended by an error, not by somebody's wish."""
        if broken:
            return USAGE
        if self.passed is None:
            return RUN_INVALID if self.failed is None else BROKEN
        return UNDECIDED if strict and self.state != "pass" else WELL


def conclude(setting: Setting, done: Done, trials: Sequence[Tried], cut: str = "") -> Capacity:
    """The plan that follows from these trials. Pure: the same trials give the same plan."""
    believed = [one for one in trials if one.state in (PASS, FAIL, OPEN)]
    at_edge = [one for one in believed if one.users == done.failed and one.state != PASS]
    broke, why = _binding(at_edge)
    model = capacity_model.fit(points(believed))
    terms = _terms(setting, done, believed)
    return Capacity(
        setting=setting,
        kind=done.kind,
        passed=done.passed,
        failed=done.failed,
        confirmed=done.confirmed,
        cut=cut,
        broke=broke,
        broke_why=why,
        resource=_resource(at_edge, broke),
        model=None if isinstance(model, str) else model,
        model_why=model if isinstance(model, str) else "",
        fills_core=None if isinstance(model, str) else _fills_core(model),
        terms=terms,
        servers=[] if terms is None else [servers_needed(users, terms) for users in peaks(setting, terms)],
        tried=list(trials),
    )


def points(believed: Sequence[Tried]) -> list[Point]:
    """Trials of levels that passed, whose server told its CPU: past its limit a server's work is no line."""
    said = {one.visit: one.state for one in believed}
    return [
        Point(one.users, one.deliveries_per_s, one.cpu_percent)
        for one in believed
        if said[one.visit] == PASS and one.cpu_percent is not None
    ]


def _binding(at_edge: Sequence[Tried]) -> tuple[Verdict | None, str]:
    """The SLO that broke at the level that failed, or why it failed."""
    if not at_edge:
        return None, ""
    last = at_edge[-1]
    asked = [one for one in last.verdicts if one.state == NOT_KEPT]
    if last.state != FAIL:  # undecided to the end
        asked = [one for one in last.verdicts if one.state == INCONCLUSIVE]
    return next(iter(asked), None), last.why


def _resource(at_edge: Sequence[Tried], broke: Verdict | None) -> Resource | None:
    if not at_edge:
        return None
    users = at_edge[-1].users
    cpu = mean(cpu for one in at_edge if (cpu := one.busiest_percent or one.cpu_percent) is not None)
    lag = max((one.loop_lag_ms for one in at_edge if one.loop_lag_ms is not None), default=None)
    grew = next(
        (one.rss_percent_per_hour for one in at_edge if one.leaks and one.rss_ci95 and one.rss_ci95[0] > 0),
        None,
    )
    limit_ms = broke.limit if broke and broke.unit == MS_UNIT else None
    if cpu is not None and cpu >= CPU_FULL:
        name = SERVER_CPU
    elif grew is not None:
        name = MEMORY
    elif lag is not None and lag >= min(LAG_MS, (limit_ms or 2 * LAG_MS) / 2):
        name = LOOP_LAG
    else:
        name = UNTOLD if cpu is None else OTHER
    return Resource(name, users, cpu, lag, grew)


def _fills_core(model: Model) -> int | None:
    """Users that fill a core, if so many may be spoken of."""
    users = saturates_at(model)
    if users is None or reach(users, model.most_users) in (DASHED, REFUSED):
        return None
    return int(users)


def _terms(setting: Setting, done: Done, believed: Sequence[Tried]) -> Terms | None:
    if done.passed is None:
        return None
    connects = [one.connects_per_s for one in believed if one.connects_per_s is not None]
    return Terms(done.passed, setting.headroom, setting.growth, max(connects, default=None), setting.cluster)


def peaks(setting: Setting, terms: Terms) -> list[int]:
    """For how many users servers are counted."""
    return [setting.peak] if setting.peak else [terms.carries * times for times in TIMES]
