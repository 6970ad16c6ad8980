"""Does a delay of known length come back as that length, and a stall as everything that fell into it?"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from e2e_counting import repeated
from e2e_running import HERE, Result, paused, wait_until

from loadtest.measure.histogram import Histogram, upper_edge

pytestmark = pytest.mark.calm

STEADY = ("-f", HERE / "steady.py")


@pytest.mark.parametrize("delay_ms", [20, pytest.param(100, marks=pytest.mark.proof)])
def test_a_delay_of_the_server_is_measured_as_what_it_is(serve: Any, run_locust: Any, delay_ms: int) -> None:
    flags = (*STEADY, "-u", 8, "-r", 8, "-t", "9s", "--rt-rate", "6/s", "--rt-room-size", 4)
    edges = ("--rt-warmup", "1s", "--rt-drain", "1s")

    def measure() -> list[Result]:
        server = serve()
        plain = run_locust(*flags, *edges, "-H", server.url)
        server.fault("delay", ms=delay_ms)
        return [plain, run_locust(*flags, *edges, "-H", server.url)]

    def check(results: list[Result]) -> None:
        plain, delayed = (one.totals.mean_ms("message.deliver", "service") for one in results)
        assert abs(delayed - plain - delay_ms) <= 1 + 0.01 * delay_ms, (plain, delayed)
        for one in results:
            assert one.totals.count("n", "message.deliver", phase="measure") > 400
            assert one.totals.count("expected", "message.deliver") == one.totals.count("n", "message.deliver")

    repeated(measure, check, lambda results: results)


def test_a_stalled_server_is_billed_for_every_message_that_fell_into_the_stall(
    serve: Any, start_locust: Any
) -> None:
    """The ^Z demonstration: an open schedule sees the stall, a closed loop hides it in its last percent."""
    users, rate = 16, 10.0
    common = (
        *("-u", users, "-r", users, "-t", "12s", "--rt-room-size", 4),
        *("--rt-warmup", "1s", "--rt-drain", "1s"),
    )

    def measure() -> tuple[Result, dict[str, float], float]:
        server = serve()
        opened = start_locust(*STEADY, *common, "--rt-rate", f"{rate:g}/s", "-H", server.url)
        wait_until(lambda: server.accepted() > 3 * users * rate, "the run is well into measure")
        other = serve()
        closed = start_locust("-f", HERE / "closed_loop.py", *common, "--json", "-H", other.url)
        with paused(server) as stood:
            time.sleep(1)  # the length of the stall, not a wait for something
        wait_until(lambda: other.accepted() > 3 * users * rate, "the control is under way")
        with paused(other):
            time.sleep(1)
        result = opened.result()
        closed.wait()
        return result, _quantiles(closed.output), stood[0]

    def check(measured: tuple[Result, dict[str, float], float]) -> None:
        result, control, stood_s = measured
        totals = result.totals
        assert totals.count("expected", "message.deliver") == totals.count("n", "message.deliver")
        assert totals.count("lost", "message.deliver") == 0
        for which in ("latency", "service"):
            _stall_is_there(totals.histogram("message.deliver", which, "measure"), users * rate, stood_s)
        p95_ns = totals.histogram("message.deliver", "latency", "measure").quantile(0.95)
        assert p95_ns is not None
        assert p95_ns > 0.3e9 * stood_s
        # The control stood as long; each of its users asked one slow question, and none of those it owed.
        assert control["max"] > 900 * stood_s
        assert control["p95"] < 200, control

    repeated(measure, check, lambda measured: [measured[0]])


def _stall_is_there(histogram: Histogram, per_second: float, stood_s: float) -> None:
    """Messages planned in the stall wait for its end: U(0, length), three deliveries of each message."""
    buckets, counts = histogram.counts().pairs()
    slow = [(upper_edge(b) / 1e9, n) for b, n in zip(buckets.tolist(), counts.tolist(), strict=True)]
    slow = [(seconds, n) for seconds, n in slow if seconds > 0.1]
    messages = sum(n for _, n in slow) / 3
    owed = per_second * (stood_s - 0.1)
    assert abs(messages - owed) <= 4 * owed**0.5 + 5, (messages, owed)
    mean = sum(seconds * n for seconds, n in slow) / (3 * messages)
    expected = (stood_s + 0.1) / 2
    sd_of_mean = (stood_s - 0.1) / 12**0.5 / messages**0.5
    assert abs(mean - expected) <= 4 * sd_of_mean + 0.02, (mean, expected)


def _quantiles(output: str) -> dict[str, float]:
    """p95 and max (ms) of the control, from what Locust prints with --json."""
    start = output.index("\n[\n") if "\n[\n" in output else output.index("[{")
    entries, _ = json.JSONDecoder().raw_decode(output[start:].lstrip())
    (entry,) = [one for one in entries if one["name"] == "closed loop"]
    times = sorted((float(ms), n) for ms, n in entry["response_times"].items())
    rank, seen = 0.95 * sum(n for _, n in times), 0
    for ms, n in times:
        seen += n
        if seen >= rank:
            return {"p95": ms, "max": float(entry["max_response_time"])}
    raise AssertionError("no answers at all")


def test_polling_costs_half_an_interval_and_never_much_more_than_one(serve: Any, run_locust: Any) -> None:
    users, interval_ms = 60, 1500.0
    flags = ("-u", users, "-r", users, "-t", "22s", "--rt-rate", "3/s", "--rt-room-size", 2)
    edges = ("--rt-warmup", "2s", "--rt-drain", "3s", "--rt-transport", "interval-polling")

    def measure() -> list[Result]:
        return [run_locust(*STEADY, *flags, *edges, "-H", serve().url)]

    def check(results: list[Result]) -> None:
        totals = results[0].totals
        latency = totals.histogram("message.deliver", "latency", "measure")
        poll = totals.histogram("poll.request", "service", "measure")
        assert latency.n > 2000
        assert totals.count("expected", "message.deliver") == totals.count("n", "message.deliver")
        model = interval_ms / 2 + totals.mean_ms("poll.request", "service")
        assert abs(totals.mean_ms("message.deliver", "latency") / model - 1) < 0.05
        posted = totals.histogram("message.ack", "latency", "measure")
        assert latency.max_ns / 1e6 <= interval_ms + (poll.max_ns + posted.max_ns) / 1e6 + 50
        # Each user polls once an interval, whatever the answers took.
        measured_s = _measured_s(results[0])
        assert abs(poll.n / (users * measured_s / (interval_ms / 1000)) - 1) < 0.1

    repeated(measure, check, lambda results: results)


def _measured_s(result: Result) -> float:
    edges = result.run.manifest.edges
    assert edges.measure_ns is not None
    assert edges.drain_ns is not None
    return (edges.drain_ns - edges.measure_ns) / 1e9
