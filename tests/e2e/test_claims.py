"""Claims, carried out: a session that is cut short, gone on with, and judged from the runs that it names."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_running import Program, wait_until

from loadtest.analysis.claim_latency import own_device, value_ms
from loadtest.cli.floors import read_floors
from loadtest.measure import run as runs


@pytest.fixture
def claims(tmp_path: Path, programs: list[Program]) -> Any:
    """``claims("--quick")`` starts ``loadtest claims``."""

    def start(*flags: object) -> Program:
        log = tmp_path / f"claims{len(programs)}.log"
        program = Program([sys.executable, "-m", "loadtest", "claims", *flags, "--out", tmp_path], log)
        programs.append(program)
        return program

    return start


@pytest.mark.proof
@pytest.mark.calm
def test_cut_short_gone_on_with_and_recomputable(claims: Any, tmp_path: Path) -> None:
    cut = claims("--quick", "--only", "multi-device")
    wait_until(lambda: list(tmp_path.glob("*-claims-*/runs/*.log")), "locust was started")
    cut.signal(signal.SIGINT)
    assert cut.wait() == 5, cut.output  # nothing is measured yet
    (session,) = tmp_path.glob("*-claims-*")
    assert json.loads((session / "claims.json").read_text())["state"] == "incomplete"

    whole = claims("--resume", session)
    code = whole.wait(150)
    told = json.loads((session / "summary.json").read_text())
    (claim,) = told["claims"]
    valid = [one for one in claim["trials"] if one["validity"] != "invalid"]
    assert code == (0 if valid else 5), whole.output
    for trial in valid:
        run = runs.read(session / trial["path"])
        assert run.manifest.parameters["devices"] == 2
        said = trial["values"]["p95 other device"]["value"]
        assert said == value_ms(own_device(run), "p95")
    page = (session / "report.html").read_text()
    assert "Multi-device sync" in page
    if valid:
        floors = read_floors(session)
        assert floors is not None and [one.name for one in floors.floors] == ["C0", "C1", "C2"]
        assert floors.load.users == 100 and floors.load.devices == 2
        assert "Messages to people with two devices: " in page
    assert all(f"{trial['path']}/report.html" in page for trial in claim["trials"])
    assert session.name in (tmp_path / "index.html").read_text()
