"""What do both doors share? The store, the way out, and what watches or disturbs them."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from loadtest.targets.reference.clock import MS, SECOND, Clock
from loadtest.targets.reference.conversations import Conversations
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.fanout import Delivery, Fanout
from loadtest.targets.reference.faults import Faults
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.presence import Presence
from loadtest.targets.reference.ratelimit import Windows
from loadtest.targets.reference.rooms import Rooms
from loadtest.targets.reference.sessions import Session
from loadtest.targets.reference.settings import RATE_WINDOW_MS, Settings
from loadtest.targets.reference.tokens import Tokens


def after_this_turn(then: Callable[[], None]) -> None:
    """The loop does it when everything is done that it is at."""
    asyncio.get_running_loop().call_soon(then)


def at_once(then: Callable[[], None]) -> None:
    """Whoever has copies of the state does the same thing in the same order."""
    then()


@dataclass(frozen=True)
class Core:
    """One of each. `boot` names this start of the server: ids and cursors of two starts never meet. `soon`
    does what must not come before the answer to a CONNECT."""

    settings: Settings
    boot: str
    clock: Clock
    soon: Callable[[Callable[[], None]], None]
    tokens: Tokens
    windows: Windows
    conversations: Conversations
    rooms: Rooms[Session]
    presence: Presence
    message_feeds: Feeds
    call_feeds: Feeds
    chat_feeds: Feeds
    faults: Faults[Delivery]
    counters: Counters
    fanout: Fanout

    @property
    def feeds(self) -> tuple[Feeds, ...]:
        return self.message_feeds, self.call_feeds, self.chat_feeds

    @staticmethod
    def build(settings: Settings) -> "Core":
        """The state of a server that stands alone."""
        return Core.on(settings, secrets.token_hex(4), Clock(settings.clock_rate))

    @staticmethod
    def on(settings: Settings, boot: str, clock: Clock, *, copied: bool = False) -> "Core":
        """The same, with the name of its start and its time given. `copied`: others have copies that must stay
        equal, so nothing may depend on a timer of this process."""
        counters, rooms, faults = Counters(), Rooms[Session](), Faults[Delivery]()
        message_feeds = Feeds(boot, "m")
        return Core(
            settings=settings,
            boot=boot,
            clock=clock,
            soon=at_once if copied else after_this_turn,
            tokens=Tokens(settings.token_secret),
            windows=Windows(settings.rate_limit, RATE_WINDOW_MS * MS),
            conversations=Conversations(),
            rooms=rooms,
            presence=Presence(int(settings.presence_grace_s * SECOND)),
            message_feeds=message_feeds,
            call_feeds=Feeds(boot, "c"),
            chat_feeds=Feeds(boot, "l"),
            faults=faults,
            counters=counters,
            fanout=Fanout(rooms, message_feeds, faults, counters, clock, timers=not copied),
        )
