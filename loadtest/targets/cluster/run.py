"""How do several servers and the proxy in front of them begin, and how do they end?

An instance that ends by itself is said, and the others go on: the proxy sends its users there. Nothing is
started twice.
"""

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtest.targets import descriptors
from loadtest.targets.child import Child, say_ending
from loadtest.targets.cluster.certificate import Certificate
from loadtest.targets.cluster.configuration import Front, configuration

OK, FAILED = 0, 2
PATIENCE_S = 60.0
_ANSWER_S = 2.0
_LOOK_AGAIN_S = 0.05
_CONNECTIONS = 20_000
_SPARE_DESCRIPTORS = 200


@dataclass(frozen=True)
class Plan:
    """What is to run.

    command: starts one instance, which says as its first line where it listens. environments: all that each
    gets, by its name. listener: where the users come to. folder: for the files of the proxy. silence_s: as in
    Front.
    """

    command: Sequence[str]
    environments: Mapping[str, Mapping[str, str]]
    haproxy: str
    listener: socket.socket
    sticky: bool
    certificate: Certificate | None
    silence_s: float
    folder: Path


class Running(NamedTuple):
    """A process of the cluster: its name, where it listens, its process id."""

    name: str
    url: str
    pid: int


def run(plan: Plan, ready: Callable[[list[Running], int], None], name: str) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code: 2 if not all came up, or if none is left.

    ``ready(instances, pid of the proxy)`` is called once users are let through. `name` begins what is said on
    stderr.
    """
    limit = descriptors.raise_limit()

    def say(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)

    return asyncio.run(_Cluster(plan, limit, ready, say).live())


class _Cluster:
    def __init__(
        self,
        plan: Plan,
        limit: int,
        ready: Callable[[list[Running], int], None],
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        # A connection takes two: one on each side of the proxy.
        self._connections = min(_CONNECTIONS, (limit - _SPARE_DESCRIPTORS) // 2)
        self._ready = ready
        self._say = say
        self._instances: dict[str, Child] = {}
        self._urls: dict[str, str] = {}
        self._alive: set[Child] = set()
        self._up, self._gone = asyncio.Event(), asyncio.Event()
        self._closing = False
        self._end: asyncio.Future[int] | None = None

    async def live(self) -> int:
        """From the first start to the last end."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[int] = loop.create_future()
        self._end = end
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._finish, OK)
        begin = asyncio.ensure_future(self._begin())
        try:
            await asyncio.wait((begin, end), return_when=asyncio.FIRST_COMPLETED)
            if begin.done():
                begin.result()
            return await end
        finally:
            begin.cancel()
            await self._close()

    def _finish(self, code: int) -> None:
        assert self._end is not None
        if not self._end.done():
            self._end.set_result(code)

    def _fail(self, line: str) -> None:
        self._say(line)
        self._finish(FAILED)

    # -- beginning --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        plan = self._plan
        try:
            async with asyncio.timeout(PATIENCE_S):
                for name, environment in plan.environments.items():
                    self._instances[name] = self._start(
                        plan.command, environment, partial(self._listening, name), partial(self._ended, name)
                    )
                await self._up.wait()
                proxy = self._start_proxy()
                while not await self._answers():
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            self._fail(f"not everything answered within {PATIENCE_S:g} s: {self._missing()}")
            return
        running = [Running(name, self._urls[name], one.pid) for name, one in self._instances.items()]
        self._ready(running, proxy.pid)

    def _missing(self) -> str:
        slow = [name for name in self._plan.environments if name not in self._urls]
        return f"instance {', '.join(slow)}" if slow else "haproxy"

    def _start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listening: Callable[[Child, str], None],
        ended: Callable[[Child, int], None],
    ) -> Child:
        child = Child(command, environment, listening, ended)
        self._alive.add(child)
        return child

    def _start_proxy(self) -> Child:
        plan = self._plan
        ports = {name: urlsplit(self._urls[name]).port or 0 for name in self._instances}
        certificate = plan.certificate and plan.certificate.server
        front = Front(plan.listener.fileno(), plan.sticky, certificate, plan.silence_s, self._connections)
        file = plan.folder / "haproxy.cfg"
        file.write_text(configuration(front, ports), encoding="utf-8")
        with self._complaints.open("wb") as complaints:
            proxy = Child(
                [plan.haproxy, "-db", "-f", str(file)],
                os.environ,
                lambda child, url: None,
                self._proxy_ended,
                keep=(front.descriptor,),
                complaints=complaints,
            )
        self._alive.add(proxy)
        return proxy

    @property
    def _complaints(self) -> Path:
        return self._plan.folder / "haproxy.log"

    def _listening(self, name: str, child: Child, url: str) -> None:
        self._urls[name] = url
        if len(self._urls) == len(self._plan.environments):
            self._up.set()

    async def _answers(self) -> bool:
        """Whether a user who came now would be let through to an instance."""
        certificate = self._plan.certificate
        context = certificate and ssl.create_default_context(cafile=str(certificate.authority))
        host, port = self._plan.listener.getsockname()[:2]
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=context)
                try:
                    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    # -- ending -----------------------------------------------------------------------------------------

    def _ended(self, name: str, child: Child, code: int) -> None:
        self._forget(child)
        if self._closing:
            return
        if not self._up.is_set():
            self._fail(f"instance {name} did not start ({say_ending(code)})")
        elif self._alive & set(self._instances.values()):
            self._say(
                f"instance {name} ended by itself ({say_ending(code)}): its users are sent to the others"
            )
        else:
            self._fail(f"instance {name} ended by itself ({say_ending(code)}), and no other is left")

    def _proxy_ended(self, child: Child, code: int) -> None:
        self._forget(child)
        if self._closing:
            return
        # Its first complaint is the reason, the others follow from it.
        said = self._complaints.read_text(encoding="utf-8", errors="replace").splitlines()
        first = next((line for line in said if "ALERT" in line), said[0] if said else "it said nothing")
        self._fail(f"haproxy ended ({say_ending(code)}): {first.strip()}")

    def _forget(self, child: Child) -> None:
        self._alive.discard(child)
        if not self._alive:
            self._gone.set()

    async def _close(self) -> None:
        """End what is left; returns when all of it has gone."""
        self._closing = True
        for child in self._alive:
            child.end()
        if self._alive:
            self._gone.clear()
            await self._gone.wait()
