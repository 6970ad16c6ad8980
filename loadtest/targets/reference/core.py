"""What do both doors share? The store, the way out, and what watches or disturbs them."""

import secrets
from dataclasses import dataclass

from loadtest.targets.reference.clock import SECOND, Clock
from loadtest.targets.reference.conversations import Conversations
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.fanout import Delivery, Fanout
from loadtest.targets.reference.faults import Faults
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.presence import Presence
from loadtest.targets.reference.rooms import Rooms
from loadtest.targets.reference.sessions import Session
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.tokens import Tokens


@dataclass(frozen=True)
class Core:
    """One of each. `boot` names this start of the server: ids and cursors of two starts never meet."""

    settings: Settings
    boot: str
    clock: Clock
    tokens: Tokens
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
        boot = secrets.token_hex(4)
        clock, counters = Clock(settings.clock_rate), Counters()
        rooms, faults = Rooms[Session](), Faults[Delivery]()
        message_feeds = Feeds(boot, "m")
        return Core(
            settings=settings,
            boot=boot,
            clock=clock,
            tokens=Tokens(settings.token_secret),
            conversations=Conversations(),
            rooms=rooms,
            presence=Presence(int(settings.presence_grace_s * SECOND)),
            message_feeds=message_feeds,
            call_feeds=Feeds(boot, "c"),
            chat_feeds=Feeds(boot, "l"),
            faults=faults,
            counters=counters,
            fanout=Fanout(rooms, message_feeds, faults, counters, clock),
        )
