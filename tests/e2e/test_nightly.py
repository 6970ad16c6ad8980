"""A night from end to end: real servers, real trials, what is kept, and what each ending comes to."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_running import ROOT, Program, wait_until

pytestmark = pytest.mark.calm

SHORT = 'users = 8\nspawn_rate = 20\nrun_time = "6s"\n'
FLAGS = 'flags = ["--rt-rate", "5/s", "--rt-room-size", "4", "--rt-warmup", "1s", "--rt-drain", "1s"]\n'
Night = Callable[..., Program]


def job(name: str, trials: int, slo: str = "", more: str = "") -> str:
    asked = f"[job.slo]\n{slo}\n" if slo else ""
    return (
        f'[[job]]\nname = "{name}"\nscenario = "messaging"\ntrials = {trials}\n{SHORT}{FLAGS}{more}\n{asked}'
    )


KEPT = '"message.deliver" = ["p(95)<5000", "lost==0"]'
BROKEN = '"message.deliver" = ["p(50)<0.0001"]'
OPEN = '"message.deliver" = ["rate<0.00001"]'


@pytest.fixture
def night(tmp_path: Path, programs: list[Program]) -> Night:
    """``night(plan, *flags)`` starts ``loadtest nightly`` with reports in tmp_path / "reports"."""
    number = 0

    def start(plan: str, *flags: object, **options: Any) -> Program:
        nonlocal number
        number += 1
        path = tmp_path / f"plan{number}.toml"
        path.write_text(plan)
        words = [sys.executable, "-m", "loadtest", "nightly", "--plan", path, "--out", tmp_path / "reports"]
        program = Program([*words, *flags], tmp_path / f"night{number}.log", **options)
        programs.append(program)
        return program

    return start


def newest(tmp_path: Path) -> Path:
    return max((tmp_path / "reports").glob("*-nightly-*"))


def told(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((newest(tmp_path) / "summary.json").read_bytes())
    return found


def rows(tmp_path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(tmp_path / "reports" / "history.sqlite") as history:
        return history.execute("SELECT job, state FROM night ORDER BY id").fetchall()


@pytest.mark.proof
def test_a_night_leaves_page_verdicts_history_and_index(night: Night, tmp_path: Path) -> None:
    program = night(job("chat", 2, KEPT) + job("soak", 1))
    code = program.wait(300)
    summary = told(tmp_path)
    by_name = {one["job"]: one for one in summary["jobs"]}
    # A machine that is not quiet may leave no trial that counts: then nothing is decided, and nothing failed.
    assert code == summary["exit_code"], program.output
    assert code == 0, program.output
    assert {by_name["chat"]["state"], by_name["soak"]["state"]} <= {"pass", "inconclusive"}
    if by_name["chat"]["used"]:
        assert [one["state"] for one in by_name["chat"]["verdicts"]] == ["pass", "pass"]
    assert {one["seed"] for one in by_name["chat"]["trials"]} == {1, 2}
    assert "server_cpu_s_per_1000" in by_name["soak"]["figures"]
    for file in ("report.html", "junit.xml", "summary.json", "night.json"):
        assert (newest(tmp_path) / file).is_file()
    for trial in (one for it in summary["jobs"] for one in it["trials"]):
        assert (newest(tmp_path) / trial["path"] / "report.html").is_file()
    index = (tmp_path / "reports" / "index.html").read_text("utf-8")
    assert f"{newest(tmp_path).name}/report.html" in index
    assert [name for name, _ in rows(tmp_path)] == ["chat", "soak"]
    history = Program(
        [sys.executable, "-m", "loadtest", "history", "--history", tmp_path / "reports" / "history.sqlite"],
        tmp_path / "history.log",
    )
    assert history.wait() == 0, history.output
    assert "soak" in history.output


def test_a_broken_slo_ends_with_three(night: Night, tmp_path: Path) -> None:
    program = night(job("chat", 1, BROKEN))
    assert program.wait(120) == 3, program.output
    assert "broken: message.deliver: p(50)<0.0001" in program.output
    assert rows(tmp_path) == [("chat", "fail")]
    assert 'failures="1"' in (newest(tmp_path) / "junit.xml").read_text("utf-8")


@pytest.mark.proof
def test_three_nights_without_a_decision_are_one(night: Night, tmp_path: Path) -> None:
    codes = []
    for _ in range(3):
        program = night(job("chat", 1, OPEN))
        codes.append(program.wait(120))
    assert codes == [0, 0, 6]
    assert "3 nights in a row could not be decided" in program.output
    assert night(job("chat", 1, OPEN), "--strict").wait(120) == 6


def test_a_target_that_dies_in_the_middle_leaves_what_was_measured(
    night: Night, serve: Any, tmp_path: Path
) -> None:
    server = serve()
    program = night(job("first", 1, KEPT) + job("second", 1, KEPT), "--host", server.url)
    wait_until(
        lambda: list(tmp_path.glob("reports/*-nightly-*/first-candidate/*/summary.json")), "one trial", 120
    )
    os.kill(server.pid, signal.SIGKILL)
    assert program.wait(120) == 2, program.output
    assert "no server there" in program.output
    assert "Traceback" not in program.output
    assert rows(tmp_path) == [("first", "pass"), ("second", "incomplete")]
    assert told(tmp_path)["state"] == "incomplete"
    assert (newest(tmp_path) / "report.html").is_file()


@pytest.mark.proof
def test_a_night_that_is_cut_short_is_judged_as_far_as_it_came(night: Night, tmp_path: Path) -> None:
    program = night(job("first", 1, KEPT) + job("second", 1, KEPT))
    wait_until(
        lambda: list(tmp_path.glob("reports/*-nightly-*/first-candidate/*/summary.json")), "one trial", 120
    )
    wait_until(lambda: list(tmp_path.glob("reports/*-nightly-*/second-candidate")), "the second begins", 60)
    program.signal(signal.SIGTERM)
    assert program.wait(120) in (0, 5), program.output
    states = dict(rows(tmp_path))
    assert states["first"] == "pass"
    assert states["second"] == "incomplete"
    assert "Traceback" not in program.output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--baseline-host", "http://127.0.0.1:1"], "--baseline-host needs --host"),
        (["--slo", "message.deliver: p95<1"], "    ^"),
        (["--slo", "nothing.toml"], "nothing.toml: cannot be read"),
    ],
)
def test_wrong_words_are_one_line_before_anything_is_run(
    night: Night, tmp_path: Path, flags: list[str], said: str
) -> None:
    program = night(job("chat", 2, KEPT), *flags)
    assert program.wait() == 2
    assert said in program.output
    assert "Traceback" not in program.output
    assert not list(tmp_path.glob("reports/*-nightly-*"))


def test_a_baseline_of_no_server_is_one_line(night: Night, serve: Any, tmp_path: Path) -> None:
    server = serve()
    program = night(job("chat", 2, KEPT), "--host", server.url, "--baseline-host", "http://127.0.0.1:1")
    assert program.wait(60) == 2
    assert "no server there" in program.output


def test_github_is_told(night: Night, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    program = night(
        job("chat", 1, BROKEN), env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    )
    assert program.wait(120) == 3
    assert program.output.count("::error title=") == 1
    assert summary.read_text("utf-8").count("## ") == 1  # the trials' own reports told nothing


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_the_steps_of_the_workflow_work_as_they_stand(
    tmp_path: Path, free_port: int, programs: list[Program]
) -> None:
    sys.path.append(str(ROOT / "tests" / "docs"))
    from workflow_steps import WORKFLOWS, carry_out, run_steps

    clone, temp = tmp_path / "clone", tmp_path / "temp"
    clone.mkdir()
    temp.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", ".venv", "scenarios", "loadtest"):
        (clone / name).symlink_to(ROOT / name)
    plan = tmp_path / "plan.toml"
    plan.write_text(job("chat", 1, KEPT))
    steps = run_steps(WORKFLOWS / "nightly.yml", "nightly")
    environment = {"PORT": str(free_port), "LOADTEST_NIGHTLY_PLAN": str(plan), "GITHUB_ACTIONS": "true"}
    done = list(carry_out(steps, clone, temp, environment, timeout_s=300))
    assert [one.step.name for one in done] == [step.name for step in steps]
    assert [one.code for one in done] == [0] * len(done), "\n".join(one.output for one in done)
    assert (clone / "reports" / "history.sqlite").is_file()
    assert list((clone / "reports").glob("*-nightly-*/junit.xml"))
