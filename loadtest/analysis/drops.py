"""Which lost connections count, and from when to when was each user out?

A loss that the generator brought about itself, by standing still, says nothing about the server: it is counted
apart. One before measure belongs to no figure either, but its user may still be out when measure begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from loadtest.measure.operations import Operation
from loadtest.measure.rows import LEFT, RECOVERED, Drop, Try
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

STALL = "generator_stall"
"""The cause of a loss that is the generator's own fault."""
UNPROVOKED = "unprovoked"
EARLIER = "this run counted lost connections, not the way back"
"""Why a run of an older release has no figures."""
_DEADLINE_S = 10.0
_REFUSED = "connect_error"


class Loss(NamedTuple):
    """A drop, and the time that its user was out; moments are ns from the start of the run.

    began_ns: when the fault was injected; when the loss was found out, if nobody provoked it. restored_ns: when
    it was known to be back in its rooms; None: never. ended_ns: when its outage ended as far as anybody can
    tell: restored, lost once more, gone of its own will, or the end of the run.
    """

    drop: Drop
    began_ns: int
    restored_ns: int | None
    ended_ns: int


class Losses(NamedTuple):
    """All drops of a run by what they count for, in order of time; ``stalled`` is how many were our own fault."""

    counted: list[Loss]
    early: list[Loss]
    stalled: int


def knows_the_way_back(run: Run) -> bool:
    """Whether the run recorded what became of its drops; older releases did not."""
    return "reconnect" in run.manifest.parameters


def parameter(run: Run, name: str, default: float) -> float:
    """A number from the run's parameters; ``default`` where an older release did not write it."""
    value: Any = run.manifest.parameters.get(name)
    return float(value) if isinstance(value, (int, float)) else default


def users(run: Run) -> int:
    """Connections that there should be: every device of every user."""
    return round(run.manifest.users * parameter(run, "devices", 1))


def losses(run: Run) -> Losses:
    """Every drop of the run, with the outage that it was."""
    measure_ns, probing = run.manifest.edges.measure_ns, _probing(run)
    ordered = sorted(run.drops, key=lambda drop: (drop.at_ns, drop.user))
    newest: dict[str, Loss] = {}
    found: list[Loss] = []
    for drop in reversed(ordered):
        loss = _loss(run, drop, newest.get(drop.user), probing)
        newest[drop.user] = loss
        found.append(loss)
    found.reverse()
    sound = [loss for loss in found if loss.drop.cause != STALL]
    counts = [measure_ns is not None and loss.drop.at_ns >= measure_ns for loss in sound]
    return Losses(
        [loss for loss, does in zip(sound, counts, strict=True) if does],
        [loss for loss, does in zip(sound, counts, strict=True) if not does],
        len(found) - len(sound),
    )


def _probing(run: Run) -> bool:
    """Whether returns were proven by a probe: a contract without echoes has none."""
    return any(drop.proven for drop in run.drops) or any(
        row.operation == Operation.SESSION_RESUME for row in run.series
    )


def _loss(run: Run, drop: Drop, later: Loss | None, probing: bool) -> Loss:
    began_ns = drop.at_ns if drop.fault_ns is None else min(drop.fault_ns, drop.at_ns)
    end_ns = run.manifest.edges.ended_ns if later is None else later.drop.at_ns
    restored_ns = _restored_ns(run, drop, end_ns, probing)
    if restored_ns is not None:
        end_ns = restored_ns
    elif drop.outcome == LEFT:
        # When it left is not written down: its outage is known up to the last thing that it did.
        end_ns = max([drop.at_ns, *(_end_ns(one) for one in drop.tries)])
    return Loss(drop, began_ns, restored_ns, end_ns)


def _restored_ns(run: Run, drop: Drop, end_ns: int, probing: bool) -> int | None:
    """Heard by a probe. Joined counts for it, unless a probe had all its time and did not come."""
    if drop.outcome != RECOVERED or drop.heard_ns is not None or drop.rejoined_ns is None:
        return drop.heard_ns if drop.outcome == RECOVERED else None
    deadline_ns = round(parameter(run, "deadline_s", _DEADLINE_S) * SECOND)
    silent = probing and drop.rooms > 0 and drop.rejoined_ns + deadline_ns <= end_ns
    return None if silent else drop.rejoined_ns


def _end_ns(one: Try) -> int:
    return one.began_ns + one.took_ns


def known_until_ns(loss: Loss) -> int:
    """The last moment at which something is known to have happened to it."""
    drop = loss.drop
    moments = [drop.at_ns, drop.back_ns, drop.rejoined_ns, drop.heard_ns, *(_end_ns(t) for t in drop.tries)]
    return max(moment for moment in moments if moment is not None)


def numbered(tries: Iterable[Try]) -> Iterator[tuple[int, Try]]:
    """Attempts with their number in the policy, which begins anew after one that worked and did not last.

    One made at once with a new token, where the old one had expired, is none of the policy's: number 0.
    """
    number, before = 0, ""
    for position, one in enumerate(tries):
        if before == _REFUSED and one.waited_ns == one.late_ns:
            yield 0, one
        else:
            number = number + 1 if before or not position else 1
            yield number, one
        before = one.cause


def outages(found: Iterable[Loss], from_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """(begin, end) in ns of every time that somebody was out, within these moments, in order of time.

    One user's never overlap: a fault may be injected while the user is still out because of the one before, and
    what was lost again before it was restored is one outage.
    """
    of: dict[str, list[tuple[int, int]]] = {}
    for loss in found:
        begin_ns, end_ns = max(loss.began_ns, from_ns), min(loss.ended_ns, until_ns)
        if end_ns > begin_ns:
            of.setdefault(loss.drop.user, []).append((begin_ns, end_ns))
    return sorted(span for spans in of.values() for span in _merged(spans))


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same moments, in spans that do not overlap."""
    merged: list[tuple[int, int]] = []
    for begin_ns, end_ns in sorted(spans):
        if merged and begin_ns <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end_ns)
        else:
            merged.append((begin_ns, end_ns))
    return merged
