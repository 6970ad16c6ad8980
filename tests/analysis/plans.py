"""Capacity plans for tests: a search played against a server that is known, without a run."""

from __future__ import annotations

import math
from typing import Any

from loadtest.analysis.capacity import Capacity, Setting, conclude
from loadtest.analysis.capacity_search import FAIL, GENERATOR, OPEN, PASS, Search, Step, next_step, so_far
from loadtest.analysis.capacity_trial import Tried
from loadtest.analysis.figures import Figures
from loadtest.analysis.verdict import FAIL as BROKEN
from loadtest.analysis.verdict import INCONCLUSIVE, SLO, Verdict
from loadtest.analysis.verdict import PASS as KEPT

NAME = "message.deliver: p(95)<100"
_STATES = {PASS: KEPT, FAIL: BROKEN, OPEN: INCONCLUSIVE}


class Server:
    """One that fills a core at ``capacity`` users: latency goes up as 1 / (1 - load), CPU as a line."""

    def __init__(self, capacity: int = 640, generator: int | None = None, tells_cpu: bool = True) -> None:
        self.capacity, self.generator, self.tells_cpu = capacity, generator, tells_cpu

    def p95_ms(self, users: int) -> float:
        load = min(users / self.capacity, 0.999)
        return 8 / (1 - load)

    def outcome(self, users: int) -> str:
        if self.generator is not None and users >= self.generator:
            return GENERATOR
        return PASS if self.p95_ms(users) < 100 else FAIL

    def tried(self, step: Step, number: int) -> Tried:
        """The trial: its figures follow from the number of users alone."""
        state, p95 = self.outcome(step.users), self.p95_ms(step.users)
        broken = "" if state == PASS else f"broken: {NAME}"
        verdict = Verdict(
            NAME, SLO, _STATES.get(state, INCONCLUSIVE), p95, 100.0, (p95 * 0.9, p95 * 1.1), "ms"
        )
        return Tried(
            users=step.users,
            role=step.role,
            visit=step.visit,
            seed=number,
            path=f"levels/20261123T0815{number:02d}Z-messaging-websocket-{number:04x}",
            state=state,
            why="generator CPU p95 91 % of a core (limit 60 %): use --processes 3"
            if state == GENERATOR
            else broken,
            validity="invalid" if state == GENERATOR else "valid",
            measured_s=92.0,
            deliveries_per_s=0.9 * step.users,
            delivered=1.0 if state == PASS else 0.97,
            operation="message.deliver",
            latency_ms=Figures(p95 / 2, p95 / 2.5, p95, p95 * 1.4),
            ci95={"p95": (p95 * 0.9, p95 * 1.1)},
            verdicts=[] if state == GENERATOR else [verdict],
            own=[verdict],
            cpu_percent=min(100.0, 3 + 96.0 * step.users / self.capacity + math.sin(number))
            if self.tells_cpu
            else None,
            loop_lag_ms=1.2,
            rss_bytes=60_000_000 + 40_000 * step.users,
            connects_per_s=80.0,
            generator_cpu_percent=min(95.0, 0.05 * step.users),
        )


def setting(**changes: Any) -> Setting:
    """What was asked."""
    told: dict[str, Any] = {
        "scenario": "messaging",
        "target": "a reference server of its own",
        "own": True,
        "low": 50,
        "high": 2000,
        "level_s": 90.0,
        "fresh": 3,
        "slos": [NAME],
        "headroom": 0.3,
        "growth": 0.0,
        "transport": "websocket",
        "shared": True,
        "parameters": {"rate_per_min": 6.0, "room_size": 10, "payload_bytes": 150, "devices": 1},
    }
    return Setting(**(told | changes))


def plan(server: Server | None = None, trials: int | None = None, cut: str = "", **changes: Any) -> Capacity:
    """A whole search, or its first ``trials``."""
    server = server or Server()
    asked = setting(**changes)
    search = Search(asked.low, asked.high, confirm=asked.fresh)
    outcomes: list[str] = []
    tried: list[Tried] = []
    while isinstance(step := next_step(search, outcomes), Step) and (trials is None or len(tried) < trials):
        tried.append(server.tried(step, len(tried) + 1))
        outcomes.append(tried[-1].state)
    return conclude(asked, so_far(search, outcomes), tried, cut)
