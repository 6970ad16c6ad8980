"""What did single outages look like, step by step?"""

from __future__ import annotations

from typing import NamedTuple

from loadtest.analysis.backoff import evenly
from loadtest.analysis.drops import Loss, losses
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

SHOWN = 40
LONGEST = 10
"""How many of the shown are the longest, where there are more than can be shown."""


class TryMark(NamedTuple):
    """One attempt, in seconds of the run; ``cause``: why it failed, empty if it did not."""

    began_s: float
    took_s: float
    cause: str


class Outage(NamedTuple):
    """One outage; moments are seconds of the run, None for what never came. ``fault_s``: None if unprovoked.

    end_s: when it ended as far as anybody can tell; with ``restored`` that is when the user was back in its rooms.
    """

    user: str
    transport: str
    cause: str
    fault: str
    outcome: str
    fault_s: float | None
    at_s: float
    tries: list[TryMark]
    back_s: float | None
    rejoined_s: float | None
    heard_s: float | None
    end_s: float
    restored: bool


class Waterfall(NamedTuple):
    """Some outages of a run, the longest first; ``of``: how many there were, ``how``: which are shown."""

    shown: list[Outage]
    of: int
    how: str


def outages(run: Run) -> Waterfall:
    """All outages that count, or SHOWN of them: the longest, and some at even steps of all the others."""
    found = sorted(losses(run).counted, key=_longest_first)
    if len(found) <= SHOWN:
        return Waterfall([_outage(one) for one in found], len(found), f"all {len(found)}")
    others = found[LONGEST:]
    picked = found[:LONGEST] + [others[index] for index in evenly(len(others), SHOWN - LONGEST)]
    how = (
        f"the {LONGEST} longest of {len(found)}, and {SHOWN - LONGEST} at even steps of all others by length"
    )
    return Waterfall([_outage(one) for one in picked], len(found), how)


def _longest_first(loss: Loss) -> tuple[int, int, str]:
    return loss.began_ns - loss.ended_ns, loss.drop.at_ns, loss.drop.user


def _outage(loss: Loss) -> Outage:
    drop = loss.drop
    return Outage(
        drop.user,
        drop.transport,
        drop.cause,
        drop.fault,
        drop.outcome,
        loss.began_ns / SECOND if drop.fault else None,
        drop.at_ns / SECOND,
        [TryMark(one.began_ns / SECOND, one.took_ns / SECOND, one.cause) for one in drop.tries],
        _seconds(drop.back_ns),
        _seconds(drop.rejoined_ns),
        _seconds(drop.heard_ns),
        loss.ended_ns / SECOND,
        loss.restored_ns is not None,
    )


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / SECOND
