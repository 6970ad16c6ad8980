"""How much of the time could people talk, and how many messages reached them while they still waited?

Both are seen from the users: that a server is up helps nobody whose client still waits for its next attempt.
"""

from __future__ import annotations

import msgspec

from loadtest.analysis.drops import EARLIER, Losses, knows_the_way_back, losses, outages, parameter, users
from loadtest.analysis.figures import count_above
from loadtest.analysis.intervals import wilson
from loadtest.analysis.series import measured, measured_ns
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

DEADLINE_S = 2.0
"""The deadline of runs that do not say theirs."""


class Availability(msgspec.Struct, frozen=True):
    """Of the measured phase.

    user_share: 1 - the time that users were out over the time that there were users, one per device. An outage is
    from the injection (or, unprovoked, from being found out) until the user was proven back in its rooms.
    message_share: copies to members, connected or not, that came within ``deadline_s`` of their planned moment,
    over those expected.
    """

    user_share: float | None
    message_share: float | None
    deadline_s: float
    observed_s: float
    outage_s: float | None
    longest_s: float | None
    expected: int
    in_time: int
    ci95: dict[str, tuple[float, float]]
    why: dict[str, str]


def availability(run: Run) -> Availability | None:
    """None if nothing was measured."""
    if not measured_ns(run):
        return None
    why: dict[str, str] = {}
    observed_ns = users(run) * measured_ns(run)
    outage_ns = longest_ns = user_share = None
    if not knows_the_way_back(run):
        why |= dict.fromkeys(("user_share", "outage_s", "longest_s"), EARLIER)
    elif not observed_ns:
        why |= dict.fromkeys(("user_share", "outage_s", "longest_s"), "there were no users")
    else:
        lengths = outage_lengths_ns(run, losses(run))
        outage_ns, longest_ns = sum(lengths), max(lengths, default=0)
        user_share = round(max(0.0, 1 - outage_ns / observed_ns), 6)
    deadline_s = parameter(run, "availability_deadline_s", DEADLINE_S)
    deliveries = measured(run, Operation.MESSAGE_DELIVER, Operation.MESSAGE_RESYNC)
    in_time = deliveries.latency.n - count_above(deliveries.latency, deadline_s * SECOND)
    ci95 = {}
    if deliveries.expected:
        ci95["message_share"] = wilson(in_time, deliveries.expected)
    else:
        why["message_share"] = "nobody was owed a message"
    return Availability(
        user_share,
        round(in_time / deliveries.expected, 6) if deliveries.expected else None,
        deadline_s,
        observed_ns / SECOND,
        None if outage_ns is None else outage_ns / SECOND,
        None if longest_ns is None else longest_ns / SECOND,
        deliveries.expected,
        in_time,
        ci95,
        why,
    )


def outage_lengths_ns(run: Run, found: Losses) -> list[int]:
    """How long each outage lasted within measure; also of who was lost before it, and still out then."""
    from_ns = run.manifest.edges.measure_ns
    if from_ns is None:
        return []
    spans = outages([*found.early, *found.counted], from_ns, from_ns + measured_ns(run))
    return [end_ns - begin_ns for begin_ns, end_ns in spans]
