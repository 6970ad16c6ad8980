"""What can be answered to a question about a run?"""

from __future__ import annotations

import msgspec

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
SLO, CLAIM, REGRESSION = "slo", "claim", "regression"
MS_UNIT, SHARE, COUNT, RATIO, PER_HOUR = "ms", "share", "count", "ratio", "percent per hour"


class Verdict(msgspec.Struct, frozen=True):
    """One question with an answer: kind slo, claim or regression; state pass, fail or inconclusive.

    name: the question, ``message.deliver{transport:websocket}: p(95)<100``. observed, limit and ci95 are in
    ``unit``: ms, share (0 to 1), count or ratio. An upper end of None is not bounded by the sample; a lower
    one of None lies among what never came. why: one sentence without its full stop, empty where the numbers
    say it all; of what is inconclusive, what would decide it.
    """

    name: str
    kind: str
    state: str
    observed: float | None = None
    limit: float | None = None
    ci95: tuple[float | None, float | None] | None = None
    unit: str = ""
    why: str = ""
