"""How is a ramp-up ended that a master is in the middle of?

Locust's master goes on telling its workers to spawn after it was told to stop, until all users that were asked
for are there: it takes them out of the very iterator that stopping forgets. The web UI ends that greenlet by
itself; SIGTERM, an SLO that aborts and the end of a run's time do not, and workers that have stopped begin anew.
"""

from __future__ import annotations

from typing import Any

import gevent


class Over(BaseException):
    """Ends a call of ``start`` and not its greenlet, which may be the one that hears the workers."""


class Ramp:
    """The calls of ``runner.start`` that are under way."""

    def __init__(self, runner: Any) -> None:
        self._start = runner.start
        self._under_way: list[Any] = []
        runner.start = self._started

    def _started(self, *args: Any, **options: Any) -> Any:
        ramping = gevent.getcurrent()
        self._under_way.append(ramping)
        try:
            return self._start(*args, **options)
        except Over:
            return None
        finally:
            self._under_way.remove(ramping)

    def end(self) -> None:
        """End them, but not the one that asks."""
        for one in self._under_way[:]:
            if one is not gevent.getcurrent():
                gevent.kill(one, Over)
