"""How many users are asked for at a moment? Stages: so many for so long, one after the other.

    stages = stage {"," stage}
    stage  = duration ":" target
    target = users | percent "%"            percent: of -u

``60s:20,60s:100,30s:50`` and ``5m:25%,15m:100%``. The words are k6's and aiolocust's, the meaning is another: a
stage is a step that holds its target. Users who are missing come from its first moment on, ``-r`` per second, and
those who are too many go at the same pace. A stage of k6 climbs for all its duration and is at its target only in
its last moment, so that no second of it stands for a number of users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from loadtest.measure.units import SECOND, parse_duration, say_seconds

SETTLE_NS = 2 * SECOND
"""After the last one was started: a user comes at a random moment of its first second, and then has to connect."""
_ALL = 100.0
_DIGITS = 9  # more people than there are is a typing error, too


class Wanted(NamedTuple):
    """A stage as it was typed: ``amount`` is users or, if ``relative``, percent of them."""

    duration_ns: int
    amount: float
    relative: bool


class Stage(NamedTuple):
    """So many users for so long."""

    duration_ns: int
    users: int


def parse(text: str) -> tuple[Wanted, ...]:
    """Stages from words. Raises ValueError with one line for a person."""
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise ValueError("there is no stage in it: write 60s:20,60s:100")
    stages = tuple(_stage(part) for part in parts)
    if not stages[0].amount:
        raise ValueError(f"{parts[0]!r}: the first stage has no users, and nothing can begin without any")
    return stages


def _stage(part: str) -> Wanted:
    duration, colon, target = (word.strip() for word in part.partition(":"))
    if not colon:
        raise ValueError(f"{part!r} is no stage: write DURATION:USERS, such as 60s:20 or 60s:50%")
    try:
        duration_ns = parse_duration(duration)
    except ValueError as error:
        raise ValueError(f"{part!r}: {error}") from None
    if not duration_ns:
        raise ValueError(f"{part!r}: a stage must last longer than nothing")
    relative = target.endswith("%")
    amount = _percent(part, target[:-1]) if relative else _users(part, target)
    return Wanted(duration_ns, amount, relative)


def _users(part: str, target: str) -> float:
    # Of int's and float's spellings only the plain one: "1_0", "-0" and "1e3" are typing errors here.
    if not (target.isascii() and target.isdigit() and len(target) <= _DIGITS):
        raise ValueError(f"{part!r}: {target!r} is no number of users: write 20, or 50% of -u")
    return float(int(target))


def _percent(part: str, number: str) -> float:
    try:
        percent = float(number)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= _ALL:  # nan fails that too
        raise ValueError(f"{part!r}: a share of -u is between 0% and 100%")
    return percent


def resolve(wanted: Sequence[Wanted], most: int | None) -> tuple[Stage, ...]:
    """The same in users; ``most``: what 100 % is. A share of more than nothing is one user at least.

    Raises ValueError if there are shares, and nothing to take them of.
    """
    if most is None and any(one.relative for one in wanted):
        raise ValueError("a stage in percent needs -u to be a part of")
    return tuple(Stage(one.duration_ns, _resolved(one, most or 0)) for one in wanted)


def _resolved(one: Wanted, most: int) -> int:
    if not one.relative:
        return int(one.amount)
    share = math.floor(most * one.amount / _ALL + 0.5)
    return max(share, 1) if one.amount else 0


def whole_ns(stages: Sequence[Wanted | Stage]) -> int:
    """How long they last together."""
    return sum(one.duration_ns for one in stages)


def most_users(stages: Sequence[Stage]) -> int:
    """The largest of them."""
    return max((one.users for one in stages), default=0)


def begins_ns(stages: Sequence[Stage]) -> list[int]:
    """When each of them is to begin, from the start of the load."""
    return [whole_ns(stages[:number]) for number in range(len(stages))]


def stage_at(stages: Sequence[Stage], elapsed_ns: int, run_time_ns: int) -> int | None:
    """The number of the stage, from 0, in which a moment lies; None once the run is over.

    The last one lasts as long as the run does.
    """
    if elapsed_ns >= run_time_ns:
        return None
    return max(0, sum(begin_ns <= elapsed_ns for begin_ns in begins_ns(stages)) - 1)


def contradictions(
    stages: Sequence[Stage], users: int | None, spawn_rate: float, run_time_ns: int | None
) -> list[str]:
    """What is wrong with stages beside -u, -r and -t, a line for each; None: the flag was left out."""
    found = []
    most, together_ns = most_users(stages), whole_ns(stages)
    if users is not None and most > users:
        found.append(f"a stage has {most} users, -u says {users}: leave -u out, or make it {most}")
    if run_time_ns is not None and run_time_ns < together_ns:
        found.append(
            f"the stages last {say_seconds(together_ns / SECOND)} together, -t ends the run after "
            f"{say_seconds(run_time_ns / SECOND)}: leave -t out, or make it longer"
        )
    before = 0
    for number, one in enumerate(stages, 1):
        change = abs(one.users - before)
        needed_ns = round(change / spawn_rate * SECOND) + SETTLE_NS
        if one.duration_ns <= needed_ns:
            way = "come" if one.users > before else "go"
            found.append(
                f"stage {number} lasts {say_seconds(one.duration_ns / SECOND)}, but {change} users {way} at "
                f"-r {spawn_rate:g} and settle only after {say_seconds(needed_ns / SECOND)}: "
                "make it longer, or -r larger"
            )
        before = one.users
    return found
