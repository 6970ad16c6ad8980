"""Are the bytes that a Run bills the bytes that went over the wire?"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from e2e_running import HERE, Program, Server, wait_until

from loadtest.measure.rows import TrafficRow


class CountingProxy:
    """Passes bytes on, and counts them: ``up`` what clients sent, ``down`` what they were sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self.up = self.down = self.connections = self.open = 0
        self.port = 0

    async def _pass(self, reader: Any, writer: Any, count: Any) -> None:
        try:
            while data := await reader.read(1 << 16):
                count(len(data))
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.close()

    async def _client(self, reader: Any, writer: Any) -> None:
        self.connections += 1
        self.open += 1
        there, back = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass(reader, back, self._up), self._pass(there, writer, self._down))
        for one in (writer, back):
            one.close()
        self.open -= 1

    def _up(self, size: int) -> None:
        self.up += size

    def _down(self, size: int) -> None:
        self.down += size

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()


@contextmanager
def counting(server: Server) -> Iterator[CountingProxy]:
    """A proxy in front of ``server``, on a loop of its own."""
    proxy = CountingProxy(server.url)
    ready = threading.Event()
    handles: list[Any] = []

    async def run() -> None:
        stop = asyncio.Event()
        handles.extend((asyncio.get_running_loop(), stop))
        await proxy.serve(ready, stop)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop, stop = handles
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.mark.parametrize("transport", ["websocket", "interval-polling"])
def test_links_carry_what_a_proxy_counts_to_the_byte(
    serve: Any, programs: list[Program], tmp_path: Path, transport: str
) -> None:
    users = 4
    with counting(serve()) as proxy:
        program = Program(
            [sys.executable, HERE / "carried_bytes.py", f"http://127.0.0.1:{proxy.port}", transport, users],
            tmp_path / "carried.log",
            env={"LOCUST_SKIP_MONKEY_PATCH": "1"},
        )
        programs.append(program)
        assert program.wait() == 0, program.output
        wait_until(lambda: not proxy.open, "all connections have ended")
        quiet, parted = (json.loads(line) for line in program.output.splitlines())
        assert proxy.connections >= users
        assert parted[0] == proxy.up
        if transport == "websocket":
            # What the server says to our goodbye reaches a socket that is closed.
            assert quiet[1] == parted[1] <= proxy.down <= parted[1] + users * 16
            assert parted[0] - quiet[0] == users * (8 + 8), "DISCONNECT and a close frame, both masked"
        else:
            assert quiet == parted == [proxy.up, proxy.down]


def test_a_run_bills_no_more_than_went_over_the_wire(serve: Any, start_locust: Any) -> None:
    """The parts of a run overlap nowhere; what lies between them (the warm-up) is billed to nobody."""
    server = serve()
    with counting(server) as proxy:
        locust = start_locust(
            *(
                "-f",
                HERE / "steady.py",
                "-u",
                6,
                "-r",
                6,
                "-t",
                "9s",
                "--rt-rate",
                "4/s",
                "--rt-room-size",
                3,
            ),
            *("--rt-warmup", "0s", "--rt-drain", "2s", "-H", f"http://127.0.0.1:{proxy.port}"),
        )
        result = locust.result()
        wait_until(lambda: not proxy.open, "all connections have ended")
        rows = {row.regime: row for row in result.run.traffic if row.method == "tcp_info"}
        up = sum(row.bytes_sent for row in rows.values())
        down = sum(row.bytes_received for row in rows.values())
        assert set(rows) == {"connect", "active"}
        assert rows["active"].users == rows["connect"].users == 6
        # Beside the six: the look before the run, the server's own figures once a second, and goodbyes.
        assert up < proxy.up
        assert down < proxy.down
        _active_is_the_messages(rows["active"], result)


def _active_is_the_messages(row: TrafficRow, result: Any) -> None:
    """Bytes on the sockets are the frames of the messages that were said, and of nothing else."""
    sent = result.totals.count("n", "message.ack", phase="measure")
    heard = sum(result.totals.count("n", one, phase="measure") for one in ("message.deliver", "message.echo"))
    assert heard == 3 * sent
    up, down = row.bytes_sent / sent, row.bytes_received / sent
    # 150 characters of text in an event that names the room, the marker twice, and the event.
    assert 250 < up < 450
    assert 3 * 250 < down < 3 * 600
