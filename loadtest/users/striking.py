"""What do the injected faults do in this process: whom do they strike, and what is their doing?

The kinds that clients carry out alone are carried out here, on users chosen by the seed. The others are ordered
once for the whole run (``ordering.py``); here they only explain why a connection was lost.
"""

from __future__ import annotations

import math
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from loadtest.measure.faults import Means, Occurrence, occurrences
from loadtest.measure.rows import FaultRow
from loadtest.measure.units import SECOND
from loadtest.users.causes import STREAM_ENDED, Cause

if TYPE_CHECKING:
    from loadtest.users.live import LiveRun
    from loadtest.users.user import RealtimeUser

_CUT = STREAM_ENDED | {Cause.TRANSPORT_ERROR, Cause.TLS_ERROR, Cause.PARSE_ERROR, Cause.SESSION_UNKNOWN}
_SILENT = _CUT | {Cause.PING_TIMEOUT, Cause.WRITE_QUEUE_FULL}
_DOING = {
    "kick": STREAM_ENDED | {Cause.SERVER_NAMESPACE, Cause.SESSION_UNKNOWN},
    "refuse-upgrade": _CUT,
    "refuse": _CUT,
    "restart": _CUT,
    "stop-reading": _SILENT,
    "freeze": _SILENT,
    "blackhole": _SILENT,
    "delay": _SILENT,
    "slow": _SILENT,
}
"""Which losses a kind of fault explains. ``slow-accept`` explains none, it strikes who is not connected; nor do
the kinds that cut a connection here: whom they struck is known, and a loss of anybody else is no fault of ours."""
_AFTERWARDS_NS = 2 * SECOND


class Strikes:
    """The faults of one run as one process sees them.

    silence_ns: ping interval + timeout of the server, after which a silent fault is found out at the latest.
    """

    def __init__(self, live: LiveRun, silence_ns: int) -> None:
        self._live = live
        self._silence_ns = silence_ns
        self._strikes = occurrences(live.settings.faults)

    def begin(self) -> None:
        """The plan has begun: every strike has its moment."""
        for strike in self._strikes:
            if strike.fault.means is Means.CLIENT:
                self._live.clock.call_at(self.moment_ns(strike), partial(self._strike, strike))

    def moment_ns(self, strike: Occurrence) -> int:
        """When it strikes, on the clock of the run."""
        measure_ns = self._live.plan.measure_ns
        assert measure_ns is not None
        return measure_ns + strike.at_ns

    def _strike(self, strike: Occurrence) -> None:
        live = self._live
        if live.held or live.closed:
            return
        struck = sum(device.strike(strike) for user in self._chosen(strike) for device in user.devices)
        at_ns = self.moment_ns(strike) - live.plan.started_ns
        until_ns = None if strike.until_ns is None else at_ns + strike.fault.lasting_ns
        fault = strike.fault
        live.recorder.fault(
            FaultRow(strike.name, fault.kind, at_ns, until_ns, fault.share, fault.text, struck)
        )

    def _chosen(self, strike: Occurrence) -> list[RealtimeUser]:
        """The share of the users of this process, others each time, the same ones with the same seed."""
        users = sorted(self._live.users, key=lambda user: user.name)
        rng = Random(f"{self._live.settings.seed}:{strike.name}:{self._live.worker}")
        return rng.sample(users, math.floor(strike.fault.share * len(users) + 0.5))

    def blame(self, cause: Cause, now_ns: int) -> Occurrence | None:
        """The newest strike that explains a loss found out now; None: nobody provoked it."""
        if self._live.plan.measure_ns is None:
            return None
        for strike in reversed(self._strikes):
            causes = _DOING.get(strike.fault.kind, frozenset())
            if cause not in causes:
                continue
            at_ns = self.moment_ns(strike)
            reach_ns = self._silence_ns if causes is _SILENT else 0
            if at_ns <= now_ns <= at_ns + strike.fault.lasting_ns + reach_ns + _AFTERWARDS_NS:
                return strike
        return None

    def under_way(self, now_ns: int) -> str | None:
        """The names of the faults that were going on at a moment."""
        if not self._strikes or self._live.plan.measure_ns is None:
            return None
        names = [
            strike.name
            for strike in self._strikes
            if 0 <= now_ns - self.moment_ns(strike) <= max(strike.fault.lasting_ns, _AFTERWARDS_NS)
        ]
        return ", ".join(names) or None
