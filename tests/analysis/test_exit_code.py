"""The precedence of exit codes."""

from __future__ import annotations

from types import ModuleType

import pytest
from msgspec.structs import replace

from loadtest.analysis.exit_code import exit_code
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
