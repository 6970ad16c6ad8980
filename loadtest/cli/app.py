"""Which commands are there? Each lives in its own module and imports what is heavy only when it runs."""

import typer

from loadtest.cli import demo, report, serve

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


def main() -> None:
    app()
