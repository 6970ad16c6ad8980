"""What does the server say of itself while the load is on? Asked once a second, where there is somebody to ask."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

import gevent
import msgspec

from loadtest.measure.plan import Plan
from loadtest.measure.rows import ServerRow
from loadtest.measure.units import SECOND, say_seconds
from loadtest.users.causes import ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import fetch
from loadtest.users.server_metrics import Metrics
from loadtest.users.server_process import ProcessTree
from loadtest.users.server_source import Asked, Silent, Source, Told
from loadtest.users.target import Refused, locate

PAUSE_S = 1.0
_TIMEOUT_S = 5.0
_FLAG = "--rt-server-metrics"


class StatsRoute:
    """The target's own route, as a Source."""

    keeps_the_dead = False

    def __init__(self, place: Place, path: str) -> None:
        self.name = path
        self._place = place
        self._path = path

    def ask(self) -> Told:
        """What it says now; blocks. Raises Silent."""
        try:
            body = fetch(self._place, self._path, _TIMEOUT_S).body
            stats = msgspec.json.decode(body, type=dict[str, Any])
        except ConnectFailed as error:
            raise Silent(f"{error.cause} ({error.detail})") from None
        except msgspec.DecodeError:
            raise Silent("its answer is no JSON") from None
        try:
            return _told(stats)
        except (TypeError, ValueError) as error:
            raise Silent(f"its answer is not as in the contract ({error})") from None

    def about(self) -> str:
        """Its path; what it tells is in the contract."""
        return f"{self.name} of the target"


def _told(stats: dict[str, Any]) -> Told:
    cpu_s = stats.get("cpuSeconds")
    return Told(
        {} if cpu_s is None else {"": float(cpu_s)},
        int(stats.get("rssBytes", -1)),
        float(stats.get("loopLagMsP99") or -1.0),
        int(stats.get("sockets", -1)),
    )


def source_of(asked: Asked, verify: bool = True) -> Source:
    """Who was named by the flag, after a first answer. Raises Refused.

    verify: whether a certificate must be one that is trusted.
    """
    try:
        source: Source = (
            Metrics(_place_of(asked, verify), asked) if asked.pid is None else ProcessTree(asked.pid)
        )
        source.ask()
    except Silent as silence:
        raise Refused(f"{_FLAG} {asked.shown}: {silence}") from None
    return source


def _place_of(asked: Asked, verify: bool) -> Place:
    parts = urlsplit(asked.url)
    try:
        return locate(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", verify=verify)
    except Refused as refused:
        raise Refused(f"{_FLAG} {refused}") from None


class ServerWatch:
    """Asks a source until it is stopped. A second without an answer leaves a gap, as it should.

    polling: users have no sockets that the server could count, so its count says nothing about them.
    """

    def __init__(
        self, source: Source, plan: Plan, tell: Callable[[ServerRow], object], polling: bool
    ) -> None:
        self._source = source
        self._plan = plan
        self._tell = tell
        self._polling = polling
        self._last: tuple[int, Told] | None = None
        self._gaps: list[tuple[int, int, str]] = []
        self._asking = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Ask no more."""
        self._asking.kill()

    def note(self) -> str | None:
        """One sentence on the seconds that are missing; None: there are none."""
        if not self._gaps:
            return None
        from_s, until_s, why = self._gaps[0]
        more = len(self._gaps) - 1
        others = f", and {more} more {'gap' if more == 1 else 'gaps'} later" if more else ""
        lasted = say_seconds(until_s - from_s + 1)
        return (
            f"The server's own figures have a gap of {lasted} from second {from_s} on{others}: "
            f"{self._source.name} did not answer ({why})."
        )

    def _watch(self) -> None:
        while True:
            asked_s = self._plan.second(perf_counter_ns())
            try:
                said = self._source.ask()
            except Silent as silence:
                self._last = None
                self._miss(asked_s, str(silence))
            else:
                now_ns = perf_counter_ns()
                self._tell(self._row(said, now_ns))
                self._last = (now_ns, said)
            gevent.sleep(PAUSE_S)

    def _miss(self, asked_s: int, why: str) -> None:
        now_s = self._plan.second(perf_counter_ns())
        if self._gaps and asked_s - self._gaps[-1][1] <= 2:
            from_s, _, first_why = self._gaps[-1]
            self._gaps[-1] = (from_s, now_s, first_why)
        else:
            self._gaps.append((asked_s, now_s, why))

    def _row(self, said: Told, now_ns: int) -> ServerRow:
        cpu_percent, busiest_percent = -1.0, -1.0
        if self._last is not None:
            since_ns, before = self._last
            cpu_percent, busiest_percent = spent(before, said, now_ns - since_ns, self._source.keeps_the_dead)
        return ServerRow(
            self._plan.second(now_ns),
            -1 if self._polling else said.sockets,
            cpu_percent,
            said.rss_bytes,
            said.loop_lag_ms,
            said.descriptors,
            busiest_percent,
        )


def spent(before: Told, now: Told, elapsed_ns: int, keeps_the_dead: bool) -> tuple[float, float]:
    """Percent of a core between two answers: of all processes, and of the busiest of several; -1: not known.

    keeps_the_dead: as of the Source. An account that shrank belongs to a process that was started anew.
    """
    same = now.cpu_s.keys() == before.cpu_s.keys() or keeps_the_dead
    whole_s = sum(now.cpu_s.values()) + now.gone_s - sum(before.cpu_s.values()) - before.gone_s
    if not now.cpu_s or not before.cpu_s or not same or elapsed_ns <= 0 or whole_s < 0:
        return -1.0, -1.0
    to_percent = 100 * SECOND / elapsed_ns
    each_s = [cpu_s - before.cpu_s.get(process, 0.0) for process, cpu_s in now.cpu_s.items()]
    return whole_s * to_percent, max(each_s) * to_percent if len(each_s) > 1 else -1.0
