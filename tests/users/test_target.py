"""Is a run that must not start refused in one line that says what is wrong, where, and what to do?"""

from __future__ import annotations

import resource
import socket
from pathlib import Path
from typing import Any

import pytest
from flags import flags_of

from loadtest.users import host, limits, target
from loadtest.users.connection import Place
from loadtest.users.options import Settings
from loadtest.users.secure import Secure
from loadtest.users.target import Refused, contract_of, is_loopback, locate, may_load


def _settings(**changes: Any) -> Settings:
    return flags_of()._replace(**changes)


def _line(refused: pytest.ExceptionInfo[Refused]) -> str:
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_a_host_is_found_once_for_all() -> None:
    assert locate("http://127.0.0.1:3000") == Place(
        2, ("127.0.0.1", 3000), "127.0.0.1:3000", "http://127.0.0.1:3000"
    )
    assert locate("http://127.0.0.1").address == ("127.0.0.1", 80)
    assert locate("http://[::1]:3000/").address[:2] == ("::1", 3000)
    assert locate("https://127.0.0.1").address == ("127.0.0.1", 443)
    assert locate("https://[::1]:3000") == Place(
        10, ("::1", 3000, 0, 0), "[::1]:3000", "https://[::1]:3000", Secure("::1")
    )
    assert locate("https://127.0.0.1:3000", verify=False).secure == Secure("127.0.0.1", verify=False)


def test_a_name_of_this_machine_is_taken_by_the_address_on_which_something_listens() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        found = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
        assert host._choose(found) == found[0]
    assert host._choose(found) == found[1], "nobody is there: as usual, the first"
    far = [(socket.AF_INET6, ("2001:db8::1", port, 0, 0)), (socket.AF_INET, ("192.0.2.1", port))]
    assert host._choose(far) == far[1], "no host elsewhere is knocked at before it may be"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1:3000", "not a host; write it like -H http://"),
        ("localhost", "not a host"),
        ("ws://127.0.0.1:3000", "not a host"),
        ("http://", "not a host"),
        ("http://[::1", "not a host"),
        ("http://127.0.0.1:3000/chat", "a host has no path"),
        ("http://127.0.0.1:70000", "the port is no number"),
        ("http://127.0.0.1:http", "the port is no number"),
        ("http://127.0.0.1:0", "the port is no number"),
        ("http://a..b:3000", "no such host"),
        ("http://" + "a" * 70 + ":3000", "no such host"),
    ],
)
def test_what_is_no_host(host: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        locate(host)
    assert said in _line(refused)
    assert host in _line(refused)


def test_a_password_in_a_host_is_refused_and_not_repeated() -> None:
    with pytest.raises(Refused) as refused:
        locate("http://me:hush@127.0.0.1:3000")
    assert "hush" not in _line(refused)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("0.0.0.1", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", False),
    ],
)
def test_only_loopback_is_this_machine(address: str, here: bool) -> None:
    assert is_loopback(Place(2, (address, 3000), "h", "http://h")) is here


def test_another_machine_is_never_loaded_by_accident() -> None:
    place = Place(2, ("192.0.2.1", 3000), "elsewhere:3000", "http://elsewhere:3000")
    with pytest.raises(Refused) as refused:
        may_load(place, _settings(allow_remote=True))
    assert "--rt-token-secret" in _line(refused), "the development secret is public"
    with pytest.raises(Refused) as refused:
        may_load(place, _settings(token_secret="another"))
    assert "--rt-allow-remote" in _line(refused)
    may_load(place, _settings(token_secret="another", allow_remote=True))
    may_load(Place(2, ("127.0.0.1", 3000), "h", "http://h"), _settings())


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("Yes", True), ("", False), ("n", False)])
def test_at_a_terminal_one_may_say_yes(answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    place = Place(2, ("192.0.2.1", 3000), "elsewhere:3000", "http://elsewhere:3000")
    if agreed:
        may_load(place, _settings(token_secret="another"))
    else:
        with pytest.raises(Refused):
            may_load(place, _settings(token_secret="another"))


def test_a_contract_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        contract_of(_settings(contract=tmp_path / "nowhere.toml"))
    assert "nowhere.toml" in _line(refused)
    broken = tmp_path / "broken.toml"
    broken.write_text("name = [")
    with pytest.raises(Refused) as refused:
        contract_of(_settings(contract=broken))
    assert "broken.toml" in _line(refused)
    assert contract_of(_settings()).name == "default"


def test_too_few_descriptors_are_found_out_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1000, 1000))
    limits.check(users=640, processes=1)
    with pytest.raises(Refused) as refused:
        limits.check(users=641, processes=1)
    assert "641 users" in _line(refused)
    assert "ulimit -n 1002" in _line(refused)
    assert "--processes 3" in _line(refused)
    limits.check(users=641, processes=2)
    limits.check(users=1, processes=0)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    limits.check(users=20_000, processes=1)


def test_too_few_ports_are_found_out_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10**6, 10**6))
    ports = tmp_path / "ports"
    monkeypatch.setattr(limits, "_PORT_RANGE", ports)
    ports.write_text("32768\t33267\n")
    limits.check(users=500, processes=1)
    with pytest.raises(Refused) as refused:
        limits.check(users=501, processes=9)
    assert "501 devices need more local ports than the 500" in _line(refused)
    assert "2 addresses" in _line(refused)
    elsewhere = Place(2, ("192.0.2.1", 3000), "elsewhere:3000", "http://elsewhere:3000")
    with pytest.raises(Refused, match="than the 500"):
        limits.check(users=501, processes=1, place=elsewhere)
    for v6 in (Place(10, ("::1", 3000, 0, 0), "h", "http://h"), Place(10, ("::ffff:127.0.0.1", 1), "h", "h")):
        with pytest.raises(Refused, match="than the 500"):
            limits.check(users=501, processes=1, place=v6)
    here = Place(2, ("127.0.0.1", 3000), "h", "http://h")
    limits.check(users=32_000, processes=1, place=here)
    with pytest.raises(Refused, match=r"than the 32000 .* 65 addresses"):
        limits.check(users=32_001, processes=1, place=here)
    with pytest.raises(Refused, match="than the 500"):
        limits.check(users=501, processes=1, place=here, client="python-socketio")
    ports.write_text("what?")
    limits.check(users=501, processes=1)


@pytest.mark.parametrize("limit", [None, 100])
def test_the_usual_limit_needs_no_note(limit: int | None) -> None:
    assert target._notes(limit, contract_of(_settings())) == ()


@pytest.mark.parametrize(("limit", "word"), [(0, "off"), (1000, "raised to 1000"), (5, "lowered to 5")])
def test_another_limit_is_said_to_the_reader(limit: int, word: str) -> None:
    (note,) = target._notes(limit, contract_of(_settings()))
    assert word in note
    assert "100 messages a minute" in note


def test_several_devices_need_several_times_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1_000, 1_000))
    limits.check(users=200, processes=1, transport="websocket", devices=2)
    with pytest.raises(Refused, match="descriptors"):
        limits.check(users=200, processes=1, transport="upgrade", devices=2)
