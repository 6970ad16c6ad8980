"""Are the flags understood, wherever they are written, and is all that is wrong with them said at once?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from locust.argument_parser import get_parser

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.measure.units import MS, SECOND
from loadtest.users.options import (
    DEFAULT_HOST,
    FLAGS,
    SECRETS,
    SettingsError,
    parse_room_sizes,
    read,
)

Parse = Callable[..., argparse.Namespace]


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Locust's own parser with our group, in a folder without a configuration of somebody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*args: str) -> argparse.Namespace:
        monkeypatch.setattr(sys, "argv", ["locust", *args])  # locust looks for --config there
        # Importing loadtest.users has told Locust to add our group to every parser it makes.
        options: argparse.Namespace = get_parser().parse_args(list(args))
        return options

    return run


def _faults(options: argparse.Namespace) -> list[str]:
    with pytest.raises(SettingsError) as wrong:
        read(options, None)
    assert str(wrong.value) == "\n".join(wrong.value.faults)
    return wrong.value.faults


def test_without_flags_there_is_a_default_for_everything(parse: Parse) -> None:
    settings = read(parse(), None)
    assert settings.host == DEFAULT_HOST
    assert settings.transport == "websocket"
    assert settings.client == "native"
    assert settings.rate == pytest.approx(0.1)
    assert settings.room_sizes == ((10, 1.0),)
    assert settings.payload_bytes == 150
    assert settings.seed == 1
    assert (settings.warmup_ns, settings.drain_ns, settings.run_time_ns) == (None, None, None)
    assert settings.contract is None
    assert settings.deadline_ns is None
    assert settings.out == Path("reports")
    assert settings.token_secret == DEVELOPMENT_SECRET
    assert not (settings.compression or settings.allow_remote or settings.fire_deliveries)


def test_the_command_line_is_understood(parse: Parse) -> None:
    options = parse(
        *("--rt-rate", "2/s", "--rt-room-size", "2:80,20:20", "--rt-payload-bytes", "10", "--rt-seed", "-3"),
        *("--rt-warmup", "1m30s", "--rt-drain", "0", "--rt-deadline", "500ms", "--rt-compression", "on"),
        *("--rt-transport", "interval-polling", "--rt-contract", "mine.toml", "--rt-allow-remote"),
    )
    settings = read(options, "http://elsewhere:1/")
    assert settings.host == "http://elsewhere:1"
    assert settings.rate == 2
    assert settings.room_sizes == ((2, 0.8), (20, 0.2))
    assert settings.payload_bytes == 10
    assert settings.seed == -3
    assert (settings.warmup_ns, settings.drain_ns, settings.deadline_ns) == (90 * SECOND, 0, 500 * MS)
    assert settings.transport == "interval-polling"
    assert settings.contract == Path("mine.toml")
    assert settings.compression
    assert settings.allow_remote


def test_a_variable_of_the_environment_is_a_flag(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUST_RT_RATE", "7/s")
    monkeypatch.setenv("LOCUST_RT_ROOM_SIZE", "4")
    monkeypatch.setenv("LOCUST_RT_ALLOW_REMOTE", "true")
    settings = read(parse("--rt-room-size", "5"), None)
    assert settings.rate == 7
    assert settings.room_sizes == ((5, 1.0),), "the command line comes before the environment"
    assert settings.allow_remote


def test_every_flag_has_its_variable_and_its_help(parse: Parse) -> None:
    parser = get_parser()
    actions = {action.dest: action for action in parser._actions}
    for flag in FLAGS:
        action = actions["rt_" + flag.name.replace("-", "_")]
        assert action.env_var == "LOCUST_RT_" + flag.name.replace("-", "_").upper()
        assert action.help
        assert action.is_secret is (action.dest in SECRETS)
    assert set(SECRETS) <= set(actions)


def test_the_configuration_file_of_locust_is_read(parse: Parse, tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text("rt-rate = 3/s\nrt-payload-bytes = 99\nrt-allow-remote = true\n")
    settings = read(parse("--rt-payload-bytes", "98"), None)
    assert settings.rate == 3
    assert settings.payload_bytes == 98
    assert settings.allow_remote


def test_the_table_of_a_project_is_read(parse: Parse, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.locust]\nrt-rate = "4/s"\nrt-seed = 17\n')
    settings = read(parse(), None)
    assert settings.rate == 4
    assert settings.seed == 17


@pytest.mark.parametrize(("flag", "value"), [("--rt-transport", "pigeon"), ("--rt-client", "theirs")])
def test_what_has_choices_is_refused_by_the_parser(
    parse: Parse, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(flag, value)
    assert left.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert flag in last
    assert value in last


def test_every_fault_is_said_at_once_a_line_each(parse: Parse) -> None:
    options = parse(
        *("--rt-rate", "often", "--rt-room-size", "1", "--rt-payload-bytes", "0", "--rt-seed", "one"),
        *("--rt-warmup", "a while", "--rt-drain=-1s", "--rt-deadline", "0s", "--rt-token-secret", ""),
        *("--rt-client", "python-socketio", "--rt-transport", "interval-polling"),
    )
    faults = _faults(options)
    flags = ("rate", "room-size", "payload-bytes", "seed", "warmup", "drain", "deadline", "token-secret")
    assert [fault.partition(":")[0] for fault in faults] == [f"--rt-{name}" for name in flags] + [
        "--rt-client python-socketio"
    ]
    assert not any("\n" in fault for fault in faults)


def test_the_web_ui_may_have_changed_a_choice(parse: Parse) -> None:
    options = parse()
    options.rt_transport, options.rt_headers = "pigeon", "a wig"
    assert [fault.partition(":")[0] for fault in _faults(options)] == ["--rt-transport", "--rt-headers"]


@pytest.mark.parametrize(
    "text", ["", "ten", "1", "0", "-4", "2:a", "2:0", "2:-1", "2:nan", "2:inf", "2:80,", "2,1", "2.5"]
)
def test_what_is_no_room_size(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_room_sizes(text)


def test_shares_add_up_to_one() -> None:
    sizes = parse_room_sizes("2:80,20:18,200:2")
    assert [size for size, _ in sizes] == [2, 20, 200]
    assert [share for _, share in sizes] == pytest.approx([0.8, 0.18, 0.02])
    assert parse_room_sizes("3,4") == ((3, 0.5), (4, 0.5))


def test_a_rate_of_zero_or_less_is_refused(parse: Parse) -> None:
    for rate in ("0", "0/s", "-1/s", "nan", "inf"):
        (fault,) = _faults(parse(f"--rt-rate={rate}"))
        assert fault.startswith(f"--rt-rate: '{rate}'")
