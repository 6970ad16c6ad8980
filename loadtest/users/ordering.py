"""How does a run order the faults that its users cannot carry out: from the server, and from a proxy on the way?

Once for the whole run, by the process that keeps its book. What cannot be had is refused before the run.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

import gevent
import msgspec

from loadtest.contract import Contract
from loadtest.measure.faults import Fault, Means, Occurrence, occurrences
from loadtest.measure.plan import Plan
from loadtest.measure.rows import FaultRow
from loadtest.measure.units import MS, SECOND
from loadtest.users.causes import ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import Response, fetch
from loadtest.users.options import Settings

_TIMEOUT_S = 10.0


class NoMeans(Exception):
    """A fault that nobody here can carry out; ``str`` is one line."""


class Struck(msgspec.Struct, frozen=True):
    """What a receiver says of an order that it took: how many it struck, or whom."""

    struck: int | list[Any] = 0

    @property
    def number(self) -> int:
        """How many."""
        return self.struck if isinstance(self.struck, int) else len(self.struck)


class _Kinds(msgspec.Struct, frozen=True):
    """What a fault proxy says of itself."""

    kinds: list[str]


class Post(msgspec.Struct, frozen=True):
    """Where orders are posted."""

    place: Place
    path: str

    def order(self, **what: object) -> Struck:
        """Give an order; what the receiver says of it. Raises NoMeans if it was not taken."""
        try:
            response = fetch(self.place, self.path, _TIMEOUT_S, "POST", msgspec.json.encode(what))
        except ConnectFailed as error:
            raise NoMeans(f"{self.place.base}{self.path}: {error}") from None
        if response.status != 200:
            raise NoMeans(f"{self.place.base}{self.path}: HTTP {response.status} {_said(response)}")
        try:
            return msgspec.json.decode(response.body, type=Struck)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoMeans(f"{self.place.base}{self.path}: an answer that makes no sense ({error})") from None


def _said(response: Response) -> str:
    return " ".join(response.body[:200].decode("utf-8", "replace").split())


class Orders:
    """The faults of one run that others carry out."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        place: Place | None,
        control: str | None,
        locate: Callable[[str], Place],
    ) -> None:
        self._seed = settings.seed
        self._faults = [one for one in settings.faults if one.means is not Means.CLIENT]
        self._strikes = [one for one in occurrences(settings.faults) if one.fault.means is not Means.CLIENT]
        hook = contract.hooks.fault
        self._target = None if hook is None or place is None else Post(place, hook)
        self._why_not = 'the contract has no "hooks.fault"' if hook is None else "its name is not known here"
        control = settings.fault_control or control
        # What a server announces may be out of reach from here: that matters to who needs it only.
        needed = any(one.means is Means.PROXY for one in self._faults)
        self._proxy = _proxy_at(control, locate) if control and needed else None
        self._lasting: dict[str, dict[str, object]] = {}

    def check(self) -> None:
        """Find out whether everybody who is needed is there. Raises NoMeans."""
        for fault in self._faults:
            if fault.means is Means.TARGET:
                self._check_target(fault)
            else:
                self._check_proxy(fault)

    def _check_target(self, fault: Fault) -> None:
        try:
            if self._target is None:
                raise NoMeans(self._why_not)
            self._target.order(kind="none")
        except NoMeans as why:
            raise NoMeans(
                f"--rt-fault {fault.text}: the server itself must do that, and does not take orders ({why}); "
                "loadtest serve does, while it is bound to this machine"
            ) from None

    def _check_proxy(self, fault: Fault) -> None:
        if self._proxy is None:
            raise NoMeans(
                f"--rt-fault {fault.text}: needs a fault proxy on the way; start the server with "
                "loadtest serve --through-faults, or name a proxy with --rt-fault-control URL"
            )
        place = self._proxy.place
        path = self._proxy.path.removesuffix("fault")
        try:
            kinds = msgspec.json.decode(fetch(place, path, _TIMEOUT_S).body, type=_Kinds).kinds
        except (ConnectFailed, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoMeans(
                f"--rt-fault {fault.text}: no fault proxy answers at {place.base}{path} ({error})"
            ) from None
        if fault.kind not in kinds:
            raise NoMeans(
                f"--rt-fault {fault.text}: the proxy at {place.base} has {', '.join(kinds)}, not {fault.kind}"
            )

    # -- during a run -----------------------------------------------------------------------------------

    def begin(
        self, plan: Plan, tell: Callable[[FaultRow], object], failed: Callable[[str], object]
    ) -> gevent.Greenlet | None:
        """Give each order at its moment, once the plan has begun. None if there is nothing to order.

        tell: hears of each strike. failed: hears, in one line, of one that could not be ordered.
        """
        return gevent.spawn(self._run, plan, tell, failed) if self._strikes else None

    def _run(self, plan: Plan, tell: Callable[[FaultRow], object], failed: Callable[[str], object]) -> None:
        while plan.measure_ns is None:
            gevent.sleep(0.05)
        moments = [(plan.measure_ns + strike.at_ns, True, strike) for strike in self._strikes]
        moments += [
            (plan.measure_ns + strike.until_ns, False, strike)
            for strike in self._strikes
            if strike.until_ns is not None and strike.fault.kind in _TARGET_LASTING
        ]
        try:
            for moment_ns, begins, strike in sorted(moments, key=lambda one: one[0]):
                gevent.sleep(max(0, moment_ns - perf_counter_ns()) / SECOND)
                try:
                    if begins:
                        tell(self._strike(plan, strike))
                    else:
                        self._end(strike)
                except NoMeans as why:
                    failed(f"{strike.name} could not be ordered: {why}")
        finally:
            if self._lasting:
                self._quiet()

    def _strike(self, plan: Plan, strike: Occurrence) -> FaultRow:
        fault = strike.fault
        now_ns = perf_counter_ns()
        struck = self._order_target(strike) if fault.means is Means.TARGET else self._order_proxy(strike)
        at_ns = now_ns - plan.started_ns
        until_ns = at_ns + fault.lasting_ns if fault.lasting_ns else None
        return FaultRow(strike.name, fault.kind, at_ns, until_ns, fault.share, fault.text, struck)

    def _order_target(self, strike: Occurrence) -> int:
        assert self._target is not None
        fault, seed = strike.fault, self._seed + strike.number
        if fault.kind == "kick":
            return self._target.order(kind="kick", ratio=fault.share, seed=seed).number
        if fault.kind == "freeze":
            self._target.order(kind="freeze", ms=fault.lasting_ns / MS)
            return 0
        what: dict[str, object] = {"kind": _TARGET_LASTING[fault.kind], "seed": seed}
        if fault.amount is not None:
            what |= {"ms": fault.amount / MS, "ratio": fault.share}
        self._lasting[strike.name] = what
        self._target.order(**what)
        if fault.kind != "refuse-upgrade":
            return 0
        # Who has a WebSocket would not notice that new ones are refused.
        cut = {"kind": "dropSockets", "transport": "websocket", "ratio": fault.share, "seed": seed}
        return self._target.order(**cut).number

    def _order_proxy(self, strike: Occurrence) -> int:
        assert self._proxy is not None
        fault = strike.fault
        what: dict[str, object] = {
            "kind": fault.kind,
            "seconds": fault.lasting_ns / SECOND,
        }
        if fault.kind != "restart":  # that strikes everybody
            what |= {"share": fault.share, "seed": self._seed + strike.number}
        if fault.kind == "delay":
            what["ms"] = (fault.amount or 0) / MS
        if fault.kind == "slow":
            what["bytesPerSecond"] = fault.amount
        return self._proxy.order(**what).number

    def _end(self, strike: Occurrence) -> None:
        """The server knows only an end of everything: what goes on is ordered again."""
        self._lasting.pop(strike.name, None)
        assert self._target is not None
        self._target.order(kind="none")
        for what in self._lasting.values():
            self._target.order(**what)

    def _quiet(self) -> None:
        """The run was cut short: the next one must not find what this one ordered."""
        self._lasting.clear()
        try:
            if self._target is not None:
                self._target.order(kind="none")
        except NoMeans:
            pass  # the server is gone, and its faults with it


def _proxy_at(control: str, locate: Callable[[str], Place]) -> Post:
    """Where a fault proxy takes orders. Raises NoMeans."""
    try:
        parts = urlsplit(control)
    except ValueError as error:
        raise NoMeans(f"{control}: not the URL of a fault proxy ({error})") from None
    if parts.scheme != "http" or not parts.netloc:
        raise NoMeans(f"{control}: not the URL of a fault proxy; write it like http://127.0.0.1:3001")
    return Post(locate(f"http://{parts.netloc}"), f"{parts.path.rstrip('/')}/fault")


_TARGET_LASTING = {"refuse-upgrade": "refuseUpgrade", "slow-accept": "acceptDelay"}
