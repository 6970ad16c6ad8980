"""A scenario whose users keep a diary of their own, apart from the harness's ledger, and write it at the end.

One line of JSON for each thing that a user saw: ``said`` (something fell due), ``heard`` (it came by an event),
``restored`` (it came with the answer to a rejoining), and ``room``. Moments are ns from the start of the run.
"""

import itertools
import json
import os
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from locust import events, task

from loadtest.users import RealtimeUser, on_schedule
from loadtest.users.device import Device
from loadtest.users.link import Outcome

_lines: list[dict[str, object]] = []
_whole_restore = Device.restore


def _restore(device: Device, outcome: Outcome, read_ns: int) -> int:
    for message in outcome.rule.missed(outcome.root):
        _note(device.user, "restored", seq=message["seq"], body=message["body"])
    return _whole_restore(device, outcome, read_ns)


def _note(user: Any, what: str, **more: object) -> None:
    now_ns = perf_counter_ns() - user.live.plan.started_ns
    _lines.append({"what": what, "user": user.member.name, "at_ns": now_ns, **more})


Device.restore = _restore  # type: ignore[method-assign]


class Witness(RealtimeUser):
    wait_time = on_schedule()

    def arrived(self) -> None:
        super().arrived()
        self._numbers = itertools.count(1)
        assert self.room is not None
        _note(self, "room", room=self.room.name)

    @task
    def send(self) -> None:
        assert self.planned_ns is not None
        body = f"{self.member.name} says {next(self._numbers)}"
        _note(self, "said", body=body, planned_ns=self.planned_ns - self.live.plan.started_ns)
        self.send_message(body)

    def on_event(self, name: str, args: list[Any]) -> None:
        if name == "message:new":
            _note(self, "heard", seq=args[0]["seq"], body=args[0]["body"])


@events.quitting.add_listener
def _write(**_: object) -> None:
    path = Path(os.environ["WITNESS_DIARY"])
    path.write_text("".join(json.dumps(line) + "\n" for line in _lines), encoding="utf-8")
