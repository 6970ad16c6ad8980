"""What does an event cost our client, and what does it cost Locust's own?

The arms take turns at each rate, so that a machine that warms up or slows down does so for both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from bench.session import Part, Requirement, Session
from bench.task import Window
from loadtest.measure import run as run_files
from loadtest.measure.histogram import Histogram, merged
from loadtest.measure.operations import Operation
from loadtest.measure.units import MS, US

NATIVE, STOCK = "native", "stock"
CPU_LIMIT = 1 / 3
SERVER_LIMIT_MS = 50
_MEASURE = "measure"
_COLUMNS = ("messages/s", "events/s", "CPU us/event", "CPU %", "service p50 ms", "p99 ms", "late p99 ms")


class Arm(msgspec.Struct):
    """All windows of one client at one rate; ``own`` is service time as the native client itself took it."""

    name: str
    rate: float
    windows: list[Window] = []
    own: Histogram = msgspec.field(default_factory=Histogram)

    @property
    def events(self) -> int:
        """Messages received."""
        return sum(one.events for one in self.windows)

    @property
    def elapsed_ns(self) -> int:
        """Length of all windows."""
        return sum(one.elapsed_ns for one in self.windows)

    @property
    def cpu_us(self) -> float:
        """CPU of the generator for each event, in microseconds."""
        return sum(one.generator_cpu_ns for one in self.windows) / US / max(1, self.events)

    @property
    def generator_cpu(self) -> float:
        """Share of one core that the generator took."""
        return sum(one.generator_cpu_ns for one in self.windows) / self.elapsed_ns

    @property
    def server_cpu(self) -> float:
        """Share of one core that the server took."""
        return sum(one.server_cpu_ns for one in self.windows) / self.elapsed_ns

    @property
    def events_per_second(self) -> float:
        """What came."""
        return self.events * 1e9 / self.elapsed_ns

    @property
    def deliveries_per_second(self) -> float:
        """Copies of messages that came: what the server emitted."""
        return sum(one.deliveries for one in self.windows) * 1e9 / self.elapsed_ns

    def service_ms(self, q: float) -> float:
        """Quantile of send to receive, as both arms stamp it."""
        return _ms(merged(one.service for one in self.windows), q)

    def late_ms(self, q: float) -> float:
        """Quantile of planned moment to task."""
        return _ms(merged(one.lateness for one in self.windows), q)

    def own_ms(self, q: float) -> float:
        """Quantile of service time by the native client's own record."""
        return _ms(self.own, q)

    def raw(self) -> dict[str, Any]:
        """Everything, for machines."""
        quantiles = (0.5, 0.95, 0.99, 0.999)
        return {
            "arm": self.name,
            "rate": self.rate,
            "events": self.events,
            "elapsed_ns": self.elapsed_ns,
            "cpu_us_per_event": self.cpu_us,
            "events_per_second": self.events_per_second,
            "deliveries_per_second": self.deliveries_per_second,
            "generator_cpu": self.generator_cpu,
            "server_cpu": self.server_cpu,
            "service_ms": {f"{q:g}": self.service_ms(q) for q in quantiles},
            "lateness_ms": {f"{q:g}": self.late_ms(q) for q in quantiles},
            "own_service_ms": {f"{q:g}": self.own_ms(q) for q in quantiles} if self.own.n else None,
            "windows": [
                {
                    "elapsed_ns": one.elapsed_ns,
                    "generator_cpu_ns": one.generator_cpu_ns,
                    "server_cpu_ns": one.server_cpu_ns,
                    "sent": one.sent,
                    "deliveries": one.deliveries,
                    "acks": one.acks,
                    "failures": one.failures,
                    "service_p99_ms": _ms(merged([one.service]), 0.99),
                }
                for one in self.windows
            ],
        }


def _ms(histogram: Histogram, q: float) -> float:
    value = histogram.quantile(q) if histogram.n else None
    return float("nan") if value is None else value / MS


def talk(session: Session, arm: Arm, round_number: int) -> None:
    """One more window."""
    window, out = session.talk(arm.name, arm.rate, round_number)
    arm.windows.append(window)
    if arm.name == NATIVE:
        arm.own.merge(_own_service(out / "reports"))


def _own_service(reports: Path) -> Histogram:
    run = run_files.read(reports / run_files.LATEST)
    wanted = Operation.MESSAGE_DELIVER.value
    return merged(row.service for row in run.series if (row.operation, row.phase) == (wanted, _MEASURE))


def measure(session: Session) -> tuple[Part, dict[float, Arm]]:
    """Both arms at every rate; also the native arms, for what else can be read from them."""
    pairs = {rate: (Arm(NATIVE, rate), Arm(STOCK, rate)) for rate in session.sizes.rates}
    for round_number in range(1, session.sizes.rounds + 1):
        for pair in pairs.values():
            for arm in pair:
                talk(session, arm, round_number)
    arms = [arm for pair in pairs.values() for arm in pair]
    requirements = [one for pair in pairs.values() for one in _requirements(*pair)]
    raw = {"arms": [arm.raw() for arm in arms]}
    return Part("events", _table(pairs, session), requirements, raw), {
        rate: native for rate, (native, _) in pairs.items()
    }


def _requirements(native: Arm, stock: Arm) -> list[Requirement]:
    ratio = native.cpu_us / stock.cpu_us
    ours, theirs = native.service_ms(0.99), stock.service_ms(0.99)
    at = f"{native.rate:g} messages/s"
    cpu = Requirement(f"CPU per event, native/stock, {at}", "<= 0.333", f"{ratio:.3f}", ratio <= CPU_LIMIT)
    limit = f"< stock's {theirs:.2f} ms"
    return [cpu, Requirement(f"service p99, native, {at}", limit, f"{ours:.2f} ms", ours < theirs)]


def _table(pairs: dict[float, tuple[Arm, Arm]], session: Session) -> Table:
    sizes = session.sizes
    title = f"events: {sizes.users} users in rooms of 10, {sizes.rounds} x {sizes.window_s:g} s each"
    table = Table(title=title, title_justify="left")
    table.add_column("client")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for pair in pairs.values():
        for arm in pair:
            table.add_row(arm.name, f"{arm.rate:g}", *_cells(arm))
        native, stock = pair
        table.add_row(
            "ratio",
            "",
            f"{native.events_per_second / stock.events_per_second:.2f}",
            f"{native.cpu_us / stock.cpu_us:.2f}",
            f"{native.generator_cpu / stock.generator_cpu:.2f}",
            f"{native.service_ms(0.5) / stock.service_ms(0.5):.2f}",
            f"{native.service_ms(0.99) / stock.service_ms(0.99):.2f}",
            f"{native.late_ms(0.99) / stock.late_ms(0.99):.2f}",
            end_section=True,
        )
    return table


def _cells(arm: Arm) -> tuple[str, ...]:
    return (
        f"{arm.events_per_second:.0f}",
        f"{arm.cpu_us:.1f}",
        f"{100 * arm.generator_cpu:.0f}",
        f"{arm.service_ms(0.5):.2f}",
        f"{arm.service_ms(0.99):.2f}",
        f"{arm.late_ms(0.99):.2f}",
    )


def server(session: Session, native: Arm | None) -> Part:
    """What the reference server took to serve the native arm at the highest rate."""
    if native is None:
        native = Arm(NATIVE, session.sizes.rates[-1])
        talk(session, native, 1)
    table = Table(title="server: the reference server under the native client", title_justify="left")
    for name in ("messages/s", "emits/s", "server CPU %", "service p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    p99 = native.own_ms(0.99)
    table.add_row(
        f"{native.rate * session.sizes.users:g}",
        f"{native.deliveries_per_second:.0f}",
        f"{100 * native.server_cpu:.0f}",
        f"{native.own_ms(0.5):.2f}",
        f"{p99:.2f}",
    )
    name = f"server: service p99 at {native.deliveries_per_second:.0f} emits/s"
    limit = f"< {SERVER_LIMIT_MS} ms"
    kept = Requirement(name, limit, f"{p99:.2f} ms", p99 < SERVER_LIMIT_MS)
    return Part("server", table, [kept], native.raw())
