"""Is a claim true, as far as these runs can tell?

A part is confirmed if its whole 95 % interval lies on the good side of the limit, refuted if it lies on the bad
one, and inconclusive otherwise. Of several parts one is bound to lie on the wrong side by chance some day, so
both need a p that Holm's rule lets pass over all parts that decide. A claim is refuted if a part is, confirmed
if all are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest.analysis.claim_estimates import Arms, Asked, Estimate, side
from loadtest.analysis.claim_latency import headroom_ms
from loadtest.analysis.claim_scope import Scope, scope_of
from loadtest.analysis.claim_statistics import estimate, say
from loadtest.analysis.intervals import ALPHA
from loadtest.analysis.series import measured_seconds
from loadtest.analysis.trials import holm
from loadtest.analysis.validity import INVALID
from loadtest.analysis.verdict import CLAIM, FAIL, INCONCLUSIVE, MS_UNIT, PASS, RATIO, Verdict
from loadtest.measure.run import Run


class Part(msgspec.Struct, frozen=True):
    """As contract.claims has it."""

    statistic: str
    arms: tuple[str, ...]
    compare: str
    limit: float
    against: str | None = None
    of: str | None = None
    attempt: int | None = None
    says: str | None = None
    expects: str | None = None
    decides: bool = True

    @property
    def asked(self) -> Asked:
        """What the statistic is asked."""
        return Asked(self.statistic, self.arms, self.compare, self.limit, self.against, self.of, self.attempt)

    @property
    def all_arms(self) -> tuple[str, ...]:
        """Every arm it needs a run of."""
        return (*self.arms, self.against) if self.against else self.arms


class Question(msgspec.Struct, frozen=True):
    """A claim, as contract.claims has it."""

    name: str
    sentence: str
    restatement: str
    experiment: str
    part: tuple[Part, ...]
    would_change: str | None = None


class Trial(NamedTuple):
    """A run of one arm of an experiment. path: from the page to it; validity, reason: what it says of itself."""

    arm: str
    seed: int
    path: str
    run: Run
    validity: str
    reason: str = ""


class Value(msgspec.Struct, frozen=True):
    """What one trial says in one column."""

    value: float | None
    unit: str


class Told(msgspec.Struct, frozen=True):
    """A trial in the table of a claim."""

    arm: str
    seed: int
    path: str
    started: str
    measured_s: float
    validity: str
    reason: str
    values: dict[str, Value]


class Found(msgspec.Struct, frozen=True):
    """What became of a part. p: two-sided, of being that far from the limit by chance; p_holm: by Holm's rule.

    left_out: why it was not part of this session. round_trip_ms: how much longer a round trip may become before
    the limit is passed, by arithmetic.
    """

    verdict: Verdict
    compare: str
    decides: bool
    p: float
    p_holm: float | None
    detail: str = ""
    expects: str = ""
    left_out: str = ""
    round_trip_ms: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of a claim; why: of what is inconclusive, what would decide it."""

    name: str
    sentence: str
    restatement: str
    experiment: str
    state: str
    parts: list[Found]
    trials: list[Told]
    scope: Scope | None
    would_change: str = ""
    why: str = ""

    @property
    def verdict(self) -> Verdict:
        """The claim as one verdict, for exit codes and JUnit."""
        return Verdict(self.name, CLAIM, self.state, why=self.why)

    @property
    def only_on_loopback(self) -> bool:
        """Whether it was confirmed where the way costs nothing, and says something about time."""
        timed = any(one.decides and one.verdict.unit in (MS_UNIT, RATIO) for one in self.parts)
        return self.state == PASS and timed and self.scope is not None and self.scope.loopback


def judge(question: Question, trials: Sequence[Trial], left: Mapping[str, str] | None = None) -> Outcome:
    """What these trials say of it.

    left: arms that this session leaves out, with the reason; a part that needs one of them does not count.
    """
    left = left or {}
    valid = [one for one in trials if one.validity != INVALID]
    arms: dict[str, list[Run]] = {}
    for trial in sorted(valid, key=lambda one: (one.arm, one.seed)):
        arms.setdefault(trial.arm, []).append(trial.run)
    spoilt = {one.arm: one.reason for one in trials if one.arm not in arms}
    reasons = [next((left[arm] for arm in part.all_arms if arm in left), "") for part in question.part]
    estimates = [
        None if reason else estimate(part.asked, arms, spoilt)
        for part, reason in zip(question.part, reasons, strict=True)
    ]
    found = [
        _found(part, of, *decided, reason, arms)
        for part, of, decided, reason in zip(
            question.part, estimates, decide(question.part, estimates), reasons, strict=True
        )
    ]
    deciding = [one for one in found if one.decides and not one.left_out]
    state = _state([one.verdict.state for one in deciding])
    return Outcome(
        question.name,
        question.sentence,
        question.restatement,
        question.experiment,
        state,
        found,
        _told(trials, estimates),
        scope_of([(one.arm, one.run) for one in valid]),
        question.would_change or "",
        "" if state != INCONCLUSIVE else _undecided(deciding, found),
    )


def decide(parts: Sequence[Part], estimates: Sequence[Estimate | None]) -> list[tuple[str, float | None]]:
    """(state, p by Holm's rule) of every part; None is one that was not asked.

    The rule runs over the parts that decide; what is only told has its interval, and no p by it.
    """
    deciding = [index for index, part in enumerate(parts) if part.decides and estimates[index] is not None]
    values = [of.p for index in deciding if (of := estimates[index]) is not None]
    adjusted = dict(zip(deciding, holm(values), strict=True))
    found: list[tuple[str, float | None]] = []
    for index, (part, of) in enumerate(zip(parts, estimates, strict=True)):
        if of is None:
            found.append((INCONCLUSIVE, None))
            continue
        p_holm = adjusted.get(index)
        sure = (of.p if p_holm is None else p_holm) <= ALPHA
        found.append((side(part.compare, part.limit, of.low, of.high) if sure else INCONCLUSIVE, p_holm))
    return found


def _found(
    part: Part, of: Estimate | None, state: str, p_holm: float | None, left_out: str, arms: Arms
) -> Found:
    name, expects = part.says or say(part.asked), part.expects or ""
    if of is None:
        verdict = Verdict(name, CLAIM, INCONCLUSIVE, limit=part.limit, why=left_out)
        return Found(verdict, part.compare, part.decides, 1.0, None, expects=expects, left_out=left_out)
    why = "; ".join(one for one in (of.why, of.needed) if one) if state == INCONCLUSIVE else of.why
    ends = of.low if math.isfinite(of.low) else None, of.high if math.isfinite(of.high) else None
    known = of.value is not None or math.isfinite(of.low)
    timed = of.unit in (MS_UNIT, RATIO) and part.of is not None
    return Found(
        Verdict(name, CLAIM, state, of.value, part.limit, ends if known else None, of.unit, why),
        part.compare,
        part.decides,
        of.p,
        p_holm,
        of.detail,
        expects,
        round_trip_ms=headroom_ms(part.asked, of, arms) if timed else None,
    )


def _state(states: Sequence[str]) -> str:
    if FAIL in states:
        return FAIL
    return PASS if states and set(states) == {PASS} else INCONCLUSIVE


def _undecided(deciding: Sequence[Found], found: Sequence[Found]) -> str:
    """The reason, of the first part that could not be decided."""
    if not deciding:
        return next((one.left_out for one in found if one.left_out), "")
    first = next(one for one in deciding if one.verdict.state == INCONCLUSIVE)
    why = first.verdict.why or "its interval lies on both sides of what was claimed"
    return f"{first.verdict.name}: {why}"


def _told(trials: Sequence[Trial], estimates: Sequence[Estimate | None]) -> list[Told]:
    values: dict[str, dict[str, Value]] = {}
    for of in estimates:
        for one in () if of is None else of.each:
            value = one.value if one.value is None or math.isfinite(one.value) else None
            values.setdefault(one.run, {})[one.column] = Value(value, one.unit)
    return [
        Told(
            one.arm,
            one.seed,
            one.path,
            one.run.manifest.started,
            round(measured_seconds(one.run), 3),
            one.validity,
            one.reason,
            values.get(Path(one.run.path).name, {}),
        )
        for one in trials
    ]
