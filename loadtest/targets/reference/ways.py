"""How does a request reach the state: in this process at once, or in the order that several instances agree on?

`Local` is the server that stands alone. `shared/way.py` is the other one.
"""

from collections.abc import Callable
from typing import Any, Protocol

from loadtest.targets.reference.actions import Actions, Charge
from loadtest.targets.reference.faults import Fault
from loadtest.targets.reference.feed import Feeds, Page
from loadtest.targets.reference.ratelimit import Windows
from loadtest.targets.reference.sessions import Actor, Asker
from loadtest.targets.reference.state import State

Answer = dict[str, Any] | None


class Way(Protocol):
    """What the HTTP door asks for. All but `tick` raise Refusal."""

    async def act(self, asker: Asker, name: str, payload: object, scope: frozenset[Charge]) -> Answer:
        """Carries out an action."""

    async def read(self, user: str, feeds: Feeds, cursor: str | None, limit: int) -> tuple[Page, int]:
        """As State.read."""

    async def look_up(self, user: str, conversation_id: str, after_seq: int, limit: int) -> dict[str, Any]:
        """As State.look_up."""

    async def order(self, fault: Fault) -> None:
        """As State.order."""

    async def stats(self, own: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What /__stats answers; `own` says it of this process."""

    def tick(self) -> None:
        """Every 50 ms."""


class Local:
    """Nothing in here waits, so whatever a request leads to is done before the next one is looked at."""

    def __init__(self, state: State, actions: Actions, windows: Windows) -> None:
        self._state = state
        self._actions = actions
        self._windows = windows
        self.tick = state.tick

    async def act(self, asker: Asker, name: str, payload: object, scope: frozenset[Charge]) -> Answer:
        actor = Actor(asker.user_id, asker.role, self._windows.of(asker.token))
        return self._actions.perform(name, actor, payload, scope)

    async def read(self, user: str, feeds: Feeds, cursor: str | None, limit: int) -> tuple[Page, int]:
        return self._state.read(user, feeds, cursor, limit)

    async def look_up(self, user: str, conversation_id: str, after_seq: int, limit: int) -> dict[str, Any]:
        return self._state.look_up(user, conversation_id, after_seq, limit)

    async def order(self, fault: Fault) -> None:
        self._state.order(fault)

    async def stats(self, own: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return own()
