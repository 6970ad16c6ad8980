"""A session of claims that is killed goes on where it was, and in no other place."""

from __future__ import annotations

import json
import re
import runpy
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli import claims_run
from loadtest.cli.app import app
from loadtest.cli.bandwidth_points import Plan as BytesPlan
from loadtest.cli.bandwidth_points import spots
from loadtest.cli.claims_run import Job
from loadtest.cli.claims_session import CLAIMS, RECORD, Done, Session, Wanted, begin
from loadtest.cli.experiments import plan
from loadtest.cli.locust_run import Interrupted, RunFailed
from loadtest.measure import run as runs

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "made.py")))
OWN = """
[[claim]]
name = "fast"
sentence = "It is fast."
restatement = "95 of 100 messages within 100 ms."
experiment = "messaging"
[[claim.part]]
says = "p95, push"
statistic = "p95_ms"
of = "message.deliver"
arms = ["push"]
compare = "<="
limit = 100
"""


class Locust:
    """Stands where locust is started: writes a run that was made beforehand, or does what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.instead: Callable[[int], None] = lambda number: None
        self.busy = 12.0

    def make(
        self, session: Session, job: Job, repeat: int, flags: Any, tick: Callable[[float], None]
    ) -> Done:
        number = len(self.asked)
        self.asked.append((job.recipe.name, job.seed))
        tick(1.0)
        self.instead(number)
        told = dict(zip(job.recipe.flags, job.recipe.flags[1:], strict=False))
        maker = made.Maker(
            transport=told.get("--rt-transport", "websocket"), users=40, busy=self.busy, seed=job.seed
        )
        path = maker.write(session.runs, id=f"{number:04x}{job.seed:04x}", seed=job.seed)
        return Done(job.recipe.name, job.seed, f"runs/{path.name}", repeat)


@pytest.fixture
def locust(monkeypatch: pytest.MonkeyPatch) -> Locust:
    stand_in = Locust()
    monkeypatch.setattr(claims_run, "_make", stand_in.make)
    return stand_in


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes SIGTERM for Ctrl-C; this process shall not, once it is over."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


def claims(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["claims", "--no-floors", *map(str, arguments)])


def session_of(out: Path) -> Path:
    (found,) = out.glob("*-claims-*")
    return found


def record(session: Path) -> Any:
    return json.loads((session / RECORD).read_text())


def test_an_own_claim_is_run_judged_and_kept(locust: Locust, own: Path, tmp_path: Path) -> None:
    result = claims("--quick", "--claims", own, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert locust.asked == [("all-push", 1), ("all-interval-polling", 1), ("all-long-polling", 1)]
    session = session_of(tmp_path / "out")
    assert result.stdout.startswith("CONFIRMED AT RTT 0  fast: p95, push: ")
    assert (session / CLAIMS).read_text() == OWN
    told = json.loads((session / "summary.json").read_text())
    assert (told["state"], told["claims"][0]["parts"][0]["verdict"]["state"]) == ("pass", "pass")
    for trial in told["claims"][0]["trials"]:
        assert runs.read(session / trial["path"]).path.is_dir()
    assert "It is fast." in (session / "report.html").read_text()
    assert f"{session.name}/report.html" in (tmp_path / "out" / "index.html").read_text()


def test_killed_in_the_middle_it_goes_on_with_what_is_missing(
    locust: Locust, own: Path, tmp_path: Path
) -> None:
    def stop(number: int) -> None:
        if number == 1:
            raise Interrupted(None)

    locust.instead = stop
    cut = claims("--quick", "--claims", own, "--out", tmp_path / "out")
    session = session_of(tmp_path / "out")
    assert f"loadtest claims --resume {session}" in cut.stderr
    assert cut.exit_code == 0  # what was measured is judged
    assert record(session)["state"] == "incomplete"
    assert [one["recipe"] for one in record(session)["done"]] == ["all-push"]
    locust.instead = lambda number: None
    locust.asked.clear()
    result = claims("--resume", session)
    assert locust.asked == [("all-interval-polling", 1), ("all-long-polling", 1)]
    assert (result.exit_code, record(session)["state"]) == (0, "pass")
    locust.asked.clear()
    assert claims("--resume", session).exit_code == 0
    assert not locust.asked


def test_the_same_session_gives_the_same_page(locust: Locust, own: Path, tmp_path: Path) -> None:
    claims("--quick", "--claims", own, "--out", tmp_path / "out")
    session = session_of(tmp_path / "out")
    command = re.compile(rb"<pre.*?</pre>", re.DOTALL)
    before = command.sub(b"", (session / "report.html").read_bytes())
    claims("--resume", session)
    assert command.sub(b"", (session / "report.html").read_bytes()) == before


def test_a_run_that_the_generator_spoilt_is_made_once_more(locust: Locust, own: Path, tmp_path: Path) -> None:
    locust.busy = 95.0

    def calm(number: int) -> None:
        locust.busy = 12.0 if number else 95.0

    locust.instead = calm
    result = claims("--quick", "--claims", own, "--out", tmp_path / "out")
    assert locust.asked[:3] == [("all-push", 1), ("all-push", 1), ("all-interval-polling", 1)]
    assert result.stdout.startswith("CONFIRMED")


def test_cut_short_before_its_second_run_it_is_made_when_the_session_goes_on(
    locust: Locust, own: Path, tmp_path: Path
) -> None:
    def stop(number: int) -> None:
        locust.busy = 95.0
        if number == 1:
            raise Interrupted(None)

    locust.instead = stop
    claims("--quick", "--claims", own, "--out", tmp_path / "out")
    session = session_of(tmp_path / "out")
    assert locust.asked == [("all-push", 1)] * 2
    locust.asked.clear()

    def calm(number: int) -> None:
        locust.busy = 12.0

    locust.instead = calm
    assert claims("--resume", session).stdout.startswith("CONFIRMED")
    assert [name for name, _ in locust.asked] == ["all-push", "all-interval-polling", "all-long-polling"]
    assert [one["repeat"] for one in record(session)["done"]] == [0, 1, 0, 0]
    locust.asked.clear()
    claims("--resume", session)
    assert locust.asked == [], "twice is enough"


def test_nothing_that_can_be_believed_ends_with_5(locust: Locust, own: Path, tmp_path: Path) -> None:
    locust.busy = 95.0
    assert claims("--quick", "--claims", own, "--out", tmp_path / "out").exit_code == 5
    assert record(session_of(tmp_path / "out"))["exit_code"] == 5


def test_a_refuted_claim_ends_with_3_and_one_left_open_with_6_if_strict(
    locust: Locust, own: Path, tmp_path: Path
) -> None:
    own.write_text(OWN.replace("limit = 100", "limit = 0.001"), encoding="utf-8")
    result = claims("--quick", "--claims", own, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert result.stdout.startswith("REFUTED  fast: p95, push: ")
    assert "(claimed ≤ 0.001 ms)" in result.stdout
    far = OWN.replace('["push"]', '["push-rtt-80"]')
    own.write_text(far, encoding="utf-8")
    for flags, code in (((), 0), (("--strict",), 6)):
        open_ = claims("--quick", "--claims", own, "--out", tmp_path / f"out{code}", *flags)
        assert open_.exit_code == code
        assert "only the full run has it" in open_.stdout


def test_a_target_that_is_gone_is_not_asked_for_ever(locust: Locust, own: Path, tmp_path: Path) -> None:
    def gone(number: int) -> None:
        raise RunFailed("messaging: connection refused", tmp_path / "log")

    locust.instead = gone
    result = claims("--claims", own, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert len(locust.asked) == 3
    assert result.stderr.count("error: ") == 3


def test_json_is_all_that_is_printed(locust: Locust, own: Path, tmp_path: Path) -> None:
    result = claims("--quick", "--claims", own, "--out", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["claims"][0]["name"] == "fast"


def test_a_host_leaves_out_what_needs_a_server_of_our_own(locust: Locust, tmp_path: Path) -> None:
    result = claims(
        "--quick", "--only", "rate-limit", "--host", "http://127.0.0.1:1", "--out", tmp_path / "out"
    )
    assert not locust.asked
    assert "it needs a server of our own" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "fst"], "error: --only: there is no claim 'fst'; did you mean fast?"),
        (["--claims", "{none}"], "cannot be read: No such file or directory"),
        (["--resume", "{none}"], "no directory of loadtest claims (claims.json: No such file or directory)"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, own: Path, tmp_path: Path) -> None:
    filled = [one.format(none=tmp_path / "none.toml") for one in arguments]
    result = claims(
        *filled, *([] if "--claims" in arguments else ["--claims", own]), "--out", tmp_path / "out"
    )
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_it_does_not_go_on_with_other_claims(locust: Locust, own: Path, tmp_path: Path) -> None:
    claims("--quick", "--claims", own, "--out", tmp_path / "out")
    session = session_of(tmp_path / "out")
    other = tmp_path / "other.toml"
    other.write_text(OWN.replace("100", "50"), encoding="utf-8")
    for flags, said in (
        (["--claims", other], f"holds other claims than {other}"),
        (["--only", "fast"], "it was begun with another --only"),
        (["--host", "http://127.0.0.1:1"], "it was begun with another --host"),
    ):
        result = claims("--resume", session, *flags)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    told = record(session)
    told["plan"] = "of another release"
    (session / RECORD).write_text(json.dumps(told))
    assert "begun by another release" in claims("--resume", session).stderr


def test_what_the_grid_of_bytes_has_is_taken_down_once(tmp_path: Path) -> None:
    wanted = Wanted(None, (), True, None)
    session = begin(tmp_path, wanted, b"", ["bandwidth"], datetime(2026, 11, 26, tzinfo=UTC))
    grid = {"plan": {}, "runs": {"websocket-0.1-1": "one", "interval-polling-library-1-idle-1": "two"}}
    (session.runs / "grid.json").write_text(json.dumps(grid))
    for _ in range(2):
        claims_run._keep_grid(session)
        kept = {(one.recipe, one.seed, one.path) for one in session.record.done}
        assert kept == {
            ("websocket-0.1", 1, "runs/one"),
            ("interval-polling-library-1-idle", 1, "runs/two"),
        }
        assert len(session.record.done) == 2
    arms = session.plan.experiments["bandwidth"]
    assert (arms["push-at-0.1"], arms["polling-idle"]) == ("websocket-0.1", "interval-polling-library-1-idle")


def test_every_arm_of_the_grid_is_one_of_its_spots() -> None:
    for quick in (True, False):
        grid = plan(quick)
        names = {one.name.rpartition("-")[0] for one in spots(BytesPlan(quick, grid.grid))}
        assert set(grid.experiments["bandwidth"].values()) <= names
