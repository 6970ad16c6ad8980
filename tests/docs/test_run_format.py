"""Does docs/run-format.md name every file, field, operation and counter of a run, and nothing else?"""

import ast
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtest.analysis import (
    availability,
    backoff,
    bandwidth,
    bystanders,
    figures,
    hosts,
    reconnection,
    server,
    spread,
    stages,
    steadiness,
    storm,
    summary,
    validity,
)
from loadtest.measure import clocks, histogram, recorder, rows, run, slo
from loadtest.measure.operations import Operation

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/run-format.md"

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "## `manifest.json`": run.Manifest,
    "### `edges`": run.Edges,
    "### `workers`": run.Worker,
    "### `clock_offset`": clocks.ClockOffset,
    "### `slos`": slo.Slo,
    "### `series`": recorder.SeriesRow,
    "### `health`": recorder.HealthRow,
    "### `traffic`": recorder.TrafficRow,
    "### `server`": recorder.ServerRow,
    "### `fault`": recorder.FaultRow,
    "## Histograms": histogram.Counts,
    "## `connections.jsonl.gz`": recorder.Drop,
    "### `tries`": rows.Try,
    "## `exemplars.jsonl`": recorder.Exemplar,
    "## `summary.json`": summary.Summary,
    "### `validity`": validity.Validity,
    "### `connections`": summary.Connections,
    "### `operations`": summary.OperationRow,
    "### `bandwidth`": bandwidth.Bandwidth,
    "### `reconnection`": reconnection.Reconnection,
    "#### `backoff`": backoff.Attempt,
    "#### `by_cause` and `by_fault`": reconnection.Breakdown,
    "#### `storms`": storm.Storm,
    "#### `bystanders`": bystanders.Bystanders,
    "### `stages`": stages.StageRow,
    "### `server` of the summary": server.ServerFigures,
    "### `hosts`": hosts.HostRow,
    "### `spread`": spread.Spread,
    "#### `servers`": spread.ServerShare,
    "#### `within` and `across`": spread.Way,
    "### `steadiness`": steadiness.Steadiness,
    "### `verdicts`": summary.Verdict,
    "### `availability`": availability.Availability,
}


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def first(rows: list[list[str]]) -> list[str]:
    """The names in the first column."""
    return [row[0].strip("`") for row in rows]


@pytest.mark.parametrize("heading", STRUCTS)
def test_fields_are_those_of_the_code(table: Any, heading: str) -> None:
    assert first(table(PAGE, heading)) == fields(STRUCTS[heading])


@pytest.mark.parametrize("name", ["parameters", "target", "environment"])
def test_free_fields_of_the_manifest_are_those_that_are_written(
    table: Any, users: dict[str, Any], name: str
) -> None:
    assert first(table(PAGE, f"### `{name}`")) == users[name]


def test_facts_of_a_worker_are_named(pages: dict[str, str], users: dict[str, Any]) -> None:
    line = next(line for line in pages[PAGE].splitlines() if line.startswith("| `facts`"))
    assert re.findall(r"`(\w+)`", line)[1:] == users["facts"]


def test_the_run_of_a_summary_is_complete(pages: dict[str, str], table: Any) -> None:
    section = pages[PAGE].split("### `run`")[1].split("### ")[0]
    assert set(re.findall(r"`(\w+)`", section)) == set(fields(summary.Facts))
    assert set(fields(summary.Facts)) - set(fields(run.Manifest)) == set(first(table(PAGE, "### `run`")))


def test_figures_and_lags_are_named(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    said = re.search(r"\*Figures\* are an object of (.*?) in milliseconds; \*lags\* of (.*?)\.", text)
    assert said
    assert re.findall(r"`(\w+)`", said[1]) == fields(figures.Figures)
    assert re.findall(r"`(\w+)`", said[2]) == fields(figures.Lag)


def test_an_effect_is_named(pages: dict[str, str]) -> None:
    section = pages[PAGE].split("#### `bystanders`")[1].split("### ")[0].split("An *effect* is")[1]
    named = fields(bystanders.Effect)
    assert re.findall(r"`(\w+)`", section)[: len(named)] == named


def test_operations_are_those_of_the_code(table: Any) -> None:
    assert first(table(PAGE, "## Operations")) == [operation.value for operation in Operation]


def test_kinds_of_lines_are_those_of_the_code(pages: dict[str, str]) -> None:
    section = pages[PAGE].split("## `intervals.jsonl.gz`")[1].split("\n## ")[0]
    kinds = (rows.SeriesRow, rows.HealthRow, rows.TrafficRow, rows.ServerRow, rows.FaultRow)
    assert re.findall(r"^### `(\w+)`", section, re.MULTILINE) == [row.__struct_config__.tag for row in kinds]


def counted_in(path: Path) -> set[str]:
    """The names that a module counts under; what is only known while it runs is ``<>``."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def names(node: ast.expr) -> set[str]:
        match node:
            case ast.Constant(value=str(name)):
                return {name}
            case ast.Name(id=name):
                return {str(constants[name])} if name in constants else {"<>"}
            case ast.IfExp(body=one, orelse=other):
                return names(one) | names(other)
            case ast.JoinedStr(values=parts):
                said = [names(part.value if isinstance(part, ast.FormattedValue) else part) for part in parts]
                return {"".join(min(one) for one in said)}
            case ast.BinOp(left=left, right=right):
                return {one + other for one in names(left) for other in names(right)}
        return {"<>"}

    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call) and node.args]
    counts = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "count"]
    found = {name for call in counts for name in names(call.args[0])}
    return {name for name in found if re.fullmatch(r"[a-z_.]+(<>)?", name)}


def test_counters_are_those_that_are_counted(table: Any) -> None:
    # "fault: …" carries the words of a fault to the master, and ends in harness_errors.
    counted = {name for path in (ROOT / "loadtest").rglob("*.py") for name in counted_in(path)}
    assert len(counted) > 5
    assert {re.sub(r"<\w+>", "<>", name) for name in first(table(PAGE, "### `counters`"))} == counted


def test_files_are_those_that_are_written(pages: dict[str, str]) -> None:
    tree = pages[PAGE].split("```text\n")[1].split("```")[0]
    names = {
        run.MANIFEST,
        run.INTERVALS,
        run.CONNECTIONS,
        run.EXEMPLARS,
        run.FLOORS,
        run.SUMMARY,
        run.JUNIT,
        run.REPORT,
        run.LATEST,
    }
    assert set(re.findall(r"^ +([\w.]+)  ", tree, re.MULTILINE)) == names
    named = re.search(r"^  (\S+)/ ", tree, re.MULTILINE)
    assert named
    assert named[1] == run.directory_name("2026-11-23T08:15:00+00:00", "messaging", "websocket", "1f3a5c")


def test_the_format_has_a_history(table: Any) -> None:
    assert run.FORMAT == summary.FORMAT == int(table(PAGE, "## Format and history")[-1][0])


def test_the_last_bucket_begins_where_the_page_says(pages: dict[str, str]) -> None:
    last = histogram.BUCKETS - 1
    begins_s = f"{histogram.upper_edge(last - 1) / 1e9:,.0f} s"
    assert f"the last one, {last}, holds everything above {begins_s}" in " ".join(pages[PAGE].split())
