"""Is everybody online exactly while they should be, and told of exactly once?"""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.conversations import Conversations
from loadtest.targets.reference.presence import POLLING_TTL_NS, Presence
from loadtest.targets.reference.presence_watch import parse_presence
from loadtest.targets.reference.refusal import Refusal

GRACE_NS = 5 * SECOND


def test_offline_is_told_one_grace_after_the_last_socket() -> None:
    presence = Presence(GRACE_NS)
    assert presence.arrived("ann", "s1", "phone")
    assert not presence.arrived("ann", "s2", "desk")
    presence.left("ann", "s1", 0)
    assert presence.gone(100 * SECOND) == []
    presence.left("ann", "s2", 100 * SECOND)
    assert presence.gone(105 * SECOND - 1) == []
    assert presence.is_online("ann") and not presence.is_reachable("ann", 105 * SECOND - 1)
    assert presence.gone(105 * SECOND) == ["ann"]
    assert presence.gone(200 * SECOND) == []
    assert not presence.is_online("ann")
    assert presence.arrived("ann", "s3", "phone")


def test_a_reload_within_the_grace_is_no_news() -> None:
    presence = Presence(GRACE_NS)
    presence.arrived("ann", "s1", "phone")
    presence.left("ann", "s1", 0)
    assert not presence.arrived("ann", "s2", "phone")
    assert presence.gone(100 * SECOND) == []


def test_a_poll_holds_for_ten_seconds_and_counts_as_a_device() -> None:
    presence = Presence(GRACE_NS)
    assert presence.polled("ann", 0)
    assert not presence.polled("ann", SECOND)
    assert presence.devices("ann", 11 * SECOND - 1) == 1
    assert presence.gone(11 * SECOND - 1) == []
    assert presence.devices("ann", 11 * SECOND) == 0
    assert presence.gone(11 * SECOND) == ["ann"]


def test_devices_are_counted_by_their_names() -> None:
    presence = Presence(GRACE_NS)
    for sid, device in (("s1", "phone"), ("s2", "phone"), ("s3", "desk"), ("s3", "desk")):
        presence.arrived("ann", sid, device)
    assert presence.devices("ann", 0) == 2
    presence.polled("ann", 0)
    assert presence.devices("ann", 0) == 3
    presence.arrived("ann", "s3", "phone")
    assert presence.devices("ann", 0) == 2
    assert presence.devices("bob", 0) == 0


USERS = st.sampled_from(["ann", "bob"])


class Doorkeeper(RuleBasedStateMachine):
    """Sockets, polls and time in any order, beside a model that looks at everybody every time."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = Presence(GRACE_NS)
        self.now = 0
        self.sockets: dict[str, set[str]] = {"ann": set(), "bob": set()}
        self.until = {"ann": -1, "bob": -1}
        self.polled_ns: dict[str, int] = {}
        self.online: set[str] = set()

    @rule(user=USERS, sid=st.sampled_from("xyz"))
    def arrive(self, user: str, sid: str) -> None:
        assert self.presence.arrived(user, user + sid, sid) is (user not in self.online)
        self.sockets[user].add(sid)
        self.online.add(user)

    @rule(user=USERS, sid=st.sampled_from("xyz"))
    def leave(self, user: str, sid: str) -> None:
        self.presence.left(user, user + sid, self.now)
        if self.sockets[user] == {sid}:
            self.until[user] = max(self.until[user], self.now + GRACE_NS)
        self.sockets[user].discard(sid)

    @rule(user=USERS)
    def poll(self, user: str) -> None:
        assert self.presence.polled(user, self.now) is (user not in self.online)
        self.until[user] = max(self.until[user], self.now + POLLING_TTL_NS)
        self.polled_ns[user] = self.now
        self.online.add(user)

    @rule(seconds=st.integers(0, 6), odd=st.integers(-1, 1))
    def wait(self, seconds: int, odd: int) -> None:
        self.now += max(0, seconds * SECOND + odd)
        gone = {user for user in self.online if not self.sockets[user] and self.until[user] <= self.now}
        told = self.presence.gone(self.now)
        assert set(told) == gone
        assert len(told) == len(gone)
        self.online -= gone

    @invariant()
    def agrees(self) -> None:
        assert len(self.presence) == len(self.online)
        for user in ("ann", "bob"):
            polls = user in self.polled_ns and self.now - self.polled_ns[user] < POLLING_TTL_NS
            assert self.presence.is_online(user) is (user in self.online)
            assert self.presence.has_socket(user) is bool(self.sockets[user])
            assert self.presence.is_reachable(user, self.now) is (bool(self.sockets[user]) or polls)
            assert self.presence.devices(user, self.now) == len(self.sockets[user]) + polls


TestDoorkeeper = Doorkeeper.TestCase
TestDoorkeeper.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


# -- whose coming and going concerns whom


class Membership(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.conversations = Conversations()
        self.pairs: set[tuple[str, str]] = set()

    @rule(conversation=st.sampled_from("xy"), user=USERS)
    def join(self, conversation: str, user: str) -> None:
        assert self.conversations.join(conversation, user).id == conversation
        self.pairs.add((conversation, user))

    @rule(conversation=st.sampled_from("xy"), user=USERS)
    def leave(self, conversation: str, user: str) -> None:
        self.conversations.leave(conversation, user)
        self.pairs.discard((conversation, user))

    @invariant()
    def agrees(self) -> None:
        for user in ("ann", "bob"):
            mine = [conversation.id for conversation in self.conversations.of_user(user)]
            assert sorted(mine) == sorted(c for c, u in self.pairs if u == user)
        for name in "xy":
            conversation = self.conversations.find(name)
            members = conversation.members if conversation is not None else set()
            assert members == {u for c, u in self.pairs if c == name}


TestMembership = Membership.TestCase
TestMembership.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_strangers_come_to_a_conversation_but_not_to_a_live_chat() -> None:
    conversations = Conversations()
    conversations.open_to("c", "ann")
    conversations.join("l", "ann").live_chat = True
    assert conversations.open_to("c", "eve").members == {"ann", "eve"}
    assert conversations.open_to("l", "ann").members == {"ann"}
    with pytest.raises(Refusal, match="FORBIDDEN"):
        conversations.open_to("l", "eve")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"userIds": "ann"},
        {"userIds": []},
        {"userIds": [""]},
        {"userIds": [7]},
        {"userIds": ["x" * 129]},
        {"userIds": ["x"] * 101},
    ],
)
def test_a_question_must_be_a_short_list_of_users(payload: Any) -> None:
    with pytest.raises(Refusal, match="PAYLOAD_INVALID"):
        parse_presence(payload)


def test_a_question_keeps_its_order_and_asks_once() -> None:
    assert parse_presence({"userIds": ["b", "a", "b"]}) == ["b", "a"]
