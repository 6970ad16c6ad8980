"""The long ones: outages longer than the whole schedule, black holes without an end, and every transport."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from e2e_returning import (
    DOCUMENTED_S,
    JAVASCRIPT_S,
    MS,
    PYTHON_S,
    SECOND,
    Diary,
    Starter,
    Witnessed,
    books_are_even,
    came_back,
    of_fault,
    outcomes,
    waited_as_documented,
    waited_within,
    waits_s,
)
from e2e_running import HERE, Result, wait_until

from loadtest.analysis.summary import summarise
from loadtest.analysis.validity import INVALID, judge
from loadtest.measure.rows import GAVE_UP, RECOVERED, Drop

USERS, ROOM = 24, 6
COMMON = (
    *("-u", USERS, "-r", USERS, "--rt-room-size", ROOM, "--rt-rate", "1/s"),
    *("--rt-warmup", "1s", "--rt-drain", "5s"),
)
STEADY = ("-f", HERE / "steady.py")
THROUGH = ("--through-faults",)
HASTY = ("--ping-interval", "2", "--ping-timeout", "2")
LONG_S = 150.0

pytestmark = [pytest.mark.proof, pytest.mark.calm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """As in the short ones."""
    starter = Starter(tmp_path_factory.mktemp, COMMON)
    yield starter
    starter.end()


# -- nobody there for long -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outages(start: Starter) -> dict[str, Witnessed]:
    """Runs that are all under way at the same time."""
    gone = ("--rt-fault", "refuse@0:200ms,refuse@3:2s,refuse@8:20s,refuse@41:40s")
    both = ("-t", "48s", "--rt-fault", "refuse@0:20s,refuse@28:2s")
    return {
        "documented": start("documented", "-t", "83s", *gone, serve=THROUGH),
        "js": start("js", *both, "--rt-reconnect", "js", "-u", 60, serve=THROUGH),
        "python": start("python", *both, "--rt-reconnect", "python", "-u", 60, serve=THROUGH),
        "hole": start("hole", "-t", "65s", "--rt-fault", "blackhole@1:40s", serve=(*THROUGH, *HASTY)),
    }


@pytest.mark.parametrize(("policy", "bands_s"), [("js", JAVASCRIPT_S), ("python", PYTHON_S)])
def test_a_client_with_chance_in_its_waits_keeps_within_its_bands(
    outages: dict[str, Witnessed], policy: str, bands_s: tuple[tuple[float, float], ...]
) -> None:
    run = outages[policy]
    result, diary = run.end(LONG_S)
    for fault, length_s in (("refuse#0", 20.0), ("refuse#1", 2.0)):
        drops = of_fault(result, fault)
        assert len(drops) == 60
        for drop in drops:
            came_back(drop)
            waited_within(drop, bands_s)
            _back_with_the_first_attempt_after(drop, length_s)
    _spread(of_fault(result, "refuse#0"), bands_s)
    attempts = summarise(result.run).reconnection.backoff
    assert [one.n for one in attempts][:2] == [120, 120 - _back_at_once(result)]
    for one in attempts:
        low_s, high_s = bands_s[min(one.attempt, len(bands_s)) - 1]
        assert one.band_s is not None
        assert low_s <= one.band_s[0] <= low_s * 1.11, "a jittered wait is cut by nine tenths of the most"
        assert high_s - 0.002 <= one.band_s[1] <= high_s
    diary.nobody_misses_anything()
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def _back_with_the_first_attempt_after(drop: Drop, length_s: float) -> None:
    """While nobody is there each attempt is refused; the first one after that works. No waits are cut short."""
    assert drop.fault_ns is not None
    # The order to refuse, and its end, are the proxy's; the moment stated is the plan's.
    up_ns = drop.fault_ns + round(length_s * SECOND)
    *refused, last = drop.tries
    assert {one.cause for one in refused} <= {"connect_refused"}, drop
    assert all(one.began_ns <= up_ns + 100 * MS for one in refused), drop
    assert last.began_ns >= up_ns - 100 * MS, drop


def _spread(drops: list[Drop], bands_s: tuple[tuple[float, float], ...]) -> None:
    """The chance is used: of sixty clients some wait in the first fifth of a band, and some in its last."""
    for number, (low_s, high_s) in enumerate(bands_s[:3]):
        waits = [waits_s(drop)[number] for drop in drops]
        fifth = (high_s - low_s) / 5
        assert min(waits) < low_s + fifth, waits
        assert max(waits) > high_s - fifth, waits


def _back_at_once(result: Result) -> int:
    return sum(len(drop.tries) == 1 for drop in result.run.drops)


def test_a_black_hole_longer_than_a_connect_may_take(outages: dict[str, Witnessed]) -> None:
    """An attempt hangs for its 20 s, the next one until the hole ends; nobody leaves a second session behind."""
    run = outages["hole"]
    wait_until(lambda: _comings(run) > 2 * USERS, "everybody came twice", patience_s=LONG_S)
    wait_until(lambda: run.server.stats()["sockets"] == USERS, "one session for each")
    result, diary = run.end(LONG_S)
    drops = of_fault(result, "blackhole#0")
    assert len(drops) == USERS
    for drop in drops:
        came_back(drop)
        waited_as_documented(drop, attempts=2)
        first, second = drop.tries
        assert drop.fault_ns is not None
        assert 2 <= (drop.at_ns - drop.fault_ns) / SECOND <= 4 + 1.1, drop
        assert first.cause == "connect_timeout"
        assert abs(first.took_ns / SECOND - 20) < 0.5
        assert second.began_ns + second.took_ns >= drop.fault_ns + 40 * SECOND
    diary.nobody_misses_anything()
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def _comings(run: Witnessed) -> int:
    return int(run.server.stats()["accepted"].get("authenticate", 0))


def test_the_documented_schedule_gives_up_after_five_attempts(outages: dict[str, Witnessed]) -> None:
    run = outages["documented"]
    result, diary = run.end(LONG_S)
    cumulative_s = [sum(DOCUMENTED_S[: n + 1]) for n in range(5)]
    assert cumulative_s == [1, 3, 7, 15, 31]
    for fault, outage_s in (("refuse#0", 0.2), ("refuse#1", 2), ("refuse#2", 20)):
        attempts = 1 + next(n for n, at_s in enumerate(cumulative_s) if at_s >= outage_s)
        drops = of_fault(result, fault)
        assert len(drops) == USERS
        for drop in drops:
            came_back(drop)
            waited_as_documented(drop, attempts)
            assert {one.cause for one in drop.tries[:-1]} <= {"connect_refused"}
    last = of_fault(result, "refuse#3")
    assert outcomes(last) == {GAVE_UP: USERS}
    for drop in last:
        waited_as_documented(drop, attempts=5)
        assert {one.cause for one in drop.tries} == {"connect_refused"}
        assert (drop.back_ns, drop.rejoined_ns, drop.heard_ns) == (None, None, None)
    assert result.counters["connections.gave_up"] == USERS
    _nothing_is_said_after(last, result, diary)
    found = summarise(result.run).reconnection
    assert (found.recovered, found.gave_up, found.drops) == (3 * USERS, USERS, 4 * USERS)
    assert found.attempts_to_success == {1: USERS, 2: USERS, 5: USERS}
    assert found.attempts == (1 + 2 + 5 + 5) * USERS
    assert result.code in (0, 5), result.output


def _nothing_is_said_after(last: list[Drop], result: Result, diary: Diary) -> None:
    """What was kept for later fails when they give up, and what falls due afterwards fails at once."""
    cut_ns = min(drop.at_ns for drop in last)
    ended_ns = result.run.manifest.edges.ended_ns
    unsaid = sum(len(diary.said_within(drop.user, drop.at_ns, ended_ns)) for drop in last)
    assert result.counters["not_sent"] == unsaid > 0
    # What was under way when the last outage began may have reached some, or none.
    assert diary.nobody_misses_anything(before_ns=cut_ns - SECOND) == USERS // ROOM


# -- every way to the server ---------------------------------------------------------------------------------


WAYS = {
    "websocket": (),
    "upgrade": ("--rt-transport", "upgrade"),
    "long-polling": ("--rt-transport", "long-polling"),
    "stock": ("--rt-client", "python-socketio"),
}


@pytest.fixture(scope="module")
def ways(start: Starter) -> dict[str, Witnessed]:
    """The same three cuts on each way, all at the same time; beside them, workers and a restart."""
    cuts = ("-t", "40s", "--rt-fault", "abort@0x3/9~0.5")
    runs = {name: start(name, *cuts, *flags) for name, flags in WAYS.items()}
    both = ("--processes", 2, "-t", "25s")
    runs["workers"] = start("workers", *both, "--rt-fault", "abort@0~0.5,kick@5~0.25", scenario=STEADY)
    runs["killed"] = start("killed", *both, "--rt-fault", "abort@0x3/6", scenario=STEADY)
    return runs


def test_a_worker_killed_while_its_users_are_away_spoils_the_run(ways: dict[str, Witnessed]) -> None:
    run = ways["killed"]
    wait_until(lambda: _comings(run) > USERS, "everybody is there")
    wait_until(lambda: run.server.stats()["sockets"] < USERS, "the fault strikes")
    workers = [child.pid for child in psutil.Process(run.locust.pid).children()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    result = run.locust.result(LONG_S)
    assert sorted(one.final for one in result.run.manifest.workers) == [False, True]
    assert judge(result.run).state == INVALID
    assert any("without its last word" in reason for reason in judge(result.run).reasons)
    assert result.code == 5, result.output
    (survivor,) = (one.name for one in result.run.manifest.workers if one.final)
    for fault in ("abort#0", "abort#1", "abort#2"):
        theirs = [drop for drop in of_fault(result, fault) if drop.user.startswith(f"{survivor}.")]
        assert outcomes(theirs) == {RECOVERED: USERS // 2}
    struck = {row.name: row.struck for row in result.run.faults}
    assert struck["abort#2"] == USERS // 2, "the dead strike nobody"


def test_workers_strike_their_share_each_and_order_a_fault_once(ways: dict[str, Witnessed]) -> None:
    run = ways["workers"]
    result = run.locust.result(LONG_S)
    assert {row.name: row.struck for row in result.run.faults} == {
        "abort#0": USERS // 2,
        "kick#1": USERS // 4,
    }
    cut, out = of_fault(result, "abort#0"), of_fault(result, "kick#1")
    assert outcomes(cut) == {RECOVERED: USERS // 2}
    for worker in ("0.", "1."):
        assert sum(drop.user.startswith(worker) for drop in cut) == USERS // 4
    for drop in cut:
        waited_as_documented(drop, attempts=1)
    assert len(out) == USERS // 4
    assert [one.final for one in result.run.manifest.workers] == [True, True]
    assert result.run.manifest.gaps == []
    assert result.code in (0, 5), result.output


@pytest.mark.parametrize("way", list(WAYS))
def test_on_every_way_all_come_back_to_everything(ways: dict[str, Witnessed], way: str) -> None:
    run = ways[way]
    result, diary = run.end(LONG_S)
    for number in range(3):
        drops = of_fault(result, f"abort#{number}")
        assert len(drops) == USERS // 2
        for drop in drops:
            came_back(drop)
            waited_as_documented(drop, attempts=1)
            least, most = diary.missed(drop)
            assert least <= drop.missed == drop.resynced <= most, drop
    assert diary.nobody_misses_anything() == USERS // ROOM
    resync = result.totals.counts("message.resync")
    assert resync["expected"] == resync["n"] > 0
    books_are_even(result, run.server)
    found = summarise(result.run).reconnection
    assert (found.drops, found.recovered, found.lost) == (3 * USERS // 2, 3 * USERS // 2, 0)
    assert found.rooms == found.proven == 3 * USERS // 2
    assert result.run.manifest.locust_failures == 0
    assert result.code in (0, 5), result.output
