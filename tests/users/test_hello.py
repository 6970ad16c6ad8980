"""Which worker does not fit its master, and is that said in one line?"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from loadtest import __version__
from loadtest.users import hello
from loadtest.users.hello import Hello, misfit
from loadtest.users.options import FLAGS

MASTER = Hello(__version__, ["Caller", "Chatter"], ["c0ffee"], {"rate": "2/s"}, "m", "clock", "net", 1, 0)
WHO = "worker 3 on bench-2"


def worker(**changes: Any) -> Hello:
    return msgspec.structs.replace(MASTER, host="bench-2", **changes)


FITS: dict[str, dict[str, Any]] = {
    "the same": {},
    "no flags of its own": {"flags": {}},
    "more classes than are run": {"classes": ["Caller", "Chatter", "Operator"]},
    "a locustfile that cannot be compared": {"scripts": [""]},
}


@pytest.mark.parametrize("name", FITS)
def test_who_fits(name: str) -> None:
    assert misfit(worker(**FITS[name]), MASTER, WHO) is None


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "another release": (
        {"version": "0.0.9"},
        f"has realtime-loadtest 0.0.9, the master {__version__}; install",
    ),
    "a class is missing": ({"classes": ["Chatter"]}, "its locustfile has no Caller; give it the master's"),
    "another locustfile": ({"scripts": ["decaf"]}, "its locustfile is not the master's; copy that"),
    "another rate": ({"flags": {"rate": "9/s"}}, "--rt-rate is 9/s, the master has 2/s; leave it out"),
    "a flag the master has not": (
        {"flags": {"seed": "7"}},
        "--rt-seed is 7, the master has its default; leave",
    ),
    "another secret": (
        {"flags": {"token-secret": "5eed"}},
        "--rt-token-secret is not the master's; leave it out",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_who_does_not_fit_is_told_in_one_line(name: str) -> None:
    changes, words = MISFITS[name]
    line = misfit(worker(**changes), MASTER, WHO)
    assert line is not None
    assert line.startswith(f"{WHO}: ")
    assert words in line
    assert "\n" not in line
    assert "5eed" not in line


def environment(tmp_path: Path, **flags: object) -> Any:
    script = tmp_path / "steady.py"
    script.write_text("# a scenario\n")
    given = {"rt_" + flag.name.replace("-", "_"): flag.default for flag in FLAGS} | flags
    return SimpleNamespace(
        user_classes=[type("Chatter", (), {})],
        parsed_locustfiles=[str(script), str(tmp_path / "gone.py")],
        parsed_options=SimpleNamespace(**given),
    )


def test_a_process_says_what_was_given_to_it_and_keeps_the_secret(tmp_path: Path) -> None:
    secret = "a secret that nobody may read on the way"
    made = environment(tmp_path, rt_rate="9/s", rt_token_secret=secret, rt_out="elsewhere")
    said = hello.of_this_process(made, made.parsed_options)
    assert said.flags.keys() == {"rate", "token-secret"}
    assert said.flags["rate"] == "9/s"
    assert secret not in str(said)
    assert said.scripts[0] == ""
    assert len(said.scripts) == 2
    assert msgspec.convert(msgspec.to_builtins(said), Hello) == said
    assert misfit(said, said, WHO) is None
