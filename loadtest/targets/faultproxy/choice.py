"""Whom does a fault strike, if it strikes a share?"""

import math
import random
from collections.abc import Iterable
from fractions import Fraction

Peer = tuple[str, int]


def chosen(peers: Iterable[Peer], share: float, seed: int) -> list[Peer]:
    """Exactly `share` of them, rounded half up, picked by `seed` from their sorted list; sorted.

    The share counts as the decimal that somebody wrote: 0.29 of 50 is 14.5, hence 15, although the nearest
    float is below 0.29.
    """
    ordered = sorted(peers)
    count = math.floor(Fraction(repr(float(share))) * len(ordered) + Fraction(1, 2))
    return sorted(random.Random(seed).sample(ordered, count))
