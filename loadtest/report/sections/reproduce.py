"""How is this run done again, and on what did it run?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from loadtest.report.subject import Subject
from loadtest.report.words import UNKNOWN

PARAMETERS = {
    "rate_per_min": "messages per user and minute",
    "room_size": "room size",
    "payload_bytes": "bytes in a message body",
    "warmup_s": "warmup, s",
    "drain_s": "drain, s",
    "deadline_s": "deadline of a delivery, s",
    "devices": "devices per user",
    "operators": "live chat operators",
    "reconnect": "reconnection policy",
    "backoff_s": "its waits, s",
    "faults": "faults",
    "availability_deadline_s": "deadline for availability, s",
    "spawn_rate": "users spawned per second",
    "run_time_s": "run time, s",
    "processes": "generator processes",
    "server_metrics": "figures of the server from",
}
TARGET = {
    "url": "address",
    "kind": "server",
    "contract": "contract",
    "websocket": "offers WebSocket",
    "ping_interval_s": "ping interval, s",
    "ping_timeout_s": "ping timeout, s",
    "poll_interval_s": "poll interval, s",
    "rate_limit": "rate limit, messages per minute and socket",
    "stats": "tells its own counts",
}
ENVIRONMENT = {
    "fingerprint": "host fingerprint",
    "host": "host",
    "os": "system",
    "kernel": "kernel",
    "cpu": "CPU",
    "cores": "cores",
    "memory_gib": "memory, GiB",
    "python": "Python",
    "same_host_as_target": "server on the same host",
}


class Fact(NamedTuple):
    """A name and what holds."""

    name: str
    value: str


class Recipe(NamedTuple):
    """One run, to be done again."""

    label: str
    accent: str
    command: str
    notes: list[str]
    groups: list[tuple[str, list[Fact]]]


def reproduce(subjects: Sequence[Subject]) -> list[Recipe]:
    """One recipe per run."""
    return [_recipe(one) for one in subjects]


def _recipe(subject: Subject) -> Recipe:
    manifest = subject.run.manifest
    run = [
        Fact("id", manifest.id),
        Fact("started", manifest.started),
        Fact("seed", str(manifest.seed)),
        Fact("client", manifest.client),
        Fact("commit", manifest.commit or "not known"),
    ]
    versions = manifest.environment.get("versions")
    host = _facts(manifest.environment, ENVIRONMENT, {"versions"})
    if isinstance(versions, Mapping):
        host += [Fact(str(name), str(version)) for name, version in sorted(versions.items())]
    groups = [
        ("Run", run),
        ("Parameters", _facts(manifest.parameters, PARAMETERS, set())),
        ("Target", _facts(manifest.target, TARGET, {"notes"})),
        ("Generator", host),
    ]
    return Recipe(
        subject.label,
        subject.accent,
        manifest.command,
        _notes(manifest.target, manifest.environment),
        [(name, facts) for name, facts in groups if facts],
    )


def _notes(target: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    told = target.get("notes")
    notes = [str(note) for note in told] if isinstance(told, list) else []
    if environment.get("same_host_as_target"):
        notes.append("Server and generator shared one machine: loopback has no network in it.")
    return notes


def _facts(known: Mapping[str, Any], names: Mapping[str, str], without: set[str]) -> list[Fact]:
    """Known ones in the order of ``names``, then those nobody named, by their keys."""
    order = [name for name in names if name in known] + sorted(set(known) - set(names) - without)
    return [Fact(names.get(name, name), _value(known[name])) for name in order]


def _is_band(value: Any) -> bool:
    """Whether it is the shortest and the longest of something."""
    return (
        isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, float) for one in value)
    )


def _value(value: Any) -> str:
    if _is_band(value):
        low, high = value
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_value(part) for part in value) or UNKNOWN
    return str(value)
