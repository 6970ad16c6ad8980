"""In which files does Apache Otava get the nights? Also good for a spreadsheet.

One file for each job and machine: a row for each night with values, and in it value, low and high of each
metric. Otava refuses a whole file for a single empty value; a metric that some nights lack therefore gets a file
of its own, so that no night is left out and none is invented.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest.analysis.history import Series
from loadtest.cli.history_file import HistoryError
from loadtest.measure import run as runs

CONFIG = "otava.yaml"
FACTS = ("time", "commit", "fingerprint", "trials", "state")


class Sheet(NamedTuple):
    """Series of the same nights: ``name`` is that of their file, without ``.csv``, and of Otava's test."""

    name: str
    series: list[Series]


def sheets(series: Sequence[Series]) -> list[Sheet]:
    """Series by job, machine and nights, each group with a name of its own."""
    groups: dict[tuple[str, str, tuple[int, ...]], list[Series]] = {}
    for one in series:
        nights = tuple(id(night) for night in one.nights)
        groups.setdefault((one.job, one.fingerprint, nights), []).append(one)
    names: set[str] = set()
    found = []
    for (job, fingerprint, _), of_group in groups.items():
        name = _free(re.sub(r"[^\w.-]+", "-", f"{job}-{fingerprint}"), names)
        names.add(name.lower())  # for disks that take A and a for the same
        found.append(Sheet(name, of_group))
    return found


def write(folder: Path, series: Sequence[Series]) -> list[Sheet]:
    """Write the CSV files, and otava.yaml beside them. Raises HistoryError."""
    found = sheets(series)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sheet in found:
            runs.replace(folder / f"{sheet.name}.csv", table(sheet).encode())
        runs.replace(folder / CONFIG, config(found).encode())
    except OSError as error:
        raise HistoryError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return found


def table(sheet: Sheet) -> str:
    """The text of a CSV file."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    metrics = [one.metric for one in sheet.series]
    rows.writerow(
        [*FACTS, *(head for metric in metrics for head in (metric, f"{metric} low", f"{metric} high"))]
    )
    for night in sheet.series[0].nights:
        figures = [night.figures[metric] for metric in metrics]
        rows.writerow(
            [
                *(night.at, night.commit, night.fingerprint, night.trials, night.state),
                *(part for figure in figures for part in (figure.value, figure.low, figure.high)),
            ]
        )
    return text.getvalue()


def config(found: Sequence[Sheet]) -> str:
    """The text of otava.yaml: a test for each file; of all metrics, less is better."""
    lines = ["tests:"] if found else ["tests: {}"]
    for sheet in found:
        lines += [
            f"  {_quoted(sheet.name)}:",
            "    type: csv",
            f"    file: {_quoted(sheet.name + '.csv')}",
            "    time_column: time",
            "    attributes: [commit, fingerprint]",
            "    metrics:",
            *(f"      {_quoted(one.metric)}: {{direction: -1}}" for one in sheet.series),
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A JSON string is a YAML string, whatever is in it."""
    return msgspec.json.encode(text).decode()


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while (tried := name if number == 1 else f"{name}-{number}").lower() in taken:
        number += 1
    return tried
