"""May these runs be compared at all?

A difference between runs that were asked different things, or that ran on different machines, says nothing about
what ran on them. It is refused, with what differs; a number that looks like an answer would be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loadtest.measure.run import Manifest, Run

PARAMETERS = {
    "rate_per_min": "rate (messages per user and minute)",
    "room_size": "room size",
    "payload_bytes": "payload (bytes in a message body)",
    "devices": "devices per user",
    "operators": "operators",
    "headers": "request headers",
    "compression": "compression",
    "reconnect": "reconnection policy",
    "faults": "faults",
    "stages": "stages",
    "deadline_s": "deadline of a delivery, s",
}


def _stages(manifest: Manifest) -> Any:
    """Durations and targets alone: when a stage began is measured, and never the same twice."""
    stages = manifest.parameters.get("stages")
    return stages and [(one.get("duration_s"), one.get("users")) for one in stages]


_ALIKE: dict[str, Callable[[Manifest], Any]] = {
    "format": lambda one: one.format,
    "scenario": lambda one: one.scenario,
    "transport": lambda one: one.transport,
    "client": lambda one: one.client,
    "users": lambda one: one.users,
    "machine (host fingerprint)": lambda one: one.environment.get("fingerprint"),
    **{
        words: (_stages if key == "stages" else lambda one, key=key: one.parameters.get(key))  # type: ignore[misc]
        for key, words in PARAMETERS.items()
    },
}


def differences(first: Sequence[Run], second: Sequence[Run]) -> list[str]:
    """A line for each thing in which the two sets, or the runs of one of them, are not alike."""
    found = []
    for name, of in _ALIKE.items():
        seen = [_distinct(of(run.manifest) for run in some) for some in (first, second)]
        if len(seen[0] | seen[1]) > 1:
            found.append(f"{name}: {_say(seen[0])} against {_say(seen[1])}")
    seeds = [sorted(run.manifest.seed for run in some) for some in (first, second)]
    if seeds[0] != seeds[1]:
        found.append(f"seeds: {', '.join(map(str, seeds[0]))} against {', '.join(map(str, seeds[1]))}")
    return found


def _distinct(values: Any) -> set[str]:
    return {_word(value) for value in values}


def _word(value: Any) -> str:
    return "not known" if value is None else "none" if value == [] else str(value)


def _say(words: set[str]) -> str:
    return " and ".join(sorted(words))
