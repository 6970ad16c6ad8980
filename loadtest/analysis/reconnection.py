"""How many lost their connection, how did they come back, and what did they miss?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from loadtest.analysis.availability import outage_lengths_ns
from loadtest.analysis.backoff import Attempt, backoff
from loadtest.analysis.drops import (
    EARLIER,
    UNPROVOKED,
    Loss,
    Losses,
    knows_the_way_back,
    losses,
    users,
)
from loadtest.analysis.figures import Figures, Words, figures_of, prefixed
from loadtest.analysis.intervals import wilson
from loadtest.analysis.series import measured, measured_ns
from loadtest.analysis.storm import Storm, storms
from loadtest.measure.operations import Operation
from loadtest.measure.rows import GAVE_UP, LEFT, OPEN, RECOVERED, STAYED
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

HOUR_NS = 3600 * SECOND
RETURNS = Words(
    "nobody was to come back", "nobody came back", "that came back", "never back", "with those that did not"
)
DETECTIONS = RETURNS._replace(none_expected="no loss was provoked")
FIRST_MESSAGES = RETURNS._replace(none_expected="nobody who came back heard a message of somebody else's")


class Breakdown(msgspec.Struct, frozen=True):
    """The losses of one cause, or of one fault; ``outage_ms`` as ``rejoin_ms``."""

    name: str
    drops: int
    recovered: int
    gave_up: int
    outage_ms: Figures
    missed: int
    resynced: int
    why: dict[str, str] = {}


class Reconnection(msgspec.Struct, frozen=True):
    """Connections lost in measure and drain, and what became of them.

    drops = recovered + gave_up + stayed + open + left. ``early``: lost before measure, ``stalled``: lost by the
    generator's own fault; both stand in no other figure. rate: attempts / connections established, as the
    application under test counts it. Of the figures, those of the way back rank who gave up above everybody.
    attempts_to_success: tries until back, and how many needed so many.
    """

    drops: int
    attempts: int | None
    connections: int
    rate: float | None
    recovered: int | None
    gave_up: int | None
    detect_ms: Figures | None
    reconnect_ms: Figures | None
    rejoin_ms: Figures | None
    first_message_ms: Figures | None
    missed: int | None
    resynced: int | None
    backoff: list[Attempt]
    policy: str | None = None
    stayed: int | None = None
    open: int | None = None
    left: int | None = None
    unprovoked: int | None = None
    early: int = 0
    stalled: int = 0
    recovered_ratio: float | None = None
    attempts_to_success: dict[int, int] = {}
    drops_per_hour: float | None = None
    lost: int | None = None
    duplicate: int = 0
    reordered: int = 0
    rooms: int | None = None
    proven: int | None = None
    state_recovered: int | None = None
    resent: int | None = None
    buffered: int | None = None
    by_cause: list[Breakdown] = []
    by_fault: list[Breakdown] = []
    storms: list[Storm] = []
    ci95: dict[str, tuple[float, float]] = {}
    why: dict[str, str] = {}


def reconnection(run: Run) -> Reconnection:
    """All of it; of a run of an older release only the counts of drops."""
    found = losses(run)
    copies = measured(run, Operation.MESSAGE_DELIVER, Operation.MESSAGE_RESYNC).counts
    connections = run.manifest.counters.get("connections.established", 0)
    counts = Reconnection(
        drops=len(found.counted),
        attempts=None,
        connections=connections,
        rate=None,
        recovered=None,
        gave_up=None,
        detect_ms=None,
        reconnect_ms=None,
        rejoin_ms=None,
        first_message_ms=None,
        missed=None,
        resynced=None,
        backoff=[],
        early=len(found.early),
        stalled=found.stalled,
        duplicate=copies["duplicate"],
        reordered=copies["reordered"],
        why={"attempts": EARLIER},
    )
    return _with_the_way_back(run, found, counts) if knows_the_way_back(run) else counts


def _with_the_way_back(run: Run, found: Losses, counts: Reconnection) -> Reconnection:
    counted = found.counted
    drops = [loss.drop for loss in counted]
    became = Counter(drop.outcome for drop in drops)
    recovered, gave_up = became[RECOVERED], became[GAVE_UP]
    attempts = sum(len(drop.tries) for drop in drops)
    why: dict[str, str] = {}
    ci95 = {}
    if recovered + gave_up:
        ci95["recovered_ratio"] = wilson(recovered, recovered + gave_up)
    else:
        why["recovered_ratio"] = RETURNS.none_expected
    if not counts.connections:
        why["rate"] = "no connection was established"
    per_hour = _drops_per_hour(run, found)
    if per_hour is None:
        why["drops_per_hour"] = "nobody was connected in measure"
    figures = _figures(counted, why)
    missed, resynced = sum(drop.missed for drop in drops), sum(drop.resynced for drop in drops)
    back = [drop for drop in drops if drop.outcome == RECOVERED]
    return msgspec.structs.replace(
        counts,
        attempts=attempts,
        rate=round(attempts / counts.connections, 6) if counts.connections else None,
        recovered=recovered,
        gave_up=gave_up,
        **figures,
        missed=missed,
        resynced=resynced,
        backoff=backoff(run, counted),
        policy=str(run.manifest.parameters["reconnect"]),
        stayed=became[STAYED],
        open=became[OPEN],
        left=became[LEFT],
        unprovoked=sum(not drop.fault for drop in drops),
        recovered_ratio=round(recovered / (recovered + gave_up), 6) if recovered + gave_up else None,
        attempts_to_success=dict(sorted(Counter(len(drop.tries) for drop in back).items())),
        drops_per_hour=per_hour,
        lost=max(0, missed - resynced),
        rooms=sum(drop.rooms for drop in back),
        proven=sum(drop.proven for drop in back),
        state_recovered=sum(drop.state_recovered for drop in back),
        resent=sum(drop.resent for drop in drops),
        buffered=sum(drop.buffered for drop in drops),
        by_cause=_by_cause(counted),
        by_fault=_by_fault(run, counted),
        storms=storms(run),
        ci95=ci95,
        why=why,
    )


def _figures(counted: Sequence[Loss], why: dict[str, str]) -> dict[str, Figures]:
    """The four durations; their reasons go into ``why``."""
    provoked = [loss for loss in counted if loss.drop.fault]
    awaited = [loss for loss in counted if loss.drop.outcome in (RECOVERED, GAVE_UP)]
    back = [loss for loss in awaited if loss.drop.outcome == RECOVERED]
    connected = [one.drop.back_ns - one.drop.at_ns for one in back if one.drop.back_ns is not None]
    heard = [one.drop.first_ns - one.began_ns for one in back if one.drop.first_ns is not None]
    found = {
        "detect_ms": figures_of(
            (one.drop.at_ns - one.began_ns for one in provoked), len(provoked), DETECTIONS
        ),
        "reconnect_ms": figures_of(connected, len(awaited), RETURNS),
        "rejoin_ms": _outage(counted),
        "first_message_ms": figures_of(heard, len(heard), FIRST_MESSAGES),
    }
    for name, (_, reasons) in found.items():
        why |= prefixed(reasons, name)
    return {name: figures for name, (figures, _) in found.items()}


def _outage(some: Iterable[Loss]) -> tuple[Figures, dict[str, str]]:
    """From the injection, or from being found out, until proven back; who gave up ranks above all."""
    awaited = [loss for loss in some if loss.drop.outcome in (RECOVERED, GAVE_UP)]
    times = [one.restored_ns - one.began_ns for one in awaited if one.restored_ns is not None]
    return figures_of(times, len(awaited), RETURNS)


def _drops_per_hour(run: Run, found: Losses) -> float | None:
    """Losses found out in measure, over the time that users were connected in it."""
    measure_ns = run.manifest.edges.measure_ns or 0
    connected_ns = users(run) * measured_ns(run) - sum(outage_lengths_ns(run, found))
    if connected_ns <= 0:
        return None
    in_measure = sum(loss.drop.at_ns < measure_ns + measured_ns(run) for loss in found.counted)
    return round(in_measure / connected_ns * HOUR_NS, 6)


def _by_cause(counted: Sequence[Loss]) -> list[Breakdown]:
    of: dict[str, list[Loss]] = {}
    for loss in counted:
        of.setdefault(loss.drop.cause, []).append(loss)
    return [_breakdown(cause, of[cause]) for cause in sorted(of)]


def _by_fault(run: Run, counted: Sequence[Loss]) -> list[Breakdown]:
    """All occurrences of a fault together, by the flag that asked for it; in order of time."""
    typed = {row.name: row.argument or row.fault for row in run.faults}
    of: dict[str, list[Loss]] = {}
    for loss in counted:
        fault = loss.drop.fault
        name = typed.get(fault, fault.partition("#")[0]) if fault else UNPROVOKED
        of.setdefault(name, []).append(loss)
    names = sorted(of, key=lambda name: (name == UNPROVOKED, min(loss.began_ns for loss in of[name]), name))
    return [_breakdown(name, of[name]) for name in names]


def _breakdown(name: str, some: Sequence[Loss]) -> Breakdown:
    drops = [loss.drop for loss in some]
    outage, why = _outage(some)
    return Breakdown(
        name,
        len(drops),
        sum(drop.outcome == RECOVERED for drop in drops),
        sum(drop.outcome == GAVE_UP for drop in drops),
        outage,
        sum(drop.missed for drop in drops),
        sum(drop.resynced for drop in drops),
        prefixed(why, "outage_ms"),
    )
