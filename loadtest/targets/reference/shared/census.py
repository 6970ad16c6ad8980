"""What have all instances counted together?

Each writes down what it says of itself, with every beat and whenever somebody asks. Who asks does it through the
log: everybody answers as of the same command, so the sum is that of one server.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.shared.commands import Count
from loadtest.targets.reference.shared.keys import Keys
from loadtest.targets.reference.shared.link import AWAY
from loadtest.targets.reference.shared.stream import Stream

# Whoever looks wants to know now, and one that has just died never answers.
ANSWERS_WITHIN_S = 1.0
LOOK_AGAIN_S = 0.005
COUNTS = ("received", "emitted", "accepted")
SUMS = ("sockets", "rateLimited", "cpuSeconds", "rssBytes")
TOLD = ("instance", "pid", *COUNTS, *SUMS, "loopLagMsP99")
# What a process has, and not what it has done, ends with it.
NOTHING_LEFT = {"sockets": 0, "rssBytes": 0, "loopLagMsP99": 0, "gone": True}
Stats = dict[str, Any]


class Report(msgspec.Struct):
    """What one instance has written of itself, as of the command `at`. `digest` is of the copy it had then, if one
    was asked for, or earlier: as of the command that stands beside it."""

    at: int
    digest: tuple[int, str]
    stats: Stats
    alive: bool = True


class Census:
    def __init__(self, redis: Redis, keys: Keys, stream: Stream, instance: str) -> None:
        self._redis = redis
        self._keys = keys
        self._stream = stream
        self._instance = instance
        self._at = 0
        self._digest = (0, "")
        self._others: list[Report] = []

    def counted(self, at: int, digest: str) -> None:
        """Everybody is asked, as of the command `at`."""
        self._at = at
        if digest:
            self._digest = at, digest

    def own(self, stats: Stats) -> bytes:
        """What this instance writes down."""
        return msgspec.json.encode(Report(self._at, self._digest, self._listed(stats)))

    async def stats(self, own: Callable[[], Stats]) -> Stats:
        """What `own` says of this process, and the others of theirs; the last that is known of those who do not
        answer."""
        try:
            await self._ask(digest=False)
        except (*AWAY, Refusal):
            pass
        mine = own()
        rows = [self._listed(mine), *map(_row, self._others)]
        return {**mine, **together(rows), "instances": sorted(rows, key=lambda row: str(row["instance"]))}

    async def digests(self) -> dict[str, Any]:
        """`{id, digests}`: those of all copies as of the same command, by the name of the instance."""
        at = await self._ask(digest=True)
        told = {report.stats["instance"]: report.digest for report in self._others if report.alive}
        told[self._instance] = self._digest
        return {"id": at, "digests": {name: digest for name, (as_of, digest) in told.items() if as_of == at}}

    async def _ask(self, *, digest: bool) -> int:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            at: int = await self._stream.ask(Count(digest))
            while True:
                self._others = await self._read()
                if all(report.at >= at for report in self._others if report.alive):
                    return at
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _read(self) -> list[Report]:
        written: Any = await self._redis.hgetall(self._keys.instances)
        origins = sorted(origin.decode() for origin in written if origin.decode() != self._stream.origin)
        signs = await self._redis.mget([self._keys.alive(one) for one in origins]) if origins else []
        reports = [msgspec.json.decode(written[origin.encode()], type=Report) for origin in origins]
        for report, sign in zip(reports, signs, strict=True):
            report.alive = sign is not None
        return reports

    def _listed(self, stats: Stats) -> Stats:
        told = {**stats, "instance": self._instance}
        return {name: told[name] for name in TOLD}


def together(rows: list[Stats]) -> Stats:
    """What the first of `rows` is called, and what all of them come to: counts, processor seconds and bytes are
    added up, the loop that lags most speaks for all."""
    return {
        "instance": rows[0]["instance"],
        **{name: _merged(row[name] for row in rows) for name in COUNTS},
        **{name: sum(row[name] for row in rows) for name in SUMS},
        "loopLagMsP99": max(row["loopLagMsP99"] for row in rows),
    }


def _row(report: Report) -> Stats:
    return report.stats if report.alive else report.stats | NOTHING_LEFT


def _merged(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total
