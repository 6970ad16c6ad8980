"""``loadtest capacity``: how many users does one server carry, and how many servers is that for all of them?"""

from __future__ import annotations

import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from loadtest.cli.ending import end_in_order
from loadtest.measure.addresses import without_credentials

if TYPE_CHECKING:
    from loadtest.analysis.capacity import Setting
    from loadtest.cli.capacity_levels import Found, Job
    from loadtest.report.sections.floors import Beneath

USAGE = 2
_RANGE = re.compile(r"\s*(\d{1,7})\s*\.\.\s*(\d{1,7})\s*")
_OURS = (
    "-u", "--users", "-r", "--spawn-rate", "-t", "--run-time", "-H", "--host", "-f", "--locustfile", "--headless",
    "--rt-out", "--rt-seed", "--rt-slo", "--rt-warmup", "--rt-drain", "--rt-rate", "--rt-stages",
    "--rt-server-metrics",
)  # fmt: skip
"""Flags of locust that a level sets itself, or for which the command has a word of its own."""
_SECRETS = ("--rt-token-secret",)


class UsageError(Exception):
    """What was asked makes no sense; ``faults`` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Asked(NamedTuple):
    """The command line, as it was typed."""

    slo: list[str]
    users: str
    rate: str | None
    level_s: float
    host: str | None
    scenario: str
    cluster: str | None
    allow_remote: bool
    locust: list[str]
    server_metrics: str | None = None


def capacity(
    users: Annotated[str, typer.Option(metavar="LOW..HIGH", help="Where to search, such as 50..2000.")],
    slo: Annotated[list[str], typer.Option(metavar="FILE|EXPR", help="What must hold; repeatable.")],
    rate: Annotated[
        str | None, typer.Option(help="Messages each user sends, such as 6/m; left out: the scenario's.")
    ] = None,
    level: Annotated[float, typer.Option(min=5, help="Seconds that each level is measured.")] = 90,
    host: Annotated[
        str | None, typer.Option(help="The server under test; left out: one of our own, anew for each level.")
    ] = None,
    scenario: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="What the users do: a scenario, or a locustfile.")
    ] = "messaging",
    out: Annotated[Path, typer.Option(help="Where the plan and its runs go.")] = Path("reports"),
    headroom: Annotated[float, typer.Option(min=0, max=90, help="Percent of a server left free.")] = 30,
    growth: Annotated[float, typer.Option(min=0, help="Percent that the users will grow by.")] = 0,
    peak: Annotated[int | None, typer.Option(min=1, help="Users at peak, to count servers for.")] = None,
    cluster_throughput: Annotated[
        str | None,
        typer.Option(metavar="N:X,…", help="Measured throughput of several servers: 1:1000,2:1900,4:3500."),
    ] = None,
    floors: Annotated[
        bool, typer.Option(help="Also measure what the harness itself adds; half a minute.")
    ] = True,
    server_metrics: Annotated[
        str | None,
        typer.Option(
            metavar="URL|pid:N", help="Who tells the CPU of --host: Prometheus text, or a process here."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option(help="End with 6 if there is only a lower bound.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON, nothing else.")] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Put load on a host that is not this machine.")
    ] = False,
    locust: Annotated[
        list[str] | None, typer.Argument(metavar="[-- LOCUST FLAGS]", help="More flags for each run.")
    ] = None,
) -> None:
    """Search for the most users that keep the SLOs, and count the servers for all users there will be."""
    from loadtest.cli.embedded import ServerFailed
    from loadtest.cli.locust_run import RunFailed
    from loadtest.measure.run import RunError, check_writable

    asked = Asked(
        *(slo, users, rate, level, host, scenario, cluster_throughput, allow_remote, locust or []),
        server_metrics,
    )
    now = datetime.now(UTC)
    where = out / f"{now:%Y%m%dT%H%M%SZ}-capacity-{secrets.token_hex(3)}"
    try:
        job, cluster = understand(asked, where)
        check_writable(out)
        end_in_order()
        for line in job.scarce():
            typer.echo(
                f"warning: at {job.search.high} users the generator may be its own limit: {line}", err=True
            )
        found = _search(job, quiet=as_json)
        setting = _setting(job, found, asked.scenario, headroom / 100, growth / 100, peak, cluster)
        code = _finish(setting, found, where, now.isoformat(timespec="seconds"), floors, strict, as_json)
    except (UsageError, RunError, RunFailed, ServerFailed) as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(USAGE) from None
    raise typer.Exit(code)


def understand(asked: Asked, where: Path) -> tuple[Job, dict[int, float]]:
    """The search, and throughput by number of servers. Raises UsageError with every fault at once."""
    from loadtest.analysis.capacity_search import Search
    from loadtest.analysis.cluster import parse
    from loadtest.cli.capacity_levels import Job
    from loadtest.cli.check import read_slos
    from loadtest.cli.locust_run import scenario
    from loadtest.measure.slo import SloError
    from loadtest.measure.units import parse_rate

    faults: list[str] = []
    low, high = _range(asked.users, faults)
    slos = []
    try:
        slos = read_slos(asked.slo)
    except SloError as error:
        faults += str(error).splitlines()
    cluster: dict[int, float] = {}
    try:
        cluster = parse(asked.cluster) if asked.cluster is not None else {}
    except ValueError as error:
        faults.append(f"--cluster-throughput: {error}")
    try:
        flags = ["--rt-rate", asked.rate] if asked.rate is not None and parse_rate(asked.rate) else []
    except ValueError as error:
        faults.append(f"--rate: {error}")
    path = Path(asked.scenario) if asked.scenario.endswith(".py") else scenario(asked.scenario)
    if not path.is_file():
        faults.append(f"--scenario {asked.scenario}: there is no {path}")
    if asked.server_metrics is not None and asked.host is None:
        faults.append("--server-metrics: without --host the server is our own, and tells its figures itself")
    ours = [one for one in asked.locust if one.partition("=")[0] in _OURS]
    faults += [f"{one} is set by each level, or by a flag of this command" for one in ours]
    if faults:
        raise UsageError(faults)
    flags += ["--rt-allow-remote"] if asked.allow_remote else []
    flags += ["--rt-server-metrics", asked.server_metrics] if asked.server_metrics else []
    search = Search(low, high, confirm=fresh(asked.level_s))
    job = Job(search, path, asked.host, asked.level_s, tuple(slos), (*flags, *asked.locust), where)
    return job, cluster


def _range(text: str, faults: list[str]) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if not match:
        faults.append(f"--users {text}: not a range of users; write 50..2000")
        return 1, 1
    low, high = int(match[1]), int(match[2])
    if low > high:
        faults.append(f"--users {text}: the range ends below its begin; write {high}..{low}")
    elif low < 2:
        faults.append(f"--users {text}: begin with two users at least: one alone talks to nobody")
    return low, high


def fresh(level_s: float) -> int:
    """How many trials confirm each side of the bracket: short levels are for a first look, not for a plan."""
    return 3 if level_s >= 60 else 2 if level_s >= 30 else 1


def without_secrets(words: Sequence[str]) -> list[str]:
    """A command line fit to be shown."""
    shown: list[str] = []
    hide = False
    for word in words:
        flag, equals, _ = word.partition("=")
        # Locust takes any beginning of a flag that only one flag has.
        secret = len(flag) > len("--rt-t") and any(name.startswith(flag) for name in _SECRETS)
        shown.append("***" if hide else f"{flag}=***" if secret and equals else without_credentials(word))
        hide = secret and not equals and not hide
    return shown


def _search(job: Job, quiet: bool) -> Found:
    """Behind a progress bar that says which level is under way, and about how long all of it will take."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from loadtest.analysis.capacity_search import Step, trials_left
    from loadtest.cli.capacity_levels import run_levels, times
    from loadtest.measure.units import say_seconds

    columns = (TextColumn("{task.description:<44}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("beginning", total=1.0, left="")

        def hear(step: Step, outcomes: list[str], elapsed_s: float) -> None:
            each_s = times(step.users, job.level_s).whole
            left = trials_left(job.search, outcomes)
            share = min(1.0, elapsed_s / each_s)
            left_s = max(0.0, (left - share) * each_s)
            progress.update(
                bar,
                description=f"trial {len(outcomes) + 1}: {step.users} users ({step.role})",
                completed=len(outcomes) + share,
                total=len(outcomes) + max(left, 1),
                left=f"about {say_seconds(left_s)} left",
            )

        return run_levels(job, hear)


def _setting(
    job: Job,
    found: Found,
    scenario: str,
    headroom: float,
    growth: float,
    peak: int | None,
    cluster: dict[int, float],
) -> Setting:
    from loadtest.analysis.capacity import Setting

    facts = found.facts
    return Setting(
        scenario=facts.scenario if facts else scenario,
        target=job.host or "a reference server of its own",
        own=job.host is None,
        low=job.search.low,
        high=job.search.high,
        level_s=job.level_s,
        fresh=job.search.confirm,
        slos=[one.name for one in job.slos],
        headroom=headroom,
        growth=growth,
        peak=peak,
        cluster=cluster,
        transport=facts.transport if facts else "",
        shared=bool(facts and facts.environment.get("same_host_as_target")),
        parameters=facts.parameters if facts else {},
        environment=facts.environment if facts else {},
    )


def _finish(
    setting: Setting, found: Found, where: Path, started: str, floors: bool, strict: bool, as_json: bool
) -> int:
    """Conclude, write, tell; the exit code. Raises RunError."""
    import msgspec

    from loadtest.analysis.capacity import conclude
    from loadtest.cli.capacity_floors import section
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.report.capacity_words import outline

    plan = conclude(setting, found.done, found.tried, found.cut)
    code = plan.exit_code(broken=bool(found.cut) and not found.interrupted, strict=strict)
    told = _write(where, plan, started, code, *(section(plan, where, as_json) if floors else ()))
    rebuild_indexes([where], of=where.parent)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        if found.cut and not found.interrupted:
            typer.echo(f"error: {found.cut}", err=True)
        typer.echo("\n".join(outline(plan)))
        typer.echo(f"page: {where / 'report.html'}")
    return code


def _write(
    where: Path, plan: Any, started: str, code: int, floors: Beneath | None = None, floors_why: str = ""
) -> dict[str, Any]:
    """summary.json, capacity.json for the index, and the page. Raises RunError."""
    import msgspec

    from loadtest.measure import run as runs
    from loadtest.report.capacity_page import capacity_page
    from loadtest.report.render import write_file, write_page

    record = {
        "kind": "capacity",
        "name": f"capacity of {plan.setting.scenario}",
        "started": started,
        "state": plan.state,
        "exit_code": code,
        "page": runs.REPORT,
        "runs": sum(bool(one.path) for one in plan.tried),
    }
    told = {"format": 1, **record, "complete": plan.complete, "plan": plan}
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise runs.RunError(f"{where}: cannot be made ({error.strerror})") from None
    for name, content in ((runs.SUMMARY, told), ("capacity.json", record)):
        write_file(where / name, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    command = shlex.join(["loadtest", *without_secrets(sys.argv[1:])])
    write_page(where / runs.REPORT, capacity_page(plan, started, command, floors, floors_why))
    return told
