"""Does the Python that the pages show run, and does it do what they say?"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram, upper_edge
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.units import MS, SECOND

PATIENCE_S = 60


def python(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run_here(script: str, directory: Path) -> str:
    """What a script prints that is started in ``directory``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_has_a_test(pages: dict[str, str]) -> None:
    shown = {page: len(python(text)) for page, text in pages.items() if python(text)}
    assert shown == {"README.md": 1, "docs/measuring.md": 1, "docs/run-format.md": 1}


def test_coordinated_omission_comes_to_what_the_page_says(pages: dict[str, str], tmp_path: Path) -> None:
    page = pages["docs/measuring.md"]
    (example,) = python(page)
    said = page.split(example)[1].split("```text\n")[1].split("```")[0]
    assert run_here(example, tmp_path) == said


def write_run(reports: Path, latencies_ns: list[list[int]]) -> None:
    """A Run whose second i has the deliveries ``latencies_ns[i]``."""
    recorder = Recorder(Plan(0), "0")
    for second, of_it in enumerate(latencies_ns):
        for latency in of_it:
            planned = second * SECOND
            recorder.interval("message.deliver", "websocket", planned).record(
                planned, planned, planned + latency
            )
            recorder.interval("message.ack", "websocket", planned).record(planned, planned, planned + 1)
    book = Book()
    book.add("0", recorder.take(final=True))
    manifest = runs.Manifest(
        id="1f3a5c",
        scenario="messaging",
        transport="websocket",
        client="native",
        users=2,
        seed=1,
        started="2026-11-23T08:15:00+00:00",
        complete=True,
        edges=runs.Edges(None, None, None, SECOND),
        parameters={},
        target={},
        environment={},
        command="locust",
    )
    runs.write(reports, "made", manifest, book)


def test_a_histogram_is_read_as_the_page_shows(pages: dict[str, str], tmp_path: Path) -> None:
    latencies_ns = [[0, 1, 255, 256, 257, 1023], [], [MS, 5 * MS, 5 * MS, 900 * SECOND]]
    write_run(tmp_path / "reports", latencies_ns)
    (example,) = python(pages["docs/run-format.md"])
    printed = run_here(example, tmp_path).splitlines()
    expected = []
    for second, of_it in enumerate(latencies_ns):
        histogram = Histogram()
        for latency in of_it:
            histogram.record(latency)
        buckets, counts = histogram.counts().pairs()
        pairs = [(upper_edge(b) / 1e6, n) for b, n in zip(buckets.tolist(), counts.tolist(), strict=True)]
        expected += [f"{second} {pairs}"] if of_it else []
    assert printed == expected


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The reference server on a free port, ended by its process."""
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "loadtest", "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first.startswith("listening on "), log.read_text() + first
        yield first.split()[-1]
    finally:
        child.terminate()
        child.wait(PATIENCE_S)
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.e2e
def test_the_scenario_of_the_readme_runs(pages: dict[str, str], tmp_path: Path, server: str) -> None:
    (scenario,) = python(pages["README.md"])
    (tmp_path / "standup.py").write_text(scenario, encoding="utf-8")
    command = [sys.executable, "-m", "locust", "-f", "standup.py", "--headless", "-H", server]
    command += [
        "-u",
        "4",
        "-r",
        "4",
        "-t",
        "8s",
        "--rt-room-size",
        "2",
        "--rt-warmup",
        "0s",
        "--rt-drain",
        "2s",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    # 5 on a machine that is too busy for a fair measurement: the scenario has worked all the same.
    assert done.returncode in (0, 5), done.stdout + done.stderr
    summary = json.loads((tmp_path / "reports" / runs.LATEST / runs.SUMMARY).read_bytes())
    assert summary["run"]["scenario"] == "standup"
    rows = {row["name"]: row for row in summary["operations"] if row["phase"] == "measure"}
    assert rows["message.deliver"]["n"] == rows["message.deliver"]["expected"] > 0
    assert {"message.ack", "message.echo", "typing.deliver"} <= set(rows)
