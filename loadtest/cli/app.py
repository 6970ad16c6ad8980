"""Which commands are there? Each lives in its own module and imports what is heavy only when it runs."""

import sys
import traceback

import typer

from loadtest.cli import (
    bandwidth,
    calibrate,
    capacity,
    check,
    claims,
    compare,
    contract,
    demo,
    export,
    history,
    nightly,
    report,
    serve,
)

CRASH = 2

app = typer.Typer(
    name="loadtest",
    help="Load and latency testing for Socket.IO servers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _loadtest() -> None:
    """Load and latency testing for Socket.IO servers that tells the truth."""


app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("check")(check.check)
app.command("compare")(compare.compare)
app.command("nightly")(nightly.nightly)
app.command("history")(history.history)
app.command("claims")(claims.claims)
app.command("bandwidth")(bandwidth.bandwidth)
app.command("capacity")(capacity.capacity)
app.command("calibrate")(calibrate.calibrate)
app.add_typer(contract.commands, name="contract")


def main() -> None:
    """Run a command. A crash ends with 2, as in Locust: Python's own 1 would read as failures in a run."""
    try:
        app()
    except Exception:
        traceback.print_exc()
        sys.exit(CRASH)
