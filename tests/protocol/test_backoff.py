"""Does every policy wait as the client it stands for, and never outside of its band?"""

from __future__ import annotations

import math
import random
from types import SimpleNamespace
from unittest import mock

import pytest
import socketio.client
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.protocol import backoff
from loadtest.protocol.backoff import POLICIES, Additive, Backo, Policy, documented, javascript

SECOND = 1_000_000_000
MS = 1_000_000

# What random() can return: multiples of 2**-53 below 1; hypothesis' floats are too fond of the tiny ones.
draws = st.integers(0, 2**53 - 1).map(lambda n: n / 2**53)
LAST = 1 - 2**-53
attempts = st.integers(1, 60) | st.integers(1_000, 1_100)


def in_seconds(band: tuple[int, int]) -> tuple[float, float]:
    return band[0] / SECOND, band[1] / SECOND


@pytest.mark.parametrize(
    ("policy", "bands"),
    [
        (POLICIES["documented"], [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16)]),
        (POLICIES["python"], [(0.5, 1.5), (1.5, 2.5), (3.5, 4.5), (4.5, 5.5), (4.5, 5.5)]),
        (POLICIES["js"], [(0.55, 1.5), (1.1, 3), (2.2, 5), (4.4, 5), (5, 5)]),
        (javascript(delay_max_ms=16_000), [(0.55, 1.5), (1.1, 3), (2.2, 6), (4.4, 12), (8.8, 16)]),
    ],
    ids=["documented", "python", "js", "js to 16 s"],
)
def test_bands_are_those_of_the_clients(policy: Policy, bands: list[tuple[float, float]]) -> None:
    for attempt, band in enumerate(bands, 1):
        # backo2 rounds the deviation down to whole milliseconds, and no draw is quite 0.9 or 1.
        assert in_seconds(policy.band_ns(attempt)) == pytest.approx(band, abs=0.0011)


@given(
    st.sampled_from([POLICIES["js"], POLICIES["python"], javascript(20, 100), javascript(7, 2**31 - 1, 1.0)]),
    attempts,
    draws,
)
@example(POLICIES["js"], 1, math.nextafter(0.9, 0))
@example(POLICIES["js"], 1, LAST)
@example(POLICIES["python"], 1, LAST)
def test_no_wait_is_outside_of_its_band(policy: Policy, attempt: int, draw: float) -> None:
    low, high = policy.band_ns(attempt)
    assert 0 <= low <= policy.delay_ns(attempt, draw) <= high


@given(st.integers(1, 3_000), st.integers(1, 40_000), st.sampled_from([0.1, 0.5, 1.0]), st.integers(1, 12))
def test_a_band_of_backo2_is_what_draws_reach(delay: int, most: int, jitter: float, attempt: int) -> None:
    """Against every draw that could be extreme: the last of each of the ten decimals, and the first."""
    rule = Backo(delay, most, jitter)
    edges = [number / 10 for number in range(11)]
    near = [edge + step * 2**-53 for edge in edges for step in range(-4, 5)]
    reached = [rule.delay_ns(attempt, draw) for draw in near if 0 <= draw < 1]
    assert rule.band_ns(attempt) == (min(reached), max(reached))


def duration(delay: float, most: float, jitter: float, calls: int, draw: float) -> int:
    """backo2's duration(), a line for a line, on JavaScript's arithmetic of doubles."""
    ms = math.inf if calls > 1_023 else delay * math.pow(2, calls)
    if jitter:
        spread = draw * jitter * ms
        deviation = spread if not math.isfinite(spread) else float(math.floor(spread))
        ms = ms - deviation if math.floor(draw * 10) & 1 == 0 else ms + deviation
    least = math.nan if math.isnan(ms) else min(ms, most)
    return 0 if math.isnan(least) else int(least)


@given(
    st.integers(1, 10_000), st.integers(1, 2**31 - 1), st.just(0.0) | st.floats(0.01, 1.0), attempts, draws
)
@example(1_000, 5_000, 0.5, 1_016, 0.25)
@example(1_000, 5_000, 0.5, 1_016, 0.35)
@example(1_000, 5_000, 0.5, 1_030, 0.0)
@example(1_000, 5_000, 0.0, 1_030, 0.0)
def test_backo2_to_the_millisecond(delay: int, most: int, jitter: float, attempt: int, draw: float) -> None:
    assert Backo(delay, most, jitter).delay_ms_of(attempt, draw) == duration(
        delay, most, jitter, attempt - 1, draw
    )


def test_backo2_by_hand() -> None:
    rule = Backo()
    assert [rule.delay_ms_of(attempt, 0.0) for attempt in range(1, 6)] == [1000, 2000, 4000, 5000, 5000]
    assert rule.delay_ms_of(1, 0.25) == 875  # an even decimal: 125 ms less
    assert rule.delay_ms_of(1, 0.15) == 1075  # an odd one: 75 ms more
    assert rule.delay_ms_of(3, 0.55) == 5000  # 4000 + 1100, and the cap comes last
    assert rule.delay_ms_of(4, 0.85) == 4600  # 8000 - 3400: the only way below the cap at this attempt
    assert POLICIES["js"].delay_ns(4, 0.85) == 4600 * MS


def test_at_the_cap_nine_in_ten_come_back_at_once() -> None:
    """Jitter before the cap: why a storm of browsers comes in one instant."""
    js = POLICIES["js"]
    at_cap = [js.delay_ns(4, n / 1000) == 5 * SECOND for n in range(1000)]
    assert at_cap.count(True) == pytest.approx(900, abs=60)
    assert {js.delay_ns(5, n / 1000) for n in range(1000)} == {5 * SECOND}


class Stopped(Exception):
    """Enough attempts seen."""


@given(st.lists(draws, min_size=1, max_size=8))
def test_python_waits_as_its_client_does(drawn: list[float]) -> None:
    """The loop of python-socketio itself, with its chance and its waiting replaced."""
    waits: list[float] = []

    def wait(delay: float) -> bool:
        waits.append(delay)
        return len(waits) == len(drawn)  # the last is told to stop waiting

    client = socketio.Client(handle_sigint=False)
    client._reconnect_abort = SimpleNamespace(clear=lambda: None, wait=wait)
    client.connection_namespaces = []
    client.connect = mock.Mock(side_effect=socketio.exceptions.ConnectionError)
    with mock.patch.object(random, "random", side_effect=list(drawn)):
        client._handle_reconnect()
    ours = [POLICIES["python"].delay_ns(k, draw) for k, draw in enumerate(drawn, 1)]
    assert ours == [round(delay * SECOND) for delay in waits]


def test_a_wait_is_never_negative() -> None:
    assert Additive(delay_s=0.1, spread_s=0.5).delay_ns(1, 0.0) == 0
    assert Additive().delay_ns(5_000, 0.5) == 5 * SECOND


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=10), draws)
def test_documented_delays_are_taken_as_they_are(delays_ms: list[int], draw: float) -> None:
    policy = documented(delays_ms)
    assert policy.attempts == len(delays_ms)
    attempts = range(1, len(delays_ms) + 1)
    assert [policy.delay_ns(k, draw) for k in attempts] == [delay * MS for delay in delays_ms]


def test_what_they_do_besides_waiting() -> None:
    kept = {name: (one.attempts, one.buffers, one.retries_refused) for name, one in POLICIES.items()}
    assert kept == {
        "documented": (5, True, False),
        "js": (None, True, False),
        "python": (None, False, True),
        "none": (0, False, False),
    }
    assert {name: one.name for name, one in POLICIES.items()} == {name: name for name in POLICIES}
    assert {one.connect_timeout_ns for one in POLICIES.values()} == {20 * SECOND}


@pytest.mark.parametrize(("name", "attempt"), [("js", 0), ("documented", 6), ("documented", 0), ("none", 1)])
def test_an_attempt_that_is_never_made(name: str, attempt: int) -> None:
    with pytest.raises(ValueError, match=f"policy {name} has attempts from 1"):
        POLICIES[name].delay_ns(attempt, 0.5)
    with pytest.raises(ValueError, match=f"policy {name} has attempts from 1"):
        POLICIES[name].band_ns(attempt)


@pytest.mark.parametrize(
    "wrong",
    [{"delay_ms": 0}, {"delay_max_ms": 2**31}, {"randomization": 1.1}, {"delay_ms": -5}],
)
def test_what_the_javascript_client_would_read_otherwise_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="delays must be in"):
        javascript(**wrong)


def test_no_delay_is_no_documentation() -> None:
    with pytest.raises(ValueError, match="at least one delay"):
        documented([])
    assert backoff.POLICIES["documented"] == documented([1_000, 2_000, 4_000, 8_000, 16_000])
