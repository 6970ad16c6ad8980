"""Do a master and its workers find out before a run who may take part? Over Locust's own channel."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import msgspec
import pytest
from locust.env import Environment

from loadtest.users import hello
from loadtest.users.clock_asking import ASK, TELL, tell
from loadtest.users.guest import Guest
from loadtest.users.muster import EXAMINE, EXAMINED, HELLO, REFUSED, WELCOME, Muster, Order
from loadtest.users.options import FLAGS
from loadtest.users.target import Refused, Target

AHEAD_NS = 7_000_000_000
ORDER = Order({"rt_rate": "6/m"}, "http://127.0.0.1:3000", 30)
FOUND = Target("http://127.0.0.1:3000", True, False, True, None, notes=("its limit was raised",))


class Worker:
    """A worker as far as its master can tell: Locust's runner, and somebody who answers.

    finds: what it finds at the target, or the line in which it says that it may not put load on it.
    """

    def __init__(self, port: int, finds: Target | str, ahead_ns: int = 0, **said: Any) -> None:
        self.environment = _environment()
        self.runner = self.environment.create_worker_runner("127.0.0.1", port)
        self.got: dict[str, Any] = {}
        self._finds = finds
        self._ahead_ns = ahead_ns
        self.runner.register_message(ASK, self._tell)
        self.runner.register_message(EXAMINE, self._examine)
        for kind in (WELCOME, REFUSED):
            self.runner.register_message(kind, lambda msg, **_: self.got.update({msg.type: msg.data}))
        own = hello.of_this_process(self.environment, self.environment.parsed_options)
        clock = {"clock": f"another boot's {ahead_ns}"} if ahead_ns else {}
        self.runner.send_message(HELLO, msgspec.to_builtins(own) | clock | said)

    def _tell(self, msg: Any, **_: Any) -> None:
        from time import perf_counter_ns

        answer = tell(msg.data, perf_counter_ns() + self._ahead_ns)
        answer["answered_ns"] += self._ahead_ns
        self.runner.send_message(TELL, answer)

    def _examine(self, msg: Any, **_: Any) -> None:
        self.got[EXAMINE] = msg.data
        refused = isinstance(self._finds, str)
        found = {"refused": self._finds} if refused else {"target": msgspec.to_builtins(self._finds)}
        self.runner.send_message(EXAMINED, found)


def _environment() -> Environment:
    environment = Environment(user_classes=[])
    given = {"rt_" + flag.name.replace("-", "_"): flag.default for flag in FLAGS}
    others = {"web_base_path": "", "enable_rebalancing": False, "headless": False}
    environment.parsed_options = SimpleNamespace(**others, **given)  # type: ignore[assignment]
    return environment


Join = Callable[..., Worker]


@pytest.fixture
def master() -> Iterator[Any]:
    """Locust's master on a free port, with its muster; ``join`` adds a worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = _environment()
    runner = environment.create_master_runner("127.0.0.1", port)
    welcomed: list[Guest] = []
    muster = Muster(environment, runner, welcomed.append, lambda line: None)
    workers: list[Worker] = []

    def join(finds: Target | str = FOUND, ahead_ns: int = 0, **said: Any) -> Worker:
        workers.append(Worker(port, finds, ahead_ns, **said))
        return workers[-1]

    yield SimpleNamespace(runner=runner, muster=muster, join=join, welcomed=welcomed)
    muster.end()
    for one in (*(worker.runner for worker in workers), runner):
        one.greenlet.kill(block=True)
        channel = one.server if one is runner else one.client
        context = channel.socket.context
        channel.close(linger=0)
        context.term()


def wait_until(holds: Callable[[], object]) -> None:
    with gevent.Timeout(20):
        while not holds():
            gevent.sleep(0.01)


def test_one_of_a_machine_looks_for_all_of_them(master: Any) -> None:
    several = [master.join(network="there") for _ in range(3)]
    master.muster.call(ORDER)
    wait_until(lambda: all(WELCOME in worker.got for worker in several))
    assert sum(EXAMINE in worker.got for worker in several) == 1


def test_who_is_there_looks_at_the_target_and_is_told_what_time_it_is(master: Any) -> None:
    near, far = master.join(), master.join(ahead_ns=AHEAD_NS, network="elsewhere")
    assert master.muster.call(ORDER) == FOUND, "a note that two found is one note"
    wait_until(lambda: WELCOME in near.got and WELCOME in far.got)
    assert [guest.one_clock for guest in master.welcomed if guest.node == near.runner.client_id] == [True]
    assert near.got[WELCOME] == {"offset_ns": 0}
    (guest,) = [one for one in master.welcomed if one.node == far.runner.client_id]
    told = far.got[WELCOME]["offset_ns"]
    assert abs(told - AHEAD_NS) <= min(one.bound_ns for one in guest.asking.bursts)
    # Each is asked whether there are ports enough for its half.
    asked = {"flags": {"rt_rate": "6/m"}, "host": ORDER.host, "users": 15, "processes": 1}
    assert near.got[EXAMINE] == far.got[EXAMINE] == asked
    offset = guest.facts(0)["clock_offset"]
    assert abs(offset["offset_ns"] - AHEAD_NS) <= offset["bound_ns"]
    assert offset["axis_ns"] is not None


def test_a_clock_of_the_same_name_that_says_otherwise_is_another_one(master: Any) -> None:
    """A machine and its copy have one boot and two clocks."""
    copy = master.join(ahead_ns=AHEAD_NS, clock=hello.facts.clock_id())
    master.muster.call(ORDER)
    wait_until(lambda: WELCOME in copy.got)
    assert not master.welcomed[0].one_clock
    assert abs(copy.got[WELCOME]["offset_ns"] - AHEAD_NS) < 100_000_000


def test_of_several_those_that_may_take_part_do(master: Any, caplog: pytest.LogCaptureFixture) -> None:
    good = master.join()
    blind = master.join("http://127.0.0.1:3000: no server there", network="elsewhere")
    with caplog.at_level(logging.ERROR):
        assert master.muster.call(ORDER) == FOUND
    wait_until(lambda: REFUSED in blind.got)
    assert blind.got[REFUSED]["line"] == "http://127.0.0.1:3000: no server there"
    assert caplog.text.count("no server there") == 1
    assert [node.id for node in master.runner.clients.all] == [good.runner.client_id]


def test_where_nobody_may_take_part_it_is_said_once_and_nobody_is_sent_home(master: Any) -> None:
    workers = [master.join("no server there", network=name) for name in ("here", "there")]
    with pytest.raises(Refused) as refused:
        master.muster.call(ORDER)
    assert str(refused.value) == "no server there"
    assert len(master.runner.clients) == 2
    assert all(REFUSED not in worker.got for worker in workers), "a form may be right the next time"


@pytest.mark.parametrize(
    "said",
    [{"version": "0.0.9"}, {"version": "9.0.0", "flags": ["another", "form"]}, {"flags": {"rate": "9/s"}}],
)
def test_a_misfit_is_sent_home_before_any_run(master: Any, said: dict[str, Any]) -> None:
    misfit = master.join(**said)
    wait_until(lambda: REFUSED in misfit.got)
    assert "\n" not in misfit.got[REFUSED]["line"]
    assert len(master.runner.clients) == 0
    with pytest.raises(Refused, match="no worker is left"):
        master.muster.call(ORDER)


def test_who_comes_in_the_middle_of_a_run_is_let_in_by_the_same_rules(master: Any) -> None:
    master.join()
    master.muster.call(ORDER)
    late, blind = master.join(ahead_ns=AHEAD_NS), master.join("no way there")
    wait_until(lambda: WELCOME in late.got and REFUSED in blind.got)
    assert late.runner.client_id in {guest.node for guest in master.welcomed}
    assert blind.runner.client_id not in {guest.node for guest in master.welcomed}
