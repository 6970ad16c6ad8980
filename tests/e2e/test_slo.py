"""Does a run keep what it was asked to keep, say so with its exit code, and end early where it may not go on?"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec
import pytest
from e2e_counting import DELIVERIES, repeated
from e2e_running import HERE, Locust, Result, Server, wait_until
from junitparser import JUnitXml

from loadtest.analysis.summary import Summary
from loadtest.analysis.validity import INVALID, judge
from loadtest.analysis.verdict import FAIL, PASS, Verdict
from loadtest.measure import run as runs

STEADY = ("-f", HERE / "steady.py", "-u", 8, "-r", 8, "--rt-rate", "4/s", "--rt-room-size", 4)
SHORT = ("-t", "9s", "--rt-warmup", "1s", "--rt-drain", "2s")
LONG = ("-t", "100s", "--rt-warmup", "1s")
LOOSE, NONE_LOST, TIGHT = (
    "message.deliver: p(95)<2000",
    "message.deliver: lost==0",
    "message.deliver: p(95)<0.001",
)
PATIENT = f"""
[slo]
"message.deliver" = [
  {{threshold = "{TIGHT.split(": ")[1]}", abort_on_fail = true}},
  "lost==0",
]
"""


def verdicts(result: Result) -> dict[str, Verdict]:
    """What stands in its summary.json, by name."""
    summary = msgspec.json.decode((result.run.path / runs.SUMMARY).read_bytes(), type=Summary)
    return {one.name: one for one in summary.verdicts}


def cases(result: Result) -> dict[str, list[str]]:
    """What stands in its junit.xml: results by name of the case."""
    (suite,) = JUnitXml.fromfile(str(result.run.path / runs.JUNIT))
    return {str(case.name): [type(one).__name__ for one in case.result] for case in suite}


def results(measured: list[Result]) -> list[Result]:
    """All of them, for ``repeated`` to look at."""
    return measured


def at_once(*start: Callable[[], Locust]) -> list[Result]:
    """Started together, read in that order."""
    return [one.result() for one in [begin() for begin in start]]


def test_the_code_says_whether_slos_were_kept(serve: Any, start_locust: Any, tmp_path: Path) -> None:
    file = tmp_path / "slo.toml"
    file.write_text('[slo]\n"message.deliver{transport:websocket}" = ["rate<0.2", "p(50)<1000"]\n')
    told = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md")}
    untold = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}

    def measure() -> list[Result]:
        server = serve()
        kept = ("--rt-slo", LOOSE, "--rt-slo", NONE_LOST, "--rt-slo", file)
        broken = ("--rt-slo", LOOSE, "--rt-slo", TIGHT)
        return at_once(
            lambda: start_locust(*STEADY, *SHORT, *kept, "-H", server.url, env=untold),
            lambda: start_locust(*STEADY, *SHORT, *broken, "-H", server.url, env=told),
        )

    def check(measured: list[Result]) -> None:
        kept, broken = measured
        assert kept.code == 0, kept.output
        assert kept.run.manifest.complete
        asked = [
            LOOSE,
            NONE_LOST,
            *(f"message.deliver{{transport:websocket}}: {one}" for one in ("rate<0.2", "p(50)<1000")),
        ]
        assert [one.name for one in kept.run.manifest.slos] == list(verdicts(kept)) == asked
        assert {one.state for one in verdicts(kept).values()} == {PASS}
        assert "slo:       4 of 4 SLOs kept" in kept.output
        assert "::" not in kept.output
        assert [cases(kept)[name] for name in asked] == [[], [], [], []]

        assert broken.code == 3, broken.output
        assert broken.run.manifest.complete and broken.run.manifest.stopped_by is None
        assert {name: one.state for name, one in verdicts(broken).items()} == {LOOSE: PASS, TIGHT: FAIL}
        assert f"  - broken: {TIGHT}: p(95) " in broken.output
        assert cases(broken)[TIGHT] == ["Failure"]
        errors = [line for line in broken.output.splitlines() if line.startswith("::error title=")]
        assert len(errors) == 1 and "p(95)<0.001" in errors[0]
        assert "1 failed, 1 passed" in (tmp_path / "step.md").read_text()

    repeated(measure, check, results)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_may_end_a_run_ends_it(serve: Any, start_locust: Any, tmp_path: Path, processes: int) -> None:
    file = tmp_path / "slo.toml"
    file.write_text(PATIENT)
    several = ("--processes", processes) if processes > 1 else ()

    def measure() -> list[Result]:
        server = serve()
        locust: Locust = start_locust(*STEADY, *LONG, *several, "--rt-slo", file, "-H", server.url)
        result = locust.result()
        wait_until(partial(_is_gone, locust), "no process is left behind")
        return [result]

    def check(measured: list[Result]) -> None:
        (result,) = measured
        manifest = result.run.manifest
        assert result.code == 3, result.output
        assert result.output.count(f"SLO broken, the run ends here: {TIGHT}, and it is ") == 1
        assert "Traceback" not in result.output
        assert (manifest.stopped_by, manifest.complete) == (TIGHT, False)
        assert manifest.gaps == manifest.harness_errors == []
        assert [one.final for one in manifest.workers] == [True] * processes
        found = verdicts(result)
        assert (found[TIGHT].state, found[TIGHT].why) == (FAIL, "it ended the run")
        assert found[NONE_LOST].state == PASS
        counts = result.totals.counts(*DELIVERIES)
        assert counts["lost"] == counts["late"] == counts["leaked"] == 0, (
            "what was under way is open, not lost"
        )
        assert cases(result)[TIGHT] == ["Failure"]
        page = (result.run.path / runs.REPORT).read_text(encoding="utf-8")
        assert "it ended the run" in page.lower()
        assert "SLOs kept, 1 broken" in result.output

    repeated(measure, check, results)


def _is_gone(locust: Locust) -> bool:
    return not locust.session()


def test_nothing_ends_for_what_is_merely_under_way(serve: Any, start_locust: Any, tmp_path: Path) -> None:
    """80 ms on the way: at every moment some have been sent and not yet come."""
    file = tmp_path / "slo.toml"
    thresholds = ", ".join(
        f'{{threshold = "{one}", abort_on_fail = true}}' for one in ("p(95)<500", "lost==0", "rate<0.2")
    )
    file.write_text(f'[slo]\n"message.deliver" = [{thresholds}]\n')

    started = []
    for several in ((), ("--processes", 2)):
        server = serve()
        server.fault("delay", ms=80)
        started.append(partial(start_locust, *STEADY, *SHORT, *several, "--rt-slo", file, "-H", server.url))
    for result in at_once(*started):
        assert (result.run.manifest.complete, result.run.manifest.stopped_by) == (True, None)
        # That nothing ended them is all there is to see: how calm this machine was is no part of it.
        if judge(result.run).state == INVALID:
            assert result.code == 5, result.output
            continue
        assert result.code == 0, result.output
        found = verdicts(result)
        assert {one.state for one in found.values()} == {PASS}
        observed = found["message.deliver: p(95)<500"].observed
        assert observed is not None and 80 < observed < 500


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_wrong_is_shown_before_anything_is_sent(
    serve: Any, start_locust: Any, tmp_path: Path, processes: int
) -> None:
    server: Server = serve()
    several = ("--processes", processes) if processes > 1 else ()
    missing = tmp_path / "missing.toml"
    wrong = ("--rt-slo", "message.deliver: p(95)<100ms", "--rt-slo", missing, "--rt-slo", NONE_LOST)
    locust = start_locust(*STEADY, *LONG, *several, *wrong, "-H", server.url)
    assert locust.wait() == 2, locust.output
    at = locust.output.index("--rt-slo:")
    assert locust.output[at:].splitlines()[:4] == [
        "--rt-slo: nothing may follow the number; times are milliseconds, without a unit",
        "  message.deliver: p(95)<100ms",
        "                            ^",
        f"--rt-slo: {missing}: cannot be read (No such file or directory)",
    ]
    assert "Traceback" not in locust.output
    stats = server.stats()
    assert (stats["accepted"], stats["sockets"]) == ({}, 0)
    assert not locust.out.exists(), "no run was begun"
    wait_until(partial(_is_gone, locust), "no process is left behind")


@pytest.mark.proof
def test_the_form_of_the_web_ui_may_ask_for_slos(
    serve: Any, start_locust: Any, tmp_path: Path, free_port: int
) -> None:
    """Each start has its own; one that a start breaks ends that run, and the next is a new one."""
    file = tmp_path / "slo.toml"
    file.write_text(PATIENT)
    server: Server = serve()
    locust: Locust = start_locust(*STEADY, "--rt-warmup", "1s", "--web-port", free_port, "-H", server.url)
    url = f"http://127.0.0.1:{free_port}"
    wait_until(partial(_answers, url), "the web UI is up")
    _post(url, "/swarm", user_count=8, spawn_rate=8, host=server.url, rt_slo="message.deliver: p95<1")
    wait_until(lambda: _state(url) == "stopped", "a wrong one begins nothing")
    assert "--rt-slo: expected p(N) or one of" in locust.output
    assert server.accepted() == 0

    _post(url, "/swarm", user_count=8, spawn_rate=8, host=server.url, rt_slo=f"{file}; {LOOSE}")
    wait_until(lambda: len(_whole(locust)) == 1, "what it broke ended the run")
    ended = locust.run().manifest
    assert (ended.stopped_by, ended.complete) == (TIGHT, False)
    assert [one.name for one in ended.slos] == [TIGHT, NONE_LOST, LOOSE]
    assert not locust.ended, "the web UI goes on"

    wait_until(lambda: _state(url) == "stopped", "it is over")
    before = server.accepted()
    _post(url, "/swarm", user_count=8, spawn_rate=8, host=server.url, rt_slo=LOOSE)
    wait_until(lambda: server.accepted() > before + 100, "the next run is on")
    _post(url, "/stop")
    wait_until(lambda: len(_whole(locust)) == 2, "it was written")
    assert [one.name for one in locust.run().manifest.slos] == [LOOSE]
    assert locust.run().manifest.stopped_by is None


def _whole(locust: Locust) -> list[Path]:
    """Its runs that are written and have their page."""
    return [one.parent for one in locust.out.glob(f"[0-9]*/{runs.REPORT}")]


def _state(url: str) -> str:
    with urlopen(url + "/stats/requests", timeout=30) as answer:
        return str(json.loads(answer.read())["state"])


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _post(url: str, path: str, **form: object) -> None:
    with urlopen(url + path, data=urlencode(form).encode(), timeout=30) as answer:
        assert answer.status == 200
