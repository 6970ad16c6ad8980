"""How does a device come back after it lost its connection?

As a client of its policy would: wait, connect, authenticate; then what an application owes its user: join the
rooms it remembers and merge what they received meanwhile, say again what was not answered, say what was kept.
That the rooms are really joined is proven by a probe that comes back through each of them.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import gevent

from loadtest.measure import rows
from loadtest.measure.operations import Operation
from loadtest.measure.units import SECOND
from loadtest.users import ways
from loadtest.users.causes import REPAIRABLE, Cause, ConnectFailed
from loadtest.users.link import ActionFailed, Link
from loadtest.users.said import Probe

if TYPE_CHECKING:
    from loadtest.users.device import Device
    from loadtest.users.drops import DropRecord

_EXPIRED = "AUTH_EXPIRED"


class Return:
    """One device's way back; runs in a greenlet of its own, so that its user goes on with its schedule."""

    def __init__(self, device: Device, drop: DropRecord) -> None:
        self._device = device
        self._drop = drop
        self._cut: Cause | None = None
        self.over = False
        """Whether the attempts are; what follows them, such as asking what became of a call, may go on."""
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Set out."""
        self._greenlet = gevent.spawn(self._run)

    def kill(self) -> None:
        """The user leaves; may be called from anywhere."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def cut(self, cause: Cause) -> None:
        """The new connection was lost before all was as it had been."""
        self._cut = cause

    def _run(self) -> None:
        try:
            outcome = self._come_back()
        except Exception as bug:
            self._device.live.fault(bug)
            outcome = rows.GAVE_UP
        if outcome is None:
            return  # the books closed, or the user left
        try:
            self._end(outcome)
        except Exception as bug:
            self._device.live.fault(bug)

    def _end(self, outcome: str) -> None:
        device, drop = self._device, self._drop
        drop.outcome, self.over = outcome, True
        if outcome == rows.RECOVERED:
            self._resume()
            return
        drop.finish()
        device.drop_unsaid(Cause.CLIENT, f"the way back ended: {outcome}")
        device.live.recorder.count("connections.gave_up")

    def _come_back(self) -> str | None:
        """The attempts; what became of them, None if nobody is interested any more."""
        device, live, drop = self._device, self._device.live, self._drop
        policy = live.policy
        failed_ns, attempt, renewed, at_once = drop.at_ns, 0, False, False
        while at_once or policy.attempts is None or attempt < policy.attempts:
            attempt += not at_once
            delay_ns = 0 if at_once else policy.delay_ns(attempt, device.rng.random())
            due_ns, at_once = failed_ns + delay_ns, False
            live.clock.sleep_until(due_ns)
            if live.closed or device.closed:
                return None
            began_ns = perf_counter_ns()
            waited_ns, late_ns = began_ns - failed_ns, began_ns - due_ns
            try:
                link = self._connect(policy.connect_timeout_ns / SECOND)
            except ConnectFailed as error:
                failed_ns = perf_counter_ns()
                drop.tried(waited_ns, late_ns, began_ns, failed_ns, error.cause)
                self._note(error)
                if error.cause is Cause.CONNECT_ERROR:
                    if _EXPIRED in error.detail and not renewed:
                        # The application gets itself a new token and connects again; nobody waits for that.
                        renewed = at_once = True
                        device.renew()
                        live.recorder.count("tokens.renewed")
                    elif not policy.retries_refused:
                        return rows.STAYED
                continue
            if live.closed or device.closed:
                link.close()  # it was let in at the very moment
                return None
            drop.back_ns = perf_counter_ns()
            drop.tried(waited_ns, late_ns, began_ns, drop.back_ns, None)
            self._note_connect(link, began_ns, drop.back_ns)
            if self._rejoin(link):
                return rows.RECOVERED
            if self._cut not in (None, Cause.ACK_TIMEOUT) and self._cut not in REPAIRABLE:
                return rows.STAYED  # put out, or refused; who only waited too long for an answer tries again
            # The count begins anew with each connection that came about, as in the JavaScript client.
            failed_ns, attempt = perf_counter_ns(), 0
        return rows.GAVE_UP

    def _connect(self, timeout_s: float) -> Link:
        """By the best transport that lets us in. Raises ConnectFailed."""
        device = self._device
        self._cut = None
        device.credentials.log_in(timeout_s)
        for rung in device.rungs:
            link = device.make_link(rung)
            try:
                link.open(timeout_s)
                return link
            except ConnectFailed as error:
                link.close()
                if rung == device.rungs[-1] or not ways.blocked(error):
                    raise
            except BaseException:  # the user leaves in the middle of it
                link.close()
                raise
        raise AssertionError("a device has at least one transport")

    def _note(self, error: ConnectFailed) -> None:
        live = self._device.live
        live.recorder.count("attempts.failed")
        live.note_limits(error)
        if not self._drop.provoked:
            live.fire("WS", Operation.SESSION_CONNECT, None, error)

    def _note_connect(self, link: Link, began_ns: int, ended_ns: int) -> None:
        live = self._device.live
        interval = live.recorder.interval(Operation.SESSION_CONNECT, link.transport, began_ns)
        interval.record(began_ns, began_ns, ended_ns)
        for name, duration_ns in link.phases.items():
            interval.record_phase(name, duration_ns)

    def _rejoin(self, link: Link) -> bool:
        """Every room again, and what was said there meanwhile; False if the connection did not last."""
        device, drop = self._device, self._drop
        live, member = device.live, device.member
        device.adopt(link)
        drop.state_recovered = bool(getattr(link, "recovered", False))
        asked_ns = perf_counter_ns()
        drop.rooms = sum(seat.talk for seat in device.seats.values())
        try:
            for conversation, seat in list(device.seats.items()):
                read_ns, outcome = device.reenter(conversation, seat)
                if outcome is not None:
                    unread = live.ledger.unread(member, asked_ns)
                    device.restore(outcome, read_ns)
                    drop.restored(unread - live.ledger.unread(member, asked_ns))
        except ActionFailed as error:
            live.recorder.count("rejoins.failed")
            if self._cut is None:
                link.close()
                live.link_lost(link)
            self._cut = self._cut or error.cause
            return False
        if self._cut is not None:
            return False
        drop.missed += live.ledger.unread(member, asked_ns, taken=True)
        drop.rejoined_ns = perf_counter_ns()
        live.ledger.connected(member, True)
        live.joined(link, drop.back_ns or asked_ns)
        return True

    def _resume(self) -> None:
        """All rooms are joined: talk again."""
        device, drop = self._device, self._drop
        live, member = device.live, device.member
        member.in_reach(perf_counter_ns())
        device.catch_up()
        if live.echoes:
            self._probe()
        assert drop.rejoined_ns is not None
        live.clock.call_at(drop.rejoined_ns + live.ledger.deadline_ns, drop.finish)
        device.user.came_back(device)

    def _probe(self) -> None:
        """Say something in every room; that it comes back proves that we are in it."""
        device, drop = self._device, self._drop
        live = device.live
        for seat in [one for one in device.seats.values() if one.talk]:
            marker, number = live.ledger.marker(device.member)
            drop.probe(marker)
            variables = device.variables(room=seat.room.name, marker=marker, body="probe")
            probe = Probe(device, seat.room, marker, number, drop.at_ns)
            device.link.send(live.contract.send, variables, probe)
