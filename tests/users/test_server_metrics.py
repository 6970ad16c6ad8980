"""Is a server's Prometheus text understood, of whatever library, and what cannot be is said in one line?"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from loadtest.users import server_metrics, server_source
from loadtest.users.server_metrics import Metrics
from loadtest.users.server_probe import source_of
from loadtest.users.server_source import Silent, Told, parse
from loadtest.users.target import Refused, locate

NODE = b"""\
# HELP process_cpu_user_seconds_total Total user CPU time spent in seconds.
# TYPE process_cpu_user_seconds_total counter
process_cpu_user_seconds_total 1.25
# HELP process_cpu_system_seconds_total Total system CPU time spent in seconds.
# TYPE process_cpu_system_seconds_total counter
process_cpu_system_seconds_total 0.25
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.5
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 61267968
process_open_fds 29
nodejs_eventloop_lag_seconds 0.001
nodejs_eventloop_lag_p99_seconds 0.012
socket_io_connected{namespace="/"} 40
socket_io_connected{namespace="/admin"} 2
http_request_duration_seconds_bucket{le="0.5",path="/a b"} 3 # {trace_id="x"} 0.1
"""


def told(body: bytes, **own: str) -> Told:
    wanted = {figure: ((name,),) for figure, name in own.items()}
    return server_metrics.told(server_metrics.understood(body, wanted))


def test_the_names_of_prom_client() -> None:
    said = told(NODE)
    assert said == Told({"": 1.5}, 61267968, 12.0, 42, 29)


def test_without_the_sum_its_two_parts_are_added() -> None:
    body = b"\n".join(line for line in NODE.splitlines() if b"process_cpu_seconds_total" not in line)
    assert told(body).cpu_s == {"": 1.5}


def test_what_prometheus_client_itself_writes() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Gauge("chat_connections", "theirs", registry=registry).set(7)
    said = told(generate_latest(registry), sockets="chat_connections")
    assert list(said.cpu_s) == [""] and said.cpu_s[""] > 0
    assert said.rss_bytes > 10_000_000
    assert said.descriptors > 2
    assert (said.sockets, said.loop_lag_ms) == (7, -1.0)


def test_several_processes_are_told_apart_and_added_up() -> None:
    body = "".join(
        f'process_cpu_seconds_total{{worker="{n}"}} {n}.5\n'
        f'process_resident_memory_bytes{{worker="{n}"}} {n}00\n'
        f'nodejs_eventloop_lag_seconds{{worker="{n}"}} 0.00{n}\n'
        for n in (1, 2, 3)
    ).encode()
    assert told(body) == Told({"worker=1": 1.5, "worker=2": 2.5, "worker=3": 3.5}, 600, 3.0)


@pytest.mark.parametrize(
    ("name", "lag_ms"), [("loop_ms", 5.0), ("loop_milliseconds", 5.0), ("loop_s", 5000.0)]
)
def test_an_own_name_says_its_unit(name: str, lag_ms: float) -> None:
    assert told(f"{name} 5\n".encode(), lag=name).loop_lag_ms == lag_ms


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "none of the metrics"),
        (b"<html>", "none of the metrics"),
        (b"process_open_fds NaN\n", "none of the metrics"),
        (b'process_open_fds{a="b 3\n', "no Prometheus text"),
        (b"process_open_fds three\n", "no Prometheus text"),
    ],
)
def test_what_is_not_understood(body: bytes, words: str) -> None:
    with pytest.raises(Silent, match=words):
        told(body)


def test_a_name_that_is_not_there_is_missed() -> None:
    with pytest.raises(Silent, match="no metric chat_connections"):
        told(NODE, sockets="chat_connections")


# -- the flag -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["metrics", "pid:", "pid:x", "ftp://host/", "http://", "http://host:70000/", "http://[::1/", "/metrics"],
)
def test_no_source(text: str) -> None:
    with pytest.raises(ValueError, match="is no source: write"):
        parse(text)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("speed=a", "the figure one of cpu, memory"),
        ("cpu", "write FIGURE=NAME"),
        ("cpu=a-b", "no name of a metric"),
    ],
)
def test_names_that_make_no_sense(own: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(f"http://host/metrics#{own}")


def test_what_the_flag_means() -> None:
    assert parse("") is None
    named = parse("http://ann:secret@host:9#sockets=a,lag=b")
    assert named is not None
    assert (named.pid, named.url) == (None, "http://ann:secret@host:9/metrics")
    assert dict(named.names) == {server_source.SOCKETS: "a", server_source.LAG: "b"}
    assert named.shown == "http://***@host:9/metrics"
    process = parse("pid:12")
    assert process is not None
    assert (process.pid, process.shown) == (12, "pid:12")


# -- over the wire ------------------------------------------------------------------------------------------


class Endpoint:
    """A real HTTP server with one page, and what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = "200 OK", NODE
        self.asked: list[dict[str, Any]] = []
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        self.asked.append(environ)
        start(self.status, [("Content-Type", "text/plain; version=0.0.4")])
        return [self.body]

    def end(self) -> None:
        self._server.stop()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.end()


def source(url: str) -> Metrics:
    asked = parse(url)
    assert asked is not None
    made = source_of(asked)
    assert isinstance(made, Metrics)
    return made


def test_an_endpoint_is_asked(endpoint: Endpoint) -> None:
    found = source(endpoint.url)
    assert found.ask() == told(NODE)
    assert found.about() == (
        f"{endpoint.url}: process_cpu_seconds_total, process_resident_memory_bytes, "
        "nodejs_eventloop_lag_p99_seconds, socket_io_connected, process_open_fds"
    )
    assert "HTTP_AUTHORIZATION" not in endpoint.asked[-1]


def test_several_processes_are_said(endpoint: Endpoint) -> None:
    endpoint.body = b'process_open_fds{worker="1",app="x"} 3\nprocess_open_fds{worker="2",app="x"} 4\n'
    said = source(endpoint.url).about()
    assert said.endswith(
        ": process_open_fds; 2 processes by their labels (app=x,worker=1 …), added up, the lag of the worst"
    )


def test_user_and_password_are_sent_and_not_shown(endpoint: Endpoint) -> None:
    found = source(endpoint.url.replace("//", "//ann:s%40crt@") + "?module=chat")
    assert endpoint.asked[-1]["QUERY_STRING"] == "module=chat"
    sent = endpoint.asked[-1]["HTTP_AUTHORIZATION"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"ann:s@crt"
    assert "crt" not in found.about() and "chat" not in found.about().partition(":")[2].split(": ")[0]


def test_who_does_not_answer_at_the_start_is_refused_in_one_line(endpoint: Endpoint) -> None:
    asked = parse(endpoint.url)
    assert asked is not None
    cases = [("404 Not Found", b"", "answered HTTP 404"), ("200 OK", b"hello", "none of the metrics")]
    for endpoint.status, endpoint.body, words in cases:
        with pytest.raises(Refused, match=f"--rt-server-metrics {endpoint.url}: .*{words}") as refused:
            source_of(asked)
        assert "\n" not in str(refused.value)
    endpoint.end()
    with pytest.raises(Refused, match="connect_refused"):
        source_of(asked)


def test_later_it_is_silent_and_may_come_back(endpoint: Endpoint) -> None:
    found = Metrics(locate(endpoint.url.removesuffix("/metrics")), parse(endpoint.url))  # type: ignore[arg-type]
    assert found.ask().sockets == 42
    endpoint.status = "503 Service Unavailable"
    with pytest.raises(Silent, match="HTTP 503"):
        found.ask()
    endpoint.status = "200 OK"
    assert found.ask().sockets == 42
