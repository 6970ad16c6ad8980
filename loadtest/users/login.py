"""Who is a user, in the words of its contract, and how does it log in before it connects?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from loadtest.contract import Contract
from loadtest.contract.login import Login
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import Response
from loadtest.users.link import ActionFailed
from loadtest.users.requests import Requests, parsed

_SHOWN = 200
Identity = dict[str, object]


class Named(NamedTuple):
    """Which variables the templates of a contract name, worked out once for all its users.

    remembered: those that answers bring. early: those needed before a user is in its room.
    """

    remembered: frozenset[str]
    early: frozenset[str]

    @classmethod
    def of(cls, contract: Contract) -> Named:
        """Those of this contract."""
        return cls(contract.remembered, contract.early)

    def identity(self, place: Place, user: str, device: str, role: str, room: str | None) -> Identity:
        """The variables that are a user's from the beginning; what is captured later is null until then.

        They are copied for every message, so nothing is among them that no template names.
        """
        identity: Identity = dict.fromkeys(self.remembered)
        early: Identity = {"room": room or "", "host": place.host, "origin": place.base}
        identity |= {name: value for name, value in early.items() if name in self.early}
        return identity | {"user": user, "device": device, "role": role}

    def remember(self, identity: Identity, captured: Mapping[str, object]) -> None:
        """What an answer brought is the user's from here on."""
        identity.update({name: value for name, value in captured.items() if name in self.remembered})


def log_in(contract: Contract, identity: Identity, requests: Requests, timeout_s: float) -> None:
    """Go through the steps; what they capture is in ``identity`` from then on. Raises ConnectFailed.

    requests: made for this; their connections are closed in the end.
    """
    try:
        for number, step in enumerate(contract.login, 1):
            said = f"login step {number}, {step.method} {step.target(identity)}"
            try:
                response = requests.answer(step, identity, timeout_s)
            except ActionFailed as error:
                raise ConnectFailed(error.cause, f"{said}: {error.detail}") from None
            identity.update(_taken(step, response, said))
            requests.dress(identity)
    finally:
        requests.pool.close()


def _taken(step: Login, response: Response, said: str) -> dict[str, object]:
    answered = f"answered HTTP {response.status} {shown(response)}".rstrip()
    if not step.ok(response.status):
        raise ConnectFailed(Cause.CONNECT_ERROR, f"{said}: {answered}")
    taken = step.taken(parsed(response.body), response.headers)
    lacking = step.lacking(taken)
    if lacking:
        raise ConnectFailed(Cause.CONNECT_ERROR, f"{said}: {answered}, with {', '.join(lacking)}")
    return taken


def shown(response: Response) -> str:
    """The beginning of a body, in one line."""
    return " ".join(response.body[:_SHOWN].decode("utf-8", "replace").split())
