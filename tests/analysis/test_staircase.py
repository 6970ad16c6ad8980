"""The time until rejoined over the server's outage: dots, and the staircase that a policy allows."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.backoff import Bands
from loadtest.analysis.staircase import Rejoining, stairs, ttj_vs_outage
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, Drop, FaultRow
from loadtest.measure.units import SECOND

DOCUMENTED = Bands(((1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (8.0, 8.0), (16.0, 16.0)), 5)
JS = Bands(((0.55, 1.5), (1.1, 3.0), (2.2, 5.0), (4.4, 5.0), (5.0, 5.0)), None)


def of(made: ModuleType, *some: Drop, rows: Any = (), **parameters: Any) -> Rejoining:
    book = Book()
    book.add("local", Delta(1, list(rows), list(some), final=True))
    told = made.manifest().parameters | made.RETURNING | parameters
    return ttj_vs_outage(made.in_memory(book, parameters=told))


def test_dots_count_from_the_finding_out(made: ModuleType) -> None:
    rows = [
        FaultRow("restart#0", "restart", 8 * SECOND, 11 * SECOND),
        FaultRow("abort#1", "abort", 15 * SECOND),
        FaultRow("slow#2", "slow", 18 * SECOND, 28 * SECOND),
    ]
    told = {"took_s": 0.0, "heard_s": 0.25}
    found = of(
        made,
        made.drop("a", 8.5, (1.0, 2.0), fault="restart#0", fault_s=8, **told),
        made.drop("b", 11.5, (1.0,), fault="restart#0", fault_s=8, **told),
        made.drop("c", 15, (1.0,), fault="abort#1", **told),
        made.drop("d", 18, (1.0,), fault="slow#2", **told),
        made.drop("e", 8.5, (1.0,), "gave_up", fault="restart#0"),
        made.drop("f", 8.5, (1.0,), cause="ping_timeout"),
        rows=rows,
    )
    assert found.of == 4, "who never came back has no place here, and nobody knows an unprovoked outage"
    assert sorted(zip(found.outage_s.tolist(), found.ttj_s.tolist(), strict=True)) == [
        (0.0, 1.25),
        (0.0, 1.25),
        (0.0, 1.25),
        (2.5, 3.25),
    ]
    assert found.stairs is not None and found.stairs.outage_s[-1] >= 2.5


def test_no_policy_has_no_stairs(made: ModuleType) -> None:
    found = of(made, backoff_s=[], reconnect="none")
    assert (found.stairs, found.of, found.outage_s.size) == (None, 0, 0)


@pytest.mark.parametrize(
    ("outage_s", "back_s"), [(0, 1), (1, 1), (1.01, 3), (3, 3), (6, 7), (7.5, 15), (28, 31), (31, 31)]
)
def test_a_policy_without_jitter_is_one_staircase(outage_s: float, back_s: float) -> None:
    found = stairs(DOCUMENTED, 40.0)
    assert (found.lower_s == found.upper_s).all()
    at = int(np.searchsorted(found.outage_s, outage_s))
    assert found.lower_s[at] == back_s
    assert found.outage_s[-1] == 31.0, "nobody survives a longer one"


@given(
    st.sampled_from([JS, DOCUMENTED, Bands(((0.5, 1.5), (1.5, 2.5), (3.5, 4.5), (4.5, 5.5)), None)]),
    st.floats(0, 25),
    st.integers(0, 10**6),
)
def test_every_way_back_lies_between_the_stairs(policy: Bands, outage_s: float, seed: int) -> None:
    """The oracle draws waits until one ends after the outage."""
    draw, moment_s, attempt = random.Random(seed), 0.0, 0
    while moment_s < outage_s or not attempt:
        attempt += 1
        band = policy.of(attempt)
        assert band is not None
        moment_s += draw.uniform(*band)
    found = stairs(policy, 30.0)
    at = int(np.searchsorted(found.outage_s, outage_s))
    near = slice(max(0, at - 1), at + 1)
    step = 30.0 / 299
    assert found.lower_s[near].min() - 1e-9 <= moment_s <= found.upper_s[near].max() + step


def test_the_stairs_are_no_wider_than_the_draws(made: ModuleType) -> None:
    """Many draws come close to either side."""
    draw = random.Random(2)
    found = stairs(JS, 30.0)
    for outage_s in (0.2, 1.0, 4.0, 9.0, 20.0):
        moments = []
        for _ in range(20_000):
            moment_s, attempt = 0.0, 0
            while moment_s < outage_s:
                attempt += 1
                band = JS.of(attempt)
                assert band is not None
                moment_s += draw.choice((*band, draw.uniform(*band)))
            moments.append(moment_s)
        at = int(np.searchsorted(found.outage_s, outage_s))
        assert min(moments) == pytest.approx(found.lower_s[at], abs=0.15)
        assert max(moments) == pytest.approx(found.upper_s[at], abs=0.4)
