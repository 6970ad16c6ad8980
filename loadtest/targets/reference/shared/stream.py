"""How do the commands of several instances get into one order, whatever Redis does meanwhile?

Commands go out in batches, one batch at a time. What Redis has not confirmed is sent again, and everybody passes
over a command whose number they have seen: each is carried out once, in the order in which its origin gave it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.shared import SharedStateError
from loadtest.targets.reference.shared.commands import Command, Entry, decode, encode
from loadtest.targets.reference.shared.footing import Footing, first_of
from loadtest.targets.reference.shared.keys import Keys
from loadtest.targets.reference.shared.link import AWAY, Link, connect
from loadtest.targets.reference.shared.logclock import LogClock
from loadtest.targets.reference.shared.outcome import Outcome

PATIENCE_NS = 5 * SECOND
BLOCK_MS = 1_000
# Longer than a read may take while Redis is well, so that a dead connection is found.
SILENCE_S = 5.0
RETRY_S = 0.1
PAGE = 200
BATCH = 500
FIELD = b"e"
Then = Callable[[Outcome], None]
Apply = Callable[[Command, str], Outcome]
log = logging.getLogger("loadtest.reference")


class _Waiting(msgspec.Struct):
    """A command of ours that has not come back in the log. Without `then` nobody waits for it, and it must get
    there however long that takes."""

    command: Command
    then: Then | None
    since_ns: int


class Stream:
    """`origin` names this start of this instance; `apply` carries a command out, of whichever instance."""

    def __init__(
        self, url: str, keys: Keys, origin: str, footing: Footing, clock: LogClock, link: Link, apply: Apply
    ):
        self.origin = origin
        self._url = url
        self._key = keys.log
        self._footing = msgspec.msgpack.encode(footing)
        self._clock = clock
        self._link = link
        self._apply = apply
        self._reader = connect(url)
        self._writer = connect(url)
        self._read_up_to: bytes | str = "0-0"
        # The number of the newest command of each origin that was carried out.
        self._seen: dict[str, int] = {}
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: deque[int] = deque()
        self._news = asyncio.Event()
        self._all_done = asyncio.Event()

    # -- what this instance has to say

    def submit(self, command: Command, then: Then | None = None) -> None:
        """Writes `command`; `then` hears what came of it, a refusal INTERNAL if that takes too long."""
        self._number += 1
        self._waiting[self._number] = _Waiting(command, then, time.monotonic_ns())
        self._unsent.append(self._number)
        self._news.set()

    async def ask(self, command: Command) -> Any:
        """The answer to `command`. Raises Refusal."""
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answer(outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result(outcome)

        self.submit(command, answer)
        return (await answered)()

    def give_up(self) -> None:
        """Answers those who have waited for too long; to be called often."""
        now_ns = time.monotonic_ns()
        late = []
        for number, waiting in self._waiting.items():
            if now_ns - waiting.since_ns < PATIENCE_NS:
                break
            if waiting.then is not None:
                late.append(number)
        for number in late:
            self._tell(
                self._waiting.pop(number),
                Outcome(failure=Refusal("INTERNAL", "the shared state (Redis) cannot be reached")),
            )

    async def flush(self, within_s: float) -> None:
        """Returns when everything has been carried out, or later than that."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting:
                    self._all_done.clear()
                    await self._all_done.wait()
        except TimeoutError:
            pass

    async def write(self) -> None:
        """Sends what is submitted, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while numbers := self._batch():
                try:
                    await self._send(numbers)
                except AWAY as away:
                    self._link.lose(away)
                    await asyncio.sleep(RETRY_S)

    def _batch(self) -> list[int]:
        # Whom we have told that it failed is not to be surprised.
        while self._unsent and self._unsent[0] not in self._waiting:
            self._unsent.popleft()
        return [number for number in islice(self._unsent, BATCH) if number in self._waiting]

    async def _send(self, numbers: list[int]) -> None:
        commands = [(number, self._waiting[number].command) for number in numbers]
        entry = encode(Entry(self.origin, self._clock.now_ns(), commands))
        async with asyncio.timeout(SILENCE_S):
            await self._writer.xadd(self._key, {FIELD: entry})
        while self._unsent and self._unsent[0] <= numbers[-1]:
            self._unsent.popleft()

    # -- what all of them say

    async def catch_up(self) -> None:
        """Carries out what was written until now. Raises SharedStateError."""
        try:
            while await self._read(None):
                pass
        except AWAY as away:
            raise SharedStateError(f"Redis was lost at the start: {away}") from away

    async def read(self) -> None:
        """Carries out what is written, for ever. Raises SharedStateError if the log is lost."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    if self._link.lost:
                        await self._check()
                    found = await self._fetch(BLOCK_MS)
            except AWAY as away:
                self._link.lose(away)
                await asyncio.sleep(RETRY_S)
                continue
            self._link.regain()
            self._carry_out(found)
            if len(found) == PAGE:
                await asyncio.sleep(0)

    async def close(self) -> None:
        await self._reader.aclose()
        await self._writer.aclose()

    async def _read(self, block_ms: int | None) -> int:
        found = await self._fetch(block_ms)
        self._carry_out(found)
        return len(found)

    async def _fetch(self, block_ms: int | None) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: Any = await self._reader.xread({self._key: self._read_up_to}, count=PAGE, block=block_ms)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = found[0][1] if found else []
        return entries

    async def _check(self) -> None:
        """Is it still the log that we know? A Redis that was started anew has forgotten it."""
        found: Any = await self._reader.xrange(self._key, count=1)
        if first_of(found) != self._footing:
            raise SharedStateError(
                f"Redis has come back without the log {self._key}, and with it went what the instances share: "
                "start them anew"
            )

    def _carry_out(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for entry_id, fields in entries:
            self._read_up_to = entry_id
            if FIELD in fields:
                self._take(fields[FIELD])

    def _take(self, encoded: bytes) -> None:
        try:
            entry = decode(encoded)
        except msgspec.MsgspecError as bad:
            raise SharedStateError(f"{self._key} holds what this version does not know: {bad}") from bad
        self._clock.enter(entry.at_ns)
        try:
            for number, command in entry.commands:
                if number <= self._seen.get(entry.origin, 0):
                    continue
                self._seen[entry.origin] = number
                outcome = self._apply(command, entry.origin)
                if entry.origin == self.origin and (waiting := self._waiting.pop(number, None)) is not None:
                    self._tell(waiting, outcome)
        finally:
            self._clock.leave()
        if not self._waiting:
            self._all_done.set()

    def _tell(self, waiting: _Waiting, outcome: Outcome) -> None:
        if waiting.then is None:
            return
        try:
            waiting.then(outcome)
        except Exception:
            log.exception("an answer failed")
