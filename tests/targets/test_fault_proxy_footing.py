"""Are timers never early, with a timerfd and without, and is a port ours while it refuses?"""

import asyncio
import contextlib
import random
import socket
import sys
import time
from collections.abc import Callable

import pytest

from loadtest.targets.faultproxy.listener import Listener, ListenError
from loadtest.targets.faultproxy.poller import Poller
from loadtest.targets.faultproxy.timers import Timers

MS = 1_000_000


def timing(scenario: Callable[[Timers, asyncio.Future[None]], object]) -> None:
    """Runs until the scenario sets its future."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        poller = Poller(loop)
        timers = Timers(loop, poller)
        done: asyncio.Future[None] = loop.create_future()
        try:
            scenario(timers, done)
            await asyncio.wait_for(done, 10)
        finally:
            timers.close()
            poller.close()

    asyncio.run(run())


@pytest.fixture(params=["here", "elsewhere"])
def _platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "elsewhere":
        monkeypatch.setattr(sys, "platform", "darwin")


@pytest.mark.usefixtures("_platform")
def test_timers_come_in_order_and_never_early() -> None:
    called: list[tuple[int, int]] = []

    def scenario(timers: Timers, done: asyncio.Future[None]) -> None:
        start_ns = time.monotonic_ns()
        dues_ns = [start_ns + n * 300_000 for n in range(100)]
        random.Random(1).shuffle(dues_ns)
        for due_ns in dues_ns:
            timers.call_at(due_ns, lambda due_ns=due_ns: called.append((due_ns, time.monotonic_ns())))
        timers.call_at(start_ns + 31 * MS, lambda: done.set_result(None))

    timing(scenario)
    assert len(called) == 100
    assert called == sorted(called)
    assert all(at_ns >= due_ns for due_ns, at_ns in called)


@pytest.mark.usefixtures("_platform")
def test_a_cancelled_timer_does_not_come_and_a_new_one_may_be_sooner() -> None:
    called: list[str] = []

    def scenario(timers: Timers, done: asyncio.Future[None]) -> None:
        now_ns = time.monotonic_ns()
        timers.call_at(now_ns + 40 * MS, lambda: done.set_result(None))
        cancelled = timers.call_at(now_ns + 20 * MS, lambda: called.append("cancelled"))

        def sooner() -> None:
            called.append("sooner")
            cancelled.cancel()
            timers.call_at(0, lambda: called.append("at once"))

        timers.call_at(now_ns + 10 * MS, sooner)

    timing(scenario)
    assert called == ["sooner", "at once"]


def test_a_call_that_fails_takes_no_other_with_it() -> None:
    said: list[object] = []

    def scenario(timers: Timers, done: asyncio.Future[None]) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: said.append(context["exception"])
        )
        timers.call_at(0, lambda: {}["missing"])
        timers.call_at(time.monotonic_ns() + MS, lambda: done.set_result(None))

    timing(scenario)
    assert [type(error) for error in said] == [KeyError]


def refused(listener: Listener) -> bool:
    try:
        socket.create_connection(("127.0.0.1", listener.port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_listener_refuses_and_opens_on_the_same_port(elsewhere: bool) -> None:
    with contextlib.closing(Listener("127.0.0.1", 0)) as listener:
        port = listener.port
        for _ in range(3):
            assert refused(listener)
            if elsewhere:
                # Where a listening socket cannot be shut down it is closed, and made anew.
                listener.socket.close()
            listener.open()
            waiting = socket.create_connection(("127.0.0.1", port), 10)
            listener.shut()
            with waiting, pytest.raises(ConnectionResetError):
                waiting.recv(1)
        assert listener.port == port
        assert listener.url == f"http://127.0.0.1:{port}"


def test_a_port_that_refuses_is_taken() -> None:
    with contextlib.closing(Listener("127.0.0.1", 0)) as listener:
        for _ in range(2):
            with pytest.raises(ListenError, match=f"port {listener.port} on 127.0.0.1 is taken"):
                Listener("127.0.0.1", listener.port)
            listener.open()
            with socket.create_connection(("127.0.0.1", listener.port), 10):
                listener.shut()


def test_an_address_of_another_machine_cannot_be_had() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1"):
        Listener("192.0.2.1", 0)
