"""Who is here, by how many devices, and who has just come or gone?

A user is here while a socket of theirs is authenticated, and for a while after: `grace` after the last
socket, ten seconds after the last poll. Coming and going are therefore no news while a page reloads.
"""

import heapq

from loadtest.targets.reference.clock import SECOND

POLLING_TTL_NS = 10 * SECOND


class _Person:
    __slots__ = ("left_ns", "polled_ns", "sockets", "watched")

    def __init__(self) -> None:
        self.sockets: dict[str, str] = {}
        self.left_ns: int | None = None
        self.polled_ns: int | None = None
        # True while an entry of the heap will look after this person; one is enough.
        self.watched = False

    def polls(self, now_ns: int) -> bool:
        return self.polled_ns is not None and now_ns - self.polled_ns < POLLING_TTL_NS

    def gone_at_ns(self, grace_ns: int) -> int:
        """When a person without sockets is gone, if nothing more is heard of them."""
        left = self.left_ns + grace_ns if self.left_ns is not None else 0
        polled = self.polled_ns + POLLING_TTL_NS if self.polled_ns is not None else 0
        return max(left, polled)


class Presence:
    """Remembers nobody who is offline. Every operation is idempotent."""

    def __init__(self, grace_ns: int) -> None:
        self._grace_ns = grace_ns
        self._people: dict[str, _Person] = {}
        self._watch: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """How many users are online."""
        return len(self._people)

    def arrived(self, user: str, sid: str, device: str) -> bool:
        """A socket of `user` is authenticated; True if they were offline until now."""
        person = self._people.get(user)
        came = person is None
        if person is None:
            person = self._people[user] = _Person()
        person.sockets[sid] = device
        return came

    def left(self, user: str, sid: str, now_ns: int) -> None:
        """That socket is gone."""
        person = self._people.get(user)
        if person is None or person.sockets.pop(sid, None) is None or person.sockets:
            return
        person.left_ns = now_ns
        self._look_after(user, person)

    def polled(self, user: str, now_ns: int) -> bool:
        """`user` has read a feed; True if they were offline until now."""
        person = self._people.get(user)
        came = person is None
        if person is None:
            person = self._people[user] = _Person()
        person.polled_ns = now_ns
        if not person.sockets:
            self._look_after(user, person)
        return came

    def is_online(self, user: str) -> bool:
        """As everybody has been told: until `gone` has returned them."""
        return user in self._people

    def has_socket(self, user: str) -> bool:
        person = self._people.get(user)
        return person is not None and bool(person.sockets)

    def is_reachable(self, user: str, now_ns: int) -> bool:
        """Would an event reach them now, or with their next poll?"""
        person = self._people.get(user)
        return person is not None and (bool(person.sockets) or person.polls(now_ns))

    def devices(self, user: str, now_ns: int) -> int:
        """Distinct device ids of their sockets, and one more if they poll."""
        person = self._people.get(user)
        return 0 if person is None else len(set(person.sockets.values())) + person.polls(now_ns)

    def gone(self, now_ns: int) -> list[str]:
        """Whoever is offline from now on; to be called often, for nobody goes otherwise."""
        went: list[str] = []
        while self._watch and self._watch[0][0] <= now_ns:
            _, user = heapq.heappop(self._watch)
            person = self._people[user]
            person.watched = False
            if person.sockets:
                continue
            if person.gone_at_ns(self._grace_ns) <= now_ns:
                del self._people[user]
                went.append(user)
            else:
                self._look_after(user, person)
        return went

    def _look_after(self, user: str, person: _Person) -> None:
        # Later signs of life only move the end further away, so an entry is never too late.
        if not person.watched:
            person.watched = True
            heapq.heappush(self._watch, (person.gone_at_ns(self._grace_ns), user))
