"""What does one command of the log do to this instance's copy of the state?

The same as to everybody else's: nothing in here depends on which instance it is, but who counts a request, and
which sockets have somebody at the other end.
"""

import logging
from collections.abc import Callable, Collection
from typing import Any

from loadtest.targets.reference.actions import HTTP_READS, HTTP_SCOPE, SOCKET_SCOPES, Actions
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor, Receiver, Session
from loadtest.targets.reference.shared.commands import (
    Ask,
    Command,
    Count,
    Do,
    Enter,
    Gone,
    Leave,
    LookUp,
    Order,
    Read,
    Tick,
    unpack,
)
from loadtest.targets.reference.shared.outcome import Outcome
from loadtest.targets.reference.state import State

log = logging.getLogger("loadtest.reference")


class Nowhere:
    """The other end of a socket that another instance has."""

    def push(self, _outgoing: Outgoing) -> bool:
        return False


NOWHERE = Nowhere()


class Machine:
    """`own` and `others` are the same actions, counted and not counted.

    `receivers` are the other ends of the sockets of this instance that are about to enter. `on_count` hears how
    many commands were carried out up to a Count, `on_dead` that the others take this instance for dead.
    """

    def __init__(self, core: Core, state: State, origin: str, own: Actions, others: Actions) -> None:
        self.sessions: dict[str, Session] = {}
        self.receivers: dict[str, Receiver] = {}
        self.applied = 0
        self.digest: Callable[[], str] = lambda: ""
        self.on_count: Callable[[int, str], None] = lambda _applied, _digest: None
        self.on_dead: Callable[[], None] = lambda: None
        self._core = core
        self._state = state
        self._origin = origin
        self._own = own
        self._others = others
        self._actions = own
        self._feeds = {feeds.letter: feeds for feeds in core.feeds}
        self._scope = SOCKET_SCOPES[core.settings.rate_limit_scope]
        self._sids_of: dict[str, dict[str, None]] = {}

    def origins(self) -> Collection[str]:
        """The instances that have sockets."""
        return self._sids_of.keys()

    def apply(self, command: Command, origin: str) -> Outcome:
        mine = origin == self._origin
        self.applied += 1
        self._actions = self._own if mine else self._others
        self._core.fanout.counts_feeds = mine
        try:
            self._core.fanout.pass_time()
            return Outcome(self._run(command, origin))
        except Refusal as no:
            return Outcome(failure=no)
        except Exception:
            log.exception("%s failed", command)
            return Outcome(failure=Refusal("INTERNAL", "the server failed; its log says why"))

    def _run(self, command: Command, origin: str) -> Any:
        match command:
            case Do():
                return self._do(command)
            case Ask():
                actor = Actor(command.user, command.role, self._core.windows.of(command.key))
                scope = HTTP_READS if command.free else HTTP_SCOPE
                return self._actions.perform(command.name, actor, unpack(command.payload), scope)
            case Read():
                feeds = self._feeds[command.letter]
                return self._state.read(command.user, feeds, command.cursor, command.limit)
            case LookUp():
                return self._state.look_up(
                    command.user, command.conversation, command.after_seq, command.limit
                )
            case Enter():
                self._enter(command, origin)
            case Leave():
                self._leave(command.sid, origin)
            case Tick():
                self._state.tick()
            case Order():
                self._state.order(command.fault)
            case Gone():
                self._bury(command.origin)
            case Count():
                self.on_count(self.applied, self.digest() if command.digest else "")
                return self.applied
        return None

    def _do(self, command: Do) -> dict[str, Any] | None:
        session = self.sessions.get(command.sid)
        if session is None:
            raise Refusal("NOT_AUTHENTICATED", "the other instances took this socket for dead")
        actor = Actor(session.user_id, session.role, session.window, session)
        return self._actions.perform(command.name, actor, unpack(command.payload), self._scope)

    def _enter(self, command: Enter, origin: str) -> None:
        session = self.sessions.get(command.sid)
        if session is None:
            session = Session(command.sid, NOWHERE, self._core.windows.new())
            self.sessions[command.sid] = session
            self._sids_of.setdefault(origin, {})[command.sid] = None
        session.engine = self.receivers.get(command.sid, session.engine)
        session.user_id, session.role = command.user, command.role
        session.device_id = command.device
        self._state.enter(session)

    def _leave(self, sid: str, origin: str) -> None:
        session = self.sessions.pop(sid, None)
        if session is None:
            return
        sids = self._sids_of[origin]
        del sids[sid]
        if not sids:
            del self._sids_of[origin]
        self._state.leave(session)

    def _bury(self, origin: str) -> None:
        for sid in list(self._sids_of.get(origin, ())):
            self._leave(sid, origin)
        if origin == self._origin:
            self.on_dead()
