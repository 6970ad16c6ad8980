"""What is done to all that the server knows, other than by an action?

Each method does its work at once and sends what follows from it. Whoever has several copies of the state calls
the same methods in the same order, with the same time on the clock.
"""

from typing import Any

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domains
from loadtest.targets.reference.faults import Fault
from loadtest.targets.reference.feed import Feeds, Page
from loadtest.targets.reference.rooms import USER_ROOM
from loadtest.targets.reference.sessions import Session

SWEEP_NS = 30 * SECOND


class State:
    def __init__(self, core: Core, domains: Domains) -> None:
        self._core = core
        self._domains = domains
        self._sweep_ns = 0

    def enter(self, session: Session) -> None:
        """A socket has authenticated, for the first time or again."""
        self._core.rooms.enter(USER_ROOM + session.user_id, session)
        self._domains.authenticated(session)

    def leave(self, session: Session) -> None:
        """A socket is gone that had authenticated."""
        self._core.rooms.drop(session.sid)
        self._domains.disconnected(session)

    def read(self, user: str, feeds: Feeds, cursor: str | None, limit: int) -> tuple[Page, int]:
        """`user` has asked for one of their feeds: a page of it, and the time. Raises Refusal CURSOR_*."""
        now_ns = self._core.clock.now_ns()
        self._domains.polled(user)
        return feeds.read(user, cursor, limit, now_ns), now_ns

    def look_up(self, user: str, conversation_id: str, after_seq: int, limit: int) -> dict[str, Any]:
        """`{items, lastSeq, hasMore}`. Raises Refusal FORBIDDEN."""
        log = self._core.conversations.of_member(conversation_id, user).log
        items, more = log.page(after_seq, limit)
        return {"items": items, "lastSeq": log.last_seq, "hasMore": more}

    def order(self, fault: Fault) -> None:
        """A fault that lasts begins, or all of them end (`none`)."""
        if fault.kind == "none":
            self._core.fanout.end_faults()
        else:
            self._core.faults.start(fault)

    def tick(self) -> None:
        """Time has passed: what has come due? And every 30 s: whom may we forget?"""
        now_ns = self._core.clock.now_ns()
        self._domains.tick(now_ns)
        if now_ns < self._sweep_ns:
            return
        self._sweep_ns = now_ns + SWEEP_NS
        for feeds in self._core.feeds:
            feeds.forget_silent(now_ns)
        self._core.windows.forget_idle(now_ns)
