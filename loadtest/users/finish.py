"""What becomes of a run when it ends? It is written down, and a child process makes its page.

The child, because matplotlib and what the analysis needs stay out of a process whose sockets and clocks
gevent has patched; in a session of its own, because a second Ctrl-C is not meant for it.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import locust.log
import msgspec

from loadtest.measure import run as run_files
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.slo import Slo
from loadtest.measure.units import SECOND
from loadtest.users import facts, staging
from loadtest.users.live import Header
from loadtest.users.options import Settings
from loadtest.users.target import Target

logger = logging.getLogger(__name__)

USAGE, FAILURES = 2, 1
AVAILABILITY_DEADLINE_S = 2.0
"""A message that takes longer than this counts as an interruption to who waits for it."""
_REPORT_TIMEOUT_S = 300


class Ending(msgspec.Struct):
    """What the process that keeps the book knows when a run ends."""

    header: Header
    settings: Settings
    target: Target
    contract: str
    plan: Plan
    book: Book
    workers: list[run_files.Worker]
    users: int
    spawn_rate: float
    complete: bool
    locust_failures: int
    backoff_s: list[tuple[float, float]]
    slos: list[Slo]
    stopped_by: str | None
    server_metrics: str | None = None


def finish(environment: Any, ending: Ending) -> Path | None:
    """Write the Run, make its page, set the exit code. None if it could not be written."""
    reports = ending.settings.out
    header = ending.header
    name = run_files.directory_name(header.started, header.scenario, ending.settings.transport, header.run)
    try:
        stages = staging.told(environment, ending.plan)
        path = run_files.write(reports, name, manifest(ending, stages), ending.book)
    except run_files.RunError as error:
        logger.error("%s", error)
        environment.process_exit_code = USAGE
        return None
    code = _report(path)
    if locust.log.unhandled_greenlet_exception:
        code = USAGE
    if code == FAILURES:
        code = environment.parsed_options.exit_code_on_error
    if code:
        environment.process_exit_code = code
    return path


def _report(path: Path) -> int:
    """Let ``loadtest report`` judge and draw; its exit code. What it prints goes where ours goes."""
    sys.stdout.flush()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "loadtest", "report", str(path)],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        return child.wait(timeout=_REPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        logger.error("%s: no page within %d s; try again: loadtest report %s", path, _REPORT_TIMEOUT_S, path)
    except OSError as error:
        logger.error("%s: the page could not be made (%s); try again: loadtest report %s", path, error, path)
    return USAGE


def manifest(ending: Ending, stages: list[dict[str, Any]] | None = None) -> run_files.Manifest:
    """What was run, for the record."""
    header, settings, plan, book = ending.header, ending.settings, ending.plan, ending.book
    faults = [name.removeprefix("fault: ") for name in book.counters if name.startswith("fault: ")]
    return run_files.Manifest(
        id=header.run,
        scenario=header.scenario,
        transport=settings.transport,
        client=settings.client,
        users=ending.users,
        seed=settings.seed,
        started=header.started,
        complete=ending.complete,
        edges=_edges(plan),
        parameters={**_parameters(ending), "stages": stages},
        target=_target(ending),
        environment={**facts.environment(), "same_host_as_target": ending.target.loopback},
        command=facts.command(),
        commit=facts.commit(),
        workers=ending.workers,
        counters={name: n for name, n in sorted(book.counters.items()) if not name.startswith("fault: ")},
        gaps=book.gaps,
        harness_errors=sorted(faults),
        locust_failures=ending.locust_failures,
        slos=ending.slos,
        stopped_by=ending.stopped_by,
    )


def _edges(plan: Plan) -> run_files.Edges:
    def since_start(moment_ns: int | None) -> int | None:
        return None if moment_ns is None else moment_ns - plan.started_ns

    now_ns = perf_counter_ns()
    measure_ns, drain_ns = plan.measure_ns, plan.drain_from_ns
    drain_ns = None if drain_ns is None or drain_ns > now_ns else drain_ns
    ended_first = measure_ns is not None and measure_ns >= (drain_ns or now_ns)
    return run_files.Edges(
        since_start(plan.begun_ns),
        None if ended_first else since_start(measure_ns),
        since_start(drain_ns),
        now_ns - plan.started_ns,
    )


def _parameters(ending: Ending) -> dict[str, Any]:
    settings, plan = ending.settings, ending.plan
    sizes = settings.room_sizes
    return {
        "rate_per_min": round(settings.rate * 60, 6),
        "room_size": sizes[0][0]
        if len(sizes) == 1
        else {str(size): round(share, 4) for size, share in sizes},
        "payload_bytes": settings.payload_bytes,
        "warmup_s": plan.warmup_ns / SECOND,
        "drain_s": plan.drain_ns / SECOND,
        "deadline_s": ending.header.deadline_ns / SECOND,
        "reconnect": settings.reconnect,
        "backoff_s": ending.backoff_s,
        "faults": [fault.text for fault in settings.faults],
        "availability_deadline_s": AVAILABILITY_DEADLINE_S,
        "devices": settings.devices,
        "operators": settings.operators,
        "spawn_rate": ending.spawn_rate,
        "run_time_s": None if plan.run_time_ns is None else plan.run_time_ns / SECOND,
        "headers": settings.headers,
        "compression": settings.compression,
        "insecure": settings.insecure,
        "processes": len(ending.workers),
        "server_metrics": ending.server_metrics,
    }


def _target(ending: Ending) -> dict[str, Any]:
    target = ending.target
    return {
        "url": target.url,
        "contract": ending.contract,
        "websocket": target.websocket,
        "ping_interval_s": target.ping_interval_s,
        "ping_timeout_s": target.ping_timeout_s,
        "max_payload": target.max_payload,
        "poll_interval_s": target.poll_interval_s,
        "rate_limit": target.rate_limit,
        "stats": target.stats,
        "notes": list(target.notes),
    }
