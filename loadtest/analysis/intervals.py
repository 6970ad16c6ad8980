"""How sure is a share that was counted?"""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""97.5 % of a standard normal distribution lie below it: 2.5 % are left on either side."""

Interval = tuple[float, float]


def wilson(hits: int, n: int) -> Interval:
    """The 95 % score interval of ``hits`` out of ``n`` > 0 independent ones, to six digits.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    The textbook's p ± z·s has no width where all or none succeeded; this one has, and never leaves [0, 1].
    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} of {n} is no share")
    share, square = hits / n, Z95 * Z95
    middle = share + square / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    low = 0.0 if hits == 0 else (middle - half) / scale
    high = 1.0 if hits == n else (middle + half) / scale
    return round(low, 6), round(high, 6)
