"""Is an order understood, is a share exact, and does a bucket let pass what it should?"""

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.targets.faultproxy.bucket import SECOND, Bucket
from loadtest.targets.faultproxy.choice import Peer, chosen
from loadtest.targets.faultproxy.orders import KINDS, OrderError, parse_order

PEERS = st.lists(st.tuples(st.sampled_from(["127.0.0.1", "::1"]), st.integers(1, 65_535)), unique=True)
SHARES = st.one_of(st.integers(0, 1000).map(lambda n: n / 1000), st.floats(0, 1))


# -- orders


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "blackhole", "seconds": 2}, {"lasts_ns": 2 * SECOND, "everyone": True, "seed": 1}),
        ({"kind": "delay", "ms": 0.5}, {"lasts_ns": None, "delay_ns": 500_000}),
        ({"kind": "delay", "ms": 80, "seconds": 1.5}, {"lasts_ns": 1_500_000_000}),
        (
            {"kind": "slow", "bytesPerSecond": 1e3, "seconds": None},
            {"bytes_per_second": 1000, "lasts_ns": None},
        ),
        (
            {"kind": "refuse", "seconds": 1, "share": 0.5, "seed": 7},
            {"share": 0.5, "seed": 7, "everyone": False},
        ),
        (
            {"kind": "blackhole", "seconds": 1, "connections": [["127.0.0.1", 5]]},
            {"connections": (("127.0.0.1", 5),), "everyone": False},
        ),
        ({"kind": "restart", "seconds": 3, "share": 1.0}, {"kind": "restart"}),
        ({"kind": "none"}, {"kind": "none"}),
    ],
)
def test_an_order_is_read(body: dict[str, Any], expected: dict[str, Any]) -> None:
    order = parse_order(body)
    assert {name: getattr(order, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "one JSON object"),
        ({}, "kind must be one of blackhole, delay, slow, refuse, restart, none"),
        ({"kind": ["delay"]}, "kind must be one of"),
        ({"kind": "tarpit"}, "kind must be one of"),
        ({"kind": "blackhole"}, "blackhole needs seconds"),
        ({"kind": "blackhole", "seconds": None}, "blackhole needs seconds"),
        ({"kind": "blackhole", "seconds": 0}, "seconds must be a number from 0.001 to 86400"),
        ({"kind": "blackhole", "seconds": "2"}, "seconds must be a number"),
        ({"kind": "blackhole", "seconds": True}, "seconds must be a number"),
        ({"kind": "blackhole", "seconds": math.nan}, "seconds must be a number"),
        ({"kind": "blackhole", "seconds": 1, "ms": 5}, "blackhole takes no ms"),
        ({"kind": "blackhole", "seconds": 1, "sahre": 0.5}, "unknown field 'sahre'"),
        ({"kind": "blackhole", "seconds": 1, "share": 1.1}, "share must be a number from 0 to 1"),
        ({"kind": "blackhole", "seconds": 1, "seed": 0.5}, "seed must be a whole number"),
        ({"kind": "delay"}, "delay needs ms"),
        ({"kind": "slow", "bytesPerSecond": 0}, "bytesPerSecond must be a whole number from 1"),
        ({"kind": "restart", "seconds": 1, "share": 0.5}, "restart strikes every connection"),
        ({"kind": "restart", "seconds": 1, "connections": []}, "restart takes no connections"),
        ({"kind": "none", "seconds": 1}, "none takes no seconds"),
        ({"kind": "refuse", "seconds": 1, "connections": {}}, "list of [address, port]"),
        ({"kind": "refuse", "seconds": 1, "connections": [["a"]]}, "not of ['a']"),
        ({"kind": "refuse", "seconds": 1, "connections": [["a", "5"]]}, "list of [address, port]"),
        ({"kind": "refuse", "seconds": 1, "connections": [["a", True]]}, "list of [address, port]"),
    ],
)
def test_what_is_wrong_with_an_order_is_said_in_one_line(body: object, said: str) -> None:
    with pytest.raises(OrderError) as refused:
        parse_order(body)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_proxy_that_owns_no_server_says_how_to_get_one() -> None:
    kinds = tuple(kind for kind in KINDS if kind != "restart")
    with pytest.raises(OrderError, match="loadtest serve --through-faults"):
        parse_order({"kind": "restart", "seconds": 1}, kinds=kinds)
    with pytest.raises(OrderError, match="blackhole, delay, slow, refuse, none"):
        parse_order({"kind": "x"}, kinds=kinds)


# -- choice


@given(PEERS, SHARES, st.integers(0, 2**53), st.randoms())
def test_a_share_is_exact_and_the_same_every_time(
    peers: list[Peer], share: float, seed: int, order: Any
) -> None:
    struck = chosen(peers, share, seed)
    exact = Decimal(repr(share)) * len(peers)
    assert len(struck) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    assert set(struck) <= set(peers)
    assert struck == sorted(set(struck))
    order.shuffle(peers)
    assert chosen(peers, share, seed) == struck


def test_a_share_is_the_decimal_that_was_written() -> None:
    peers = [("127.0.0.1", port) for port in range(1, 51)]
    assert 0.29 * 50 < 14.5
    assert len(chosen(peers, 0.29, 1)) == 15


def test_another_seed_is_another_choice() -> None:
    peers = [("127.0.0.1", port) for port in range(1, 101)]
    assert len({tuple(chosen(peers, 0.5, seed)) for seed in range(20)}) == 20


# -- bucket

STEPS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), max_size=60)


@given(st.integers(1, 10**9), STEPS)
def test_a_bucket_agrees_with_fractions(rate: int, steps: list[tuple[int, int]]) -> None:
    """The oracle keeps the level as an exact fraction of bytes."""
    bucket, now_ns, level = Bucket(rate, 0), 0, Fraction(0)
    for elapsed_ns, wanted in steps:
        now_ns += elapsed_ns
        level = min(Fraction(bucket.burst), level + Fraction(elapsed_ns * rate, SECOND))
        available = bucket.available(now_ns)
        assert available == math.floor(level)
        spent = min(wanted, available)
        bucket.spend(spent)
        level -= spent


@given(st.integers(1, 10**9), st.integers(1, 10**6), STEPS)
def test_a_bucket_is_ready_when_it_says_and_not_before(
    rate: int, wanted: int, steps: list[tuple[int, int]]
) -> None:
    bucket, now_ns = Bucket(rate, 0), 0
    for elapsed_ns, most in steps:
        now_ns += elapsed_ns
        bucket.spend(min(most, bucket.available(now_ns)))
    ready_ns = bucket.ready_ns(wanted)
    enough = min(wanted, max(1, bucket.burst // 2))
    if ready_ns > now_ns:
        assert bucket.available(ready_ns - 1) < enough
    assert bucket.available(max(now_ns, ready_ns)) >= enough


@given(st.integers(100, 10**8), st.integers(0, 5 * 10**6))
def test_a_flow_that_is_woken_late_still_gets_its_rate(rate: int, late_ns: int) -> None:
    bucket, now_ns, passed = Bucket(rate, 0), 0, 0
    while now_ns < 2 * SECOND:
        now_ns = max(now_ns, bucket.ready_ns(1 << 40)) + late_ns
        available = bucket.available(now_ns)
        bucket.spend(available)
        passed += available
    assert passed <= rate * now_ns // SECOND
    assert passed >= rate * now_ns // SECOND - 2
