"""What do both doors share? The store, the way out, and what watches or disturbs them."""

import secrets
from dataclasses import dataclass

from loadtest.targets.reference.clock import Clock
from loadtest.targets.reference.conversations import Conversations
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.fanout import Delivery, Fanout
from loadtest.targets.reference.faults import Faults
from loadtest.targets.reference.feed import Feeds
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
    feeds: Feeds
    faults: Faults[Delivery]
    counters: Counters
    fanout: Fanout

    @staticmethod
    def build(settings: Settings) -> "Core":
        boot = secrets.token_hex(4)
        clock, counters = Clock(), Counters()
        rooms, feeds, faults = Rooms[Session](), Feeds(boot), Faults[Delivery]()
        return Core(
            settings=settings,
            boot=boot,
            clock=clock,
            tokens=Tokens(settings.token_secret),
            conversations=Conversations(),
            rooms=rooms,
            feeds=feeds,
            faults=faults,
            counters=counters,
            fanout=Fanout(rooms, feeds, faults, counters, clock),
        )
