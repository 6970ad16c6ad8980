"""Is a plan read as it is written, and refused where it is wrong, all faults at once?"""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.cli.canary import APART, STOLEN, Sight, look, noise
from loadtest.cli.night import arms, planned, seconds
from loadtest.cli.night_plan import BUILT_IN, PlanError, read_plan
from loadtest.measure.slo import Slo

GOOD = """
[[job]]
name = "chat"
scenario = "messaging"
users = 10
run_time = "1m30s"
trials = 6
flags = ["--rt-rate", "1/s"]
[job.slo]
"message.deliver" = ["p(95)<100", {threshold = "lost==0", abort_on_fail = true}]

[[job]]
name = "soak"
scenario = "mixed"
run_time = "20m"
trials = 1
memory_percent_per_hour = 1.5
"""


def plan(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def test_a_plan_is_read(tmp_path: Path) -> None:
    chat, soak = read_plan(plan(tmp_path, GOOD))
    assert (chat.name, chat.locustfile.name, chat.users, chat.run_time_s, chat.trials) == (
        "chat", "messaging.py", 10, 90.0, 6,
    )  # fmt: skip
    assert chat.slos == (
        Slo("message.deliver", "p(95)<100"),
        Slo("message.deliver", "lost==0", abort_on_fail=True),
    )
    assert (chat.memory_percent_per_hour, soak.memory_percent_per_hour) == (None, 1.5)
    assert (soak.users, soak.spawn_rate, soak.slos) == (100, 50, ())


def test_the_built_in_plan_is_a_plan() -> None:
    jobs = read_plan(None)
    assert [job.name for job in jobs] == ["mixed", "stages", "soak"]
    assert jobs[0].trials >= 6
    assert all(job.locustfile.is_file() for job in jobs)
    assert BUILT_IN.read_text().count("[[job]]") == 3


def test_slos_and_trials_of_the_command_line_are_for_jobs_of_several_trials(tmp_path: Path) -> None:
    other = Slo("message.deliver", "p(50)<10")
    chat, soak = read_plan(plan(tmp_path, GOOD), [other], trials=8)
    assert (chat.slos, chat.trials) == ((other,), 8)
    assert (soak.slos, soak.trials) == ((), 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[job]\n", "not TOML"),
        ("", "no jobs"),
        ("[slo]\nx = 1\n", "unknown table [slo]"),
        ('[[job]]\nscenario = "messaging"\n', "name must be a word"),
        ('[[job]]\nname = "a b"\nscenario = "messaging"\n', "name must be a word"),
        ('[[job]]\nname = "a"\n', "scenario must name one"),
        ('[[job]]\nname = "a"\nscenario = "nothing"\n', "scenario nothing: there is no"),
        ('[[job]]\nname = "a"\nscenario = "messaging"\nuser = 3\n', "unknown key user"),
        (
            '[[job]]\nname = "a"\nscenario = "messaging"\nusers = 0\n',
            "users must be a whole number of at least 1",
        ),
        ('[[job]]\nname = "a"\nscenario = "messaging"\nusers = true\n', "users must be a whole number"),
        (
            '[[job]]\nname = "a"\nscenario = "messaging"\nrun_time = "soon"\n',
            "run_time: 'soon' is no duration",
        ),
        ('[[job]]\nname = "a"\nscenario = "messaging"\nrun_time = "2s"\n', "leaves nothing to measure"),
        ('[[job]]\nname = "a"\nscenario = "messaging"\nflags = "x"\n', "flags must be a list of words"),
        (
            '[[job]]\nname = "a"\nscenario = "messaging"\nflags = ["-u", "3"]\n',
            "flags: -u is set by the night",
        ),
        ('[[job]]\nname = "a"\nscenario = "messaging"\nflags = ["--rt-seed=3"]\n', "--rt-seed=3 is set"),
        ('[[job]]\nname = "a"\nscenario = "messaging"\n[job.slo]\n"message.deliver" = ["p95<1"]\n', "\n  ^"),
        (
            '[[job]]\nname = "a"\nscenario = "messaging"\n[[job]]\nname = "a"\nscenario = "messaging"\n',
            "two jobs are called a",
        ),
    ],
)
def test_a_wrong_plan_says_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(plan(tmp_path, text))
    assert said in str(caught.value)


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(plan(tmp_path, '[[job]]\nname = ""\nusers = 0\nscenario = 3\ntrials = "x"\n'))
    assert len(caught.value.faults) == 4


def test_a_missing_plan_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"nowhere\.toml: cannot be read"):
        read_plan(tmp_path / "nowhere.toml")


# -- the order of trials -------------------------------------------------------------------------------------


def test_both_builds_take_turns_and_share_every_drift(tmp_path: Path) -> None:
    chat, soak = read_plan(plan(tmp_path, GOOD))
    compared = arms("http://b", "http://a", [])
    order = planned(chat, compared)
    assert [(seed, arm.name[0]) for seed, arm in order[:8]] == [
        (1, "b"), (1, "c"), (2, "c"), (2, "b"), (3, "c"), (3, "b"), (4, "b"), (4, "c"),
    ]  # fmt: skip
    places = {
        name: [place for place, (_, arm) in enumerate(order) if arm.name == name]
        for name in ("baseline", "candidate")
    }
    # A machine that gets slower from trial to trial, evenly, does so for both alike.
    assert abs(sum(places["baseline"]) - sum(places["candidate"])) <= 2
    assert planned(soak, compared) == [(1, compared[-1])]
    assert seconds([chat, soak], compared) == 90.0 * 12 + 1200.0


def test_without_a_baseline_there_is_one_build(tmp_path: Path) -> None:
    chat, _ = read_plan(plan(tmp_path, GOOD))
    assert [seed for seed, _ in planned(chat, arms(None, None, ["--rt-allow-remote"]))] == [1, 2, 3, 4, 5, 6]


# -- the canary ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (Sight(0.1, 0, 10), Sight(0.1, 0, 30), ""),
        (Sight(0.1, 0, 10), Sight(0.1 * (1 + APART) - 1e-6, 0, 30), ""),
        (Sight(0.1, 0, 10), Sight(0.12, 0, 30), "the same piece of work took 20 % longer after the trial"),
        (Sight(0.13, 0, 10), Sight(0.1, 0, 30), "the same piece of work took 30 % longer before the trial"),
        (
            Sight(0.1, 1, 10),
            Sight(0.1, 2, 30),
            "5.0 % of the processor time went to other guests of the host",
        ),
        (Sight(0.1, 1, 10), Sight(0.1, 1 + 20 * STOLEN, 30), ""),
        (Sight(0.1, 1, 10), Sight(0.1, 1, 10), ""),
    ],
)
def test_noise_is_said_in_words(before: Sight, after: Sight, said: str) -> None:
    assert noise(before, after) == said


def test_a_look_reads_what_only_grows() -> None:
    first, second = look(), look()
    assert first.spin_s > 0
    assert second.all_s >= first.all_s
    assert second.stolen_s >= first.stolen_s
