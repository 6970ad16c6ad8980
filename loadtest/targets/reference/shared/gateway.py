"""What does a Socket.IO client get to see whose server is one of several?

The same as from a single one: its events are carried out when they come back in the log, in their order.
"""

import logging
from typing import Any

from loadtest.targets.reference.actions import Actions
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.engine import EngineSocket, Outgoing
from loadtest.targets.reference.gateway import Gateway
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Connection
from loadtest.targets.reference.shared.commands import Command, Do, Enter, Leave, pack
from loadtest.targets.reference.shared.machine import Machine
from loadtest.targets.reference.shared.outcome import Outcome
from loadtest.targets.reference.shared.stream import Stream
from loadtest.targets.reference.state import State

# What neither changes nor asks for anything that is shared.
ALONE = frozenset({"echo"})
log = logging.getLogger("loadtest.reference")


class Gate:
    """Holds back what a socket would hear before it has been answered that it may come in."""

    def __init__(self, engine: EngineSocket) -> None:
        self._engine = engine
        self._held: list[Outgoing] = []

    def push(self, outgoing: Outgoing) -> bool:
        if self._engine.closed:
            return False
        self._held.append(outgoing)
        return True

    def open(self) -> None:
        for outgoing in self._held:
            self._engine.push(outgoing)


class SharedGateway(Gateway):
    """A connection has its user from the moment it shows its token, the session in `machine` from the moment
    that comes back in the log: requests in between are already on their way behind it."""

    def __init__(self, core: Core, actions: Actions, state: State, machine: Machine, stream: Stream) -> None:
        super().__init__(core, actions, state)
        self._machine = machine
        self._stream = stream
        self._instance = core.settings.instance
        self._gates: dict[str, Gate] = {}

    def cut(self) -> None:
        """The others took us for dead, and our users for gone: they shall come in again."""
        log.warning("the other instances took %s for dead: its sockets are cut", self._instance)
        for session in list(self.sessions.values()):
            session.engine.abort()

    # -- coming and going

    async def _let_in(self, session: Connection, given: object) -> dict[str, Any]:
        self._identify(session, given)
        try:
            await self._stream.ask(self._entering(session))
        except Refusal:
            self._leave(session)
            raise
        if session.engine.closed:
            self._leave(session)
            raise Refusal("INTERNAL", "the connection is gone")
        return self._hello(session)

    def _greet(self, session: Connection, hello: dict[str, Any]) -> None:
        super()._greet(session, hello)
        self._open_gate(session)

    def _leave(self, session: Connection) -> None:
        self._machine.receivers.pop(session.sid, None)
        self._gates.pop(session.sid, None)
        self._stream.submit(Leave(session.sid))

    def _hello(self, session: Connection) -> dict[str, Any]:
        return {**super()._hello(session), "instance": self._instance}

    def _entering(self, session: Connection) -> Command:
        gate = Gate(session.engine)
        self._gates[session.sid] = self._machine.receivers[session.sid] = gate
        return Enter(session.sid, session.user_id, session.role, session.device_id)

    def _open_gate(self, session: Connection) -> None:
        gate = self._gates.pop(session.sid, None)
        if gate is None:
            return
        self._machine.receivers.pop(session.sid, None)
        gate.open()
        entered = self._machine.sessions.get(session.sid)
        if entered is not None:
            entered.engine = session.engine

    # -- events

    def _on_event(self, sid: str, ack_id: int | None, data: list[Any]) -> None:
        session = self.sessions.get(sid)
        if session is None:
            return
        name, payload = data[0], data[1] if len(data) > 1 else None
        if name == "authenticate":
            self._authenticate_in_order(session, ack_id, payload)
        elif session.authenticated and name in self._actions and name not in ALONE:
            self._do(session, ack_id, name, payload)
        else:
            self._conclude(session, ack_id, name, payload, self._perform)

    def _do(self, session: Connection, ack_id: int | None, name: str, payload: object) -> None:
        try:
            command = Do(session.sid, name, pack(payload))
        except Exception as bad:  # nothing that a peer sends may end its reader
            self._conclude(session, ack_id, name, payload, Outcome(failure=bad))
            return
        self._stream.submit(command, lambda outcome: self._conclude(session, ack_id, name, payload, outcome))

    def _authenticate_in_order(self, session: Connection, ack_id: int | None, payload: object) -> None:
        self._counters.received["authenticate"] += 1
        before = session.user_id
        try:
            self._identify(session, payload)
        except Refusal as no:
            self._conclude(session, ack_id, "authenticate", payload, Outcome(failure=no))
            return

        def entered(outcome: Outcome) -> None:
            def say_hello(*_told: object) -> dict[str, Any]:
                try:
                    outcome()
                except Refusal:
                    if not before:
                        self._leave(session)
                        session.user_id = ""
                    raise
                hello = self._hello(session)
                self._counters.accepted["authenticate"] += 1
                self._fanout.to_session(session, "authenticated", hello)
                return hello

            self._conclude(session, ack_id, "authenticate", payload, say_hello)
            self._open_gate(session)

        self._stream.submit(self._entering(session), entered)
