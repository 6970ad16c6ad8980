"""The `run` steps of a GitHub workflow, carried out here as GitHub's runner carries them out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


class Step(NamedTuple):
    """One step that runs a script. always: also after one that failed, as ``if: always()`` says."""

    name: str
    script: str
    always: bool


class Done(NamedTuple):
    """One step that was carried out; output: standard output and error, as they came."""

    step: Step
    code: int
    output: str


def parse(text: str) -> Any:
    """YAML as plain data; ``on`` stays the word that it is."""
    return YAML(typ="safe", pure=True).load(text)


def run_steps(workflow: Path, job: str) -> list[Step]:
    """The steps of a job that run a script, in their order; actions (``uses``) are left out."""
    steps = parse(workflow.read_text(encoding="utf-8"))["jobs"][job]["steps"]
    return [
        Step(one.get("name", one["run"]), one["run"], "always()" in one.get("if", ""))
        for one in steps
        if "run" in one
    ]


def carry_out(
    steps: Sequence[Step],
    directory: Path,
    temp: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600,
) -> Iterator[Done]:
    """Each step in a shell of its own (``bash -e``), in ``directory``; after a failure only those that always run.

    What a step leaves in the background goes on, as it does there; whoever calls sees to its end. So output goes
    through a file: a pipe would stay open for as long as what was left there. temp: the folder that the runner has
    for itself, RUNNER_TEMP.
    """
    environment = {**os.environ, "RUNNER_TEMP": str(temp), **(environment or {})}
    failed = False
    for number, step in enumerate(steps):
        if failed and not step.always:
            continue
        script, log = temp / f"step{number}.sh", temp / f"step{number}.log"
        script.write_text(step.script, encoding="utf-8")
        with log.open("wb") as output:
            code = subprocess.run(
                ["bash", "-e", str(script)],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            ).returncode
        failed = failed or code != 0
        yield Done(step, code, log.read_text(encoding="utf-8", errors="replace"))
