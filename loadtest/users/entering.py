"""How does a device come in for the first time, and how often does it try?"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadtest.measure.operations import Operation
from loadtest.measure.recorder import Interval
from loadtest.users import ways
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.link import ActionFailed
from loadtest.users.live import CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    from loadtest.users.device import Device


def bring_in(device: Device, conversation: str | None, go_on: Callable[[], object]) -> bool:
    """Connect, authenticate, join; again as often as the policy of lost connections allows.

    go_on: told after a first failure, so that the run begins without a device that has to wait for its next
    attempt. False if it did not come in at all.
    """
    live, policy = device.live, device.live.policy
    attempt = 0
    while not live.closed:
        error = _try(device, conversation)
        if error is None:
            return True
        attempt += 1
        refused = error.cause is Cause.CONNECT_ERROR and not policy.retries_refused
        if refused or policy.name == "none" or (policy.attempts is not None and attempt > policy.attempts):
            return False
        go_on()
        wait_ns = policy.delay_ns(attempt, device.rng.random())
        live.clock.sleep_until(perf_counter_ns() + wait_ns)
    return False


def _try(device: Device, conversation: str | None) -> ConnectFailed | None:
    """One attempt, recorded; why it failed, None if it did not."""
    live = device.live
    planned_ns = perf_counter_ns()
    phases: dict[str, int] = {}
    try:
        _open(device)
        phases.update(device.link.phases)
        if conversation is not None:
            asked_ns = perf_counter_ns()
            joined_ns, _ = device.enter(conversation, None)
            phases["join"] = joined_ns - asked_ns
        device.come_in()
    except (ConnectFailed, ActionFailed) as error:
        _interval(device, planned_ns).failed += 1
        failure = ConnectFailed(error.cause, error.detail)
        live.fire("WS", Operation.SESSION_CONNECT, None, failure)
        live.gave_up(failure)
        device.step_back()
        return failure
    done_ns = perf_counter_ns()
    interval = _interval(device, planned_ns)
    interval.record(planned_ns, planned_ns, done_ns)
    for name, duration_ns in phases.items():
        interval.record_phase(name, duration_ns)
    live.fire("WS", Operation.SESSION_CONNECT, done_ns - planned_ns, None)
    live.joined(device.link, planned_ns)
    return None


def _interval(device: Device, planned_ns: int) -> Interval:
    """Of the transport that it came in by, which need not be its first choice."""
    return device.live.recorder.connecting(Operation.SESSION_CONNECT, device.member.transport, planned_ns)


def _open(device: Device) -> None:
    """By the best transport that lets it in. Raises ConnectFailed."""
    for rung in device.rungs:
        try:
            device.open(rung, CONNECT_TIMEOUT_S)
            return
        except ConnectFailed as error:
            if rung == device.rungs[-1] or not ways.blocked(error):
                raise
