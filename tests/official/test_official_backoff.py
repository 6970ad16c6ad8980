"""Does our policy ``js`` wait as the official client waits?"""

from __future__ import annotations

import random
import socket
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from e2e_running import wait_until
from official_running import Driver, durations

from loadtest.protocol.backoff import Additive, Backo, Rule

DRAWS = 10_000
ATTEMPTS = 8

# A fiftieth of the real delays, so that hundreds of clients make all their attempts in a second.
SCALED = Backo(delay_ms=20, delay_max_ms=100, randomization=0.5)
TRIES = 5
CLIENTS = 400

# Seldom enough that nobody ever sees this test fail by chance.
ALPHA = 1e-6

Sample = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    ("delay", "most", "jitter"),
    [(1_000, 5_000, 0.5), (1_000, 16_000, 0.5), (20, 100, 0.5), (333, 7_777, 1.0), (1_000, 16_000, 0.0)],
)
def test_the_same_delay_for_the_same_chance(official: Path, delay: int, most: int, jitter: float) -> None:
    """Integer for integer, with Math.random() replaced."""
    chance = random.Random(f"{delay} {most} {jitter}")
    draws = [0.0, 0.1, 0.9, 1 - 2**-53, *(chance.random() for _ in range(DRAWS - 4))]
    theirs = durations(official, {"min": delay, "max": most, "jitter": jitter}, ATTEMPTS, draws)
    rule = Backo(delay, most, jitter)
    ours = [[rule.delay_ms_of(attempt, draw) for attempt in range(1, ATTEMPTS + 1)] for draw in draws]
    assert ours == theirs


def test_after_an_hour_of_attempts(official: Path) -> None:
    """Where its doubling leaves the numbers that JavaScript has."""
    draws = [0.0, 0.05, 0.15, 0.55, 0.85, 0.95]
    theirs = durations(official, {"min": 1_000, "max": 5_000, "jitter": 0.5}, 1_030, draws)
    rule = Backo()
    ours = [[rule.delay_ms_of(attempt, draw) for attempt in range(1, 1_031)] for draw in draws]
    assert ours == theirs


def kolmogorov_smirnov(one: Sample, other: Sample) -> float:
    """The largest distance between the two samples' distributions."""
    at = np.concatenate([one, other])
    below = [np.searchsorted(np.sort(sample), at, side="right") / sample.size for sample in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def critical(n: int, m: int, alpha: float) -> float:
    """The distance that samples of one distribution exceed with probability ``alpha``, at most: for values that
    repeat, as whole milliseconds do, the true probability is smaller."""
    return float(np.sqrt(-np.log(alpha / 2) / 2 * (n + m) / (n * m)))


def waits_of_official_clients(driver: Driver, port: int) -> list[Sample]:
    """What clients waited for before attempt 1, 2, ... at a port that refuses them, in whole ms.

    From the error of the attempt before to the attempt, less what the timer was late.
    """
    options = {
        "transports": ["websocket"],
        "reconnectionDelay": SCALED.delay_ms,
        "reconnectionDelayMax": SCALED.delay_max_ms,
        "randomizationFactor": SCALED.randomization,
        "reconnectionAttempts": TRIES,
    }
    for client in range(CLIENTS):
        driver.connect(str(client), f"http://127.0.0.1:{port}", **options)
    wait_until(
        lambda: sum(one["what"] == "reconnect_failed" for one in driver.everything()) == CLIENTS,
        "every client gives up",
    )
    waits: list[list[float]] = [[] for _ in range(TRIES)]
    failed_at: dict[str, float] = {}
    for one in driver.everything():
        if one["what"] == "error":
            failed_at[one["id"]] = one["at"]
        elif one["what"] == "reconnect_attempt":
            waits[one["attempt"] - 1].append(one["at"] - failed_at.pop(one["id"]) - one["lateMs"])
    return [np.round(sample) for sample in waits]


def waits_of(rule: Rule, attempt: int) -> Sample:
    chance = random.Random(f"{rule} {attempt}")
    return np.array([round(rule.delay_ns(attempt, chance.random()) / 1e6) for _ in range(20_000)], float)


def test_real_clients_wait_as_our_policy_does(driver: Driver) -> None:
    with socket.socket() as nobody:  # bound and not listening: refuses, and nobody else gets the port
        nobody.bind(("127.0.0.1", 0))
        theirs = waits_of_official_clients(driver, nobody.getsockname()[1])
    assert [sample.size for sample in theirs] == [CLIENTS] * TRIES
    limit = critical(CLIENTS, 20_000, ALPHA)
    distances = [kolmogorov_smirnov(sample, waits_of(SCALED, k)) for k, sample in enumerate(theirs, 1)]
    assert max(distances) < limit, distances
    # And the look would notice: jitter that is not cut at the cap, none at all, and half as much of it.
    others: list[tuple[Rule, tuple[int, ...]]] = [
        (Additive(delay_s=0.02, delay_max_s=0.1, spread_s=0.01), (2, 3, 4, 5)),
        (Backo(20, 100, 0.0), (1, 2, 3)),
        (Backo(20, 100, 0.25), (1, 2, 3)),
    ]
    for rule, attempts in others:
        for attempt in attempts:
            assert kolmogorov_smirnov(theirs[attempt - 1], waits_of(rule, attempt)) > limit, (rule, attempt)
