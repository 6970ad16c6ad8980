"""Does a lost connection come back when its policy says, with everything that was said meanwhile?

The runs of a group go on side by side: each is about waits and counts, none about how fast the machine is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from e2e_counting import DELIVERIES
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
)
from e2e_running import HERE, Result, Server, paused, wait_until

from loadtest.analysis.summary import summarise
from loadtest.analysis.validity import INVALID, judge
from loadtest.measure.histogram import upper_edge
from loadtest.measure.rows import RECOVERED, STAYED, Drop

pytestmark = pytest.mark.calm

USERS, ROOM = 12, 4
COMMON = (
    *("-u", USERS, "-r", USERS, "--rt-room-size", ROOM, "--rt-rate", "2/s"),
    *("--rt-warmup", "1s", "--rt-drain", "4s"),
)
CONTRACT = Path(__file__).resolve().parents[2] / "loadtest" / "contract" / "default.toml"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """``start("name", flags, serve=flags)`` starts a server and a run of witnesses against it."""
    starter = Starter(tmp_path_factory.mktemp, COMMON)
    yield starter
    starter.end()


# -- the way back --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ways_back(start: Starter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Witnessed]:
    """Runs that are all under way at the same time."""
    contract = tmp_path_factory.mktemp("contract") / "hasty.toml"
    day, moment = "lifetime_s = 86400", "lifetime_s = 4"
    text = CONTRACT.read_text(encoding="utf-8")
    assert text.count(day) == 1
    contract.write_text(text.replace(day, moment), encoding="utf-8")
    through, hasty = ("--through-faults",), ("--ping-interval", "2", "--ping-timeout", "2")
    return {
        "cut": start(
            "cut",
            *("-t", "24s", "--rt-deadline", "4s", "--rt-drain", "5s"),
            *("--rt-fault", "abort@0~0.5,bad-sid@5~0.5,kick@12~0.25"),
        ),
        "gone": start("gone", "-t", "19s", "--rt-fault", "refuse@0:200ms,refuse@4:2s", serve=through),
        "black": start("black", "-t", "22s", "--rt-fault", "blackhole@1~0.5:9s", serve=(*through, *hasty)),
        "slow": start("slow", "-t", "17s", "--rt-fault", "slow-accept@0:1500ms/20s,abort@1"),
        "token": start("token", "-t", "16s", "--rt-fault", "abort@5", "--rt-contract", contract),
    }


@pytest.mark.proof
def test_a_server_that_is_slow_to_accept_reads_as_slow_and_not_as_dead(
    ways_back: dict[str, Witnessed],
) -> None:
    """Also: no session is left behind that nobody knows of."""
    run = ways_back["slow"]
    wait_until(lambda: _has_accepted(run.server, 2 * USERS), "everybody came twice")
    wait_until(lambda: run.server.stats()["sockets"] == USERS, "one session for each")
    result, diary = run.end()
    drops = of_fault(result, "abort#1")
    assert len(drops) == USERS
    for drop in drops:
        came_back(drop)
        waited_as_documented(drop, attempts=1)
        assert drop.tries[0].took_ns >= 1500 * MS
    assert result.counters.get("attempts.failed", 0) == 0
    assert result.counters["connections.established"] - result.counters["connections.lost"] == USERS
    diary.nobody_misses_anything()
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def _has_accepted(server: Server, times: int) -> bool:
    # One authentication is the preflight's.
    return bool(server.stats()["accepted"].get("authenticate", 0) > times)


def test_a_token_that_expired_meanwhile_is_renewed_at_once(ways_back: dict[str, Witnessed]) -> None:
    run = ways_back["token"]
    result, diary = run.end()
    drops = of_fault(result, "abort#0")
    assert len(drops) == USERS == result.counters["tokens.renewed"]
    for drop in drops:
        came_back(drop)
        first, second = drop.tries
        assert first.cause == "connect_error"
        assert abs(first.waited_ns - first.late_ns - SECOND) <= MS
        assert second.cause == ""
        assert second.waited_ns == second.late_ns, "nobody waits for a token"
    attempts = summarise(result.run).reconnection.backoff
    assert [(one.attempt, one.n) for one in attempts] == [(1, USERS)], "a renewal is no attempt of the policy"
    diary.nobody_misses_anything()
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def test_an_outage_lasts_until_the_first_attempt_after_it(ways_back: dict[str, Witnessed]) -> None:
    run = ways_back["gone"]
    result, diary = run.end()
    for fault, attempts in (("refuse#0", 1), ("refuse#1", 2)):
        drops = of_fault(result, fault)
        assert len(drops) == USERS
        for drop in drops:
            came_back(drop)
            waited_as_documented(drop, attempts)
            assert {one.cause for one in drop.tries[:-1]} <= {"connect_refused"}
    struck = {row.name: row.struck for row in result.run.faults}
    assert list(struck) == ["refuse#0", "refuse#1"]
    # The proxy cannot tell users from whoever asks for the server's statistics at that moment.
    assert all(USERS <= number <= USERS + 2 for number in struck.values()), struck
    diary.nobody_misses_anything()
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def test_a_black_hole_is_found_out_by_the_silence_and_nothing_is_missed(
    ways_back: dict[str, Witnessed],
) -> None:
    run = ways_back["black"]
    result, diary = run.end()
    drops = of_fault(result, "blackhole#0")
    (fault,) = result.run.faults
    # A request for the server's statistics at that moment is one of those among whom the proxy chooses.
    assert USERS // 2 - 1 <= len(drops) <= fault.struck <= USERS // 2 + 1
    for drop in drops:
        came_back(drop)
        waited_as_documented(drop, attempts=1)
        assert drop.cause == "ping_timeout"
        assert drop.fault_ns is not None
        found_out_s = (drop.at_ns - drop.fault_ns) / SECOND
        # The server pings every 2 s and waits 2 s; who watches looks once a second.
        assert 2 <= found_out_s <= 4 + 1.1, drop
    _all_is_restored(drops, result, diary)
    books_are_even(result, run.server)
    assert result.code in (0, 5), result.output


def _all_is_restored(drops: list[Drop], result: Result, diary: Diary) -> None:
    """By the users' own diaries: what was missed is what went by, and all of it came with the rejoining."""
    for drop in drops:
        least, most = diary.missed(drop)
        assert least <= drop.missed <= most, drop
        assert drop.missed == drop.resynced, drop
    assert sum(drop.missed for drop in drops) > 2 * len(drops)
    assert diary.nobody_misses_anything() == USERS // ROOM
    resync = result.totals.counts("message.resync")
    assert resync["expected"] == resync["n"] > 0
    assert resync["lost"] == resync["late"] == resync["duplicate"] == 0


def test_who_was_cut_comes_back_to_everything_and_who_was_put_out_stays_away(
    ways_back: dict[str, Witnessed],
) -> None:
    run = ways_back["cut"]
    result, diary = run.end()
    cut, unknown, out = (of_fault(result, name) for name in ("abort#0", "bad-sid#1", "kick#2"))
    assert (len(cut), len(unknown), len(out)) == (USERS // 2, USERS // 2, USERS // 4)
    for drop in cut:
        came_back(drop)
        waited_as_documented(drop, attempts=1)
        assert drop.cause == "transport_error"
    for drop in unknown:
        came_back(drop)
        waited_as_documented(drop, attempts=2)
        assert [one.cause for one in drop.tries] == ["handshake_http_4xx", ""]
    for drop in (*cut, *unknown):
        least, most = diary.missed(drop)
        assert least <= drop.missed == drop.resynced <= most, drop
    for drop in out:
        assert (drop.outcome, drop.cause, drop.tries) == (STAYED, "server_ns", [])
        assert (drop.back_ns, drop.rejoined_ns, drop.rooms) == (None, None, 0)
    diary.nobody_misses_anything(but=[drop.user for drop in out])
    _lost_by_the_kick(out, result, diary)
    books_are_even(result, run.server, unsettled=len(out))
    assert result.counters["connections.lost"] == len(result.run.drops) == len(cut) + len(unknown) + len(out)
    # What the run does on purpose is no failure of the server's.
    assert result.run.manifest.locust_failures == 0
    assert result.code in (0, 5), result.output


def _lost_by_the_kick(out: list[Drop], result: Result, diary: Diary) -> None:
    """Nobody hears what they would say, and they hear nobody; both are counted, as the run's own doing."""
    away = {drop.user: drop for drop in out}
    unsaid = sum(
        len(diary.said_within(user, drop.at_ns, result.run.manifest.edges.ended_ns))
        for user, drop in away.items()
    )
    assert result.counters["not_sent"] == unsaid > 0
    unheard = 0
    for user, drop in away.items():
        room = [one for one in diary.seen if diary.room[one] == diary.room[user]]
        seen = {one.seq for one in diary.seen[user]}
        bodies = {one.seq: one.body for other in room for one in diary.seen[other]}
        unheard += sum(seq not in seen and " says " in body for seq, body in bodies.items())
        assert drop.missed == 0, "who does not come back has not counted what it missed"
    totals = result.totals
    lost = totals.count("lost", "message.deliver", "message.resync")
    assert lost == unheard + (ROOM - 1) * unsaid
    provoked = [n for name, n in result.counters.items() if name.startswith("provoked.lost.")]
    assert sum(provoked) == totals.count("lost", *DELIVERIES), result.counters


# -- what the policies do --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policies(start: Starter) -> dict[str, Witnessed]:
    """The same cut under each policy, all at the same time; under way while a generator stands still."""
    flags = ("-t", "15s", "--rt-rate", "4/s", "--rt-fault", "abort@1~0.5", "--rt-deadline", "4s")
    names = ("none", "python", "js", "documented")
    return {name: start(name, *flags, "--rt-reconnect", name) for name in names}


def test_a_generator_that_stands_still_takes_the_blame_itself(
    start: Starter, policies: dict[str, Witnessed]
) -> None:
    """Shorter than the server's patience it loses nobody; longer, and all are lost by it: the run is spoilt."""
    flags = ("-t", "18s", "--rt-deadline", "4s")
    serve = ("--ping-interval", "2", "--ping-timeout", "2")
    steady = ("-f", HERE / "steady.py")
    brief, long = (
        start(name, *flags, serve=serve, scenario=steady) for name in ("stall-brief", "stall-long")
    )
    for run in (brief, long):
        wait_until(partial(_talks, run), "the run is well into measure")
    with paused(long.locust):
        with paused(brief.locust):
            time.sleep(1)  # the length of the stall, not a wait for something
        wait_until(lambda: long.server.stats()["sockets"] == 0, "the server has given them up")
        time.sleep(1)
    result = brief.locust.result()
    assert result.run.drops == []
    assert result.counters["connections.established"] == USERS
    result = long.locust.result()
    assert {(drop.cause, drop.outcome) for drop in result.run.drops} == {("generator_stall", RECOVERED)}
    assert len(result.run.drops) == USERS
    found = summarise(result.run).reconnection
    assert (found.stalled, found.drops, found.attempts, found.recovered) == (USERS, 0, 0, 0)
    assert found.backoff == []
    assert judge(result.run).state == INVALID
    assert any("stood still" in reason for reason in judge(result.run).reasons)
    assert result.code == 5, result.output


def _talks(run: Witnessed) -> bool:
    return run.server.accepted() > 3 * USERS


def test_without_a_policy_nobody_comes_back(policies: dict[str, Witnessed]) -> None:
    run = policies["none"]
    result, diary = run.end()
    drops = of_fault(result, "abort#0")
    assert outcomes(drops) == {STAYED: USERS // 2}
    assert not any(drop.tries for drop in drops)
    ended_ns = result.run.manifest.edges.ended_ns
    unsaid = sum(len(diary.said_within(drop.user, drop.at_ns, ended_ns)) for drop in drops)
    assert result.counters["not_sent"] == unsaid > 0
    assert result.counters["connections.established"] == USERS
    diary.nobody_misses_anything(but=[drop.user for drop in drops])
    assert summarise(result.run).reconnection.recovered_ratio is None


def test_a_client_that_keeps_nothing_fails_what_falls_due_meanwhile(policies: dict[str, Witnessed]) -> None:
    run = policies["python"]
    result, diary = run.end()
    drops = of_fault(result, "abort#0")
    for drop in drops:
        came_back(drop)
        waited_within(drop, PYTHON_S)
        assert drop.buffered == 0
    unsaid = sum(len(_due_while_away(diary, drop)) for drop in drops)
    assert result.counters["not_sent"] == unsaid > 0
    assert result.totals.count("lost", "message.deliver") == (ROOM - 1) * unsaid
    diary.nobody_misses_anything()
    books_are_even(result, run.server)


@pytest.mark.parametrize("policy", ["js", "documented"])
def test_a_client_that_keeps_what_falls_due_sends_it_late_and_says_so(
    policies: dict[str, Witnessed], policy: str
) -> None:
    run = policies[policy]
    result, diary = run.end()
    drops = of_fault(result, "abort#0")
    kept = 0
    for drop in drops:
        came_back(drop)
        waited_within(drop, JAVASCRIPT_S if policy == "js" else [(wait, wait) for wait in DOCUMENTED_S])
        due = _due_while_away(diary, drop)
        assert drop.buffered == len(due), drop
        kept += len(due)
        for said in due:
            heard = diary.heard_of(said)
            assert drop.rejoined_ns is not None
            assert len(heard) == ROOM - 1
            assert min(heard) >= drop.rejoined_ns, "said only once it was back"
    assert kept > 0
    assert result.counters.get("not_sent", 0) == 0
    _late_by_the_planned_moment(result, diary)
    diary.nobody_misses_anything()
    books_are_even(result, run.server)


def _due_while_away(diary: Diary, drop: Drop) -> list[Any]:
    assert drop.rejoined_ns is not None
    return diary.said_within(drop.user, drop.at_ns, drop.rejoined_ns)


def _late_by_the_planned_moment(result: Result, diary: Diary) -> None:
    """What took longer than half a second by the diaries did so by the histograms, give or take the edge."""
    took = [at - said.planned_ns for said in diary.said for at in diary.heard_of(said)]
    buckets: dict[int, int] = {}
    for operation in ("message.deliver", "message.resync"):
        for bucket, n in zip(*result.totals.histogram(operation).counts().pairs(), strict=True):
            buckets[int(bucket)] = buckets.get(int(bucket), 0) + int(n)
    slow = sum(n for bucket, n in buckets.items() if upper_edge(bucket) > 500 * MS)
    assert sum(one > 550 * MS for one in took) <= slow <= sum(one > 450 * MS for one in took)
    assert slow > 0
