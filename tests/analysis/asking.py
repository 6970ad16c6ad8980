"""Runs that consist of what one SLO looks at, from numbers drawn beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.analysis.figures import Lag
from loadtest.analysis.slo import verdicts
from loadtest.analysis.steadiness import STEADY, Steadiness
from loadtest.analysis.validity import VALID, Validity
from loadtest.analysis.verdict import Verdict
from loadtest.measure.histogram import Counts, bucket_of
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.slo import understand
from loadtest.measure.units import MS, SECOND

Numbers = npt.NDArray[np.float64]
CALM = Steadiness(STEADY, 0)


def counts(came_ms: Sequence[float] | Numbers) -> Counts:
    """What a recorder makes of these latencies, many times faster."""
    ns = np.rint(np.asarray(came_ms, np.float64) * MS).astype(np.int64)
    if not ns.size:
        return Counts()
    buckets, each = np.unique(bucket_of(ns), return_counts=True)
    ends = int(ns.min()), int(ns.max())
    return Counts(
        ns.size, int(ns.sum()), *ends, 0, buckets.astype("<u2").tobytes(), each.astype("<u4").tobytes()
    )


def row(
    second: int, came_ms: Sequence[float] | Numbers = (), lost: int = 0, late: int = 0, **told: Any
) -> SeriesRow:
    """A second of measured deliveries."""
    given = {"operation": "message.deliver", "transport": "websocket", "phase": "measure"} | told
    latency = counts(came_ms)
    return SeriesRow(
        second=second, expected=latency.n + lost + late, lost=lost, late=late, latency=latency, **given
    )


def seconds(came_ms: Numbers) -> list[SeriesRow]:
    """(W, n): n deliveries in each of W seconds."""
    return [row(second, values) for second, values in enumerate(came_ms)]


def run(made: ModuleType, rows: Iterable[SeriesRow], measured_s: int | None = None, **changes: Any) -> Run:
    """They are measured from the first second on; nothing else is in the run."""
    series = list(rows)
    last = max((one.second for one in series), default=0) if measured_s is None else measured_s - 1
    end_ns = (last + 1) * SECOND
    told = {"edges": Edges(0, 0, end_ns, end_ns)} | changes
    return Run(Path("/nowhere"), made.manifest(**told), series, [], [])


def believed(state: str = VALID, *reasons: str) -> Validity:
    """What the generator's health came to."""
    lag = Lag(None, None, None)
    return Validity(state, list(reasons), lag, lag, None, None)


def judged(
    of: Run, *texts: str, validity: Validity | None = None, steady: Steadiness | None = CALM
) -> list[Verdict]:
    """Verdicts on expressions about ``message.deliver``, or on whole ones."""
    words = [text if ":" in text else f"message.deliver: {text}" for text in texts]
    return verdicts(of, understand(words, str), validity or believed(), steady)
