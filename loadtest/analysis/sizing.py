"""What does a load need of the machine that makes it, and has this machine got it?

Rates are those of ``scenarios/messaging.py``: beside each message somebody types, reads, or changes the
conversation now and then. Whatever is sent or read is an event; CPU time goes by events, and a process is given no
more than half a core, because at 60 % of one its sends begin to be late.
"""

from __future__ import annotations

import math

import msgspec

from loadtest.analysis.event_cost import DEFAULTS, Cost
from loadtest.measure.sockets import descriptors as descriptors_of
from loadtest.measure.sockets import lasting, users_within
from loadtest.measure.units import say_bytes, say_ms

FULL = 0.5
"""Of a core: as much as one process is given."""
TYPING, READS, SWITCHES = 4 / 12, 4 / 12, 1 / 12
"""For each message sent, as the weights of the tasks say."""
POLL_S, PING_S = 1.5, 25.0
USER_BYTES = 60_000
"""Of a user with everything that it has: 20 KB idle with our own client, up to 60 KB with the stock one."""
PROCESS_BYTES = 150_000_000
CROWDED = 0.8
"""Of the local ports: from here on a reconnect may find none for a while."""


class Need(msgspec.Struct, frozen=True):
    """What a load takes. Rates are events per second of all users together; cpu: cores that they take.

    processes: so that none has more than FULL of a core to do. ports: those towards one server from one address.
    """

    users: int
    devices: int
    transport: str
    sends_per_s: float
    acks_per_s: float
    deliveries_per_s: float
    polls_per_s: float
    pings_per_s: float
    cpu: float
    processes: int
    ports: int
    cost: Cost

    @property
    def sockets(self) -> int:
        """Devices that are connected, of all users."""
        return self.users * self.devices

    @property
    def events_per_s(self) -> float:
        """All of them."""
        return (
            self.sends_per_s + self.acks_per_s + self.deliveries_per_s + self.polls_per_s + self.pings_per_s
        )

    def descriptors(self, processes: int) -> int:
        """File descriptors of a process, if there are so many."""
        return descriptors_of(-(-self.users // processes), self.devices, self.transport)

    def memory_bytes(self, processes: int) -> int:
        """Resident memory of all processes, at most."""
        return self.sockets * USER_BYTES + processes * PROCESS_BYTES


def sizing(
    users: int, rate_per_s: float, fan_out: float, transport: str, devices: int = 1, cost: Cost | None = None
) -> Need:
    """What ``users`` need who send ``rate_per_s`` messages each, each to ``fan_out`` others.

    cost: None for DEFAULTS. The rates are an upper estimate: a server may announce less than all that is typed and
    read. Raises ValueError for less than one user or device, and for rates that are not positive.
    """
    if users < 1 or devices < 1 or not rate_per_s > 0 or not fan_out >= 0:
        raise ValueError("a load has at least one user with one device, who sends something")
    cost = cost or DEFAULTS[transport]
    messages = users * rate_per_s
    others = fan_out * devices  # sockets of the others
    own = devices - 1  # and those of the user itself, but the one that speaks
    sends = messages * (1 + TYPING + READS + 2 * SWITCHES)  # a switch is a leave and a join
    acks = messages * (1 + READS + 2 * SWITCHES)
    # A message comes to everybody, its sender too; typing comes twice, as its beginning and as its end.
    deliveries = messages * ((others + own + 1) + (2 * TYPING + READS) * (others + own))
    sockets = users * devices
    polling = transport == "interval-polling"
    polls = sockets / POLL_S if polling else 0.0
    pings = 0.0 if polling else sockets / PING_S
    requests = polls + sends if polling else 0.0
    events = deliveries if polling else sends + acks + deliveries + pings
    cpu = requests * cost.request_s + events * cost.event_s
    return Need(
        users=users,
        devices=devices,
        transport=transport,
        sends_per_s=sends,
        acks_per_s=acks,
        deliveries_per_s=deliveries,
        polls_per_s=polls,
        pings_per_s=pings,
        cpu=cpu,
        processes=max(1, math.ceil(cpu / FULL - 1e-9)),
        ports=sockets * lasting(transport),
        cost=cost,
    )


class Machine(msgspec.Struct, frozen=True):
    """What there is; None: not known, or no limit. descriptors: a process may have; ports: towards one server.

    shared: whether the server runs here too.
    """

    cores: int
    descriptors: int | None
    ports: int | None
    memory_bytes: int | None
    shared: bool = True


class Fit(msgspec.Struct, frozen=True):
    """A need beside a machine. processes: how many to use; short: what is scarce, a line each.

    impossible: what no number of processes helps against; such a run would be refused or would fail.
    """

    need: Need
    machine: Machine
    processes: int
    short: list[str]
    impossible: list[str]

    @property
    def ok(self) -> bool:
        """Whether there is enough of everything."""
        return not self.short and not self.impossible


def fit(need: Need, machine: Machine) -> Fit:
    """Is there enough, and how many processes does it take?"""
    processes = max(need.processes, _for_descriptors(need, machine))
    return Fit(need, machine, processes, _short(need, machine, processes), _impossible(need, machine))


def _for_descriptors(need: Need, machine: Machine) -> int:
    """So many processes that none runs out of file descriptors; 1 where no number of them helps."""
    if machine.descriptors is None:
        return 1
    of_each = users_within(machine.descriptors, need.devices, need.transport)
    return 1 if of_each < 1 else -(-need.users // of_each)


def _impossible(need: Need, machine: Machine) -> list[str]:
    found = []
    alone = need.descriptors(need.users)
    if machine.descriptors is not None and alone > machine.descriptors:
        found.append(
            f"file descriptors: a process with one user may need {alone}, the limit is {machine.descriptors}: "
            f"raise it (ulimit -n {alone})"
        )
    if machine.ports is not None and need.sockets > machine.ports:
        found.append(
            f"local ports: {need.sockets:,} devices, and {machine.ports:,} ports towards one server: use fewer "
            "users, or workers on a second machine"
        )
    if machine.memory_bytes is not None and need.sockets * USER_BYTES > machine.memory_bytes:
        found.append(
            f"memory: up to {say_bytes(need.memory_bytes(1))}, the machine has {say_bytes(machine.memory_bytes)}: "
            "use fewer users, or workers on more machines"
        )
    return found


def _short(need: Need, machine: Machine, processes: int) -> list[str]:
    found = []
    if processes + machine.shared > machine.cores:
        server = " and one for the server" if machine.shared else ""
        found.append(
            f"CPU: {need.cpu:.2f} cores of work take {_plural(processes, 'process')}{server}, there "
            f"{'is' if machine.cores == 1 else 'are'} {_plural(machine.cores, 'core')}: use fewer users, a lower "
            "rate, or workers on more machines"
        )
    if machine.ports is not None and CROWDED * machine.ports < need.ports and need.sockets <= machine.ports:
        found.append(
            f"local ports: {need.ports:,} of {machine.ports:,} towards one server: "
            "connections that come back may find none"
        )
    needed = need.memory_bytes(processes)
    if machine.memory_bytes is not None and need.sockets * USER_BYTES <= machine.memory_bytes < needed:
        found.append(f"memory: up to {say_bytes(needed)}, the machine has {say_bytes(machine.memory_bytes)}")
    return found


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def lines(found: Fit) -> list[tuple[str, str]]:
    """(what, how much of what there is): a fit in words."""
    need, machine, k = found.need, found.machine, found.processes
    rates = {
        "sends": need.sends_per_s,
        "acks": need.acks_per_s,
        "deliveries": need.deliveries_per_s,
        "polls": need.polls_per_s,
        "pings": need.pings_per_s,
    }
    said = ", ".join(f"{value:,.0f} {name}" for name, value in rates.items() if value >= 0.5)
    per_event = f"{say_ms(need.cost.event_s * 1e6)} for 1,000 events"
    if need.polls_per_s:
        per_event = f"{say_ms(need.cost.request_s * 1e6)} for 1,000 requests and {per_event}"
    return [
        ("events per second", f"{need.events_per_s:,.0f} ({said})"),
        ("CPU", f"{need.cpu:.2f} of {machine.cores} cores, at {per_event} ({need.cost.source})"),
        ("processes", f"{k}, none with more than {100 * FULL:.0f} % of a core to do (--processes {k})"),
        ("file descriptors", f"{need.descriptors(k):,} {_of(machine.descriptors)} in a process"),
        ("local ports", f"{need.ports:,} {_of(machine.ports)} towards one server"),
        (
            "memory",
            f"up to {say_bytes(need.memory_bytes(k))}"
            + (f" of {say_bytes(machine.memory_bytes)}" if machine.memory_bytes is not None else ""),
        ),
    ]


def _of(limit: int | None) -> str:
    return "of an unknown number" if limit is None else f"of {limit:,}"
