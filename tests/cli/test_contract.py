"""``loadtest contract check``: exit codes, lines, and JSON, against the reference server in its own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from loadtest.cli import app as whole
from loadtest.cli.contract import commands
from loadtest.cli.embedded import embedded_server
from loadtest.contract.loader import DEFAULT

DEAF = """
name = "deaf"
format = 1

[authenticate]
emit = "authenticate"
args = [{ userId = "${user}", token = "${token}" }]
ack = { ok = "$[0].ok", error = "$[0].error.code" }

[join]
emit = "joinRoom"
args = [{ room = "conversation:${room}" }]
ack = { ok = "$[0].ok" }

[send]
emit = "message:send"
args = [{ conversationId = "${room}", body = "${body}", clientMsgId = "${marker}" }]
ack = { ok = "$[0].ok", error = "$[0].error.code", seq = "$[0].seq" }

[[deliveries]]
operation = "message.deliver"
on = "message:fresh"
marker = "$[0].clientMsgId"
"""


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["check", *(str(one) for one in arguments)])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with embedded_server() as url:
        yield str(url)


@pytest.mark.e2e
def test_the_default_contract_fits_the_reference_server(server: str) -> None:
    done = run_cli(DEFAULT, "--host", server, "--timeout", 3, "--json")
    checked = json.loads(done.output)
    wrong = [one for one in checked["findings"] if one["state"] == "unmatched"]
    assert wrong == [] and done.exit_code == 0
    matched = {one["place"] for one in checked["findings"] if one["state"] == "matched"}
    assert {"connect", "authenticate", "join.ack", "send.ack", "read.ack", "calls.answer.ack"} <= matched
    assert {'feeds "messages"', "chats.message.ack", "presence.get.ack", "leave.ack"} <= matched
    delivered = {place.partition(" ")[2] for place in matched if place.startswith("deliveries")}
    assert delivered == {
        "message.deliver",
        "receipt.deliver",
        "typing.deliver",
        "presence.deliver",
        "call.ring",
        "call.answer",
        "call.decline",
        "call.status",
        "chat.assign",
        "chat.deliver",
        "chat.status",
    }


@pytest.mark.e2e
def test_what_does_not_fit_is_one_and_says_what_to_change(server: str, tmp_path: Path) -> None:
    file = tmp_path / "deaf.toml"
    file.write_text(DEAF, encoding="utf-8")
    done = run_cli(file, "--host", server, "--timeout", 1)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("NO  deliveries[0]")]
    assert 'no "message:fresh" came to user 2, but "message:new" did' in lines[at]
    assert lines[at + 1] == (
        '    change  deliveries[0] message.deliver: on = "message:new", marker = "$[0].clientMsgId"'
    )
    assert lines[-1].startswith(f'"deaf" does not fit {server}: 1 of 5 wrong')


@pytest.mark.e2e
def test_a_wrong_secret_shows_the_refusal(server: str) -> None:
    done = run_cli(DEFAULT, "--host", server, "--timeout", 1, "--token-secret", "not the server's")
    assert done.exit_code == 1
    assert "NO  authenticate: AUTH_INVALID" in done.output
    assert "--  the rest: not tried: no user came in" in done.output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing",), "error: nothing: cannot be read: No such file or directory; examples that are here: "),
        (("broadcast", "--host", "http://127.0.0.1:9"), "error: http://127.0.0.1:9: no server there"),
    ],
)
def test_what_cannot_be_tried_is_two(arguments: tuple[str, ...], line: str) -> None:
    done = run_cli(*arguments)
    assert (done.exit_code, done.output.startswith(line)) == (2, True), done.output
    assert len(done.output.splitlines()) == 1


def test_every_fault_of_a_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("name = 3\nformat = 1\n", encoding="utf-8")
    done = run_cli(file)
    assert done.exit_code == 2
    assert done.output.splitlines() == [
        f"error: {file}: name: expected text, found a whole number",
        f"error: {file}: send: missing",
        f"error: {file}: deliveries: missing",
    ]


def test_it_is_among_the_commands() -> None:
    group = typer.main.get_command(whole.app)
    assert "contract" in group.commands  # type: ignore[attr-defined]
