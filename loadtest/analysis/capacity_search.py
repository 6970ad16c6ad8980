"""How many users next, to find out how many a server carries?

Up by half as many again until two levels in a row fail, then halfway between in logarithms until the one that
passed and the one that failed lie within ten percent, then both once more from the start, because one lucky
level may double a result. ``next_step`` is a function of what came out so far and of nothing else: it knows no
server and no clock, so that a search can be played thousands of times against a truth that is known.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import NamedTuple

PASS, FAIL, OPEN, GENERATOR = "pass", "fail", "open", "generator"
"""What the trials of a level say together; open: not decided. generator: the trial may not be believed."""
SEARCH, CONFIRM, CONTRAST = "search", "confirm", "contrast"
"""What a level is for. confirm: the one that passed, once more; contrast: a tenth above, where it must break."""
BRACKET, AT_LEAST, GENERATOR_BOUND, LOWEST_FAILS, UNFINISHED = (
    "bracket", "at_least", "generator_bound", "lowest_fails", "unfinished",
)  # fmt: skip
"""How a search ends. at_least: the upper end of the range passed. unfinished: somebody ended it."""
_AGAIN = 2
"""So often may a trial be run again that may not be believed: a shared machine has its moments."""
_ROUNDS = 3
"""So often may a confirmation send the search back; then the bracket is told as it is, unconfirmed."""


class Search(NamedTuple):
    """What to search: users from ``low`` to ``high``.

    confirm: fresh trials at the level that passed, and as many a tenth above. trials: at most so many of one
    level, pooled; undecided after them counts as failed. factor: from one level up to the next. close: the bracket
    is narrow enough once its ends are not further apart than this.
    """

    low: int
    high: int
    confirm: int = 3
    trials: int = 3
    factor: float = 1.5
    close: float = 1.10


class Step(NamedTuple):
    """A trial to run. visit: which stay at a level it belongs to, from 1: its trials are judged together."""

    users: int
    role: str
    visit: int


class Done(NamedTuple):
    """The end. passed, failed: both sides of the bracket, None where there is none on that side.

    confirmed: whether fresh trials said the same as the search.
    """

    kind: str
    passed: int | None = None
    failed: int | None = None
    confirmed: bool = False


def next_step(search: Search, outcomes: Sequence[str]) -> Step | Done:
    """What to run after ``outcomes``: for each trial so far, what its visit's trials say together by then.

    Raises ValueError for a range that is none, for an outcome that is none, and for more than the search asks for.
    """
    return _replay(search, outcomes)[1]


def so_far(search: Search, outcomes: Sequence[str]) -> Done:
    """What is known of a search that was ended before its time."""
    course, last = _replay(search, outcomes)
    return last if isinstance(last, Done) else Done(UNFINISHED, course.passed, course.failed)


def trials_left(search: Search, outcomes: Sequence[str]) -> int:
    """About how many trials are to come, if the truth lies halfway between what is known; 0 at the end."""
    course, last = _replay(search, outcomes)
    low, high = course.passed or search.low, course.failed or search.high
    guess = math.sqrt(low * high)
    said, left = list(outcomes), 0
    while isinstance(last, Step):
        said.append(PASS if last.users <= guess else FAIL)
        last = next_step(search, said)
        left += 1
    return left


def _replay(search: Search, outcomes: Sequence[str]) -> tuple[_Course, Step | Done]:
    if not 1 <= search.low <= search.high:
        raise ValueError(f"{search.low}..{search.high} is no range of users")
    course = _Course(search)
    walk = course.walk()
    last: Step | Done = next(walk)
    for outcome in outcomes:
        if outcome not in (PASS, FAIL, OPEN, GENERATOR):
            raise ValueError(f"{outcome!r} is no outcome")
        if isinstance(last, Done):
            raise ValueError("the search had ended before the last of these outcomes")
        try:
            last = walk.send(outcome)
        except StopIteration as end:
            last = end.value
    return course, last


class _GeneratorBound(Exception):
    """Trials of one level that may not be believed, again and again."""


class _Course:
    """The search as it would be told: it yields a Step, and is sent what came out."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._visits = 0
        self._passes: set[int] = set()
        self._fails: set[int] = set()

    @property
    def passed(self) -> int | None:
        """The largest level that passed."""
        return max(self._passes, default=None)

    @property
    def failed(self) -> int | None:
        """The smallest level that failed above it."""
        return min((users for users in self._fails if users > (self.passed or 0)), default=None)

    def walk(self) -> Generator[Step, str, Done]:
        try:
            return (yield from self._search_and_confirm())
        except _GeneratorBound:
            return Done(GENERATOR_BOUND, self.passed)

    def _search_and_confirm(self) -> Generator[Step, str, Done]:
        low = self._search.low
        # A single failure may be bad luck, and nothing lies below to go back to.
        if not ((yield from self._level(low)) or (yield from self._level(low))):
            return Done(LOWEST_FAILS, failed=low)
        for _ in range(_ROUNDS):
            yield from self._climb()
            yield from self._narrow()
            confirmed = yield from self._confirm()
            if self.passed is None:
                return Done(LOWEST_FAILS, failed=self.failed)
            if confirmed:
                return self._done(confirmed=True)
        return self._done(confirmed=False)

    def _done(self, confirmed: bool) -> Done:
        kind = AT_LEAST if self.failed is None else BRACKET
        return Done(kind, self.passed, self.failed, confirmed)

    def _climb(self) -> Generator[Step, str, None]:
        """Up to two levels in a row that fail, or the upper end."""
        while self.failed is None and (at := self.passed or 0) < self._search.high:
            first = self._above(at)
            if (yield from self._level(first)) or first == self._search.high:
                continue
            # What fails between two that pass was unlucky: then the way up goes on.
            yield from self._level(self._above(first))

    def _above(self, users: int) -> int:
        return min(self._search.high, max(users + 1, round(users * self._search.factor)))

    def _narrow(self) -> Generator[Step, str, None]:
        """Bisect in log N."""
        while (low := self.passed) and (high := self.failed):
            if high <= low * self._search.close or high - low <= 1:
                return
            yield from self._level(min(high - 1, max(low + 1, round(math.sqrt(low * high)))))

    def _confirm(self) -> Generator[Step, str, bool]:
        """Fresh trials on both sides of the edge; what they contradict is taken back."""
        low = self.passed or 0
        if not (yield from self._level(low, CONFIRM, self._search.confirm)):
            return False
        if self.failed is None:
            return True
        return not (yield from self._level(self._contrast(low, self.failed), CONTRAST, self._search.confirm))

    def _contrast(self, passed: int, failed: int) -> int:
        return max(failed, min(self._search.high, math.ceil(passed * self._search.close - 1e-9)))

    def _level(self, users: int, role: str = SEARCH, least: int = 1) -> Generator[Step, str, bool]:
        """Trials of one level until they say something together; whether it passed, which is kept.

        A trial that may not be believed is run again, as often as a night does; then the search ends.
        """
        self._visits += 1
        said: list[str] = []
        state, unbelievable = OPEN, 0
        while state != FAIL and (len(said) < least or (state == OPEN and len(said) < self._search.trials)):
            outcome = yield Step(users, role, self._visits)
            if outcome == GENERATOR:
                unbelievable += 1
                if unbelievable > _AGAIN:
                    raise _GeneratorBound
                continue
            said.append(outcome)
            state = outcome
        passed = state == PASS
        self._keep(users, passed)
        return passed

    def _keep(self, users: int, passed: bool) -> None:
        # The newer word counts: what carries so many carries fewer too, what breaks at so many breaks at more.
        if passed:
            self._passes.add(users)
            self._fails = {one for one in self._fails if one > users}
        else:
            self._fails.add(users)
            self._passes = {one for one in self._passes if one < users}
