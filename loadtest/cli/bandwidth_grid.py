"""How are the runs of the comparison of bytes run side by side, and gone on with later?

Bytes do not depend on how quick the machine is, so several generators may work at the same time; each trial has
a server of its own. A run that is there already, whole, is not run again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.cli.bandwidth_points import (
    PAYLOAD_BYTES,
    QUICK_PERIOD_S,
    WRITING_S,
    Spot,
    flags_of,
    run_time_s,
)
from loadtest.cli.bandwidth_points import (
    Plan as Plan,
)
from loadtest.cli.bandwidth_points import (
    spots as spots,
)
from loadtest.cli.embedded import ServerFailed, embedded_server
from loadtest.cli.locust_run import Interrupted, RunFailed, run_scenario, scenario
from loadtest.measure import run as runs
from loadtest.measure.run import RunError

if TYPE_CHECKING:
    from loadtest.analysis.bandwidth_cost import Cost
    from loadtest.analysis.bandwidth_model import Weighed

LANES = 9
_UNEVEN = 1.1
"""By how much lanes that do not end together are longer than their mean."""
WEIGHING_S = 20.0
GRID = "grid.json"


class GridError(Exception):
    """A grid that cannot be run or gone on with; ``str`` is one line."""


class NothingMeasured(GridError):
    """Ctrl-C came first."""


class Kept(msgspec.Struct):
    """grid.json: what is there already. runs: directories by the name of their spot."""

    plan: dict[str, object]
    weighed: dict[str, object] | None = None
    runs: dict[str, str] = {}


class Outcome(NamedTuple):
    """As far as it came. unusable: a line for each run whose bytes are no measurement. cut: why it is not all."""

    costs: list[Cost]
    weighed: Weighed
    unusable: list[str]
    planned: int
    cut: str = ""
    interrupted: bool = False


Hear = Callable[[str, float], None]
"""Told what is under way, and how many seconds of all have passed."""


def seconds(plan: Plan, out: Path | None = None) -> float:
    """About how long the grid takes, or what of it is not there yet, below ``out``. Raises GridError."""
    kept = _kept(plan, out) if out is not None and (out / GRID).exists() else Kept(plan.kept)
    whole = 0.0 if kept.weighed else WEIGHING_S
    for seed in range(1, plan.trials + 1):
        left = [one for one in spots(plan) if one.seed == seed and one.name not in kept.runs]
        each = [run_time_s(one, plan) + WRITING_S for one in left]
        whole += max([sum(each) / LANES * _UNEVEN, *each], default=0.0)
    return whole


def run_grid(plan: Plan, out: Path, hear: Hear) -> Outcome:
    """Run what of the grid is not there yet, below ``out``, and read all of it back.

    After a run that failed, or Ctrl-C, no further one is begun; what was measured is given back.
    Raises GridError where there is nothing to go on with: another grid in ``out``, no server, nothing weighed.
    """
    kept = _kept(plan, out)
    try:
        weighed = _weighed(plan, kept, out)
        period_s = weighed.ping_interval_s or 25.0
        cut, interrupted = _run(plan, kept, out, period_s, hear)
    except KeyboardInterrupt:
        if kept.weighed is None:
            raise NothingMeasured("interrupted before anything was measured") from None
        weighed, cut, interrupted = _decoded(kept), "interrupted", True
    except ServerFailed as failed:
        raise GridError(str(failed)) from None
    return _read_back(plan, kept, out, weighed, cut, interrupted)


def _run(plan: Plan, kept: Kept, out: Path, period_s: float, hear: Hear) -> tuple[str, bool]:
    """(why not all of it was run, whether that was Ctrl-C)."""
    begun = time.monotonic()
    for seed in range(1, plan.trials + 1):
        left = [one for one in spots(plan) if one.seed == seed and one.name not in kept.runs]
        if left:
            with _servers(plan) as (host, idle_host):

                def run_one(spot: Spot, stop: threading.Event) -> Path:
                    url = host if spot.rate else idle_host
                    return _one(spot, plan, url, out, period_s, stop)

                cut, interrupted = _side_by_side(
                    left,
                    run_one,
                    lambda spot, path: _keep(kept, out, spot, path),
                    _of_trial(seed, begun, hear),
                )
                if cut:
                    return cut, interrupted
    return "", False


def _of_trial(seed: int, begun: float, hear: Hear) -> Callable[[int], None]:
    return lambda left: hear(f"trial {seed}: {left} runs to go", WEIGHING_S + time.monotonic() - begun)


@contextmanager
def _servers(plan: Plan) -> Iterator[tuple[str, str]]:
    """(where people talk, where they idle)."""
    if plan.host is not None:
        yield plan.host, plan.host
        return
    with ExitStack() as stack:
        deflate = {"WEBSOCKET_COMPRESSION": "1"}
        talking = stack.enter_context(embedded_server(environment=deflate))
        if not plan.quick:
            yield talking, talking
            return
        often = ("--ping-interval", f"{QUICK_PERIOD_S:g}")
        yield talking, stack.enter_context(embedded_server(*often, environment=deflate))


def _side_by_side(
    left: Sequence[Spot],
    run_one: Callable[[Spot, threading.Event], Path],
    keep: Callable[[Spot, Path], None],
    hear: Callable[[int], None],
) -> tuple[str, bool]:
    """Run them, LANES at a time; (why not all, whether that was Ctrl-C)."""
    stop = threading.Event()
    cut, interrupted = "", False
    with ThreadPoolExecutor(LANES) as pool:
        futures: dict[Future[Path], Spot] = {pool.submit(run_one, spot, stop): spot for spot in left}
        open_: set[Future[Path]] = set(futures)
        while open_:
            try:
                done, open_ = wait(open_, 0.5, FIRST_COMPLETED)
                for future in done:
                    cut = _settle(future, futures[future], keep) or cut
                hear(len(open_))
            except KeyboardInterrupt:
                cut, interrupted = "interrupted", True
            if cut and not stop.is_set():
                stop.set()
                for future in open_:
                    future.cancel()
    return cut, interrupted


def _settle(future: Future[Path], spot: Spot, keep: Callable[[Spot, Path], None]) -> str:
    """Keep what a run left; why it left nothing."""
    if future.cancelled():
        return ""
    try:
        keep(spot, future.result())
    except Interrupted:
        return ""
    except (RunFailed, RunError, OSError) as failed:
        return f"{spot.name}: {failed}"
    return ""


def _one(spot: Spot, plan: Plan, host: str, out: Path, period_s: float, stop: threading.Event) -> Path:
    """One run, put below ``out`` once it is whole. Raises RunFailed, Interrupted."""

    def tick(elapsed_s: float) -> None:
        if stop.is_set():
            raise KeyboardInterrupt  # what a run listens to; here it comes from the run beside it

    # In a place of its own: a run finds what it left by the newest link, and several work at the same time.
    place = Path(tempfile.mkdtemp(prefix=f".{spot.name}-", dir=out))
    run_s = run_time_s(spot, plan, period_s)
    try:
        flags = flags_of(spot, plan, host, period_s)
        path = run_scenario(scenario("bandwidth"), flags, place, run_s, tick)
    except Interrupted:
        shutil.rmtree(place)  # half a window is no point of a grid
        raise
    kept = out / path.name
    path.rename(kept)
    shutil.rmtree(place)
    return kept


# -- what is kept between one start and the next -----------------------------------------------------------


def _kept(plan: Plan, out: Path) -> Kept:
    """What is there of this grid. Raises GridError if it is another one."""
    path = out / GRID
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return Kept(plan.kept)
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        raise GridError(f"{path}: cannot be used ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GridError(f"{path}: damaged ({error}); begin anew without --resume") from None
    if kept.plan != plan.kept:
        raise GridError(f"{path}: of another comparison ({_say(kept.plan)}); this one is {_say(plan.kept)}")
    kept.runs = {name: one for name, one in kept.runs.items() if (out / one / runs.MANIFEST).is_file()}
    return kept


def _say(plan: dict[str, object]) -> str:
    server = f"against {plan.get('host')}" if plan.get("host") else "against a server of its own"
    return f"{'quick' if plan.get('quick') else 'full'}, {server}"


def _keep(kept: Kept, out: Path, spot: Spot, path: Path) -> None:
    kept.runs[spot.name] = path.name
    _write(kept, out)


def _write(kept: Kept, out: Path) -> None:
    runs.replace(out / GRID, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


def _weighed(plan: Plan, kept: Kept, out: Path) -> Weighed:
    """What exchanges weigh, from the first time on. Raises GridError, ServerFailed."""
    if kept.weighed is None:
        with _servers(plan) as (host, _):
            kept.weighed = weigh(host, plan.flags)
        _write(kept, out)
    return _decoded(kept)


def _decoded(kept: Kept) -> Weighed:
    from loadtest.analysis.bandwidth_model import Weighed

    try:
        return msgspec.convert(kept.weighed, type=Weighed)
    except msgspec.ValidationError as error:
        raise GridError(f"{GRID}: damaged ({error}); begin anew without --resume") from None


def weigh(host: str, flags: Iterable[str] = ()) -> dict[str, object]:
    """Put single exchanges with ``host`` on the scales, in a process of its own. Raises GridError."""
    remote = ["--allow-remote"] if "--rt-allow-remote" in flags else []
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "loadtest.users.weighing",
            host,
            "--payload-bytes",
            str(PAYLOAD_BYTES),
            *remote,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        said = [line for line in child.stderr.splitlines() if line.strip()]
        raise GridError(said[-1].removeprefix("error: ") if said else "nothing could be weighed")
    found: dict[str, object] = msgspec.json.decode(child.stdout)
    return found


def _read_back(plan: Plan, kept: Kept, out: Path, weighed: Weighed, cut: str, interrupted: bool) -> Outcome:
    """The costs of all runs that are there, in the order of the grid."""
    from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, costs, trouble

    found: list[Cost] = []
    unusable: list[str] = []
    wanted = spots(plan)
    for spot in wanted:
        if spot.name not in kept.runs:
            continue
        try:
            run = runs.read(out / kept.runs[spot.name])
        except RunError as error:
            unusable.append(str(error))
            continue
        intervals_s = list(weighed.poll_s.values())[: spot.arm.feeds]
        polls = sum(1 / one for one in intervals_s) if spot.arm.transport == INTERVAL_POLLING else 0.0
        why = trouble(run, spot.arm, polls)
        if why:
            # Whoever goes on with this grid runs it again.
            unusable.append(f"{run.path.name} does not count: {why}")
            del kept.runs[spot.name]
        else:
            found += costs(run, spot.arm, spot.rate, spot.seed, weighed.ping_interval_s)
    _write(kept, out)
    return Outcome(found, weighed, unusable, len(wanted), cut, interrupted)
