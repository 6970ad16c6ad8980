"""Whom do the faults of this process strike, and which losses are their doing?"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

import pytest
from stage import Server, Stage, paper

from loadtest.measure.faults import KINDS, Means, Occurrence, occurrences
from loadtest.measure.units import MS, SECOND
from loadtest.users.causes import Cause
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
Make = Callable[..., Stage]
CUT = {Cause.TRANSPORT_CLOSE, Cause.IDLE_CLOSE, Cause.TRANSPORT_ERROR, Cause.TLS_ERROR, Cause.PARSE_ERROR}
CUT |= {Cause.SESSION_UNKNOWN}
SILENT = CUT | {Cause.PING_TIMEOUT, Cause.WRITE_QUEUE_FULL}
EXPLAINS = {
    # The users' own cuts strike whom they name: a loss of anybody else has another reason.
    "abort": set[Cause](),
    "close": set[Cause](),
    "bad-sid": set[Cause](),
    "stop-reading": SILENT,
    "kick": {Cause.SERVER_NAMESPACE, Cause.TRANSPORT_CLOSE, Cause.IDLE_CLOSE, Cause.SESSION_UNKNOWN},
    "freeze": SILENT,
    "refuse-upgrade": CUT,
    "slow-accept": set[Cause](),
    "blackhole": SILENT,
    "delay": SILENT,
    "slow": SILENT,
    "refuse": CUT,
    "restart": CUT,
}
AFTERWARDS_NS = 2 * SECOND


class Person(RealtimeUser):
    abstract = True


def _begun(stage: Make, fault: str, users: int = 0, **flags: object) -> Stage:
    """A run with that fault whose measure is now."""
    run = stage(Server(), fault=fault, **flags)
    run.come(Person, users)
    run.live.plan.begin(run.now_ns())
    return run


def _strikes(run: Stage) -> list[Occurrence]:
    return occurrences(run.live.settings.faults)


def _chosen(run: Stage, strike: Occurrence) -> list[str]:
    return [user.name for user in run.live.strikes._chosen(strike)]


# -- whom they strike ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.1, 0.125, 0.3, 0.5, 0.999, 1.0])
def test_so_many_are_struck_as_the_share_says(stage: Make, share: float) -> None:
    run = _begun(stage, f"abort@0~{share}", 20)
    (strike,) = _strikes(run)
    chosen = _chosen(run, strike)
    assert len(chosen) == len(set(chosen)) == floor(share * 20 + 0.5)
    assert set(chosen) <= {user.name for user in run.users}


def test_the_same_seed_strikes_the_same_and_others_each_time(stage: Make) -> None:
    seen = {}
    for name, flags in {"one": {}, "again": {}, "seed": {"seed": "2"}, "worker": {"worker": "1"}}.items():
        run = _begun(stage, "abort@0x3/1~0.3", 20, **flags)
        seen[name] = [
            sorted(user.partition("-")[2].partition(".")[2] for user in _chosen(run, strike))
            for strike in _strikes(run)
        ]
    first, second, third = seen["one"]
    assert first != second != third != first
    assert seen["one"] == seen["again"]
    assert seen["one"] != seen["seed"]
    assert seen["one"] != seen["worker"], "or each process would strike the same places"


def test_all_devices_of_who_is_struck_are_cut_and_told(stage: Make, until: Until) -> None:
    run = stage(Server(), fault="abort@0~0.5,close@20ms~1", devices="2")
    users = run.come(Person, 4)
    run.policy_ms(5)
    run.begin()
    until(lambda: len(run.faults) == 2)
    first, second = run.faults
    assert (first.name, first.fault, first.struck, first.share, first.until_ns) == (
        "abort#0",
        "abort",
        4,
        0.5,
        None,
    )
    assert first.argument == "abort@0~0.5"
    measure_ns = run.live.plan.measure_ns
    assert measure_ns is not None
    assert first.at_ns == measure_ns - run.live.plan.started_ns
    assert second.at_ns == first.at_ns + 20 * MS, "the moment that was planned, whenever it was carried out"
    until(lambda: all(device.up for user in users for device in user.devices))
    run.live.close()
    struck = [drop for drop in run.drops if drop.fault == "abort#0"]
    assert len(struck) == 4
    assert {drop.fault_ns for drop in struck} == {first.at_ns}
    assert len({drop.user.partition("-")[0] for drop in struck}) == 2, "both devices of two users"


def test_a_fault_that_lasts_says_until_when(stage: Make, until: Until) -> None:
    run = stage(Server(), fault="stop-reading@0:60s")
    (one,) = run.come(Person)
    run.begin()
    until(lambda: run.faults)
    (row,) = run.faults
    assert row.until_ns == row.at_ns + 60 * SECOND
    assert paper(one.device).paused


@pytest.mark.parametrize("end", ["hold", "close"])
def test_after_the_last_message_nobody_is_struck(stage: Make, until: Until, end: str) -> None:
    run = stage(Server(), fault="abort@3ms")
    (one,) = run.come(Person)
    run.begin()
    getattr(run.live, end)()
    over = run.now_ns() + 6 * MS
    until(lambda: run.now_ns() > over)
    assert one.device.up
    assert run.faults == []


def test_what_others_carry_out_is_not_done_here_too(stage: Make, until: Until) -> None:
    others = [f"{kind}@0" for kind, one in KINDS.items() if one.means is not Means.CLIENT]
    run = stage(Server(), fault=",".join(others))
    (one,) = run.come(Person)
    run.begin()
    over = run.now_ns() + 3 * MS
    until(lambda: run.now_ns() > over)
    assert one.device.up
    assert run.faults == []


# -- what is their doing -------------------------------------------------------------------------------------


def test_every_kind_has_its_say() -> None:
    assert set(EXPLAINS) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_loss_is_blamed_on_what_can_have_caused_it(stage: Make, kind: str) -> None:
    run = _begun(stage, f"{kind}@5")
    (strike,) = _strikes(run)
    at_ns = run.live.strikes.moment_ns(strike)
    for cause in Cause:
        blamed = run.live.blame(cause, at_ns)
        assert blamed == (strike if cause in EXPLAINS[kind] else None), cause


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if EXPLAINS[kind]))
def test_it_is_blamed_while_it_lasts_and_as_long_as_it_takes_to_find_out(stage: Make, kind: str) -> None:
    run = _begun(stage, f"{kind}@5")
    (strike,) = _strikes(run)
    at_ns = run.live.strikes.moment_ns(strike)
    silence_ns = run.live.header.silence_ns if EXPLAINS[kind] == SILENT else 0
    last_ns = at_ns + strike.fault.lasting_ns + silence_ns + AFTERWARDS_NS
    cause = Cause.TRANSPORT_CLOSE
    found = [run.live.blame(cause, now_ns) for now_ns in (at_ns - 1, at_ns, last_ns, last_ns + 1)]
    assert found == [None, strike, strike, None]


def test_the_newest_that_explains_it_is_blamed(stage: Make) -> None:
    run = _begun(stage, "refuse@1x2/6:1s,kick@7500ms")
    first, second, kick = _strikes(run)
    at_ns = run.live.strikes.moment_ns
    assert run.live.blame(Cause.TRANSPORT_ERROR, at_ns(first)) == first
    assert run.live.blame(Cause.TRANSPORT_ERROR, at_ns(kick)) == second, "a kick resets nobody"
    assert run.live.blame(Cause.TRANSPORT_CLOSE, at_ns(kick)) == kick


def test_before_measure_nothing_is_anybody_s_doing(stage: Make) -> None:
    run = stage(Server(), fault="blackhole@0:60s")
    assert run.live.blame(Cause.PING_TIMEOUT, run.now_ns()) is None
    assert run.live.strikes.under_way(run.now_ns()) is None


def test_a_loss_that_a_fault_explains_is_provoked_and_any_other_is_not(stage: Make, until: Until) -> None:
    run = _begun(stage, "kick@0", 2)
    kicked, lost = run.users
    paper(kicked.device).lose(Cause.SERVER_NAMESPACE)
    paper(lost.device).lose(Cause.TRANSPORT_ERROR)
    assert (kicked.member.provoked, lost.member.provoked) == (True, False)
    assert len([event for event in run.fired if event[2]]) == 1


@pytest.mark.parametrize(
    ("offset_ns", "names"),
    [
        (-1, None),
        (0, "abort#0"),
        (2 * SECOND, "abort#0"),
        (2 * SECOND + 1, None),
        (5 * SECOND, "blackhole#1"),
        (6 * SECOND, "blackhole#1, kick#2"),
        (8 * SECOND + 1, "blackhole#1"),
        (11 * SECOND, "blackhole#1"),
        (11 * SECOND + 1, None),
    ],
)
def test_what_is_going_on_is_named(stage: Make, offset_ns: int, names: str | None) -> None:
    run = _begun(stage, "abort@0,blackhole@5:6s,kick@6")
    first = run.live.strikes.moment_ns(_strikes(run)[0])
    assert run.live.strikes.under_way(first + offset_ns) == names
