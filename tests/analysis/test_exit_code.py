"""The precedence of exit codes."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from loadtest.analysis.exit_code import (
    BROKEN,
    FAILURES,
    INCONCLUSIVE,
    PASS,
    PRECEDENCE,
    REGRESSED,
    RUN_INVALID,
    USAGE,
    codes_of,
    exit_code,
    first_of,
)
from loadtest.analysis.summary import Summary, Verdict, summarise


def one(made: ModuleType, state: str = "valid", *verdicts: Verdict) -> Summary:
    found = summarise(made.in_memory())
    return replace(found, validity=replace(found.validity, state=state), verdicts=list(verdicts))


SLO, CLAIM, REGRESSION = (Verdict("x", kind, "fail") for kind in ("slo", "claim", "regression"))
OPEN = Verdict("x", "slo", "inconclusive")


def test_nothing_wrong(made: ModuleType) -> None:
    assert exit_code([one(made), one(made, "suspect")], 0) == 0
    assert exit_code([one(made, "valid", Verdict("x", "slo", "pass"))], 0) == 0


@pytest.mark.parametrize(
    ("state", "verdicts", "failures", "code"),
    [
        ("valid", [], 3, 1),
        ("suspect", [], 3, 1),
        ("invalid", [], 0, 5),
        ("invalid", [SLO, REGRESSION], 3, 5),
        ("valid", [SLO, REGRESSION], 3, 3),
        ("valid", [CLAIM], 0, 3),
        ("valid", [REGRESSION], 3, 4),
        ("valid", [OPEN], 0, 0),
        ("valid", [OPEN], 2, 1),
    ],
)
def test_the_first_that_applies(
    made: ModuleType, state: str, verdicts: list[Verdict], failures: int, code: int
) -> None:
    assert exit_code([one(made), one(made, state, *verdicts)], failures) == code


def test_inconclusive_counts_only_when_strict(made: ModuleType) -> None:
    summaries = [one(made, "valid", OPEN)]
    assert exit_code(summaries, 0, strict=True) == 6
    assert exit_code(summaries, 1, strict=True) == 1


def test_every_code_has_its_number_and_its_place() -> None:
    numbers = (PASS, FAILURES, USAGE, BROKEN, REGRESSED, RUN_INVALID, INCONCLUSIVE)
    assert numbers == (0, 1, 2, 3, 4, 5, 6)
    assert PRECEDENCE == (2, 5, 3, 4, 1, 6, 0)


@given(st.sets(st.integers(0, 6)))
def test_the_first_of_several_is_the_one_that_counts(applying: set[int]) -> None:
    said = first_of(applying)
    assert said in applying | {0}
    assert said == min(applying | {0}, key=(2, 5, 3, 4, 1, 6, 0).index)


@pytest.mark.parametrize("kind", ["slo", "claim", "regression"])
@pytest.mark.parametrize("strict", [False, True])
def test_codes_of_one_verdict(kind: str, strict: bool) -> None:
    broken = {4} if kind == "regression" else {3}
    assert codes_of([Verdict("x", kind, "pass")], strict) == set()
    assert codes_of([Verdict("x", kind, "fail")], strict) == broken
    assert codes_of([Verdict("x", kind, "inconclusive")], strict) == ({6} if strict else set())


def test_codes_of_several_verdicts_are_all_of_theirs() -> None:
    assert codes_of([SLO, REGRESSION, OPEN]) == {3, 4}
    assert codes_of(iter([SLO, REGRESSION, OPEN]), strict=True) == {3, 4, 6}
    assert codes_of([]) == set()


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [([OPEN, SLO], 3), ([OPEN, REGRESSION], 4), ([OPEN, CLAIM, REGRESSION], 3), ([OPEN], 6)],
)
def test_what_is_broken_counts_before_what_is_open(
    made: ModuleType, verdicts: list[Verdict], code: int
) -> None:
    assert exit_code([one(made, "valid", *verdicts)], 0, strict=True) == code
    assert exit_code([one(made, "invalid", *verdicts)], 0, strict=True) == 5


def test_no_run_is_no_failure() -> None:
    assert exit_code([], 0) == 0
    assert exit_code([], 1) == 1
