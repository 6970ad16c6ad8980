"""What can become of a call, and which calls are open?

The table below is the whole life of a call. The book knows no clock and sends nothing: times are given and
never fall, and what follows from their passing is asked for with `due`.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Literal

from loadtest.targets.reference.attendance import Attendance
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.refusal import Refusal

State = Literal["ringing", "active", "declined", "missed", "ended"]
Input = Literal[
    "answer", "decline", "end_by_caller", "end_by_callee", "ring_timeout", "caller_gone", "callee_gone"
]

# Whatever is missing changes nothing; asked for by a party, it is refused.
TRANSITIONS: dict[tuple[State, Input], State] = {
    ("ringing", "answer"): "active",
    ("ringing", "decline"): "declined",
    ("ringing", "end_by_caller"): "ended",
    ("ringing", "end_by_callee"): "ended",
    ("ringing", "ring_timeout"): "missed",
    ("ringing", "caller_gone"): "ended",
    ("ringing", "callee_gone"): "ended",
    ("active", "end_by_caller"): "ended",
    ("active", "end_by_callee"): "ended",
    ("active", "caller_gone"): "ended",
    ("active", "callee_gone"): "ended",
}
OPEN: frozenset[State] = frozenset({"ringing", "active"})
FORGET_AFTER_NS = 300 * SECOND


@dataclass(frozen=True, slots=True)
class Device:
    """Who answered, and with what: `socket_id` is None where somebody polls."""

    user_id: str
    device_id: str
    socket_id: str | None

    def told(self) -> dict[str, Any]:
        """`{userId, deviceId, socketId?}`."""
        socket = {} if self.socket_id is None else {"socketId": self.socket_id}
        return {"userId": self.user_id, "deviceId": self.device_id, **socket}


@dataclass(slots=True, eq=False)
class Call:
    """`state` changes by the table only; times are nanoseconds."""

    id: str
    caller: str
    callee: str
    media: str
    client_id: str | None
    started_ns: int
    rings_until_ns: int
    state: State = "ringing"
    answered_by: Device | None = None
    answered_ns: int | None = None
    ended_ns: int | None = None

    @property
    def parties(self) -> tuple[str, str]:
        return self.caller, self.callee

    @property
    def duration_ms(self) -> int:
        """Milliseconds from the answer to the end; 0 for a call that nobody answered, or that goes on."""
        if self.answered_ns is None or self.ended_ns is None:
            return 0
        return (self.ended_ns - self.answered_ns) // MS


class Calls:
    """All open calls, at most one for each user, and for some minutes those that have ended.

    `prefix` must differ between two starts of the server. A party without a socket and without a poll for
    longer than `grace_ns` is gone.
    """

    def __init__(self, prefix: str, ring_ns: int, grace_ns: int) -> None:
        self._prefix = prefix
        self._ring_ns = ring_ns
        self._begun = 0
        self._calls: dict[str, Call] = {}
        self._of_party: dict[str, Call] = {}
        # All ring equally long, so the order of their beginnings is the order of their deadlines.
        self._ringing: OrderedDict[str, Call] = OrderedDict()
        self._over: deque[tuple[int, str]] = deque()
        self._parties = Attendance(grace_ns)
        self._outcomes: Counter[State] = Counter()

    # -- what a party does

    def begun_with(self, caller: str, client_id: str | None) -> Call | None:
        """The open call that `caller` began with that id already."""
        call = self._of_party.get(caller)
        mine = call is not None and call.caller == caller and call.client_id == client_id
        return call if mine and client_id is not None else None

    def initiate(self, caller: str, callee: str, media: str, client_id: str | None, now_ns: int) -> Call:
        """A new call rings. Raises Refusal USER_BUSY while either party is in another one.

        Both count as seen now; say `attached` or `heard` for each.
        """
        for user in (caller, callee):
            if user in self._of_party:
                raise Refusal("USER_BUSY", f"{user} is in another call")
        self._begun += 1
        call_id = f"{self._prefix}-{self._begun}"
        call = Call(call_id, caller, callee, media, client_id, now_ns, now_ns + self._ring_ns)
        self._calls[call_id] = self._ringing[call_id] = call
        for user in call.parties:
            self._of_party[user] = call
            self._parties.seen(user, by_socket=False, now_ns=now_ns)
        return call

    def of(self, call_id: str, user: str) -> Call:
        """The call, if `user` is a party. Raises Refusal CALL_NOT_FOUND, FORBIDDEN."""
        call = self._calls.get(call_id)
        if call is None:
            raise Refusal("CALL_NOT_FOUND", f"there is no call {call_id}")
        if user not in call.parties:
            raise Refusal("FORBIDDEN", f"{user} is no party of {call_id}")
        return call

    def answer(self, call: Call, device: Device, now_ns: int) -> None:
        """The first device of the callee wins. Raises Refusal FORBIDDEN, CALL_ALREADY_ANSWERED,
        CALL_NOT_RINGING."""
        self._for_callee(call, device.user_id)
        if call.state == "active" and call.answered_by is not None:
            raise Refusal(
                "CALL_ALREADY_ANSWERED",
                f"{call.id} was answered by {call.answered_by.device_id}",
                detail={"answeredBy": call.answered_by.told()},
            )
        self._ask(call, "answer", now_ns)
        call.answered_by, call.answered_ns = device, now_ns

    def decline(self, call: Call, user: str, now_ns: int) -> None:
        """One device of the callee declines for all. Raises Refusal FORBIDDEN, CALL_NOT_RINGING."""
        self._for_callee(call, user)
        self._ask(call, "decline", now_ns)

    def end(self, call: Call, user: str, now_ns: int) -> bool:
        """Either party hangs up; False if the call has ended before: both may hang up at once.

        Raises Refusal CALL_NOT_RINGING for a call that was declined or missed.
        """
        if call.state == "ended":
            return False
        self._ask(call, "end_by_caller" if user == call.caller else "end_by_callee", now_ns)
        return True

    # -- signs of life, and the passing of time

    def attached(self, user: str, now_ns: int) -> None:
        """`user` has a socket."""
        if user in self._of_party:
            self._parties.seen(user, by_socket=True, now_ns=now_ns)

    def heard(self, user: str, now_ns: int) -> None:
        """`user`, who has no socket, has asked for something."""
        if user in self._of_party:
            self._parties.seen(user, by_socket=False, now_ns=now_ns)

    def detached(self, user: str, now_ns: int) -> None:
        """The last socket of `user` is gone."""
        if user in self._of_party:
            self._parties.went(user, now_ns)

    def due(self, now_ns: int) -> list[Call]:
        """The calls that have become missed, or ended because a party is gone; to be called often."""
        changed: list[Call] = []
        while self._ringing:
            call = next(iter(self._ringing.values()))
            if call.rings_until_ns > now_ns:
                break
            self._apply(call, "ring_timeout", now_ns)
            changed.append(call)
        for user in self._parties.lose(now_ns):
            # The end of the call makes the other party forgotten, so nobody is lost twice.
            if (lost := self._of_party.get(user)) is not None:
                self._apply(lost, "caller_gone" if user == lost.caller else "callee_gone", now_ns)
                changed.append(lost)
        while self._over and now_ns - self._over[0][0] >= FORGET_AFTER_NS:
            del self._calls[self._over.popleft()[1]]
        return changed

    def tally(self) -> dict[str, int]:
        """How many calls ring and are active now, and how many have ended in which way since the start."""
        ringing = len(self._ringing)
        return {
            "ringing": ringing,
            "active": len(self._of_party) // 2 - ringing,
            **{state: self._outcomes[state] for state in ("declined", "missed", "ended")},
        }

    # -- the table

    def _for_callee(self, call: Call, user: str) -> None:
        if user != call.callee:
            raise Refusal("FORBIDDEN", f"{call.id} is for {call.callee} to answer or decline")

    def _ask(self, call: Call, given: Input, now_ns: int) -> None:
        if not self._apply(call, given, now_ns):
            raise Refusal("CALL_NOT_RINGING", f"{call.id} is {call.state}")

    def _apply(self, call: Call, given: Input, now_ns: int) -> bool:
        after = TRANSITIONS.get((call.state, given))
        if after is None:
            return False
        call.state = after
        self._ringing.pop(call.id, None)
        if after not in OPEN:
            call.ended_ns = now_ns
            self._outcomes[after] += 1
            self._over.append((now_ns, call.id))
            for user in call.parties:
                del self._of_party[user]
                self._parties.forget(user)
        return True
