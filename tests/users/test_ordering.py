"""Are the faults that others carry out ordered in their words, at their moments, and taken back at the end?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
import pytest
from flags import flags_of
from gevent.pywsgi import WSGIServer

from loadtest.contract import Contract, load
from loadtest.measure.faults import KINDS, Means
from loadtest.measure.plan import Plan
from loadtest.measure.rows import FaultRow
from loadtest.measure.units import MS, SECOND
from loadtest.users.connection import Place
from loadtest.users.ordering import NoMeans, Orders
from loadtest.users.target import Refused, locate

Until = Callable[[Callable[[], object]], None]
Order = tuple[str, Any]


class Receiver:
    """Takes orders; ``answers`` by "METHOD path" replaces (status, body)."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.answers: dict[str, tuple[str, bytes]] = {}
        self.failing = 0
        self.server = WSGIServer(("127.0.0.1", 0), self._take, log=None)
        self.server.start()
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.place = locate(self.base)

    def _take(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        if method == "POST":
            self.orders.append((path, json.loads(body)))
            if self.failing:
                self.failing -= 1
                start("500 Oops", [])
                return [b"a\nb"]
        plain = {"kinds": [name for name, kind in KINDS.items() if kind.means is Means.PROXY]}
        said = json.dumps(plain if method == "GET" else {"ok": True}).encode()
        status, answer = self.answers.get(f"{method} {path}", ("200 OK", said))
        start(status, [("Content-Type", "application/json")])
        return [answer]

    @property
    def given(self) -> list[Any]:
        return [body for _, body in self.orders]


@pytest.fixture
def target() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.stop(timeout=0)


@pytest.fixture
def proxy() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.stop(timeout=0)


CONTRACT = load(None)
NOWHERE = Place(2, ("127.0.0.1", 1), "127.0.0.1:1", "http://127.0.0.1:1")


def _orders(
    fault: str,
    target: Place = NOWHERE,
    control: str | None = None,
    contract: Contract | None = None,
    **flags: object,
) -> Orders:
    settings = flags_of(fault=fault, **{"seed": "40", **flags})
    return Orders(settings, contract or CONTRACT, target, control, locate)


class Run:
    """The orders of one run that are under way."""

    def __init__(self, orders: Orders) -> None:
        self.told: list[FaultRow] = []
        self.failures: list[str] = []
        self.plan = Plan(0, warmup_ns=0)
        self.plan.started_ns = perf_counter_ns()
        self.plan.begin(self.plan.started_ns)
        self.greenlet = orders.begin(self.plan, self.told.append, self.failures.append)

    def end(self) -> None:
        assert self.greenlet is not None
        self.greenlet.join(timeout=10)
        assert self.greenlet.dead


def _line(refused: pytest.ExceptionInfo[Exception]) -> str:
    line = str(refused.value)
    assert "\n" not in line
    return line


# -- before the run ------------------------------------------------------------------------------------------


def test_who_is_not_needed_is_not_asked(target: Receiver, proxy: Receiver) -> None:
    orders = _orders("abort@0", target.place, proxy.base)
    orders.check()
    assert target.orders == proxy.orders == []
    assert orders.begin(Plan(0), lambda row: None, lambda line: None) is None


def test_where_no_proxy_is_needed_its_address_does_not_matter() -> None:
    """A server in a container may announce one that only its neighbours can reach."""
    _orders("abort@0", control="http://no-such-host.invalid:9999").check()
    _orders("abort@0", control="http://[").check()


@pytest.mark.parametrize("fault", [name for name, kind in KINDS.items() if kind.means is Means.TARGET])
def test_the_target_is_asked_whether_it_takes_orders(target: Receiver, fault: str) -> None:
    _orders(f"{fault}@0", target.place).check()
    assert target.orders == [("/__fault", {"kind": "none"})]


@pytest.mark.parametrize("fault", [name for name, kind in KINDS.items() if kind.means is Means.PROXY])
def test_the_proxy_is_asked_what_it_can_do(proxy: Receiver, fault: str) -> None:
    _orders(f"{fault}@0", control=proxy.base).check()
    proxy.answers["GET /"] = ("200 OK", json.dumps({"kinds": ["sneeze"]}).encode())
    with pytest.raises(NoMeans) as refused:
        _orders(f"{fault}@0", control=proxy.base).check()
    assert f"has sneeze, not {fault}" in _line(refused)
    assert proxy.orders == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("404 Not Found", b'{"error":\n"no"}'), 'HTTP 404 {"error": "no"}'),
        (("403 Forbidden", b""), "HTTP 403"),
        (("200 OK", b"<html>"), "makes no sense"),
        (("200 OK", b"[]"), "makes no sense"),
        (("200 OK", b'{"struck":"all"}'), "makes no sense"),
    ],
)
def test_a_target_that_takes_no_orders_is_refused_in_one_line(
    target: Receiver, answer: tuple[str, bytes], said: str
) -> None:
    target.answers["POST /__fault"] = answer
    with pytest.raises(NoMeans) as refused:
        _orders("kick@3", target.place).check()
    line = _line(refused)
    assert line.startswith("--rt-fault kick@3: the server itself must do that")
    assert said in line
    assert "loadtest serve does" in line


def test_a_target_that_is_not_there_or_has_no_route_is_refused_in_one_line() -> None:
    contract = CONTRACT
    bare = msgspec.structs.replace(contract, hooks=msgspec.structs.replace(contract.hooks, fault=None))
    for given, said in ((contract, "connect_refused"), (bare, 'no "hooks.fault"')):
        with pytest.raises(NoMeans) as refused:
            _orders("freeze@3", contract=given).check()
        assert said in _line(refused)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"kinds":3}'])
def test_what_is_no_fault_proxy_is_refused_in_one_line(proxy: Receiver, answer: bytes) -> None:
    proxy.answers["GET /"] = ("200 OK", answer)
    with pytest.raises(NoMeans) as refused:
        _orders("blackhole@3", control=proxy.base).check()
    line = _line(refused)
    assert line.startswith(f"--rt-fault blackhole@3: no fault proxy answers at {proxy.base}/")


def test_without_a_proxy_its_faults_are_refused_in_one_line() -> None:
    with pytest.raises(NoMeans) as refused:
        _orders("refuse@3").check()
    assert "--through-faults" in _line(refused)
    assert "--rt-fault-control" in _line(refused)
    with pytest.raises(NoMeans) as gone:
        _orders("refuse@3", control=NOWHERE.base).check()
    assert "no fault proxy answers" in _line(gone)


@pytest.mark.parametrize("control", ["localhost:9", "https://127.0.0.1:9", "http://[", "http://a..b:9"])
def test_an_address_that_is_none_is_refused_in_one_line(control: str) -> None:
    with pytest.raises((Refused, NoMeans)) as refused:
        _orders("refuse@3", control=control).check()
    assert control in _line(refused)


def test_the_flag_names_another_proxy_than_the_server_does(proxy: Receiver, target: Receiver) -> None:
    orders = _orders("refuse@0:1ms", control=target.base, fault_control=f"{proxy.base}/some/where/")
    proxy.answers["GET /some/where/"] = ("200 OK", b'{"kinds":["refuse"]}')
    orders.check()
    Run(orders).end()
    assert [path for path, _ in proxy.orders] == ["/some/where/fault"]
    assert target.orders == []


# -- during the run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        ("kick@0~0.25", [{"kind": "kick", "ratio": 0.25, "seed": 40}]),
        ("freeze@0:250ms", [{"kind": "freeze", "ms": 250}]),
        (
            "refuse-upgrade@0~0.5:5ms",
            [
                {"kind": "refuseUpgrade", "seed": 40},
                {"kind": "dropSockets", "transport": "websocket", "ratio": 0.5, "seed": 40},
                {"kind": "none"},
            ],
        ),
        (
            "slow-accept@0~0.5:20ms/5ms",
            [{"kind": "acceptDelay", "ms": 20, "ratio": 0.5, "seed": 40}, {"kind": "none"}],
        ),
    ],
)
def test_what_the_target_is_told(target: Receiver, fault: str, given: list[Any]) -> None:
    run = Run(_orders(fault, target.place))
    run.end()
    assert target.given == given
    assert run.failures == []


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        ("blackhole@0~0.5:30s", {"kind": "blackhole", "seconds": 30, "share": 0.5, "seed": 40}),
        ("delay@0:20ms/4", {"kind": "delay", "seconds": 4, "share": 1, "seed": 40, "ms": 20}),
        (
            "slow@0:5000/4",
            {"kind": "slow", "seconds": 4, "share": 1, "seed": 40, "bytesPerSecond": 5000},
        ),
        ("refuse@0:2", {"kind": "refuse", "seconds": 2, "share": 1, "seed": 40}),
        ("restart@0:2", {"kind": "restart", "seconds": 2}),
    ],
)
def test_what_the_proxy_is_told(proxy: Receiver, fault: str, given: Any) -> None:
    run = Run(_orders(fault, control=proxy.base))
    run.end()
    assert proxy.orders == [("/fault", given)]
    assert run.failures == []


def test_every_kind_can_be_ordered(target: Receiver, proxy: Receiver) -> None:
    kinds = [name for name, kind in KINDS.items() if kind.means is not Means.CLIENT]
    arguments = {"kick": "", "slow-accept": ":1ms/1ms", "delay": ":1ms/1ms", "slow": ":1/1ms"}
    faults = ",".join(f"{name}@0{arguments.get(name, ':1ms')}" for name in kinds)
    run = Run(_orders(faults, target.place, proxy.base))
    run.end()
    assert sorted(row.fault for row in run.told) == sorted(kinds)
    assert run.failures == []


def test_each_strike_has_its_moment_and_a_chance_of_its_own(target: Receiver, proxy: Receiver) -> None:
    target.answers["POST /__fault"] = ("200 OK", b'{"ok":true,"struck":7,"sids":[]}')
    proxy.answers["POST /fault"] = ("200 OK", b'{"ok":true,"struck":["a:1","b:2"]}')
    run = Run(_orders("kick@0x3/10ms~0.5, blackhole@5ms:9s", target.place, proxy.base))
    run.end()
    assert [row.name for row in run.told] == ["kick#0", "blackhole#1", "kick#2", "kick#3"]
    assert [row.struck for row in run.told] == [7, 2, 7, 7]
    assert [one["seed"] for one in target.given] == [40, 42, 43]
    assert [one["seed"] for one in proxy.given] == [41]
    for row, planned_ns in zip(run.told, (0, 5 * MS, 10 * MS, 20 * MS), strict=True):
        assert row.at_ns >= planned_ns, "the moment at which it was ordered"
        lasting_ns = 9 * SECOND if row.fault == "blackhole" else None
        assert row.until_ns == (None if lasting_ns is None else row.at_ns + lasting_ns)
    assert run.told[1].argument == "blackhole@5ms:9s"
    assert run.told[0].share == 0.5


def test_what_goes_on_is_ordered_again_when_another_ends(target: Receiver) -> None:
    run = Run(_orders("slow-accept@0:9ms/40ms, refuse-upgrade@5ms:5ms, kick@20ms", target.place))
    run.end()
    slow = {"kind": "acceptDelay", "ms": 9, "ratio": 1, "seed": 40}
    assert [one["kind"] for one in target.given] == [
        "acceptDelay",
        "refuseUpgrade",
        "dropSockets",
        "none",
        "acceptDelay",
        "kick",
        "none",
    ]
    assert target.given[0] == target.given[4] == slow
    assert len(run.told) == 3, "ordered again is no strike of its own"


def test_one_that_begins_when_another_ends_goes_on(target: Receiver) -> None:
    run = Run(_orders("slow-accept@0x2/10ms:1ms/10ms", target.place))
    run.end()
    kinds = [one["kind"] for one in target.given]
    assert kinds == ["acceptDelay", "acceptDelay", "none", "acceptDelay", "none"]


def test_one_that_fails_is_told_in_one_line_and_the_next_is_ordered(target: Receiver) -> None:
    target.failing = 2
    run = Run(_orders("kick@0, freeze@1ms:1ms, kick@2ms", target.place))
    run.end()
    first, second = run.failures
    assert first.startswith("kick#0 could not be ordered: http://127.0.0.1:")
    assert first.endswith("HTTP 500 a b")
    assert second.startswith("freeze#1")
    assert [row.name for row in run.told] == ["kick#2"]


def test_an_answer_that_makes_no_sense_ends_no_run(target: Receiver, proxy: Receiver) -> None:
    target.answers["POST /__fault"] = ("200 OK", b"thanks")
    proxy.answers["POST /fault"] = ("200 OK", b'"\xff"')
    run = Run(_orders("kick@0, refuse@1ms:1ms", target.place, proxy.base))
    run.end()
    assert len(run.failures) == 2
    assert all("\n" not in line for line in run.failures)


def test_nothing_is_ordered_before_the_run_has_begun(target: Receiver) -> None:
    plan = Plan(0, warmup_ns=0)
    told: list[FaultRow] = []
    greenlet = _orders("kick@0", target.place).begin(plan, told.append, lambda line: None)
    assert greenlet is not None
    gevent.sleep(0.06)
    assert target.orders == []
    plan.begin(perf_counter_ns())
    greenlet.join(timeout=10)
    assert len(told) == 1


@pytest.mark.parametrize("answers", [True, False])
def test_a_run_that_is_cut_short_leaves_the_server_as_it_was(
    target: Receiver, until: Until, answers: bool
) -> None:
    run = Run(_orders("slow-accept@0:9ms/60s, refuse-upgrade@1ms:60s", target.place))
    until(lambda: len(run.told) == 2)
    before = len(target.orders)
    if not answers:
        target.answers["POST /__fault"] = ("500 Oops", b"")
    assert run.greenlet is not None
    run.greenlet.kill()
    assert target.given[before:] == [{"kind": "none"}]
    assert run.failures == []


def test_a_run_that_is_cut_short_before_anything_lasts_says_nothing(target: Receiver, until: Until) -> None:
    run = Run(_orders("kick@0, slow-accept@60s", target.place))
    until(lambda: len(run.told) == 1)
    assert run.greenlet is not None
    run.greenlet.kill()
    assert [one["kind"] for one in target.given] == ["kick"]
