"""What can be asked of the server, and what does it cost the asker?

One table of actions for both doors. Each domain brings its rows; the doors know only `perform`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from loadtest.targets.reference.clock import MS, Clock
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor
from loadtest.targets.reference.settings import RATE_WINDOW_MS

Charge = Literal["message", "event", "free"]
SOCKET_SCOPES: dict[str, frozenset[Charge]] = {
    "messages": frozenset({"message"}),
    "all": frozenset({"message", "event"}),
}
HTTP_SCOPE: frozenset[Charge] = frozenset({"message", "event"})
HTTP_READS: frozenset[Charge] = frozenset()


class Action(msgspec.Struct, frozen=True):
    """`run` returns the ack, or None for an event that has none; an ack with a true `duplicate` says that
    nothing was done again. `charge` says which rate limits count it."""

    name: str
    run: Callable[[Actor, object], dict[str, Any] | None]
    charge: Charge


def calibration_actions(clock: Clock) -> list[Action]:
    def echo(_actor: Actor, payload: object) -> dict[str, Any]:
        fields = payload if isinstance(payload, dict) else {"data": payload}
        return {**fields, "serverTime": clock.now_ns() // MS}

    return [Action("echo", echo, "free")]


class Actions:
    def __init__(self, actions: Iterable[Action], counters: Counters, clock: Clock) -> None:
        self._actions = {action.name: action for action in actions}
        self._counters = counters
        self._clock = clock

    def __contains__(self, name: object) -> bool:
        return name in self._actions

    def perform(
        self, name: str, actor: Actor, payload: object, scope: frozenset[Charge]
    ) -> dict[str, Any] | None:
        """Carries an action out within the asker's rate limit. Raises Refusal; what is refused costs
        nothing."""
        action = self._actions[name]
        self._counters.received[name] += 1
        charged = action.charge in scope
        if charged:
            self._check_limit(actor)
        answer = action.run(actor, payload)
        if answer is None or not answer.get("duplicate"):
            self._counters.accepted[name] += 1
            if charged:
                actor.window.accept(self._clock.now_ns())
        return answer

    def _check_limit(self, actor: Actor) -> None:
        wait_ns = actor.window.wait_ns(self._clock.now_ns())
        if not wait_ns:
            return
        self._counters.rate_limited += 1
        limit = actor.window.limit
        raise Refusal(
            "RATE_LIMITED",
            f"{limit} per {RATE_WINDOW_MS // 1000} s are allowed",
            detail={"limit": limit, "windowMs": RATE_WINDOW_MS, "retryAfterMs": -(-wait_ns // MS)},
        )
