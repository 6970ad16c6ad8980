"""Does every scenario come to the numbers that the server counts for itself, on every transport?

All runs are started beforehand, a few at a time: none of these sums depends on how fast the machine is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2e_counting import DELIVERIES
from e2e_running import HERE, ROOT, Locust, Result, Server

from loadtest.analysis.validity import INVALID, judge

AT_A_TIME = 5
USERS = 20
SHORT = ("-t", "13s", "--rt-warmup", "2s", "--rt-drain", "4s", "--rt-rate", "30/m", "--rt-room-size", 5)
BUSY = (*SHORT, "--rt-seed", 2)
"""Of schedules so short, one in which what these cases are about happens more than once."""
ABORTS = (*SHORT, "-t", "18s", "--rt-fault", "abort@0x2/5~0.3", "--rt-room-size", 10)
REFUSAL = (*SHORT, "-t", "19s", "--rt-fault", "refuse-upgrade@1x1:3", "--rt-room-size", 10)
POLLING = "interval-polling"


class Outcome(NamedTuple):
    """A run, and what the server says of it."""

    result: Result
    stats: dict[str, Any]

    def count(self, name: str) -> int:
        """A counter of the run."""
        return self.result.counters.get(name, 0)

    @property
    def polls(self) -> bool:
        """Whether nobody had a socket. A while after its last poll the server takes a user for gone, and tells."""
        return {row.transport for row in self.result.run.series} == {POLLING}

    def n(self, *operations: str) -> int:
        """How many of some operations were measured."""
        return self.result.totals.count("n", *operations)

    def accepted(self, *events: str) -> int:
        """How often the server carried some events out."""
        return sum(self.stats["accepted"].get(event, 0) for event in events)

    def emitted(self, event: str) -> int:
        """How many copies of an event it handed to sockets and feeds."""
        return int(self.stats["emitted"].get(event, 0))


class Case(NamedTuple):
    """A scenario with flags, and what must hold of it."""

    scenario: str | Path
    """Its name, or the file of one that is no part of the product."""
    flags: tuple[object, ...]
    check: Callable[[Outcome], None]
    serve: tuple[str, ...] = ("--rate-limit", "0")


# -- what must hold ---------------------------------------------------------------------------------------


def nothing_is_wrong(run: Outcome, cut_off: int = 0) -> None:
    """No false alarm, in no row; and the run says itself if it was the machine that was the limit.

    cut_off: how often somebody was. A receipt on its way to it then is lost: nothing keeps those.
    """
    result = run.result
    receipts = 0
    for row in result.run.series:
        assert row.expected == row.latency.n + row.late + row.lost, row
        wrong = row.late, row.duplicate, row.reordered, row.leaked, row.failed
        assert not any(wrong), row
        if row.operation == "receipt.deliver":
            receipts += row.lost + row.open
        else:
            assert not row.lost + row.open, row
    assert receipts <= cut_off
    manifest = result.run.manifest
    assert manifest.complete
    assert manifest.harness_errors == manifest.gaps == []
    assert manifest.locust_failures == 0, result.output
    assert all(worker.final for worker in manifest.workers)
    assert manifest.users == USERS
    assert result.code == 0 or (result.code == 5 and judge(result.run).state == INVALID), result.output


def conversations(run: Outcome, devices: int = 1) -> None:
    """Messages, receipts and typing. A feed is its user's, so every device of a user reads the same copy."""
    nothing_is_wrong(run)
    said = run.count("sent") + run.count("probes")
    assert said == run.accepted("message:send") > 40
    read = run.n(*DELIVERIES, "session.resume")
    assert 0 <= run.emitted("message:new") * devices - read <= run.count("tolerated")
    receipts, typing = run.n("receipt.deliver"), run.n("typing.deliver")
    assert 0 <= run.emitted("message:read") * devices - receipts <= run.count("tolerated")
    assert 0 <= run.emitted("typing:start") * devices - typing <= run.count("tolerated")


def messaging(run: Outcome) -> None:
    conversations(run)
    assert run.n("receipt.deliver") > 20


def calls(run: Outcome) -> None:
    """Who was rung, answered and told; a device that acts gets a copy of its own, which is nobody's business."""
    nothing_is_wrong(run)
    dialled = run.count("call.dialled") - run.count("call.busy") - run.count("call.offline")
    assert run.accepted("call:initiate") == dialled > 0
    assert run.accepted("call:answer") == run.count("call.answered")
    assert run.accepted("call:decline") == run.count("call.declined")
    assert run.emitted("call:incoming") == run.n("call.ring")
    assert run.emitted("call:answered") == run.n("call.answer") + run.accepted("call:answer")
    assert run.emitted("call:declined") == run.n("call.decline") + run.accepted("call:decline")
    assert run.n("call.connected") == run.count("call.answered")
    changes = run.accepted("call:initiate", "call:answer", "call:decline", "call:end")
    assert run.polls or run.emitted("call:status") == run.n("call.status") + changes
    for odd in ("call.two_winners", "call.ghost_rings"):
        assert run.count(odd) == 0, odd


def chats(run: Outcome) -> None:
    """Who asked, wrote, left, came and went; who says something gets a copy of its own."""
    nothing_is_wrong(run)
    assert run.accepted("liveChat:start") == run.count("chat.asked") > 0
    written = run.count("chat.written") - run.count("chat.too_late")
    assert run.accepted("liveChat:message") == written
    assert run.accepted("liveChat:close") == run.count("chat.closed") - run.count("chat.closed_already")
    assert run.accepted("liveChat:operatorStatus") == run.count("chat.announced") >= 1
    assert run.emitted("liveChat:message") == run.n("chat.deliver") + written
    assert run.n("chat.assign") >= run.count("chat.assigned") > 0
    if len(run.result.run.manifest.workers) == 1 and not run.polls:
        # What an operator elsewhere is told is not counted here, or its own copies would be counted twice.
        heard = run.n("presence.deliver") + run.count("chat.announced")
        assert run.emitted("liveChat:presence") == heard


def live_chat(run: Outcome) -> None:
    chats(run)
    assert run.count("chat.written") > 10


def handovers(run: Outcome) -> None:
    live_chat(run)
    assert run.count("chat.handed_over") > 5
    assert run.count("chat.requeued") > 5


def hasty(run: Outcome) -> None:
    calls(run)
    assert run.count("call.hung_up") > 5
    assert run.count("call.declined") > 1


def mixed(run: Outcome) -> None:
    conversations(run)
    calls(run)
    chats(run)


def twice(run: Outcome) -> None:
    """Two devices each: what one does, the other hears too; but for a feed, which is its user's."""
    conversations(run, devices=2 if run.polls else 1)
    assert run.count("connections.established") == 2 * USERS
    own = [
        row.phases.get("own_device") for row in run.result.run.series if row.operation == "message.deliver"
    ]
    assert sum(phase.n for phase in own if phase is not None) == run.count("sent")


def drops(run: Outcome) -> None:
    """Cut twice, three in ten each time: all come back, prove it, and get what they missed."""
    lost = run.result.run.drops
    nothing_is_wrong(run, cut_off=len(lost))
    assert run.count("sent") + run.count("probes") == run.accepted("message:send") > 40
    assert len(lost) == run.count("connections.lost") == 2 * 0.3 * USERS
    assert {one.outcome for one in lost} == {"recovered"}
    assert all(one.rooms == one.proven == 1 and one.fault.startswith("abort#") for one in lost)
    assert run.n("session.resume") == run.count("probes") == len(lost)
    assert run.n("message.resync") > 0
    assert run.count("connections.established") == USERS + len(lost)


def fallback(run: Outcome) -> None:
    """Everybody goes on over long-polling while WebSockets are refused, and comes back to them."""
    nothing_is_wrong(run)
    assert run.count("sent") + run.count("probes") == run.accepted("message:send") > 40
    assert run.count("fallbacks") == run.count("climbs") == len(run.result.run.drops) == USERS
    assert {one.outcome for one in run.result.run.drops} == {"recovered"}
    said = [row for row in run.result.run.series if row.operation == "message.deliver"]
    assert {row.transport for row in said} == {"websocket", "long-polling"}
    edges = run.result.run.manifest.edges
    assert edges.drain_ns is not None
    last = [row.transport for row in said if row.second >= edges.drain_ns // 10**9 - 2]
    assert set(last) == {"websocket"}, "nobody stays behind"


def polled(run: Outcome) -> None:
    """A server without Socket.IO: the last rung is the only one."""
    conversations(run)
    assert run.count("fallbacks") == run.count("connections.established") == USERS
    assert run.count("climbs") == 0 < run.count("climbs.failed")
    assert run.polls
    assert run.result.run.drops == []


# -- the runs ---------------------------------------------------------------------------------------------

TWO = ("--processes", 2)
CASES: dict[str, Case] = {
    "drops, websocket": Case("drops", ABORTS, drops),
    "drops, long-polling": Case("drops", (*ABORTS, "--rt-transport", "long-polling"), drops),
    "fallback": Case("fallback", REFUSAL, fallback),
    "fallback, two processes": Case("fallback", (*REFUSAL, *TWO), fallback),
    "fallback, no Socket.IO": Case(
        "fallback", (*SHORT, "--rt-fault", "none"), polled, ("--rate-limit", "0", "--no-websocket")
    ),
    **{
        f"multi_device, {transport}": Case("multi_device", (*SHORT, "--rt-transport", transport), twice)
        for transport in ("websocket", "long-polling", POLLING)
    },
    "handovers, interval-polling": Case(
        HERE / "handing_over.py", (*BUSY, "--rt-operators", 4, "--rt-transport", POLLING), handovers
    ),
    "handovers, two processes": Case(
        HERE / "handing_over.py", (*BUSY, "--rt-operators", 4, "--rt-transport", POLLING, *TWO), handovers
    ),
    "hasty calls": Case(HERE / "hasty.py", (*BUSY, "--rt-rate", "60/m", "--rt-transport", POLLING), hasty),
}
for _name, _check in {"calls": calls, "live_chat": live_chat, "mixed": mixed}.items():
    CASES |= {
        f"{_name}, websocket": Case(_name, SHORT, _check),
        f"{_name}, {POLLING}": Case(_name, (*SHORT, "--rt-transport", POLLING), _check),
        f"{_name}, two processes": Case(_name, (*SHORT, *TWO), _check),
    }
_LEFT: list[tuple[str, tuple[object, ...], Callable[[Outcome], None], tuple[str, ...]]] = [
    ("messaging", SHORT, messaging, ("websocket", "upgrade", "long-polling", POLLING)),
    ("calls", SHORT, calls, ("upgrade", "long-polling")),
    ("live_chat", SHORT, live_chat, ("upgrade", "long-polling")),
    ("mixed", SHORT, mixed, ("upgrade", "long-polling")),
    ("multi_device", SHORT, twice, ("upgrade",)),
    ("drops", ABORTS, drops, ("upgrade",)),
]
PROOF = {
    f"{name}, {transport}": Case(name, (*flags, "--rt-transport", transport), check)
    for name, flags, check, transports in _LEFT
    for transport in transports
} | {
    "messaging, the stock client": Case("messaging", (*SHORT, "--rt-client", "python-socketio"), messaging),
    "mixed, the stock client": Case("mixed", (*SHORT, "--rt-client", "python-socketio"), mixed),
    "mixed, two processes that poll": Case("mixed", (*SHORT, "--rt-transport", POLLING, *TWO), mixed),
    "calls, three devices": Case("calls", (*SHORT, "--rt-devices", 3), calls),
}
"""What is left: the other transports, and combinations."""
ALL = {**CASES, **PROOF}
Runs = dict[str, "Future[Outcome]"]


def _run(name: str, folder: Path) -> Outcome:
    case = ALL[name]
    slug = "-".join(name.replace(",", "").split())
    server = Server(folder / f"{slug}.server.log", case.serve)
    path = case.scenario if isinstance(case.scenario, Path) else ROOT / "scenarios" / f"{case.scenario}.py"
    args = ("-f", path, "--headless", "--only-summary", "-u", USERS, "-r", USERS, *case.flags)
    try:
        locust = Locust((*args, "-H", server.url), folder / slug, folder / f"{slug}.log")
        try:
            return Outcome(locust.result(), server.stats())
        finally:
            locust.end()
    finally:
        server.end()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Those of the chosen tests, in their order, a few at a time."""
    folder = tmp_path_factory.mktemp("scenarios")
    chosen: list[str] = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    pool = ThreadPoolExecutor(AT_A_TIME)
    try:
        yield {name: pool.submit(_run, name, folder) for name in chosen}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", [*CASES, *(pytest.param(name, marks=pytest.mark.proof) for name in PROOF)])
def test_a_scenario_comes_to_what_the_server_counts(runs: Runs, name: str, tmp_path: Path) -> None:
    outcome = runs[name].result()
    if not all(worker.final for worker in outcome.result.run.manifest.workers):
        # Locust gives up a worker that stood still for seconds; what such a run lacks, it says itself.
        assert judge(outcome.result.run).state == INVALID
        outcome = _run(name, tmp_path)
    ALL[name].check(outcome)
