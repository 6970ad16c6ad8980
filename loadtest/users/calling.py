"""How do people call each other? They dial, it rings, somebody answers, declines, or does not hear it.

What a person decides, and how long it takes, comes from the call's own seed; the numbers are class attributes
that a scenario may change. Caller and callee belong to one group of users in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, ClassVar

from loadtest.contract import Calls, Delivery, Need
from loadtest.measure.operations import Operation
from loadtest.measure.units import SECOND
from loadtest.users.calls import (
    ACTIVE,
    CONNECTED,
    DECLINED,
    ENDED,
    MISSED,
    OVER,
    RINGING,
    Answering,
    Call,
    Closing,
    Dialling,
    send,
)
from loadtest.users.causes import Cause
from loadtest.users.device import Device
from loadtest.users.link import ActionFailed
from loadtest.users.user import RealtimeUser

Span = tuple[float, float]
"""Shortest and longest, in seconds."""
_AGAIN_S = 1.0


class CallingUser(RealtimeUser):
    """A user that calls others of its group, and is called by them.

    answers, declines: shares of the calls to it that it takes or rejects; it does not hear the others.
    thinks, talks_for, patience: how long it rings before somebody acts, how long a call lasts, and after how
    long a caller hangs up on a callee that does not react; waits_on: the share of callers who never do, so
    that the server's own ring timeout ends the call. races: the share of answers given on two devices at once.
    """

    abstract = True
    hears = (
        Operation.CALL_RING,
        Operation.CALL_ANSWER,
        Operation.CALL_DECLINE,
        Operation.CALL_STATUS,
    )
    talks = False
    needs: ClassVar[tuple[Need, ...]] = ("calls",)
    answers: ClassVar[float] = 0.75
    declines: ClassVar[float] = 0.15
    thinks: ClassVar[Span] = (0.5, 2.5)
    talks_for: ClassVar[Span] = (2.0, 6.0)
    patience: ClassVar[Span] = (4.0, 8.0)
    waits_on: ClassVar[float] = 0.2
    races: ClassVar[float] = 0.3
    _races_within_s: ClassVar[float] = 0.02

    call: Call | None = None

    @property
    def _calls(self) -> Calls:
        calls = self.live.contract.calls
        assert calls is not None  # preflight refuses a contract without
        return calls

    # -- the caller -------------------------------------------------------------------------------------

    def call_somebody(self) -> None:
        """Call another user of the group, chosen by the seed; nobody calls while on the phone."""
        planned_ns = self.take_planned()
        others = [user for user in self.circle if user is not self and isinstance(user, CallingUser)]
        if not others:
            return
        callee = self.rng.choice(others)
        live = self.live
        if self.call is not None:
            live.recorder.count("call.engaged")
            return
        device = self.device
        if self.overdue or not device.up:
            why = (
                (Cause.INTERNAL, "the backlog is too long")
                if self.overdue
                else (Cause.CLIENT, "not connected")
            )
            self.unable(Operation.CALL_RING, planned_ns, len(callee.devices), *why)
            return
        call = self.call = Call(self, callee, device, planned_ns)
        live.calls[call.marker] = call
        send(device, self._calls.initiate, Dialling(call), callee=callee.name, marker=call.marker)

    def dialled(self, call: Call) -> None:
        """The server took the call: the caller waits, for a while."""
        self._index(call)
        if call.rng.random() >= self.waits_on:
            self._later(
                call, call.rng.uniform(*self.patience), lambda due_ns: self._lose_patience(call, due_ns)
            )

    def _lose_patience(self, call: Call, due_ns: int) -> None:
        if call.state == RINGING and call.id is not None:
            self._hang_up(call, due_ns)

    def _hang_up(self, call: Call, due_ns: int) -> None:
        device = call.device if self is call.caller else call.answered_by or self.device
        if call.state in OVER:
            return
        if not device.up:
            if device.returning:  # it does as soon as it can, or both would be on the phone for ever
                self._later(call, _AGAIN_S, lambda later_ns: self._hang_up(call, later_ns))
            return
        if call.state == RINGING:
            self.live.recorder.count("call.hung_up")
        closing = Closing(call, device, Operation.CALL_STATUS, due_ns)
        send(device, self._calls.end, closing, call=call.id, marker=closing.marker)
        self.over(call, ENDED)

    # -- the callee -------------------------------------------------------------------------------------

    def _rings(self, device: Device, call: Call, read_ns: int) -> None:
        call.ringing.add(device)
        if call.state in OVER:
            self.live.recorder.count("call.stale_rings")
            return
        if call.rung_ns is not None:
            return
        call.rung_ns = read_ns
        self.call = self.call or call
        wait_s = call.rng.uniform(*self.thinks)
        chance = call.rng.random()
        if chance < self.answers:
            self._later(call, wait_s, lambda due_ns: self._answer(call, due_ns))
        elif chance < self.answers + self.declines:
            self._later(call, wait_s, lambda due_ns: self._decline(call, due_ns))

    def _answer(self, call: Call, due_ns: int) -> None:
        devices = sorted((one for one in call.ringing if one.up), key=lambda one: one.member.name)
        if call.state != RINGING or not devices:
            return
        first = call.rng.choice(devices)
        self._answer_on(call, first, due_ns)
        if len(devices) > 1 and call.rng.random() < self.races:
            second = call.rng.choice([one for one in devices if one is not first])
            self._later(
                call,
                call.rng.random() * self._races_within_s,
                lambda later_ns: self._answer_on(call, second, later_ns),
            )

    def _answer_on(self, call: Call, device: Device, due_ns: int) -> None:
        if device.up and call.rung_ns is not None:
            answering = Answering(call, device, due_ns, call.rung_ns)
            variables = {"call": call.id, "marker": answering.marker}
            send(device, self._calls.answer, answering, **variables)

    def _decline(self, call: Call, due_ns: int) -> None:
        devices = sorted((one for one in call.ringing if one.up), key=lambda one: one.member.name)
        if call.state == RINGING and devices:
            device = call.rng.choice(devices)
            closing = Closing(call, device, Operation.CALL_DECLINE, due_ns)
            send(device, self._calls.decline, closing, call=call.id, marker=closing.marker)

    # -- both -------------------------------------------------------------------------------------------

    def watch(
        self, device: Device, operation: Operation, delivery: Delivery, args: list[Any], read_ns: int
    ) -> None:
        """What the server says of calls."""
        super().watch(device, operation, delivery, args, read_ns)
        if not operation.value.startswith("call."):
            return
        live = self.live
        marker = delivery.marker(args)
        known = None if marker is None else live.calls.get(marker)
        call = known or live.calls.get(f"id {delivery.subject(args)}")
        if call is None:
            return
        if operation is Operation.CALL_RING:
            call.id = call.id or delivery.subject(args)
            self._index(call)
            self._rings(device, call, read_ns)
        elif operation is Operation.CALL_ANSWER:
            call.ringing.discard(device)
            self._connected(call, device, marker, read_ns)
        elif operation is Operation.CALL_DECLINE:
            call.ringing.discard(device)
            self.over(call, DECLINED)
        else:
            status = delivery.status(args)
            if status in OVER:
                call.ended_by(marker)
            self._told(call, device, status)

    def _connected(self, call: Call, device: Device, marker: str | None, read_ns: int) -> None:
        if self is not call.caller or device is not call.device:
            return
        if marker is not None:
            self.live.ledger.delivered(marker + CONNECTED, Operation.CALL_CONNECTED, device.member, read_ns)
        self._talks(call)

    def _talks(self, call: Call) -> None:
        """Both are on the phone now, until one of them hangs up."""
        if call.state != RINGING:
            return
        call.state = ACTIVE
        ends = call.rng.choice((call.caller, call.callee))
        self._later(call, call.rng.uniform(*self.talks_for), lambda due_ns: ends._hang_up(call, due_ns))

    def _told(self, call: Call, device: Device, status: str | None) -> None:
        if status != RINGING:
            call.ringing.discard(device)
        if status in OVER:
            if status == MISSED and self is call.caller and call.state == RINGING:
                self.live.recorder.count("call.missed")
            self.over(call, status or ENDED)

    def over(self, call: Call, state: str) -> None:
        """It has ended, and whoever still rings after the deadline is a ghost."""
        if call.state in OVER:
            return
        call.state = state
        for user in (call.caller, call.callee):
            user.hung_up(call)
        live = self.live
        live.clock.call_at(perf_counter_ns() + live.ledger.deadline_ns, lambda: self._forget(call))

    def _forget(self, call: Call) -> None:
        live = self.live
        ghosts = sum(device.up for device in call.ringing)
        if ghosts and not live.closed:
            live.recorder.count("call.ghost_rings", ghosts)
        live.calls.pop(call.marker, None)
        live.calls.pop(f"id {call.id}", None)

    def _index(self, call: Call) -> None:
        """Events that the server causes by itself carry no mark of ours: they are known by its id."""
        if call.id is not None:
            self.live.calls[f"id {call.id}"] = call

    def hung_up(self, call: Call) -> None:
        """This call is not ours any more."""
        if self.call is call:
            self.call = None

    def unable(self, operation: Operation, planned_ns: int, owed: int, cause: Cause, detail: str) -> None:
        """Something that fell due could not be done: it failed, and nobody will hear of it."""
        live, member = self.live, self.member
        excused = self.devices[0].excused()
        live.ledger.never_left(operation, member.transport, planned_ns, owed, excused)
        live.recorder.count("not_sent")
        if not excused and not live.closed:
            live.fire("WSE", operation, None, ActionFailed(cause, detail))

    def _later(self, call: Call, wait_s: float, act: Callable[[int], None]) -> None:
        """A person does something after a while, unless the run is past sending by then."""
        due_ns = perf_counter_ns() + round(wait_s * SECOND)
        live = self.live
        live.clock.call_at(due_ns, lambda: None if live.held or live.closed else act(due_ns))

    def came_back(self, device: Device) -> None:
        """After a lost connection: what has become of the call meanwhile?"""
        super().came_back(device)
        call = self.call
        status = self._calls.status
        if call is None or status is None:
            return
        if (
            call.id is None
        ):  # lost before it was answered: nobody rings for longer than the server lets it ring
            ring_s = self._calls.ring_timeout_ms / 1000
            self._later(call, ring_s, lambda due_ns: None if call.id else self.over(call, ENDED))
            return
        try:
            outcome = device.link.perform(status, device.variables(call=call.id))
        except ActionFailed:
            self.live.recorder.count("call.status_unknown")
            return
        said = outcome.rule.captured(outcome.root).get("status") if outcome.ok else ENDED
        self.live.recorder.count("call.resumed" if said not in OVER else "call.gone")
        if said == ACTIVE:
            self._talks(call)  # it was answered meanwhile
        self._told(call, device, str(said))
