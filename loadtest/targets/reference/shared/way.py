"""How does a request reach the state that several instances share? Through the log, and so do all reads: whoever
was answered by one instance finds what was done at every other."""

import hashlib
from collections.abc import Callable
from typing import Any

from loadtest.targets.reference.actions import Charge
from loadtest.targets.reference.faults import Fault
from loadtest.targets.reference.feed import Feeds, Page
from loadtest.targets.reference.sessions import Asker
from loadtest.targets.reference.shared.census import Census
from loadtest.targets.reference.shared.commands import Ask, LookUp, Order, Read, Tick, pack
from loadtest.targets.reference.shared.outcome import Outcome
from loadtest.targets.reference.shared.pulse import Pulse
from loadtest.targets.reference.shared.stream import Stream
from loadtest.targets.reference.ways import Answer


class Shared:
    """As `Way` describes it. Every method raises INTERNAL where Redis cannot be reached in time."""

    def __init__(self, stream: Stream, pulse: Pulse, census: Census) -> None:
        self._stream = stream
        self._pulse = pulse
        self._census = census
        self._ticking = False

    async def act(self, asker: Asker, name: str, payload: object, scope: frozenset[Charge]) -> Answer:
        key = hashlib.blake2b(asker.token.encode(), digest_size=12).hexdigest()
        ask = Ask(asker.user_id, asker.role, key, name, pack(payload), not scope)
        answer: Answer = await self._stream.ask(ask)
        return answer

    async def read(self, user: str, feeds: Feeds, cursor: str | None, limit: int) -> tuple[Page, int]:
        page: tuple[Page, int] = await self._stream.ask(Read(user, feeds.letter, cursor, limit))
        return page

    async def look_up(self, user: str, conversation_id: str, after_seq: int, limit: int) -> dict[str, Any]:
        found: dict[str, Any] = await self._stream.ask(LookUp(user, conversation_id, after_seq, limit))
        return found

    async def order(self, fault: Fault) -> None:
        await self._stream.ask(Order(fault))

    async def stats(self, own: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return await self._census.stats(own)

    def tick(self) -> None:
        self._stream.give_up()
        # One at a time: while Redis is away they must not pile up.
        if self._pulse.leads and not self._ticking:
            self._ticking = True
            self._stream.submit(Tick(), self._ticked)

    def _ticked(self, _outcome: Outcome) -> None:
        self._ticking = False
