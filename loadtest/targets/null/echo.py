"""What does a byte string cost that goes through the kernel and an event loop, and comes back? C0's server.

`python -m loadtest.targets.null.echo` says where it listens, and sends back whatever it is sent until SIGTERM.
"""

import asyncio
import signal
from typing import cast

import uvloop


class Echo(asyncio.Protocol):
    """Sends back what it gets, as it gets it; uvloop has switched Nagle's delay off."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def serve() -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await over.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
