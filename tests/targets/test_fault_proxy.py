"""Does the fault proxy pass on everything while nothing is ordered, and do exactly what is ordered?

Both ends of every connection are in the hands of the test; between them is the proxy, in its own process.
`time.monotonic_ns` is one clock for all processes of a machine, so what the proxy says about when is compared
with what the test sees.
"""

import contextlib
import errno
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.targets.faultproxy.__main__ import main
from loadtest.targets.faultproxy.choice import chosen

pytestmark = pytest.mark.e2e

PATIENCE_S = 10.0
MODULE = "loadtest.targets.faultproxy"
MS, SECOND = 1_000_000, 1_000_000_000
Pair = tuple[socket.socket, socket.socket]  # the client's end, the server's end


class Proxy:
    """`python -m loadtest.targets.faultproxy` in front of a listener of the test."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.server.settimeout(PATIENCE_S)
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--upstream", f"127.0.0.1:{self.server.getsockname()[1]}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = [self.process.stdout.readline().split() for _ in range(2)]
        assert [line[:-1] for line in said] == [["listening", "on"], ["fault", "control:"]]
        self.port = int(said[0][-1].rpartition(":")[2])
        self.control = said[1][-1]
        self.opened: list[socket.socket] = []

    def client(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened.append(client)
        return client

    def accepted(self) -> socket.socket:
        server, _ = self.server.accept()
        server.settimeout(PATIENCE_S)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened.append(server)
        return server

    def pair(self) -> Pair:
        client = self.client()
        return client, self.accepted()

    def pairs(self, count: int) -> dict[tuple[str, int], Pair]:
        made = [self.pair() for _ in range(count)]
        return {pair[0].getsockname(): pair for pair in made}

    def ask(self, body: object = None, *, raw: bytes | None = None, path: str = "/fault") -> tuple[int, Any]:
        data = raw if raw is not None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.control + path, data, PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def fault(self, kind: str, **more: Any) -> dict[str, Any]:
        status, answer = self.ask({"kind": kind, **more})
        assert status == 200, answer
        assert answer["ok"]
        return dict(answer)

    def report(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.control, timeout=PATIENCE_S) as answer:
            return dict(json.loads(answer.read()))

    def clean(self) -> None:
        self.fault("none")
        for one in self.opened:
            one.close()
        self.opened.clear()
        until(lambda: self.report()["connections"] == 0)
        # Connections that came to nothing for the test are still in the listener's queue.
        self.server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.server.accept()[0].close()
        self.server.settimeout(PATIENCE_S)


@pytest.fixture(scope="module")
def running() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.process.terminate()
    assert proxy.process.wait(PATIENCE_S) == 0
    assert proxy.process.stdout is not None
    proxy.process.stdout.close()
    proxy.server.close()


@pytest.fixture
def proxy(running: Proxy) -> Iterator[Proxy]:
    yield running
    running.clean()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"still false after {PATIENCE_S} s"
        time.sleep(0.005)


def exactly(source: socket.socket, count: int) -> bytes:
    """`count` bytes, or fewer if the other side ended."""
    parts = bytearray()
    while len(parts) < count:
        part = source.recv(min(65_536, count - len(parts)))
        if not part:
            break
        parts += part
    return bytes(parts)


def flows(pair: Pair) -> bool:
    """Whether bytes pass both ways now; they are never lost, so only for connections that nothing holds."""
    for source, sink in (pair, pair[::-1]):
        source.sendall(b"ping")
        if exactly(sink, 4) != b"ping":
            return False
    return True


def silent(sink: socket.socket) -> bool:
    """Whether there is nothing to read at this moment."""
    sink.setblocking(False)
    try:
        sink.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        sink.settimeout(PATIENCE_S)
    return False


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def ends_with_reset(one: socket.socket) -> bool:
    """Reads to the end."""
    try:
        while one.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    return False


# -- transparent


def test_a_megabyte_passes_both_ways_and_is_counted(proxy: Proxy) -> None:
    pair = proxy.pair()
    up, down = random.Random(1).randbytes(1_000_003), random.Random(2).randbytes(1_000_033)
    before = proxy.report()["bytes"]
    received: dict[int, bytes] = {}
    ways = ((pair[0], up, pair[1]), (pair[1], down, pair[0]))
    threads = [threading.Thread(target=source.sendall, args=(data,)) for source, data, _sink in ways]
    threads += [
        threading.Thread(
            target=lambda n=n, sink=sink, data=data: received.update({n: exactly(sink, len(data))})
        )
        for n, (_source, data, sink) in enumerate(ways)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert received == {0: up, 1: down}
    after = proxy.report()["bytes"]
    assert after["toServer"] - before["toServer"] == len(up)
    assert after["toClient"] - before["toClient"] == len(down)
    for one in pair:
        one.close()
    until(lambda: proxy.report()["connections"] == 0)
    assert proxy.report()["bytes"] == after


def test_half_a_connection_may_close(proxy: Proxy) -> None:
    client, server = proxy.pair()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert exactly(server, 100) == b"question"
    answer = random.Random(3).randbytes(300_000)
    threading.Thread(target=lambda: (server.sendall(answer), server.shutdown(socket.SHUT_WR))).start()
    assert exactly(client, 1_000_000) == answer
    until(lambda: proxy.report()["connections"] == 0)


@pytest.mark.parametrize("from_client", [True, False])
def test_a_reset_is_passed_on_as_one_after_what_was_sent(proxy: Proxy, from_client: bool) -> None:
    pair = proxy.pair()
    source, sink = pair if from_client else pair[::-1]
    source.sendall(b"last words")
    reset(source)
    assert exactly(sink, 10) == b"last words"
    assert ends_with_reset(sink)
    until(lambda: proxy.report()["connections"] == 0)


@pytest.mark.parametrize("from_client", [True, False])
def test_who_resets_a_connection_that_floods_it_resets_the_sender(proxy: Proxy, from_client: bool) -> None:
    pair = proxy.pair()
    flooded, sender = pair if from_client else pair[::-1]
    fill(sender)
    reset(flooded)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        sender.sendall(bytes(1 << 28))


def test_a_sender_waits_for_a_reader_that_does_not(proxy: Proxy) -> None:
    client, server = proxy.pair()
    before = proxy.report()["bytes"]["toServer"]
    sent = fill(client)
    assert proxy.report()["bytes"]["toServer"] - before < sent
    client.shutdown(socket.SHUT_WR)
    assert len(exactly(server, 1 << 40)) == sent
    assert proxy.report()["bytes"]["toServer"] - before == sent


def fill(sender: socket.socket) -> int:
    """Sends until nobody takes more for a while; returns how many bytes that took."""
    sent, sender_rests = 0, 0
    sender.setblocking(False)
    while sender_rests < 20:
        assert sent < 1 << 28, "nothing ever stops the sender"
        try:
            sent += sender.send(bytes(1 << 16))
            sender_rests = 0
        except BlockingIOError:
            sender_rests += 1
            time.sleep(0.005)
    sender.settimeout(PATIENCE_S)
    return sent


def test_where_there_is_no_server_the_client_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with (
        _standing_alone("--upstream", f"127.0.0.1:{port}") as address,
        socket.create_connection(address, PATIENCE_S) as client,
    ):
        assert ends_with_reset(client)


def test_it_takes_as_many_descriptors_as_it_may(proxy: Proxy) -> None:
    limits = Path(f"/proc/{proxy.process.pid}/limits").read_text().splitlines()
    [line] = [line for line in limits if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard


# -- orders


def test_it_says_what_it_can_do_and_has_done(proxy: Proxy) -> None:
    accepted = proxy.report()["accepted"]
    proxy.pairs(3)
    report = proxy.report()
    assert report["kinds"] == ["blackhole", "delay", "slow", "refuse"]
    assert (report["connections"], report["accepted"], report["active"]) == (3, accepted + 3, [])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "one JSON object"),
        (b'{"kind": "delay"}', "delay needs ms"),
        (b'{"kind": "restart", "seconds": 1}', "loadtest serve --through-faults"),
    ],
)
def test_a_bad_order_is_refused_in_one_line(proxy: Proxy, raw: bytes, said: str) -> None:
    status, answer = proxy.ask(raw=raw)
    assert (status, answer["ok"], answer["error"]["code"]) == (400, False, "PAYLOAD_INVALID")
    assert said in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]
    assert proxy.report()["active"] == []


def test_other_paths_and_methods_are_refused_in_json(proxy: Proxy) -> None:
    assert proxy.ask({}, path="/")[0] == 405
    assert proxy.ask({}, path="/faults")[1]["error"]["code"] == "NOT_FOUND"


# -- delay


def least_ns(way: Pair, count: int = 20) -> int:
    """The least time of several messages one way: what the machine adds is not in it."""
    source, sink = way
    taken = []
    for _ in range(count):
        begun = time.monotonic_ns()
        source.sendall(b"x" * 150)
        assert len(exactly(sink, 150)) == 150
        taken.append(time.monotonic_ns() - begun)
    return min(taken)


@pytest.mark.parametrize("to_server", [True, False])
def test_a_delay_adds_itself_and_nothing_else(proxy: Proxy, to_server: bool) -> None:
    pair = proxy.pair()
    way = pair if to_server else pair[::-1]
    without = least_ns(way)
    assert proxy.fault("delay", ms=15)["struck"] == [list(pair[0].getsockname())]
    added = least_ns(way) - without
    assert 14 * MS < added < 17 * MS
    proxy.fault("none")
    assert least_ns(way) < 15 * MS


def test_delayed_bytes_keep_their_order_and_do_not_drift(proxy: Proxy) -> None:
    client, server = proxy.pair()
    proxy.fault("delay", ms=60)
    sent_ns: list[int] = []

    def send() -> None:
        for number in range(100):
            sent_ns.append(time.monotonic_ns())
            client.sendall(struct.pack("!I", number))
            time.sleep(0.003)

    sender = threading.Thread(target=send)
    sender.start()
    late_ns = []
    for number in range(100):
        assert struct.unpack("!I", exactly(server, 4)) == (number,)
        late_ns.append(time.monotonic_ns() - sent_ns[number] - 60 * MS)
    sender.join()
    assert min(late_ns) >= 0
    # The luckiest of the last is no later than the luckiest of the first: nothing accumulates.
    assert min(late_ns[50:]) - min(late_ns[:50]) < 2 * MS


def test_a_delay_ends_when_told_and_strikes_newcomers_until_then(proxy: Proxy) -> None:
    proxy.fault("delay", ms=100, seconds=0.3)
    [active] = proxy.report()["active"]
    assert (active["kind"], active["ms"], active["connections"]) == ("delay", 100, 0)
    assert 0 < active["endsInMs"] <= 300
    pair = proxy.pair()
    assert least_ns(pair, 1) >= 100 * MS
    until(lambda: proxy.report()["active"] == [])
    assert least_ns(pair) < 100 * MS


def test_a_reset_and_a_half_close_are_delayed_too(proxy: Proxy) -> None:
    (a, a_server), (b, b_server) = proxy.pair(), proxy.pair()
    proxy.fault("delay", ms=80)
    begun = time.monotonic_ns()
    a.sendall(b"end")
    a.shutdown(socket.SHUT_WR)
    b.sendall(b"end")
    reset(b)
    assert exactly(a_server, 4) == b"end"
    assert exactly(b_server, 3) == b"end"
    assert ends_with_reset(b_server)
    assert time.monotonic_ns() - begun >= 80 * MS


# -- blackhole


def test_a_black_hole_swallows_and_gives_back_in_order(proxy: Proxy) -> None:
    client, server = proxy.pair()
    up, down = random.Random(4).randbytes(200_000), random.Random(5).randbytes(200_000)
    answer = proxy.fault("blackhole", seconds=0.3)
    assert answer["struck"] == [list(client.getsockname())]
    threads = [
        threading.Thread(target=one.sendall, args=(data,)) for one, data in ((client, up), (server, down))
    ]
    for thread in threads:
        thread.start()
    assert server.recv(1, socket.MSG_PEEK) == up[:1]
    assert time.monotonic_ns() - answer["atNs"] >= 0.3 * SECOND
    assert exactly(server, len(up)) == up
    assert exactly(client, len(down)) == down
    assert proxy.report()["active"] == []
    for thread in threads:
        thread.join(PATIENCE_S)


def test_who_hangs_up_in_a_black_hole_is_not_told_of(proxy: Proxy) -> None:
    closing, resetting = proxy.pair(), proxy.pair()
    answer = proxy.fault("blackhole", seconds=0.4)
    closing[0].sendall(b"bye")
    closing[0].close()
    reset(resetting[0])
    assert proxy.report()["connections"] == 2
    assert exactly(closing[1], 4) == b"bye"
    assert time.monotonic_ns() - answer["atNs"] >= 0.4 * SECOND
    assert ends_with_reset(resetting[1])


def test_newcomers_are_swallowed_and_those_who_gave_up_never_arrive(proxy: Proxy) -> None:
    proxy.fault("blackhole", seconds=60)
    patient, hasty = proxy.client(), proxy.client()
    for one in (patient, hasty):
        one.sendall(b"GET /")
    until(lambda: proxy.report()["connections"] == 2)
    hasty.close()
    assert silent(patient)
    proxy.server.settimeout(0)
    with pytest.raises(BlockingIOError):
        proxy.server.accept()
    proxy.server.settimeout(PATIENCE_S)
    proxy.fault("none")
    server = proxy.accepted()
    assert exactly(server, 5) == b"GET /"
    server.sendall(b"200")
    assert exactly(patient, 3) == b"200"
    until(lambda: proxy.report()["connections"] == 1)
    assert proxy.report()["bytes"]["toServer"] > 0


def test_a_share_is_chosen_by_the_seed_and_the_others_flow(proxy: Proxy) -> None:
    pairs = proxy.pairs(10)
    struck = proxy.fault("blackhole", seconds=60, share=0.35, seed=9)["struck"]
    assert [tuple(one) for one in struck] == chosen(pairs, 0.35, 9)
    assert len(struck) == 4
    held = {tuple(one) for one in struck}
    for peer in held:
        pairs[peer][0].sendall(b"held")
    assert all(flows(pair) for peer, pair in pairs.items() if peer not in held)
    assert all(silent(pairs[peer][1]) for peer in held)
    assert flows(proxy.pair())
    proxy.fault("none")
    assert all(exactly(pairs[peer][1], 4) == b"held" for peer in held)


def test_named_connections_are_struck_and_later_orders_replace_earlier(proxy: Proxy) -> None:
    pairs = proxy.pairs(3)
    first, second, third = sorted(pairs)
    proxy.fault("blackhole", seconds=60)
    for pair in pairs.values():
        pair[0].sendall(b"held")
    named = proxy.fault("blackhole", seconds=0.2, connections=[first, second, ("127.0.0.1", 1)])
    assert named["struck"] == [list(first), list(second)]
    lasting = {fault["connections"]: fault["endsInMs"] for fault in proxy.report()["active"]}
    assert set(lasting) == {1, 2}
    for peer in (first, second):
        assert exactly(pairs[peer][1], 4) == b"held"
        assert time.monotonic_ns() - named["atNs"] >= 0.2 * SECOND
    assert silent(pairs[third][1])


# -- slow


def test_a_slow_line_lets_pass_what_was_said(proxy: Proxy) -> None:
    client, server = pair = proxy.pair()
    rate, count = 50_000, 25_000
    proxy.fault("slow", bytesPerSecond=rate)
    data = random.Random(6).randbytes(count)
    arrived = []
    for source, sink in (pair, (server, client)):
        begun = time.monotonic_ns()
        source.sendall(data)
        got = bytearray()
        while len(got) < count:
            got += sink.recv(65_536)
            # Never ahead of the rate by more than the burst of 40 ms.
            ahead = len(got) - rate * (time.monotonic_ns() - begun) / SECOND
            assert ahead <= rate * 0.04 + 1
        assert got == data
        arrived.append(time.monotonic_ns() - begun)
    # A line slower than said would have to be slower both times by as much as it is long.
    assert min(arrived) < 2 * SECOND * count / rate
    [active] = proxy.report()["active"]
    assert (active["kind"], active["bytesPerSecond"], active["endsInMs"]) == ("slow", rate, None)
    server.sendall(bytes(5_000_000)[:100_000])
    proxy.fault("none")
    assert len(exactly(client, 100_000)) == 100_000


def test_a_slow_line_stops_its_sender(proxy: Proxy) -> None:
    client, server = proxy.pair()
    before = proxy.report()["bytes"]["toServer"]
    proxy.fault("slow", bytesPerSecond=1000)
    sent = fill(client)
    assert proxy.report()["bytes"]["toServer"] - before < 65_536 < sent
    proxy.fault("none")
    client.shutdown(socket.SHUT_WR)
    assert len(exactly(server, 1 << 40)) == sent


def test_faults_of_different_kinds_overlap(proxy: Proxy) -> None:
    client, server = proxy.pair()
    proxy.fault("delay", ms=50)
    proxy.fault("slow", bytesPerSecond=20_000)
    hole = proxy.fault("blackhole", seconds=0.2)
    assert [fault["kind"] for fault in proxy.report()["active"]] == ["delay", "slow", "blackhole"]
    client.sendall(bytes(4_000))
    # Read only after the hole, held 50 ms then, and 4000 bytes take 0.2 s less the burst.
    assert len(exactly(server, 4_000)) == 4_000
    assert time.monotonic_ns() - hole["atNs"] >= (0.2 + 0.05 + 0.2 - 0.04) * SECOND


# -- refuse


def test_refuse_is_the_kernels_refusal_and_the_same_port_opens_again(proxy: Proxy) -> None:
    pairs = proxy.pairs(4)
    answer = proxy.fault("refuse", seconds=0.4, share=0.5, seed=3)
    struck = {tuple(one) for one in answer["struck"]}
    assert sorted(struck) == chosen(pairs, 0.5, 3)
    with pytest.raises(ConnectionRefusedError):
        proxy.client()
    for peer, pair in pairs.items():
        if peer in struck:
            assert ends_with_reset(pair[0])
            assert exactly(pair[1], 1) == b""
        else:
            assert flows(pair)
    assert [fault["kind"] for fault in proxy.report()["active"]] == ["refuse"]
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            thief.bind(("127.0.0.1", proxy.port))
    client = None
    while client is None:
        with contextlib.suppress(ConnectionRefusedError):
            client = proxy.client()
    assert time.monotonic_ns() - answer["atNs"] >= 0.4 * SECOND
    assert time.monotonic_ns() - answer["atNs"] < PATIENCE_S * SECOND
    assert flows((client, proxy.accepted()))
    assert proxy.report()["active"] == []


def test_none_ends_a_refusal(proxy: Proxy) -> None:
    for _ in range(3):
        proxy.fault("refuse", seconds=60)
        with pytest.raises(ConnectionRefusedError):
            proxy.client()
        proxy.fault("none")
        assert flows(proxy.pair())


# -- the command


@contextlib.contextmanager
def _standing_alone(*arguments: str) -> Iterator[tuple[str, int]]:
    process = subprocess.Popen([sys.executable, "-m", MODULE, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as out:
        host, _, port = out.readline().split()[-1].removeprefix("http://").rpartition(":")
        yield host, int(port)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--upstream"),
        (["--upstream", "3000"], "must be HOST:PORT"),
        (["--upstream", "127.0.0.1:3000", "--port", "x"], "whole number from 0 to 65535"),
        (["--upstream", "127.0.0.1:3000", "--port", "TAKEN"], "is taken"),
        (["--upstream", "127.0.0.1:3000", "--control-port", "TAKEN"], "in use"),
        (["--upstream", "no.such.host.invalid:1"], "no.such.host.invalid"),
    ],
)
def test_bad_arguments_are_said_with_exit_2(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    try:
        code = main([str(proxy.port) if one == "TAKEN" else one for one in arguments])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
