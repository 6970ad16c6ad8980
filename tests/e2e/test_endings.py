"""Whatever ends a run, or breaks in the middle of it: is what was measured written down, and is it true?"""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

import psutil
import pytest
from e2e_counting import DELIVERIES
from e2e_running import HERE, Locust, Result, Server, wait_until

from loadtest.analysis.validity import INVALID, VALID, judge
from loadtest.measure import run as runs

STEADY = ("-f", HERE / "steady.py", "-u", 8, "-r", 8, "--rt-rate", "4/s", "--rt-room-size", 4)
WARM = ("--rt-warmup", "1s")


def _took_more_than(server: Server, messages: int) -> bool:
    return server.accepted() > messages


def _has_sockets(server: Server, number: int) -> bool:
    return bool(server.stats()["sockets"] == number)


def _has_runs(locust: Locust, number: int) -> bool:
    return len(_whole_runs(locust)) == number


def _is_gone(locust: Locust) -> bool:
    return not locust.session()


def test_a_run_outlives_its_server(serve: Any, start_locust: Any) -> None:
    server = serve()
    locust = start_locust(
        *STEADY, *WARM, "-t", "12s", "--rt-deadline", "3s", "--rt-drain", "4s", "-H", server.url
    )
    wait_until(lambda: server.accepted() > 90, "the run is well into measure")
    server.signal(signal.SIGKILL)
    result = locust.result()
    manifest = result.run.manifest
    assert result.code in (1, 5), result.output
    assert manifest.complete
    assert sorted(one.user for one in result.run.drops) == sorted({one.user for one in result.run.drops})
    assert len(result.run.drops) == result.counters["connections.lost"] == 8
    assert {one.cause for one in result.run.drops} <= {"transport_close", "transport_error"}
    counts = result.totals.counts("message.deliver")
    assert counts["lost"] > 3 * 50, "seconds of messages for three each found nobody"
    assert counts["expected"] == counts["n"] + counts["late"] + counts["lost"]
    assert counts["open"] == counts["leaked"] == 0
    assert result.counters["not_sent"] > 50
    assert manifest.locust_failures > 0
    assert manifest.harness_errors == []
    assert (result.run.path / runs.MANIFEST).is_file()


def test_each_lost_connection_is_counted_once_and_nobody_falls_silent(serve: Any, start_locust: Any) -> None:
    """Kicked or cut, in rooms that people leave and enter all the time: what cannot be said is counted."""
    users, rate = 12, 4.0
    arms: list[tuple[Server, Locust]] = []
    for client in ("native", "python-socketio"):
        server = serve()
        locust = start_locust(
            *("-f", HERE / "restless.py", "-u", users, "-r", users, "-t", "13s", "--rt-rate", f"{rate:g}/s"),
            *(*WARM, "--rt-room-size", 6, "--rt-deadline", "3s", "--rt-drain", "4s", "--rt-client", client),
            *("--rt-reconnect", "none", "-H", server.url),
        )
        arms.append((server, locust))
    for server, _ in arms:
        wait_until(partial(_took_more_than, server, 60), "the run is well into measure")
        server.fault("kick", ratio=0.5)
        wait_until(partial(_has_sockets, server, users // 2), "half of them are out")
        server.fault("dropSockets", ratio=1)
        wait_until(partial(_has_sockets, server, 0), "all of them are out")
    for server, locust in arms:
        _all_were_lost_once(locust.result(), server, users, rate)


def _all_were_lost_once(result: Result, server: Server, users: int, rate: float) -> None:
    drops = result.run.drops
    assert len({one.user for one in drops}) == len(drops) == result.counters["connections.lost"] == users
    causes = [one.cause for one in drops]
    assert causes.count("server_ns") == users / 2
    assert set(causes) <= {"server_ns", "transport_close", "transport_error"}
    # Sends in flight at the cut may or may not have been taken; all that were planned are one or the other.
    assert server.accepted() <= result.counters["sent"]
    edges = result.run.manifest.edges
    assert edges.warmup_ns is not None
    assert edges.drain_ns is not None
    owed = users * rate * (edges.drain_ns - edges.warmup_ns) / 1e9
    counted = result.counters["sent"] + result.counters["not_sent"]
    assert abs(counted - owed) <= 5 * owed**0.5, "nobody stopped talking"
    assert result.totals.count("leaked", *DELIVERIES) == 0
    assert result.run.manifest.harness_errors == []


def test_a_signal_ends_a_run_in_order(serve: Any, start_locust: Any) -> None:
    """SIGTERM to the process that was started, or Ctrl-C, which a terminal sends to all of them."""
    arms: list[tuple[Server, Locust, int, int]] = []
    for processes in (1, 2):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = serve()
            several = ("--processes", processes) if processes > 1 else ()
            locust = start_locust(*STEADY, *WARM, *several, "-t", "100s", "-H", server.url)
            arms.append((server, locust, number, processes))
    for server, locust, sent, _ in arms:
        wait_until(partial(_took_more_than, server, 120), "the run is well into measure")
        # A delivery is always under way then: what is not settled must end as open, never as lost.
        server.fault("delay", ms=700)
        before = server.accepted()
        wait_until(partial(_took_more_than, server, before + 20), "deliveries are under way")
        os.killpg(locust.pid, sent) if sent == signal.SIGINT else locust.signal(sent)
    for server, locust, _, processes in arms:
        result = locust.result()
        _cut_short(result, server)
        assert [one.final for one in result.run.manifest.workers] == [True] * processes
        wait_until(partial(_is_gone, locust), "no process is left behind")


def _cut_short(result: Result, server: Server) -> None:
    assert not result.run.manifest.complete
    assert result.run.manifest.gaps == []
    counts = result.totals.counts(*DELIVERIES)
    assert counts["lost"] == counts["leaked"] == counts["duplicate"] == counts["failed"] == 0
    assert counts["open"] > 0
    assert counts["expected"] == counts["n"] > 100
    ack = result.totals.counts("message.ack")
    assert ack["n"] + ack["open"] == result.counters["sent"] >= server.accepted()
    assert result.run.manifest.locust_failures == 0
    assert result.code == 0 or judge(result.run).state != VALID, result.output


def test_a_run_that_is_ended_while_users_still_come_takes_in_no_more(serve: Any, start_locust: Any) -> None:
    """Locust's master would go on telling the workers to spawn, and they would begin anew."""
    server = serve()
    # A user each two seconds: were they all to come, it would take until long after the time that is waited for.
    locust = start_locust(
        *("-f", HERE / "steady.py", "-u", 200, "-r", "0.5", "-t", "400s", "--rt-rate", "1/s"),
        *("--rt-room-size", 2, "--processes", 2, "-H", server.url),
    )
    wait_until(lambda: server.stats()["sockets"] >= 2, "the first users are there")
    locust.signal(signal.SIGTERM)
    result = locust.result()
    assert result.code == 5, result.output
    assert "All users spawned" not in result.output
    assert all(worker.final for worker in result.run.manifest.workers)
    assert server.stats()["sockets"] == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_stopped_before_it_measured_says_so(serve: Any, start_locust: Any, processes: int) -> None:
    server = serve()
    several = ("--processes", processes) if processes > 1 else ()
    locust = start_locust(*STEADY, *several, "-t", "100s", "--rt-warmup", "60s", "-H", server.url)
    wait_until(lambda: server.accepted() > 5, "users are sending")
    locust.signal(signal.SIGTERM)
    result = locust.result()
    assert not result.run.manifest.complete
    # So early that a worker's last word is its first: it goes by its own name all the same.
    assert [one.name for one in result.run.manifest.workers] == [str(n) for n in range(processes)]
    assert judge(result.run).state == INVALID
    assert result.code == 5, result.output


def test_a_worker_that_dies_spoils_the_run_and_not_what_the_others_measured(
    serve: Any, start_locust: Any
) -> None:
    server = serve()
    locust = start_locust(*STEADY, *WARM, "-t", "12s", "--processes", 2, "-H", server.url)
    wait_until(lambda: server.accepted() > 60, "the run is well into measure")
    workers = [child.pid for child in psutil.Process(locust.pid).children()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    result = locust.result()
    assert sorted(one.final for one in result.run.manifest.workers) == [False, True]
    verdict = judge(result.run)
    assert verdict.state == INVALID
    assert any("without its last word" in reason for reason in verdict.reasons)
    assert result.code == 5, result.output
    (survivor,) = (one.name for one in result.run.manifest.workers if one.final)
    seconds = [row.second for row in result.run.health if row.worker == survivor]
    assert max(seconds) >= 10, "the other one went on to the end"
    assert result.totals.count("lost", *DELIVERIES) == 0, (
        "rooms are within a worker: nobody waits for the dead"
    )
    wait_until(lambda: not locust.session(), "no process is left behind")


def test_what_is_said_in_no_conversation_fails_and_is_not_passed_over(serve: Any, run_locust: Any) -> None:
    flags = (
        "-f",
        HERE / "stranded.py",
        "-u",
        8,
        "-r",
        8,
        "-t",
        "8s",
        "--rt-rate",
        "3/s",
        "--rt-room-size",
        4,
    )
    server = serve()
    result = run_locust(*flags, *WARM, "-H", server.url)
    totals = result.totals
    assert result.counters["sent"] == server.accepted() <= 8
    assert totals.count("failed", "message.deliver") == result.counters["not_sent"] > 30
    assert totals.count("lost", *DELIVERIES) == 0, "nobody was owed it"
    assert result.code in (1, 5), result.output


def test_a_bug_in_a_scenario_s_hook_is_counted_shown_once_and_spoils_the_run(
    serve: Any, start_locust: Any
) -> None:
    common = ("-u", 8, "-r", 8, "-t", "9s", "--rt-rate", "3/s", "--rt-room-size", 4, *WARM)
    arms = {
        transport: start_locust(
            *("-f", HERE / "failing_hook.py", *common, "--rt-transport", transport, "-H", serve().url)
        )
        for transport in ("websocket", "interval-polling")
    }
    for transport, locust in arms.items():
        result = locust.result()
        assert result.counters["harness.faults"] == 8, (transport, "one for each user")
        (error,) = result.run.manifest.harness_errors
        assert "ZeroDivisionError" in error
        assert "failing_hook.py:21" in error
        assert result.output.count("A fault of the harness, counted from here on") == 1
        verdict = judge(result.run)
        assert verdict.state == INVALID
        assert any("a bug of the scenario" in reason for reason in verdict.reasons)
        assert result.code in (2, 5), result.output
        assert result.run.manifest.complete
        # A socket is closed by it, and says why; a feed goes on. Nobody is left deaf and uncounted.
        causes = [one.cause for one in result.run.drops]
        assert causes == (["internal"] * 8 if transport == "websocket" else [])
        if transport == "interval-polling":
            assert result.totals.count("n", "poll.request") > 8 * 3
            assert result.totals.count("lost", *DELIVERIES) == 0


def test_the_web_ui_may_start_a_run_twice(serve: Any, start_locust: Any, free_port: int) -> None:
    server = serve()
    locust = start_locust("--web-port", free_port, "-f", HERE / "steady.py", *WARM, "-H", server.url)
    ui = WebUi(f"http://127.0.0.1:{free_port}")
    wait_until(lambda: ui.answers() or locust.ended, "the web UI is there")
    descriptors: list[int] = []
    for started in (1, 2):
        before = server.accepted()
        ui.start(users=6, spawn_rate=6, rt_rate="4/s", rt_room_size="3", rt_warmup="500ms", host=server.url)
        wait_until(partial(_took_more_than, server, before + 60), "messages flow")
        ui.stop()
        wait_until(partial(_has_runs, locust, started), "the run is written")
        wait_until(lambda: server.stats()["sockets"] == 0, "all users have left")
        descriptors.append(len(os.listdir(f"/proc/{locust.pid}/fd")))
    assert descriptors[1] <= descriptors[0] + 2
    locust.signal(signal.SIGTERM)
    locust.wait()
    first, second = (runs.read(path) for path in sorted(_whole_runs(locust), key=lambda p: p.stat().st_mtime))
    accepted = 0
    for run in (first, second):
        result = Result(0, "", run)
        counts = result.totals.counts(*DELIVERIES)
        assert counts["expected"] == counts["n"] > 60
        assert counts["lost"] == counts["leaked"] == counts["duplicate"] == 0
        assert run.manifest.users == 6
        assert run.manifest.harness_errors == []
        assert [one.final for one in run.manifest.workers] == [True]
        accepted += result.counters["sent"]
    assert accepted == server.accepted()
    assert first.manifest.id != second.manifest.id


def _whole_runs(locust: Locust) -> list[Any]:
    if not locust.out.is_dir():
        return []
    return [one for one in locust.out.iterdir() if not one.is_symlink() and (one / runs.MANIFEST).is_file()]


class WebUi:
    """Locust's own HTTP interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _ask(self, path: str, form: dict[str, object] | None = None) -> str:
        from urllib.parse import urlencode
        from urllib.request import urlopen

        data = None if form is None else urlencode(form).encode()
        with urlopen(self.url + path, data=data, timeout=30) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return bool(self._ask("/"))
        except OSError:
            return False

    def start(self, users: int, **form: object) -> None:
        """As the form's button does."""
        answer = self._ask("/swarm", {"user_count": users, **form})
        assert '"success":true' in answer.replace(" ", ""), answer

    def stop(self) -> None:
        """As its button does."""
        self._ask("/stop", {})


@pytest.mark.calm
def test_a_busy_neighbour_on_the_generator_s_core_is_noticed(serve: Any, start_locust: Any, hog: Any) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a core for the server beside the one that is spoilt")
    mine, other = sorted(os.sched_getaffinity(0))[:2]
    server = serve("--rate-limit", "0", preexec_fn=lambda: os.sched_setaffinity(0, {other}))
    hog(mine)
    locust = start_locust(
        *STEADY,
        *WARM,
        *("-t", "10s", "-H", server.url),
        preexec_fn=lambda: os.sched_setaffinity(0, {mine}),
    )
    result = locust.result()
    verdict = judge(result.run)
    assert verdict.state != VALID
    assert any("lag" in reason or "late" in reason for reason in verdict.reasons), verdict.reasons
