"""Which workers may take part in a run, what did they find at the target, and how are their clocks?

A worker says hello as soon as it is there. It is asked for its clock then, and before each run to look at the
target with the master's flags: it is the workers that must reach it. Who may not take part is told why and leaves.

    worker                                  master
    rt_hello: release, flags, clock     →
                                        ←   rt_clock, and a burst of them
    rt_clock_told                       →
                                        ←   rt_examine: flags, share of the users       (a run begins)
    rt_examined: target, or a refusal   →
                                        ←   rt_welcome: how far its clock is ahead
                                        ←   Locust's spawn messages, with the header of the run
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult

from loadtest.measure.units import SECOND
from loadtest.users import hello
from loadtest.users.clock_asking import ASK, TELL
from loadtest.users.guest import Guest
from loadtest.users.hello import Hello
from loadtest.users.target import Refused, Target

HELLO, EXAMINE, EXAMINED, WELCOME, REFUSED = (
    "rt_hello",
    "rt_examine",
    "rt_examined",
    "rt_welcome",
    "rt_refused",
)
_HELLO_S = 15.0
"""For a worker to say hello: it does when Locust has made its runner, and again every two seconds."""
_EXAMINED_S = 60.0
_FRESH_NS = 5 * SECOND
logger = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True):
    """What a run asks of its workers: the master's own flags, the host, and how many users in all."""

    flags: dict[str, Any]
    host: str
    users: int


class Muster:
    """The workers of a master, as they come and go.

    welcomed: hears of each that may take part in the run. sent_away: hears of those who came in the middle of one
    and may not, in one line.
    """

    def __init__(
        self,
        environment: Any,
        runner: Any,
        welcomed: Callable[[Guest], object],
        sent_away: Callable[[str], object],
    ) -> None:
        self._runner = runner
        self._said = hello.of_this_process(environment, environment.parsed_options)
        self._welcomed = welcomed
        self._sent_away = sent_away
        self._order: Order | None = None
        self.guests: dict[str, Guest] = {}
        runner.register_message(HELLO, self._heard)
        runner.register_message(TELL, self._told)
        runner.register_message(EXAMINED, self._examined)

    # -- who comes --------------------------------------------------------------------------------------

    def _heard(self, msg: Any, **_: Any) -> None:
        if msg.node_id in self.guests:
            return
        index = self._runner.get_worker_index(msg.node_id)
        guest = Guest(msg.node_id, index, lambda question: self._send(ASK, question, msg.node_id))
        self.guests[msg.node_id] = guest
        try:
            guest.said = msgspec.convert(msg.data, Hello)
        except msgspec.ValidationError:
            guest.refusal = hello.other_release(str(msg.data.get("version")), guest.name)
        gevent.spawn(self._meet, guest)

    def _told(self, msg: Any, **_: Any) -> None:
        read_ns = perf_counter_ns()
        if msg.node_id in self.guests:
            self.guests[msg.node_id].asking.told(msg.data, read_ns)

    def _examined(self, msg: Any, **_: Any) -> None:
        if msg.node_id in self.guests:
            self.guests[msg.node_id].examined.set(msg.data)

    def _meet(self, guest: Guest) -> None:
        if guest.refusal is None and guest.said is not None:
            guest.refusal = hello.misfit(guest.said, self._said, guest.name)
        if guest.refusal is None and not guest.ask_clock():
            guest.refusal = f"{guest.name}: it does not answer when it is asked for its clock"
        if guest.refusal is None and self._order is not None:
            self._let_in([guest], self._order)
        guest.met.set()
        if guest.refusal is not None:
            self._dismiss(guest)

    # -- a run begins -----------------------------------------------------------------------------------

    def call(self, order: Order) -> Target:
        """Let in everybody who is here and may take part; what they found. Raises Refused: nobody may.

        Blocks until all have looked. The others leave, unless nobody may: then it is the flags that are wrong.
        """
        self._order = None
        guests = self._present()
        self._order = order
        gevent.joinall([gevent.spawn(self._let_in, several, order) for several in by_machine(guests)])
        found = [guest.target for guest in guests if guest.target is not None]
        if not found:
            self._order = None
            lines = dict.fromkeys(guest.refusal for guest in guests if guest.refusal is not None)
            for guest in guests:
                guest.refusal = None
            raise Refused("\n".join(lines) or "no worker is left that may take part")
        for guest in guests:
            if guest.refusal is not None:
                self._dismiss(guest)
        notes = dict.fromkeys(note for one in found for note in one.notes)
        return msgspec.structs.replace(found[0], notes=tuple(notes))

    def _present(self) -> list[Guest]:
        """Those that Locust is about to use, in their order; who does not say hello must not be among them."""
        until_ns = perf_counter_ns() + round(_HELLO_S * SECOND)
        nodes = [one.id for one in self._runner.clients.all if one.state != "missing"]
        while perf_counter_ns() < until_ns and not all(self._has_met(node) for node in nodes):
            gevent.sleep(0.02)
        for node in nodes:
            if not self._has_met(node) and node in self._runner.clients:
                silent = self.guests.get(node) or Guest(node, self._runner.get_worker_index(node), _nobody)
                silent.refusal = (
                    f"{silent.name}: it does not say which release it has; install the same everywhere"
                )
                self._dismiss(silent)
        return sorted(
            (self.guests[node] for node in nodes if self._has_met(node) and node in self._runner.clients),
            key=lambda one: one.index,
        )

    def _has_met(self, node: str) -> bool:
        """Also one that was sent away meanwhile."""
        return node not in self._runner.clients or (node in self.guests and self.guests[node].met.is_set())

    def _let_in(self, guests: Sequence[Guest], order: Order) -> None:
        """Workers of one machine; what one of them finds holds for all: a server need not be looked at by each."""
        for guest in guests:
            guest.target = guest.refusal = None
        try:
            found = self._examine(guests[0], order)
        except Refused as error:
            for guest in guests:
                guest.refusal = str(error)
            return
        for guest in guests:
            # What it said when it came is old by now.
            if guest.stale(_FRESH_NS) and not guest.ask_clock():
                guest.refusal = f"{guest.name}: it does not answer when it is asked for its clock"
            else:
                self._welcome(guest, found)

    def _welcome(self, guest: Guest, found: Target) -> None:
        guest.target = found
        self._send(WELCOME, {"offset_ns": guest.offset_ns}, guest.node)
        if not guest.one_clock:
            guest.asking.go_on()
        self._welcomed(guest)

    def _examine(self, guest: Guest, order: Order) -> Target:
        """What it finds at the target. Raises Refused."""
        here, all_of_them = self._neighbours(guest), max(1, len(self._runner.clients))
        guest.examined = AsyncResult()
        asked = {
            "flags": order.flags,
            "host": order.host,
            "users": -(-order.users * here // all_of_them),
            "processes": here,
        }
        self._send(EXAMINE, asked, guest.node)
        try:
            answer = guest.examined.get(timeout=_EXAMINED_S)
        except gevent.Timeout:
            raise Refused(
                f"{guest.name}: it was asked to look at {order.host}, and does not answer"
            ) from None
        if "refused" in answer:
            raise Refused(str(answer["refused"]))
        return msgspec.convert(answer["target"], Target)

    def _neighbours(self, guest: Guest) -> int:
        """How many workers share its ports, itself too."""
        network = None if guest.said is None else guest.said.network
        return sum(one.said is not None and one.said.network == network for one in self.guests.values())

    # -- a run ends -------------------------------------------------------------------------------------

    def last_look(self) -> list[gevent.Greenlet]:
        """Ask every foreign clock once more; to be waited for."""
        return [
            gevent.spawn(one.asking.burst)
            for one in self.guests.values()
            if not one.one_clock and one.target is not None and one.node in self._runner.clients
        ]

    def end(self) -> None:
        """The run is over."""
        self._order = None
        for guest in self.guests.values():
            guest.asking.stop()

    # -- who goes ---------------------------------------------------------------------------------------

    def _dismiss(self, guest: Guest) -> None:
        """Send one away that may not take part, and say so here too."""
        logger.error("%s", guest.refusal)
        self._send(REFUSED, {"line": guest.refusal}, guest.node)
        self.guests.pop(guest.node, None)
        if self._runner.state in ("spawning", "running"):
            self._sent_away(guest.refusal or "")
            return  # its users are taken over by the others when it says goodbye
        node = self._runner.clients.get(guest.node)
        if node is None:
            return
        # At once: the users of a run that begins are dealt out next, and a last worker's goodbye would end Locust.
        del self._runner.clients[guest.node]
        if self._runner._users_dispatcher is not None:
            self._runner._users_dispatcher.remove_worker(node)

    def dismiss_all(self, line: str) -> None:
        """Nobody may take part: send everybody home but our own children, who end with us."""
        for guest in list(self.guests.values()):
            if not guest.ours:
                guest.refusal = line
                del self._runner.clients[guest.node]
                self._send(REFUSED, {"line": line}, guest.node)
        gevent.sleep(0.2)  # what leaves with us would not leave at all

    def _send(self, kind: str, data: dict[str, Any], node: str) -> None:
        self._runner.send_message(kind, data, node)


def by_machine(guests: Iterable[Guest]) -> list[list[Guest]]:
    """Those that share local ports, and so a way to the target, together."""
    found: dict[str, list[Guest]] = {}
    for guest in guests:
        found.setdefault(guest.node if guest.said is None else guest.said.network, []).append(guest)
    return list(found.values())


def _nobody(question: dict[str, Any]) -> None:
    """Of one that has not said a word there is nothing to ask."""
