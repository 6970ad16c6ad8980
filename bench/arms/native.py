"""Our own client, recording all that it records in any run: the ledger, two histograms, receive lag."""

from __future__ import annotations

from typing import Any

from locust import task

from bench.arms.meter import Meter
from bench.task import given
from loadtest.users import RealtimeUser

_DELIVERED = "message:new"


def _begun(environment: Any) -> int | None:
    live = getattr(environment, "rt_live", None)
    begun_ns: int | None = None if live is None else live.plan.begun_ns
    return begun_ns


def _acks(environment: Any) -> int:
    return int(environment.stats.get("message.ack", "WSC").num_requests)


METER = Meter(given(), _begun, _acks)


class Talker(RealtimeUser):
    """Says something whenever its schedule says so; ``--rt-rate`` is how often."""

    @task
    def send(self) -> None:
        """Say something."""
        if self.planned_ns is not None:
            self.send_message(METER.body(self.planned_ns))

    def on_event(self, name: str, args: list[Any]) -> None:
        """Stamp what comes at the same place as the other arm: in the user's handler."""
        if name == _DELIVERED:
            METER.heard(args[0])
