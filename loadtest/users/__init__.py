"""The gevent house: Locust users that chat in real time, and what measures them.

    from loadtest.users import RealtimeUser, on_schedule

Importing it adds the ``--rt-`` flags to Locust and waits for its ``init``; nothing else is made here, since
``--processes`` forks after the import.
"""

from locust import events

from loadtest.users.calling import CallingUser
from loadtest.users.house import attach
from loadtest.users.keeping import leave
from loadtest.users.operating import OperatorUser
from loadtest.users.options import add_arguments, defaults
from loadtest.users.pacing import on_schedule
from loadtest.users.staging import follow_stages, take_first_stage
from loadtest.users.user import PollingUser, RealtimeUser
from loadtest.users.visiting import VisitorUser
from loadtest.users.worker import hold

__all__ = [
    "CallingUser",
    "OperatorUser",
    "PollingUser",
    "RealtimeUser",
    "VisitorUser",
    "defaults",
    "on_schedule",
]


@events.init_command_line_parser.add_listener
def _add_arguments(parser: object, **_: object) -> None:
    add_arguments(parser)


@events.test_start.add_listener
def _hold(environment: object, **_: object) -> None:
    hold(environment)


@events.init.add_listener
def _attach(environment: object, runner: object, **_: object) -> None:
    refusal = follow_stages(environment, runner)
    if refusal is not None:
        leave(refusal)
    attach(environment, runner)
    take_first_stage(environment)
