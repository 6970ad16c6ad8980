"""Does a run make sense: this scenario by this contract, so many users here, and a server that lets them in?

The target is looked at where the users will be.
"""

from __future__ import annotations

from typing import Any

from loadtest.contract import Contract, Need
from loadtest.measure.operations import Operation
from loadtest.users import limits
from loadtest.users.connection import Place
from loadtest.users.options import Settings
from loadtest.users.staging import most_users
from loadtest.users.target import Refused, Target, examine, locate, may_load
from loadtest.users.user import RealtimeUser

_OPERATORS_ARE_ONE_IN = 10


def kinds_of(environment: Any) -> list[type[RealtimeUser]]:
    """The classes of users that are ours."""
    return [one for one in environment.user_classes if issubclass(one, RealtimeUser)]


def find(settings: Settings, contract: Contract) -> Place:
    """Where the target is, if we may put load on it. Raises Refused."""
    place = locate(settings.host, verify=not settings.insecure)
    may_load(place, settings, contract.signs)
    return place


def look(
    environment: Any, settings: Settings, contract: Contract, place: Place, users: int, processes: int
) -> Target:
    """What is there, and whether so many users have sockets enough here. Raises Refused.

    users, processes: of all that share the local ports.
    """
    limits.check(users, processes, settings.transport, settings.devices, place, settings.client)
    ladders = [one.ways(settings.transport) for one in kinds_of(environment)]
    return examine(place, settings, contract, ladders)


def check_scenario(environment: Any, settings: Settings, contract: Contract) -> None:
    """What the users of this scenario need of the contract and of the flags. Raises Refused."""
    kinds = kinds_of(environment)
    pollers = [one for one in kinds if "interval-polling" in one.ways(settings.transport)]
    polling = bool(pollers)
    needs: set[Need] = {needed for one in kinds for needed in one.needs}
    for needed in sorted(needs):
        missing = contract.missing_for(needed, polling)
        if missing is not None:
            raise Refused(missing)
    for one in pollers:
        # A feed with some of it is not enough: to who talks and hears no messages, all of them are lost.
        heard = (Operation.MESSAGE_DELIVER,) if one.talks else one.wanted()
        if contract.feeds and not contract.feeds_for(heard):
            raise Refused(
                f'contract "{contract.name}": none of its [[feeds]] carries what {one.__name__} hears'
            )
    staff(kinds, settings.operators, most_users(environment))


def staff(kinds: list[Any], operators: int | None, users: int | None) -> None:
    """How many of the users are operators: as asked; one at least; else by the weights of their classes."""
    for kind in kinds:
        if kind.role == "operator":
            kind.fixed_count = operators or (1 if users and users < _OPERATORS_ARE_ONE_IN else 0)
