"""Does docs/claims.md name the experiments, arms and statistics that there are, and does its example load?"""

import re
from typing import Any

from loadtest.analysis.claim_statistics import STATISTICS
from loadtest.analysis.intervals import ranks
from loadtest.cli.claims_run import REPEATS
from loadtest.cli.experiments import known, plan
from loadtest.contract.claims import Part, parse

PAGE = "docs/claims.md"


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_example_is_a_claim(pages: dict[str, str]) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", pages[PAGE], re.DOTALL)
    (claim,) = parse(example, known())
    assert claim.part[0].limit == 50


def test_the_keys_of_a_part(table: Any) -> None:
    named = {name for row in table(PAGE, "## Claims of your own") for name in words(row[0])}
    assert named == set(Part.__struct_fields__)


def test_the_experiments_and_their_arms(table: Any) -> None:
    said = {}
    for name, cell in table(PAGE, "### Experiments"):
        arms: list[str] = []
        for part in cell.split(";"):
            stems = [one for one in words(part) if not one.startswith("-")]
            ends = [one for one in words(part) if one.startswith("-")]
            # "each with" speaks of all that stood before it.
            arms += [stem + end for stem in stems or list(arms) for end in ends] if ends else stems
        said[words(name)[0]] = set(arms)
    there = {name: set(arms) for name, arms in plan(quick=False).experiments.items()}
    stems = {"push", "polling", "browser"}
    assert said["bandwidth"] - stems == there.pop("bandwidth")
    del said["bandwidth"]
    assert said == there


def test_the_statistics_and_what_they_need(table: Any) -> None:
    rows = table(PAGE, "### Statistics")
    assert [words(row[0])[0] for row in rows] == list(STATISTICS)
    for name, needs, _ in rows:
        assert set(words(needs)) == STATISTICS[words(name)[0]].needs


def test_its_numbers_are_ours(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    assert REPEATS == 0.15 and "no more than 15 % of the time" in text
    assert ranks(6, 0.5) == (1, 6) and "a latency, six trials or more" in text
