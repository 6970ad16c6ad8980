"""What was the loop at whenever it stood still? A second locustfile, beside the one that makes the load:

    locust -f scenarios/messaging.py,bench/stalls.py --headless -u 5000 -r 200 -t 60s

While the hub is busy with one thing nothing is sent and nothing read. A thread outside gevent looks at it every
millisecond, and where a turn of the loop takes longer than STALLS_MS milliseconds (4), takes down what it is at.
The list of that is printed at the end. The thread itself takes a tenth of a core: a run that is watched says where
time goes, and not how much there is.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter_ns
from types import FrameType
from typing import Any, NamedTuple

import gevent.monkey
from gevent import get_hub
from locust import events

LIMIT_MS = float(os.environ.get("STALLS_MS", "4"))
_LOOK_S = 0.001
_SWITCH_S = 0.0005
"""How soon the interpreter lets the thread have a look; its default is longer than what is looked for."""
_FRAMES, _SHOWN = 5, 15


class Stalls(NamedTuple):
    """How often for more than the limit, how long in all and at most, and what the loop was at: looks by place."""

    limit_ns: int
    times: int
    whole_ns: int
    longest_ns: int
    places: Counter[str]

    def lines(self) -> list[str]:
        """A table."""
        head = f"the loop stood still {self.times} times for more than {self.limit_ns / 1e6:g} ms"
        if not self.times:
            return [head]
        head += f", {self.whole_ns / 1e6:.0f} ms in all, {self.longest_ns / 1e6:.1f} ms at most; it was at"
        return [head, *(f"{looks:6} x  {place}" for place, looks in self.places.most_common(_SHOWN))]


class Watch:
    """Watches the hub of the thread that makes it, until the process ends."""

    def __init__(self, limit_ms: float = LIMIT_MS) -> None:
        self._limit_ns = round(limit_ms * 1e6)
        self._times, self._whole_ns, self._longest_ns = 0, 0, 0
        self._places: Counter[str] = Counter()
        self.looks = 0
        self._began_ns, self._waiting = perf_counter_ns(), False
        # A turn goes from one wait to the next: libev calls these right before it waits and right after.
        loop = get_hub().loop
        self._watchers = loop.prepare(), loop.check()
        # After gevent's own, in which greenlets run that were told to go on.
        self._watchers[0].priority = loop.MINPRI
        self._watchers[0].start(self._waits)
        self._watchers[1].start(self._works)
        sys.setswitchinterval(_SWITCH_S)
        watched = gevent.monkey.get_original("_thread", "get_ident")()
        gevent.monkey.get_original("_thread", "start_new_thread")(self._look, (watched,))

    def found(self) -> Stalls:
        """So far."""
        return Stalls(self._limit_ns, self._times, self._whole_ns, self._longest_ns, Counter(self._places))

    def _waits(self) -> None:
        took_ns = perf_counter_ns() - self._began_ns
        if took_ns >= self._limit_ns and not self._waiting:
            self._times += 1
            self._whole_ns += took_ns
            self._longest_ns = max(self._longest_ns, took_ns)
        self._waiting = True

    def _works(self) -> None:
        self.looks = 0
        self._began_ns, self._waiting = perf_counter_ns(), False

    def _look(self, watched: int) -> None:
        sleep = gevent.monkey.get_original("time", "sleep")
        while True:
            sleep(_LOOK_S)
            if self._waiting or perf_counter_ns() - self._began_ns < self._limit_ns:
                continue
            frame = sys._current_frames().get(watched)  # the one way to see another thread's
            if frame is not None:
                self._places[_place(frame)] += 1
                self.looks += 1


def _place(frame: FrameType | None) -> str:
    """``histogram.py:fold:152 < recorder.py:take:197``: innermost first."""
    names: list[str] = []
    while frame is not None and len(names) < _FRAMES:
        code = frame.f_code
        names.append(f"{Path(code.co_filename).name}:{code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(names)


def _watch(environment: Any, **_: Any) -> None:
    watch = Watch()
    environment.events.quitting.add_listener(
        lambda **_: print("\n".join(watch.found().lines()), file=sys.stderr)
    )


events.init.add_listener(_watch)  # type: ignore[no-untyped-call]
