"""Runs with what plain messaging has not: lost connections, calls, live chats, several devices, upgrades."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from loadtest.measure import run as runs
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import FaultRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND


def dropped(made: ModuleType, reports: Path, transport: str = "websocket", **changes: Any) -> Run:
    """60 users: a storm, an outage of 2 s of which two get lost, and single losses of every other fate."""
    maker = made.Maker(transport=transport, users=60, seed=4, rate_per_min=20.0)
    maker.storm(8.0, 36, typed="abort@3~0.6")
    maker.book.add_fault(
        FaultRow("refuse#1", "refuse", 14 * SECOND, 16 * SECOND, argument="refuse@9:2", struck=6)
    )
    refused = {"fault": "refuse#1", "fault_s": 14.0, "transport": transport}
    late = [made.drop(f"user-{40 + n}", 14.01, (1.0, 2.0), missed=3, resynced=3, **refused) for n in range(4)]
    lost = {"transport": transport, "cause": "ping_timeout"}
    maker.book.drops += [
        *late,
        made.drop("user-44", 14.02, (1.0, 2.0, 4.0), "gave_up", missed=0, **refused),
        made.drop("user-45", 14.02, (), "stayed", **refused | {"cause": "server_ns"}),
        made.drop("user-46", 19.0, (1.0,), missed=2, resynced=1, **lost),
        made.drop("user-47", 26.5, (1.0, 2.0), "open", **lost),
        made.drop("user-48", 3.0, (1.0,), **lost),
    ]
    counters = {"connections.established": 105, "connections.failed": 0}
    told = {
        "scenario": "drops",
        "parameters": made.manifest().parameters | made.RETURNING,
        "counters": counters,
    }
    return runs.read(maker.write(reports, **told | changes))


def conversing(made: ModuleType, reports: Path, transport: str = "upgrade", **changes: Any) -> Run:
    """40 users of two devices who call and ask for help; two rings are wrong, two sessions stay on polling."""

    class Conversation(made.Maker):  # type: ignore[name-defined,misc]
        def _messages(self, recorder: Recorder, second: int, users: int) -> None:
            for user in range(users):
                if (user + second) % 7 == 0:
                    self._call(recorder, second * SECOND + user * MS)
                if (user + second) % 5 == 0:
                    self._chat(recorder, second * SECOND + user * MS)

        def _heard(self, recorder: Recorder, operation: str, planned: int, copies: int = 1) -> None:
            interval = recorder.interval(operation, self.transport, planned)
            for _ in range(copies):
                sent = planned + round(self.random.expovariate(5) * MS)
                read = sent + self.delay_ns()
                interval.record(planned, sent, read)
                if operation != "call.ring":
                    interval.record_phase("own_device", read - planned)

        def _call(self, recorder: Recorder, planned: int) -> None:
            self._heard(recorder, "call.ring", planned, 2)
            self._heard(recorder, "call.status", planned, 3)
            recorder.count("call.dialled")
            end = self.random.choice(("answered", "answered", "declined", "hung_up", "missed", "busy"))
            recorder.count(f"call.{end}")
            if end == "answered":
                self._heard(recorder, "call.answer", planned + 10 * MS, 3)
                self._heard(recorder, "call.connected", planned)
            elif end == "declined":
                self._heard(recorder, "call.decline", planned + 10 * MS, 3)

        def _chat(self, recorder: Recorder, planned: int) -> None:
            recorder.count("chat.asked")
            recorder.count("chat.written", 2)
            recorder.count("chat.assigned")
            recorder.count("chat.closed")
            self._heard(recorder, "chat.assign", planned, 2)
            self._heard(recorder, "chat.deliver", planned + 10 * MS, 2)
            self._heard(recorder, "presence.deliver", planned, 2)
            interval = recorder.interval("chat.assign", self.transport, planned)
            interval.record_phase("queue", round(self.random.uniform(2, 900) * MS))
            if planned % 3 == 0:
                recorder.count("chat.handed_over")
                interval.record_phase("handover", round(self.random.uniform(2, 90) * MS))

        def _connect(self, recorder: Recorder, users: int) -> None:
            super()._connect(recorder, users)
            connects = recorder.connecting("session.connect", self.transport, 0)
            for _ in range(users - 2):
                connects.record_phase("upgrade", round(self.random.uniform(4, 30) * MS))
                recorder.count("upgrade.ok")
            recorder.count("upgrade.failed", 2)

    maker = Conversation(transport=transport, users=40, seed=5)
    maker.book.counters |= {"call.ghost_rings": 1, "call.stale_rings": 1, "fallbacks": 3, "climbs": 3}
    told = {
        "scenario": "calls",
        "parameters": made.manifest().parameters
        | made.RETURNING
        | {"devices": 2, "faults": [], "rate_per_min": 6.0},
    }
    return runs.read(maker.write(reports, **told | changes))
