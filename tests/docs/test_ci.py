"""Is what docs/ci.md and the workflows give people to copy valid, and does all that it names exist?"""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from loadtest.analysis import exit_code
from loadtest.cli import app
from loadtest.measure.threshold import parse_selector, parse_slo, parse_threshold

sys.path.append(
    str(Path(__file__).parent)
)  # importlib mode does not make the tools beside the tests importable

from workflow_steps import ROOT, WORKFLOWS, parse, run_steps

PAGE = "docs/ci.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
NIGHTLY = WORKFLOWS / "nightly.yml"
NIGHTLY_TEXT = NIGHTLY.read_text(encoding="utf-8")
SECONDS = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


YAML = blocks("yaml")


def validated(schema: str, *paths: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_are_valid() -> None:
    found = sorted(WORKFLOWS.glob("*.yml"))
    assert NIGHTLY in found
    validated("github-workflows", *found)


def test_a_workflow_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The schema is there, and bites."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(NIGHTLY_TEXT.replace("runs-on:", "runs_on:"), encoding="utf-8")
    with pytest.raises(AssertionError, match="runs_on"):
        validated("github-workflows", wrong)


@pytest.mark.parametrize("block", YAML, ids=range(len(YAML)))
def test_every_block_of_the_page_is_a_valid_file(block: str, tmp_path: Path) -> None:
    file = tmp_path / "block.yml"
    file.write_text(block, encoding="utf-8")
    validated("github-workflows" if "jobs" in parse(block) else "gitlab-ci", file)


def test_the_page_has_both_systems_and_a_shell() -> None:
    kinds = {"github" if "jobs" in parse(block) else "gitlab" for block in YAML}
    assert kinds == {"github", "gitlab"} and blocks("sh") and blocks("toml")


def scripts() -> list[str]:
    """All shell there is to copy: of the page's blocks, and of the steps of those in YAML."""
    found = blocks("sh")
    for block in YAML:
        content = parse(block)
        for job in content.get("jobs", content).values():
            found += [step["run"] for step in job.get("steps", []) if "run" in step]
            found += job.get("script", [])
    return found


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.strip().splitlines()[0][:40])
def test_the_shell_can_be_read(script: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def typed(text: str, name: str) -> list[list[str]]:
    """Every call of a program in a script, as words; only in code, in a page."""
    if text is TEXT:
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
        text = "\n".join([*inline, *re.findall(r"^```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)])
    lines = text.replace("\\\n", " ").splitlines()
    calls = [re.search(rf"(?:^|[\s/]){name} (?=[a-z-])([^|&>#]*)", line) for line in lines]
    return [shlex.split(call[1]) for call in calls if call and not call.string.lstrip().startswith("#")]


COMMANDS = [
    line.split(" ")
    for line in sorted({" ".join(one) for text in (TEXT, NIGHTLY_TEXT) for one in typed(text, "loadtest")})
]


def test_commands_are_found_wherever_they_stand() -> None:
    assert {"serve", "nightly", "check", "compare", "history"} <= {words[0] for words in COMMANDS}
    assert ["nightly", "--host", "http://127.0.0.1:${PORT:-3000}"] in COMMANDS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_flag_exists(words: list[str]) -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    assert words[0] in commands, f"no command {words[0]}"
    known = {name for one in commands[words[0]].params for name in one.opts}
    assert {word for word in words if word.startswith("--")} - known == set()


def test_the_plan_comes_from_the_variable_that_is_named() -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    (plan,) = [one for one in commands["nightly"].params if "--plan" in one.opts]
    assert plan.envvar == "LOADTEST_NIGHTLY_PLAN"
    assert "LOADTEST_NIGHTLY_PLAN" in TEXT and "LOADTEST_NIGHTLY_PLAN" in NIGHTLY_TEXT


def test_every_slo_can_be_read() -> None:
    expressions = re.findall(r'--rt-slo "([^"]+)"', TEXT)
    assert len(expressions) == 2
    for expression in expressions:
        parse_slo(expression)
    (block,) = blocks("toml")
    for selector, thresholds in tomllib.loads(block)["slo"].items():
        parse_selector(selector)
        for one in thresholds:
            parse_threshold(one if isinstance(one, str) else one["threshold"])


def test_the_exit_codes_are_the_code_s(table: Any) -> None:
    assert [int(row[0]) for row in table(PAGE, "## Exit codes")] == sorted(exit_code.PRECEDENCE)
    order = ", ".join(map(str, exit_code.PRECEDENCE))
    assert f"the first of {order} counts" in TEXT


def github(text: str) -> list[dict[str, Any]]:
    """The steps of the only job of a workflow."""
    (job,) = parse(text)["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


NIGHTLIES = [NIGHTLY_TEXT, *(block for block in YAML if "cache/save" in block)]


@pytest.mark.parametrize("text", NIGHTLIES, ids=["workflow", "page"])
def test_the_history_is_saved_as_it_was_fetched_whatever_happened(text: str) -> None:
    by_action = {one["uses"].split("@")[0]: one for one in github(text) if "uses" in one}
    fetched, saved = by_action["actions/cache/restore"]["with"], by_action["actions/cache/save"]["with"]
    # A cache is found by its paths, too: other words for the same file are another cache.
    assert fetched["path"] == saved["path"] == "reports/history.sqlite*"
    assert fetched["key"] == saved["key"]
    prefix = fetched["restore-keys"]
    assert fetched["key"].startswith(prefix) and len(fetched["key"]) > len(prefix)
    for action in ("actions/cache/save", "actions/upload-artifact"):
        assert by_action[action]["if"] == "always()"
    order = [one.get("uses", one.get("run")) for one in github(text)]
    night = next(at for at, one in enumerate(order) if "loadtest nightly" in one)
    assert order.index("actions/cache/restore@v4") < night < order.index("actions/cache/save@v4")


def test_the_nightly_job_is_polite() -> None:
    content = parse(NIGHTLY_TEXT)
    (schedule,) = content["on"]["schedule"]
    minute = schedule["cron"].split()[0]
    assert int(minute) % 15 != 0 and "workflow_dispatch" in content["on"]
    assert content["permissions"] == {"contents": "read"}
    assert content["concurrency"]["cancel-in-progress"] is False
    (job,) = content["jobs"].values()
    night = next(step for step in job["steps"] if "loadtest nightly" in step.get("run", ""))
    # What comes after a night that took too long must still have its time.
    assert night["timeout-minutes"] < job["timeout-minutes"]


def test_the_steps_run_anywhere() -> None:
    """Nothing that only GitHub could fill in, and no way of handing on but files."""
    steps = run_steps(NIGHTLY, "nightly")
    assert [step.name for step in steps if step.always] == ["stop the target"]
    for step in steps:
        assert "${{" not in step.script and "GITHUB_" not in step.script, step.name
