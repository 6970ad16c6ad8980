"""Does a whole run go over TLS, from the preflight to the page?"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme


class End:
    """Passes on to a server what it deciphers, and back."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self._context = context
        self.connections = self.port = 0

    async def _pass(self, reader: Any, writer: Any) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _client(self, reader: Any, writer: Any) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()


@contextmanager
def in_front_of(url: str, context: ssl.SSLContext) -> Iterator[End]:
    """An end of TLS on a loop of its own."""
    end, ready, loop = End(url, context), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(end.serve(ready, stop),))
    thread.start()
    try:
        assert ready.wait(10)
        yield end
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the certificate of the CA that vouches for it."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return context, path


def test_users_on_both_transports_of_an_upgrade(serve: Any, run_locust: Any, authority: Any) -> None:
    context, path = authority
    with in_front_of(serve().url, context) as end:
        url = f"https://127.0.0.1:{end.port}"
        result = run_locust(
            *("-H", url, "-u", 6, "-r", 6, "-t", "8s", "--rt-rate", "2/s"),
            *("--rt-transport", "upgrade", "--rt-warmup", "1s", "--rt-drain", "2s"),
            env={"SSL_CERT_FILE": str(path)},
        )
    assert result.code in (0, 5), result.output  # 5: a busy machine, which is not what is asked here
    manifest = result.run.manifest
    assert manifest.target["url"] == url
    assert manifest.parameters["insecure"] is False
    assert not [note for note in manifest.target["notes"] if "certificate" in note]
    assert result.counters["upgrade.ok"] == 6
    connects = [row for row in result.run.series if row.operation == "session.connect"]
    assert {name for row in connects for name in row.phases} >= {"tcp", "tls", "open", "namespace", "upgrade"}
    assert sum(row.latency.n for row in result.run.series if row.operation == "message.deliver")
    (connecting,) = [row for row in result.run.traffic if row.regime == "connect"]
    assert connecting.bytes_received > 6 * 3 * 500, "three certificates each"
    assert end.connections > 3 * 6, "polls, posts, a WebSocket each, and the preflight"


def test_whom_nobody_trusts_may_be_trusted_with_open_eyes(
    serve: Any, run_locust: Any, authority: Any
) -> None:
    context, _ = authority
    with in_front_of(serve().url, context) as end:
        url = f"https://127.0.0.1:{end.port}"
        result = run_locust(
            *("-H", url, "-u", 3, "-r", 3, "-t", "6s", "--rt-rate", "2/s", "--rt-insecure"),
            *("--rt-client", "python-socketio", "--rt-warmup", "1s", "--rt-drain", "1s"),
        )
    assert result.code in (0, 5), result.output  # 5: a busy machine, which is not what is asked here
    assert result.run.manifest.parameters["insecure"] is True
    assert [note for note in result.run.manifest.target["notes"] if "--rt-insecure" in note]
    page = (result.run.path / "report.html").read_text()
    assert "was not verified in this run" in page
