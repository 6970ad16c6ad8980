"""Makes nights as ``loadtest nightly`` leaves them: medians of six trials, from a seed."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from statistics import median

from loadtest.analysis.history import Figure, Night

FIRST = datetime(2026, 9, 1, 2, 15, tzinfo=UTC)
MACHINE, OTHER_MACHINE = "1f3a5cbe77d0", "9b04de21aa53"
CV = 0.05
"""From trial to trial, as on a quiet machine."""


def at(day: float) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


def trials(dice: random.Random, level: float) -> Figure:
    """Median, lowest and highest of six."""
    values = sorted(dice.gauss(level, level * CV) for _ in range(6))
    return Figure(median(values), values[0], values[-1], 6)


def night(day: float = 0, **changes: object) -> Night:
    """A night that passed, with one figure; ``changes`` replace its fields."""
    plain = Night(
        at(day), "messaging", "http://127.0.0.1:3000", MACHINE, "8d57afa", 6, "pass", "",
        f"reports/night-{day:g}", {"message.deliver p95_ms": Figure(41.0, 39.5, 43.25, 6)},
    )  # fmt: skip
    return plain._replace(**changes)  # type: ignore[arg-type]


def series_of(
    values: Collection[float], metric: str = "message.deliver p95_ms", **changes: object
) -> list[Night]:
    """A night for each value."""
    return [
        night(day, figures={metric: Figure(value, None, None, 6)}, **changes)
        for day, value in enumerate(values)
    ]


def nights(
    count: int = 60,
    seed: int = 1,
    levels: Mapping[str, float] | None = None,
    step_at: int | None = None,
    step: float = 1.2,
    moved_at: int | None = None,
    lost: Collection[int] = (),
    invalid: Collection[int] = (),
    job: str = "messaging",
) -> list[Night]:
    """``levels`` by metric, times ``step`` from night ``step_at`` on; from ``moved_at`` on another machine."""
    dice, found = random.Random(seed), []
    for day in range(count):
        factor = step if step_at is not None and day >= step_at else 1.0
        figures = {
            metric: trials(dice, level * factor)
            for metric, level in (levels or {"message.deliver p95_ms": 41.0}).items()
        }
        one = night(day, job=job, commit=f"{dice.randrange(16**7):07x}", figures=figures)
        if moved_at is not None and day >= moved_at:
            one = one._replace(fingerprint=OTHER_MACHINE)
        if day in invalid:
            one = one._replace(state="invalid", why="generator CPU p95 91 %", trials=2, figures={})
        if day not in lost:
            found.append(one)
    return found
