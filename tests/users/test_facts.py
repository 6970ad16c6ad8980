"""Does a Run say how it was made, and never a secret?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from loadtest.users import facts

SECRET = "hush-hush-nobody-may-read-this"


@pytest.mark.parametrize(
    "words",
    [
        ["--rt-token-secret", SECRET],
        [f"--rt-token-secret={SECRET}"],
        ["--rt-token", SECRET],
        [f"--rt-to={SECRET}"],
        ["--rt-token-s", SECRET],
        ["--rt-token-secret", "--rt-seed", "--rt-token-secret", SECRET],
        ["--rt-seed=2", f"--rt-token-secret=a={SECRET}"],
    ],
)
def test_a_secret_is_not_in_the_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/locust", "-u", "5", *words, "-t", "9s"])
    said = facts.command()
    assert SECRET not in said
    assert "***" in said
    assert shlex.split(said)[:3] == ["locust", "-u", "5"]
    assert shlex.split(said)[-2:] == ["-t", "9s"]


def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--rt-room-size", "2:80,20:20", "--rt-transport=websocket", "--tags", "a b", "-H", "http://h:1"]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    assert shlex.split(facts.command()) == ["locust", *words]


def test_an_address_is_shown_without_who_may_go_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--rt-server-metrics", f"http://ann:{SECRET}@host/m?key={SECRET}"])
    assert shlex.split(facts.command()) == ["locust", "--rt-server-metrics", "http://***@host/m?***"]


def test_the_environment_tells_machines_apart_and_is_the_same_twice() -> None:
    known = facts.environment()
    assert known == facts.environment()
    assert known["versions"]["locust"]
    assert len(known["fingerprint"]) == 12


def test_the_commit_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert facts.commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.commit() is None, "no git at all"


def test_the_clock_s_identity_is_that_of_the_boot() -> None:
    assert facts.clock_id() == facts.clock_id() != ""
