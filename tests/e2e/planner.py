"""``scenarios/mixed.py``, whose users also write down what fell due: one line of JSON for each planned moment.

Moments are ns from the begin of the plan; ``PLANNER_DIARY`` is where they go.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from locust import events

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for a locustfile that is no part of the product
from scenarios import mixed

_lines: list[dict[str, object]] = []


class _Diarist:
    def choose_task(self) -> None:
        user: Any = self
        seat = f"{type(user).__name__} {user.name.rpartition('-')[2]}"
        _lines.append({"user": seat, "at_ns": user.planned_ns - user.live.plan.begun_ns})
        super().choose_task()  # type: ignore[misc]


class PersonUser(_Diarist, mixed.PersonUser):
    pass


class HelpingUser(_Diarist, mixed.HelpingUser):
    pass


@events.quitting.add_listener
def _write(**_: object) -> None:
    path = Path(os.environ["PLANNER_DIARY"])
    path.write_text("".join(json.dumps(line) + "\n" for line in _lines), encoding="utf-8")
