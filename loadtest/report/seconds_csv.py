"""What did every second of a run come to, for a spreadsheet?"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from loadtest.measure.histogram import merged
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import ms

COLUMNS = (
    "second", "phase", "operation", "transport",
    "expected", "n", "late", "lost", "p50_ms", "p95_ms", "p99_ms", "max_ms",
)  # fmt: skip
_QUANTILES = (0.5, 0.95, 0.99)


def seconds_csv(rows: Sequence[SeriesRow]) -> str:
    """A head, and a row for each second, phase, operation and transport, in order of time.

    Percentiles are of what was expected; one that lies among what never came is ``inf``. ``max_ms`` is of what
    came. Empty: nothing was owed, or nothing came.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in sorted(rows, key=lambda one: (one.second, one.operation, one.transport, one.phase)):
        lines.writerow([*_key(row), row.expected, row.latency.n, row.late, row.lost, *_times(row)])
    return text.getvalue()


def _key(row: SeriesRow) -> tuple[int, str, str, str]:
    return row.second, row.phase, row.operation, row.transport


def _times(row: SeriesRow) -> list[float | str]:
    if not row.expected:
        return [""] * (len(_QUANTILES) + 1)
    latency = merged([row.latency])
    found = [latency.quantile(q, of=row.expected) for q in _QUANTILES]
    slowest = ms(latency.max_ns) if latency.n else ""
    return [*("inf" if one is None else ms(one) for one in found), slowest]
