"""What follows from the trials of a search."""

from __future__ import annotations

from types import ModuleType

import msgspec
import plans
import pytest
from plans import Server, plan

from loadtest.analysis.capacity import (
    LOOP_LAG,
    MEMORY,
    OTHER,
    SERVER_CPU,
    UNTOLD,
    Capacity,
    conclude,
)
from loadtest.analysis.capacity_level import Judged
from loadtest.analysis.capacity_search import (
    AT_LEAST,
    BRACKET,
    GENERATOR_BOUND,
    LOWEST_FAILS,
    PASS,
    SEARCH,
    Done,
    Step,
)
from loadtest.analysis.capacity_trial import Tried, tried
from loadtest.analysis.series import measured_seconds
from loadtest.analysis.summary import summarise


def edge(found: Capacity) -> list[Tried]:
    return [one for one in found.tried if one.users == found.failed]


def again(found: Capacity, at_edge: dict[str, object]) -> Capacity:
    """The same search, where the trials of the level that failed had told something else."""
    changed = [msgspec.structs.replace(one, **at_edge) if one in edge(found) else one for one in found.tried]
    done = Done(found.kind, found.passed, found.failed, found.confirmed)
    return conclude(found.setting, done, changed)


def test_a_bracket_names_what_broke_and_what_was_used_up() -> None:
    found = plan(Server(640))
    assert found.kind == BRACKET and found.confirmed and found.state == "pass"
    assert found.passed and found.failed
    assert found.passed <= 588 < found.failed  # 8 / (1 - 588/640) is 98 ms, and 589 breaks 100
    assert found.broke is not None and found.broke.name == plans.NAME
    assert found.resource is not None
    assert (found.resource.name, found.resource.users) == (SERVER_CPU, found.failed)


@pytest.mark.parametrize(
    ("told", "binds"),
    [
        ({"cpu_percent": 40.0}, OTHER),
        ({"cpu_percent": None}, UNTOLD),
        ({"cpu_percent": 40.0, "loop_lag_ms": 60.0}, LOOP_LAG),
        (
            {"cpu_percent": 40.0, "rss_percent_per_hour": 30.0, "rss_ci95": (20.0, 40.0), "leaks": True},
            MEMORY,
        ),
        ({"cpu_percent": 40.0, "rss_percent_per_hour": 30.0, "rss_ci95": (-2.0, 40.0), "leaks": True}, OTHER),
        ({"cpu_percent": 40.0, "rss_percent_per_hour": 30.0, "rss_ci95": (20.0, 40.0)}, OTHER),
        ({"cpu_percent": 86.0, "loop_lag_ms": 60.0}, SERVER_CPU),
        ({"cpu_percent": 160.0, "busiest_percent": 80.0}, OTHER),
        ({"cpu_percent": 160.0, "busiest_percent": 90.0}, SERVER_CPU),
    ],
)
def test_what_binds(told: dict[str, object], binds: str) -> None:
    found = again(plan(Server(640)), told)
    assert found.resource is not None
    assert found.resource.name == binds


def test_the_line_is_of_levels_that_passed() -> None:
    """Past its limit a server's CPU stays at a core: with those levels the line would lie flat."""
    found = plan(Server(640))
    assert found.model is not None
    assert found.model.most_users == found.passed
    assert found.model.per_user_percent == pytest.approx(96 / 640, rel=0.05)
    assert found.fills_core == pytest.approx(640, rel=0.05)


def test_a_server_that_tells_nothing_has_no_line() -> None:
    found = plan(Server(640, tells_cpu=False))
    assert found.model is None
    assert found.model_why
    assert found.fills_core is None
    assert found.servers, "servers are counted by users, not by CPU"


def test_servers_are_counted_from_the_lower_end() -> None:
    found = plan(Server(640), growth=0.2)
    assert found.terms is not None and found.passed
    assert found.terms.carries == found.passed
    assert [one.users for one in found.servers] == [times * found.passed for times in (1, 2, 5, 10)]
    assert found.terms.connects_per_s == 80
    assert [one.users for one in plan(Server(640), peak=5000).servers] == [5000]


@pytest.mark.parametrize(
    ("found", "kind", "state", "code", "strict"),
    [
        (plan(Server(640)), BRACKET, "pass", 0, 0),
        (plan(Server(9000)), AT_LEAST, "inconclusive", 0, 6),
        (plan(Server(9000, generator=400)), GENERATOR_BOUND, "inconclusive", 0, 6),
        (plan(Server(9000, generator=10)), GENERATOR_BOUND, "invalid", 5, 5),
        (plan(Server(30)), LOWEST_FAILS, "fail", 3, 3),
        (plan(Server(640), trials=4, cut="interrupted"), "unfinished", "incomplete", 0, 6),
        (plan(Server(30), trials=1, cut="interrupted"), "unfinished", "incomplete", 3, 3),
        (plan(Server(640), trials=0, cut="interrupted"), "unfinished", "incomplete", 5, 5),
    ],
)
def test_how_it_ends(found: Capacity, kind: str, state: str, code: int, strict: int) -> None:
    assert (found.kind, found.state) == (kind, state)
    assert found.exit_code(broken=False, strict=False) == code
    assert found.exit_code(broken=False, strict=True) == strict
    assert found.exit_code(broken=True, strict=False) == 2


def test_a_lower_bound_has_no_upper_end() -> None:
    found = plan(Server(9000, generator=400))
    assert found.passed == 378
    assert found.failed is None
    assert found.resource is None


def test_it_is_json_and_comes_back() -> None:
    found = plan(Server(640), cluster={1: 1000.0, 2: 1900.0})
    assert msgspec.json.decode(msgspec.json.encode(found), type=Capacity) == found


def test_the_facts_of_a_trial_are_those_of_its_run(made: ModuleType) -> None:
    run = made.in_memory(made.Maker().play())
    summary = summarise(run)
    step = Step(20, SEARCH, 1)
    found = tried(step, 7, "levels/x", (run, summary), Judged(PASS, "", []))
    row = next(one for one in summary.operations if one.name == "message.deliver" and one.phase == "measure")
    assert (found.users, found.seed, found.path, found.state) == (20, 7, "levels/x", PASS)
    assert (found.operation, found.latency_ms, found.ci95) == ("message.deliver", row.latency_ms, row.ci95)
    assert found.deliveries_per_s == pytest.approx(row.n / measured_seconds(run), abs=0.001)
    assert found.cpu_percent == 8
    assert found.connects_per_s == 10  # 20 users within 2 s
    assert found.delivered == 1
