"""What the users of ``witness.py`` saw, and what a way back must look like."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from e2e_running import HERE, Locust, Program, Result, Server

from loadtest.measure.rows import RECOVERED, Drop

WITNESS = ("-f", HERE / "witness.py")
SECOND, MS = 1_000_000_000, 1_000_000
NEVER_NS = 10**18
DOCUMENTED_S = (1.0, 2.0, 4.0, 8.0, 16.0)
JAVASCRIPT_S = ((0.5, 1.5), (1.0, 3.0), (2.0, 5.0), (4.0, 5.0), (5.0, 5.0))
"""The waits that socket.io-client's defaults allow; the last one holds for all that follow."""
PYTHON_S = ((0.5, 1.5), (1.5, 2.5), (3.5, 4.5), (4.5, 5.5))
"""Likewise python-socketio's."""


class Said(NamedTuple):
    """Something that fell due, connected or not."""

    user: str
    at_ns: int
    planned_ns: int
    body: str


class Seen(NamedTuple):
    """A message that reached a user: by an event, or ``restored`` by its rejoining."""

    at_ns: int
    seq: int
    body: str
    restored: bool


class Diary:
    """All that the users of one run saw; by the names that the run's drops have."""

    def __init__(self, path: Path) -> None:
        self.said: list[Said] = []
        self.seen: dict[str, list[Seen]] = {}
        self.room: dict[str, str] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            note = json.loads(line)
            user, at_ns = note["user"], note["at_ns"]
            if note["what"] == "room":
                self.room[user] = note["room"]
                self.seen.setdefault(user, [])
            elif note["what"] == "said":
                self.said.append(Said(user, at_ns, note["planned_ns"], note["body"]))
            else:
                restored = note["what"] == "restored"
                self.seen.setdefault(user, []).append(Seen(at_ns, note["seq"], note["body"], restored))

    def last_of_rooms(self, before_ns: int) -> dict[str, int]:
        """The newest number that anybody saw in each conversation before a moment."""
        last: dict[str, int] = {}
        for user, seen in self.seen.items():
            room = self.room[user]
            last[room] = max([last.get(room, 0), *(one.seq for one in seen if one.at_ns < before_ns)])
        return last

    def nobody_misses_anything(self, but: Sequence[str] = (), before_ns: int = NEVER_NS) -> int:
        """Every user saw every number of its conversation exactly once, all but those; how many rooms had one.

        before_ns: numbers that nobody had seen by then do not matter.
        """
        last = self.last_of_rooms(before_ns)
        for user, seen in self.seen.items():
            if user not in but:
                newest = last[self.room[user]]
                numbers = sorted(one.seq for one in seen if one.seq <= newest)
                assert numbers == list(range(1, newest + 1)), (user, seen)
        return sum(number > 0 for number in last.values())

    def missed(self, drop: Drop) -> tuple[int, int]:
        """(least, most) messages of others that went by while a user was away.

        Those that its rejoining brought. The bounds differ by what was said in the instant of its rejoining:
        whether that was still missed depends on who was first at the server.
        """
        assert drop.back_ns is not None
        assert drop.rejoined_ns is not None
        others = [one for one in self.seen[drop.user] if _of_somebody_else(one, drop.user)]
        away = [one for one in others if one.restored and drop.back_ns <= one.at_ns <= drop.rejoined_ns]
        first: dict[int, int] = {}
        for user, seen in self.seen.items():
            if self.room[user] == self.room[drop.user]:
                for one in seen:
                    first[one.seq] = min(one.at_ns, first.get(one.seq, one.at_ns))
        surely = sum(first[one.seq] < drop.back_ns - 50 * MS for one in away)
        return surely, len(away)

    def heard_of(self, said: Said) -> list[int]:
        """When it reached each of the others of its conversation."""
        return [
            one.at_ns
            for user, seen in self.seen.items()
            if user != said.user and self.room[user] == self.room[said.user]
            for one in seen
            if one.body == said.body
        ]

    def said_within(self, user: str, from_ns: int, until_ns: int) -> list[Said]:
        """What fell due for a user between two moments."""
        return [one for one in self.said if one.user == user and from_ns <= one.at_ns < until_ns]


def _of_somebody_else(one: Seen, user: str) -> bool:
    """A message that is owed to a user; a probe is owed to nobody but who said it."""
    return " says " in one.body and not one.body.startswith(f"{user} says ")


class Witnessed(NamedTuple):
    """A run of ``witness.py`` that is under way."""

    locust: Locust
    server: Server
    diary: Path

    def end(self, patience_s: float = 120.0) -> tuple[Result, Diary]:
        """Wait for its end and read what it left."""
        return self.locust.result(patience_s), Diary(self.diary)


class Starter:
    """Starts servers and runs of witnesses; ``end`` ends whatever is left of them."""

    def __init__(self, folders: Callable[[str], Path], common: Sequence[object]) -> None:
        self._folders = folders
        self._common = common
        self._started: list[Program] = []

    def __call__(
        self,
        name: str,
        *flags: object,
        serve: Sequence[str] = (),
        scenario: Sequence[object] = WITNESS,
    ) -> Witnessed:
        """A server with these flags, and a run with those against it."""
        folder = self._folders(name)
        server = Server(folder / "server.log", ("--rate-limit", "0", *serve))
        self._started.append(server)
        diary = folder / "diary.jsonl"
        args = ["--headless", "--only-summary", *scenario, *self._common, *flags, "-H", server.url]
        locust = Locust(args, folder / "runs", folder / "locust.log", env={"WITNESS_DIARY": str(diary)})
        self._started.append(locust)
        return Witnessed(locust, server, diary)

    def end(self) -> None:
        """By process ids; whoever came last goes first."""
        for program in reversed(self._started):
            program.end()


def of_fault(result: Result, fault: str) -> list[Drop]:
    """The drops that one strike brought about; there are some."""
    found = [drop for drop in result.run.drops if drop.fault == fault]
    assert found, (fault, [(drop.fault, drop.cause, drop.detail) for drop in result.run.drops])
    return found


def waits_s(drop: Drop) -> list[float]:
    """How long each attempt was to wait, the generator's own lateness left out."""
    return [(one.waited_ns - one.late_ns) / SECOND for one in drop.tries]


def waited_as_documented(drop: Drop, attempts: int) -> None:
    """So many attempts, after these waits to the millisecond; nothing but they and connecting took time."""
    waits = waits_s(drop)
    assert len(waits) == attempts, drop
    assert all(abs(a - b) <= 0.001 for a, b in zip(waits, DOCUMENTED_S, strict=False)), drop
    adds_up(drop)
    if drop.back_ns is not None:
        own = sum(one.took_ns + one.late_ns for one in drop.tries)
        waited = drop.back_ns - drop.at_ns - own
        assert abs(waited - sum(DOCUMENTED_S[:attempts]) * SECOND) <= attempts * MS, drop


def waited_within(drop: Drop, bands_s: Sequence[tuple[float, float]]) -> None:
    """Every wait lies in its band; the last band holds for all attempts that follow."""
    for number, wait_s in enumerate(waits_s(drop)):
        low_s, high_s = bands_s[min(number, len(bands_s) - 1)]
        assert low_s - 0.001 <= wait_s <= high_s + 0.001, (number + 1, wait_s, drop)
    adds_up(drop)


def adds_up(drop: Drop) -> None:
    """Waits and attempts fill the time from the loss to the connection: nothing is left out, nothing twice."""
    at_ns = drop.at_ns
    for one in drop.tries:
        assert one.late_ns >= 0, drop
        assert one.began_ns == at_ns + one.waited_ns, drop
        at_ns = one.began_ns + one.took_ns
    assert drop.back_ns in (None, at_ns), drop


def came_back(drop: Drop) -> None:
    """In all its rooms, proven by a probe, and in the right order."""
    assert drop.outcome == RECOVERED, drop
    assert [one.cause for one in drop.tries].count("") >= 1, drop
    assert drop.tries[-1].cause == "", drop
    assert drop.rooms == drop.proven == 1, drop
    moments = [drop.fault_ns, drop.at_ns, drop.back_ns, drop.rejoined_ns, drop.heard_ns]
    known: list[int] = [one for one in moments if one is not None]
    assert len(known) == (4 if drop.fault_ns is None else 5), drop
    assert known == sorted(known), drop


def outcomes(drops: Sequence[Drop]) -> dict[str, int]:
    """How many ended in which way."""
    return dict(Counter(drop.outcome for drop in drops))


def books_are_even(result: Result, server: Server, *, unsettled: int = 0) -> None:
    """What the users said, what the server took and what everybody got agree to the unit."""
    totals, counters = result.totals, result.counters
    taken = server.accepted()
    said: Any = counters["sent"] + counters.get("probes", 0)
    assert 0 <= said - taken <= unsettled, (counters, taken)
    counts = totals.counts("message.deliver", "message.resync", "message.echo", "session.resume")
    assert counts["duplicate"] == counts["leaked"] == counts["reordered"] == counts["open"] == 0, counts
    assert counts["expected"] == counts["n"] + counts["late"] + counts["lost"], counts
