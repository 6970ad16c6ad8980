"""``loadtest contract check FILE --host URL``: does a contract fit a server?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any

import typer

NO_MATCH, USAGE = 1, 2
_MARKS = {"matched": "ok", "unmatched": "NO", "unknown": "--"}

commands = typer.Typer(
    help="Describe another server: try a contract out.", no_args_is_help=True, add_completion=False
)


@commands.callback()
def _contract() -> None:
    """Describe another server: try a contract out."""


@commands.command("check")
def check(
    contract: Annotated[
        str, typer.Argument(metavar="FILE", help="A contract, or the name of an example that came along.")
    ],
    host: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:3000",
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for each answer and delivery.")
    ] = 5.0,
    token_secret: Annotated[
        str | None,
        typer.Option(envvar="LOCUST_RT_TOKEN_SECRET", help="Secret that signs the users' tokens."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Send messages to a host that is not this machine.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take an https certificate that nobody vouches for.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON, nothing else.")
    ] = False,
) -> None:
    """Let a few users connect and do one of everything; say what fits, what does not, and what came instead.

    Exit code 0: all fits. 1: something does not. 2: the file is wrong, or the server is not there.
    """
    asked: dict[str, Any] = {"contract": contract, "host": host, "timeout_s": timeout}
    asked |= {"allow_remote": allow_remote, "insecure": insecure}
    if token_secret:
        asked["token_secret"] = token_secret
    checked = _checked(asked)
    if as_json:
        typer.echo(json.dumps(checked, indent=2, ensure_ascii=False))
    else:
        _tell(checked)
    if checked["error"] is not None:
        raise typer.Exit(USAGE)
    raise typer.Exit(NO_MATCH if _unmatched(checked) else 0)


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    """What the users found: they live on gevent, in a process of their own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.users.contract_check"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=own,
        check=False,
    )
    try:
        checked: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(f"the check itself failed:\n{done.stderr}") from None
    return checked


def _unmatched(checked: dict[str, Any]) -> int:
    return sum(one["state"] == "unmatched" for one in checked["findings"])


def _tell(checked: dict[str, Any]) -> None:
    for one in checked["findings"]:
        typer.echo(f"{_MARKS[one['state']]}  {one['place']}: {one['said']}")
        if one["change"]:
            typer.echo(f"    change  {one['change']}")
    if checked["error"] is not None:
        for line in checked["error"].splitlines():
            typer.echo(f"error: {line}", err=True)
        return
    wrong = _unmatched(checked)
    fits = sum(one["state"] == "matched" for one in checked["findings"])
    open_ones = len(checked["findings"]) - wrong - fits
    rest = f", {open_ones} could not be tried or told" if open_ones else ""
    if wrong:
        typer.echo(
            f'"{checked["contract"]}" does not fit {checked["host"]}: {wrong} of {wrong + fits} wrong{rest}'
        )
    else:
        typer.echo(f'"{checked["contract"]}" fits {checked["host"]}: {fits} right{rest}')
