"""Which runs does an experiment take, in full and in short?

An experiment has arms, and an arm is a recipe: a scenario, its flags, how often it is run. Two experiments that
want the same recipe share its runs. In short, everybody chats, calls and asks for help in one run for each
transport, so that three experiments take three runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loadtest.contract.claims import Known

TRANSPORTS = {"push": "websocket", "interval-polling": "interval-polling", "long-polling": "long-polling"}
"""Arms by the transport of their users; push is what the application moved to."""
PROXY = ("--through-faults",)
TRIPS_MS = (30, 80)
OUTAGES_S = (0.5, 2.0, 6.0, 14.0, 28.0, 35.0)
"""Around the moments of the five attempts, 1, 3, 7, 15 and 31 s after a loss; the last one outlasts them."""
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
MORE = 10.0
"""Seconds that a message may take beyond the longest outage."""
GRID = "bandwidth"
"""The experiment whose runs are those of loadtest bandwidth: several at a time, as bytes do not mind."""
_GRID_ARMS = {
    "push": "websocket",
    "polling": "interval-polling-library-1",
    "browser": "interval-polling-browser-1",
}
"""Its arms at a rate, by the arms of the grid."""
ONLY_FULL = "only the full run has it, not --quick"


class Recipe(NamedTuple):
    """How a run is made. serve: flags of the embedded server; what needs them runs against no other one."""

    name: str
    scenario: str
    users: int
    spawn_rate: int
    run_time_s: int
    flags: tuple[str, ...]
    trials: int = 1
    serve: tuple[str, ...] = ()


class Plan(NamedTuple):
    """All experiments: (arm -> name of its recipe) by name, and the recipes by theirs.

    grid: trials of each spot of loadtest bandwidth, whose runs are those of the experiment GRID.
    """

    quick: bool
    experiments: Mapping[str, Mapping[str, str]]
    recipes: Mapping[str, Recipe]
    grid: int

    def wanted(self, names: Iterable[str]) -> list[Recipe]:
        """The recipes of some experiments, each once, in the order of the plan."""
        asked = set(names)
        used = {name for experiment in asked for name in self.experiments[experiment].values()}
        return [recipe for name, recipe in self.recipes.items() if name in used]


def plan(quick: bool) -> Plan:
    """What is run."""
    return _built(True, _quick()) if quick else _built(False, _full())


def known() -> Known:
    """What a file of claims may name."""
    from loadtest.analysis.claim_statistics import STATISTICS
    from loadtest.contract.claims import Keys, Known
    from loadtest.measure.operations import Operation

    full = plan(quick=False)
    return Known(
        {name: Keys(one.needs, one.takes) for name, one in STATISTICS.items()},
        {name: frozenset(arms) for name, arms in full.experiments.items()},
        frozenset(Operation),
    )


Cells = list[tuple[str, str, Recipe]]
"""(experiment, arm, recipe)."""


def _built(quick: bool, cells: Cells) -> Plan:
    experiments: dict[str, dict[str, str]] = {}
    recipes: dict[str, Recipe] = {}
    for experiment, arm, recipe in cells:
        experiments.setdefault(experiment, {})[arm] = recipe.name
        assert recipes.setdefault(recipe.name, recipe) == recipe, f"two recipes are called {recipe.name}"
    rates = ("idle", "0.1", "1") if quick else ("idle", "0.01", "0.1", "1", "5")
    experiments[GRID] = {
        f"{arm}-{'idle' if rate == 'idle' else f'at-{rate}'}": f"{spot}-{rate}"
        for arm, spot in _GRID_ARMS.items()
        for rate in rates
    }
    return Plan(quick, experiments, recipes, 1 if quick else 4)


# -- in full ----------------------------------------------------------------------------------------------


def _full() -> Cells:
    cells: Cells = []
    for size in (2, 20):
        for arm, transport in TRANSPORTS.items():
            name = arm if size == 2 else f"{arm}-rooms-of-{size}"
            recipe = _talk("messaging", f"messaging-{name}", transport, ("--rt-room-size", str(size)), 6)
            cells.append(("messaging", name, recipe))
    cells += _round_trips("messaging", "messaging", ("--rt-room-size", "2"))
    for experiment, scenario, flags in (
        ("calls", "calls", ("--rt-rate", "4/m")),
        ("live-chat", "live_chat", ("--rt-rate", "12/m", "--rt-operators", "20")),
    ):
        for arm, transport in TRANSPORTS.items():
            recipe = _talk(scenario, f"{experiment}-{arm}", transport, flags, 6)
            cells.append((experiment, arm, recipe))
        cells += _round_trips(experiment, scenario, flags)
    cells += _thousand(600, 180)
    cells += _reconnection()
    cells.append(("fallback", "refused", _fallback(60, 3)))
    cells.append(("devices", "two-devices", _devices(40, 6)))
    cells.append(("rate-limit", "limited", _rate_limit(5, 33, 72, 2)))
    return cells


def _talk(
    scenario: str,
    name: str,
    transport: str,
    flags: tuple[str, ...],
    trials: int,
    serve: tuple[str, ...] = (),
    fault: str = "none",
) -> Recipe:
    """100 users for 40 s. The deadline is said, because a fault would make it longer than the drain."""
    timing = ("--rt-warmup", "5s", "--rt-drain", "6s", "--rt-deadline", "10s", "--rt-fault", fault)
    return Recipe(name, scenario, 100, 100, 40, ("--rt-transport", transport, *flags, *timing), trials, serve)


def _round_trips(experiment: str, scenario: str, flags: tuple[str, ...]) -> Cells:
    """Two trials through the proxy at each round trip; at 0 too, to show what the proxy itself costs."""
    cells: Cells = []
    for arm in ("push", "interval-polling"):
        for trip_ms in (0, *TRIPS_MS):
            name = f"{arm}-rtt-{trip_ms}"
            fault = f"delay@0:{trip_ms / 2:g}ms/60s" if trip_ms else "none"
            recipe = _talk(scenario, f"{experiment}-{name}", TRANSPORTS[arm], flags, 2, PROXY, fault)
            cells.append((experiment, name, recipe))
    return cells


def _thousand(hold_s: int, beyond_s: int) -> Cells:
    """1,000 users for a while, then more of them for a shorter one; each from a new server."""
    found: Cells = []
    for users, hold in ((1000, hold_s), (1100, beyond_s), (1500, beyond_s)):
        timing = ("--rt-warmup", "20s", "--rt-drain", "10s")
        recipe = Recipe(f"users-{users}", "mixed", users, 100, hold + 32 + users // 100, timing)
        found.append(("thousand-users", recipe.name, recipe))
    return found


def _reconnection() -> Cells:
    """300 users a cell: losses with the server there, with the server away for a while, and with nobody told."""
    cells: Cells = [("reconnection", "abort", _drops("abort", "abort@1x14/3", 300, 45, 0.0))]
    for outage_s in OUTAGES_S:
        back_s = _back_after(outage_s)
        name = f"restart-{outage_s:g}"
        cells.append(
            ("reconnection", name, _drops(name, f"restart@1:{outage_s:g}s", 300, back_s + 4, outage_s, PROXY))
        )
    # A silent connection is given up ping interval + timeout after its last sign of life.
    serve = (*PROXY, "--ping-interval", "5", "--ping-timeout", "5")
    cells.append(("reconnection", "blackhole", _drops("blackhole", "blackhole@1:12s", 300, 30, 12.0, serve)))
    return cells


def _back_after(outage_s: float) -> float:
    """When the first attempt after an outage begins, or the last one of all."""
    at_s = 0.0
    for delay_s in DELAYS_S:
        at_s += delay_s
        if at_s >= outage_s:
            break
    return at_s


def _drops(
    name: str,
    fault: str,
    users: int,
    measured_s: float,
    outage_s: float,
    serve: tuple[str, ...] = (),
    rate: str = "12/m",
    most_s: float = 60,
) -> Recipe:
    """A cell. What is said during an outage may take until everybody is back, so the drain is as long."""
    drain_s = min(most_s, max(MORE, _back_after(outage_s) + MORE))
    timing = ("--rt-warmup", "2s", "--rt-drain", f"{drain_s:g}s", "--rt-deadline", f"{drain_s:g}s")
    flags = ("--rt-fault", fault, "--rt-rate", rate, *timing)
    time_s = math.ceil(measured_s + drain_s + 2 + users / 150 + 2)  # locust takes whole seconds
    return Recipe(f"drops-{name}", "drops", users, 150, time_s, flags, 1, serve)


def _fallback(run_time_s: int, trials: int) -> Recipe:
    flags = (
        "--rt-fault",
        "refuse-upgrade@8x1:10",
        "--rt-warmup",
        "3s",
        "--rt-drain",
        "12s",
        "--rt-rate",
        "60/m",
    )
    return Recipe("fallback", "fallback", 100, 100, run_time_s, (*flags, "--rt-deadline", "12s"), trials)


def _devices(run_time_s: int, trials: int) -> Recipe:
    flags = ("--rt-devices", "2", "--rt-rate", "60/m", "--rt-warmup", "3s", "--rt-drain", "6s")
    return Recipe("two-devices", "multi_device", 100, 100, run_time_s, flags, trials)


def _rate_limit(per_second: int, drop_s: int, run_time_s: int, trials: int) -> Recipe:
    """Ten who talk, each to one who listens, more than the limit before the drop and after it.

    There is time for half as many messages again. Moments are drawn: with a fifth to spare, one in forty would not
    get to say all of it.
    """
    flags = ("--rt-rate", f"{per_second}/s", "--rt-fault", f"abort@{drop_s}")
    return Recipe("rate-limit", "rate_limit", 20, 20, run_time_s, flags, trials, ("--rate-limit", "100"))


# -- in short ---------------------------------------------------------------------------------------------


def _quick() -> Cells:
    cells: Cells = []
    for arm, transport in TRANSPORTS.items():
        # More messages, calls and chats than people make: each needs its percentiles out of half a minute.
        flags = ("--rt-transport", transport, "--rt-rate", "24/m", "--rt-operators", "40")
        timing = ("--rt-warmup", "3s", "--rt-drain", "5s")
        recipe = Recipe(f"all-{arm}", "mixed", 200, 100, 36, (*flags, *timing))
        cells += [(experiment, arm, recipe) for experiment in ("messaging", "calls", "live-chat")]
    timing = ("--rt-warmup", "3s", "--rt-drain", "5s")
    cells.append(("thousand-users", "users-1000", Recipe("users-1000", "mixed", 1000, 200, 41, timing)))
    cells.append(("reconnection", "abort", _drops("abort", "abort@1x10/3", 390, 31, 0.0, most_s=10)))
    cells.append(
        ("reconnection", "restart-2", _drops("restart-2", "restart@1:2s", 300, 8, 2.0, PROXY, "60/m", 14))
    )
    cells.append(("fallback", "refused", _fallback(40, 1)))
    cells.append(("devices", "two-devices", _devices(32, 1)))
    cells.append(("rate-limit", "limited", _rate_limit(8, 22, 52, 1)))
    return cells
