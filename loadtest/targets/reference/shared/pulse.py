"""Who is alive, who has died, and who of the living lets time pass?

Each instance renews a sign of life. One of them holds a lease: it writes the passing of time into the log, and
the death of those who give no sign.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from loadtest.targets.reference.shared.census import Census
from loadtest.targets.reference.shared.commands import Gone
from loadtest.targets.reference.shared.footing import KEPT_S
from loadtest.targets.reference.shared.keys import Keys
from loadtest.targets.reference.shared.link import AWAY, Link
from loadtest.targets.reference.shared.machine import Machine
from loadtest.targets.reference.shared.stream import Stream

ANSWER_WITHIN_S = 2.0
BEATS_IN_A_LIFE = 4
# A sign may be missing because Redis was away for a while, and forgot all of them at once.
MISSED_BEATS = 3


class Pulse:
    """`leads` is true while this instance holds the lease. `ttl_s`: seconds that a sign of life holds."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        ttl_s: float,
        stream: Stream,
        machine: Machine,
        census: Census,
        link: Link,
    ) -> None:
        self.leads = False
        self._redis = redis
        self._keys = keys
        self._ttl_ms = int(ttl_s * 1000)
        self._every_s = ttl_s / BEATS_IN_A_LIFE
        self._stream = stream
        self._machine = machine
        self._census = census
        self._link = link
        self._missing_since: dict[str, float] = {}
        self._asked = asyncio.Event()

    def beat_now(self) -> None:
        self._asked.set()

    async def keep(self, own: Callable[[], dict[str, Any]]) -> None:
        """Beats, for ever; `own` says what this process has counted."""
        last_s = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._beat(self._census.own(own()))
            except AWAY as away:
                self.leads = False
                self._missing_since.clear()
                self._link.lose(away)
            now_s = time.monotonic()
            if now_s - last_s > 2 * self._every_s:
                # This process was away itself, and missed what the others said meanwhile.
                self._missing_since.clear()
            last_s = now_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._asked.wait()
            self._asked.clear()

    async def resign(self) -> None:
        """This instance ends: nobody need wait for its sign of life or its lease."""
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                ending = [self._keys.alive(self._stream.origin), *([self._keys.lease] if self.leads else [])]
                await self._redis.delete(*ending)

    async def _beat(self, written: bytes) -> None:
        origin = self._stream.origin
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(self._keys.alive(origin), 1, px=self._ttl_ms)
        pipe.hset(self._keys.instances, origin, written)
        for key in (self._keys.log, self._keys.instances):
            pipe.expire(key, KEPT_S)
        pipe.set(self._keys.lease, origin, nx=True, px=self._ttl_ms)
        pipe.get(self._keys.lease)
        holder = (await pipe.execute())[-1]
        self.leads = holder == origin.encode()
        if self.leads:
            await self._redis.pexpire(self._keys.lease, self._ttl_ms)
            await self._look_for_the_dead()
        else:
            self._missing_since.clear()

    async def _look_for_the_dead(self) -> None:
        others = [one for one in self._machine.origins() if one != self._stream.origin]
        signs = await self._redis.mget([self._keys.alive(one) for one in others]) if others else []
        now_s = time.monotonic()
        for origin, sign in zip(others, signs, strict=True):
            if sign is not None:
                self._missing_since.pop(origin, None)
            elif now_s - self._missing_since.setdefault(origin, now_s) >= MISSED_BEATS * self._every_s:
                del self._missing_since[origin]
                self._stream.submit(Gone(origin))
