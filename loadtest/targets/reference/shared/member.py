"""How does one of several instances run: how does it join, and how does it part?"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.answers import answer, get
from loadtest.targets.reference.application import Application
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.gateway import Gateway
from loadtest.targets.reference.server import keep_house, run
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.shared import SharedStateError
from loadtest.targets.reference.shared.census import Census
from loadtest.targets.reference.shared.commands import Gone
from loadtest.targets.reference.shared.digest import digest
from loadtest.targets.reference.shared.footing import Footing, agree
from loadtest.targets.reference.shared.gateway import SharedGateway
from loadtest.targets.reference.shared.keys import Keys
from loadtest.targets.reference.shared.link import Link, connect
from loadtest.targets.reference.shared.logclock import LogClock
from loadtest.targets.reference.shared.machine import Machine
from loadtest.targets.reference.shared.pulse import Pulse
from loadtest.targets.reference.shared.stream import Stream
from loadtest.targets.reference.shared.way import Shared
from loadtest.targets.reference.ways import Way

PART_WITHIN_S = 1.0


def serve_shared(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """As `serve`, as one of the instances of a cluster; `ready` when it knows all that the others know. Raises
    SharedStateError."""
    member = Member(settings, agree(settings))
    run(member, settings, listener, ready, member.keep, member.part, member.stream.catch_up)


class Member(Application):
    """The application, with doors that lead through the log."""

    def __init__(self, settings: Settings, footing: Footing) -> None:
        self._footing = footing
        self._log_clock = LogClock(settings.clock_rate, footing.since_ns)
        super().__init__(settings, Core.on(settings, footing.boot, self._log_clock, copied=True))

    def _doors(self) -> tuple[Gateway, Way]:
        settings, keys = self._settings, Keys(self._settings.cluster)
        # A restarted instance is another one: what its predecessor had is gone.
        origin = f"{settings.instance}/{secrets.token_hex(4)}"
        uncounted = self.actions_counted_in(Counters())
        self.machine = Machine(self.core, self.state, origin, self.actions, uncounted)
        self._link, self._redis = Link(settings.redis_url), connect(settings.redis_url)
        self.stream = Stream(
            settings.redis_url, keys, origin, self._footing, self._log_clock, self._link, self.machine.apply
        )
        self._census = Census(self._redis, keys, self.stream, settings.instance)
        self._pulse = Pulse(
            self._redis,
            keys,
            settings.instance_timeout_s,
            self.stream,
            self.machine,
            self._census,
            self._link,
        )
        gateway = SharedGateway(self.core, self.actions, self.state, self.machine, self.stream)
        self.machine.digest = lambda: digest(self.machine.sessions, self.core, self.domains, self.state)
        self.machine.on_count, self.machine.on_dead = self._count, gateway.cut
        return gateway, Shared(self.stream, self._pulse, self._census)

    def _count(self, at: int, state: str) -> None:
        self._census.counted(at, state)
        self._pulse.beat_now()

    def _more_routes(self) -> list[Route]:
        return [get("/__digest", self._digests)] if self._settings.test_hooks else []

    async def _digests(self, _request: Request) -> Response:
        return answer(await self._census.digests())

    async def keep(self) -> None:
        """Reads, writes and beats until it is cancelled. Raises SharedStateError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.stream.read())
                tasks.create_task(self.stream.write())
                tasks.create_task(self._pulse.keep(self.own_stats.now))
                tasks.create_task(keep_house(self))
        except BaseExceptionGroup as failed:
            # One fault has one name: the others of the group were only cancelled.
            raise failed.exceptions[0] from None
        finally:
            await self.stream.close()
            await self._redis.aclose()

    async def part(self) -> None:
        """Ends every session, and tells the others."""
        self.machine.on_dead = lambda: None
        await self.gateway.close()
        self.stream.submit(Gone(self.stream.origin))
        with contextlib.suppress(SharedStateError):
            await self.stream.flush(PART_WITHIN_S)
        await self._pulse.resign()
