"""Is a contract that cannot serve some users found out before a run, and which feeds do users poll?"""

import itertools
import tomllib
from typing import Any

import msgspec
import pytest

from loadtest.contract import Contract, Need
from loadtest.contract.loader import DEFAULT, from_table

NEEDS: tuple[Need, ...] = ("calls", "live chat", "presence")
DEFAULT_TABLE = tomllib.loads(DEFAULT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", NEEDS)
@pytest.mark.parametrize("polling", [False, True])
def test_the_default_has_everything(default: Contract, kind: Need, polling: bool) -> None:
    assert default.missing_for(kind, polling) is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("calls", "[calls], so users cannot call"),
        ("live chat", "[chats], so users cannot ask for help in a live chat"),
        ("presence", "[presence], so users cannot ask who is there"),
    ],
)
def test_a_table_that_is_missing(default: Contract, kind: Need, said: str) -> None:
    bare = msgspec.structs.replace(default, name="x", calls=None, chats=None, presence=None)
    assert bare.missing_for(kind, False) == bare.missing_for(kind, True) == f'contract "x": has no {said}'


HEARD = {
    "calls": ["call.ring", "call.answer", "call.decline", "call.status"],
    "live chat": ["chat.assign", "chat.deliver", "chat.status", "presence.deliver"],
    "presence": ["presence.deliver"],
}


@pytest.mark.parametrize("kind", NEEDS)
def test_what_nobody_would_hear_of(default: Contract, kind: Need) -> None:
    """Users owe each other these: without an event all of them would count as lost."""
    for operation in {one.operation for one in default.deliveries}:
        rest = tuple(one for one in default.deliveries if one.operation != operation)
        missing = msgspec.structs.replace(default, deliveries=rest).missing_for(kind, False)
        assert (missing is not None) == (operation in HEARD[kind])
        assert missing is None or f"has no [[deliveries]] of {operation}, so users cannot" in missing


@pytest.mark.parametrize("kind", NEEDS)
def test_what_no_feed_brings(default: Contract, kind: Need) -> None:
    for operation in HEARD[kind]:
        feeds = tuple(
            msgspec.structs.replace(feed, operations=tuple(set(feed.operations) - {operation}))
            for feed in default.feeds
        )
        lacking = msgspec.structs.replace(default, feeds=feeds)
        assert lacking.missing_for(kind, False) is None
        missing = lacking.missing_for(kind, True)
        assert missing is not None
        assert f"has no [[feeds]] with {operation}, so users without a socket cannot" in missing
        # A feed that does not say what it carries may carry it.
        silent = msgspec.structs.replace(default.feeds[0], name="all", operations=())
        assert msgspec.structs.replace(lacking, feeds=(*feeds, silent)).missing_for(kind, True) is None


@pytest.mark.parametrize(
    ("kind", "table"), [("calls", "calls"), ("live chat", "chats"), ("presence", "presence")]
)
def test_an_action_that_needs_a_socket(default: Contract, kind: Need, table: str) -> None:
    actions = getattr(default, table)
    names = [name for name in actions.__struct_fields__ if hasattr(getattr(actions, name), "http")]
    assert names
    for name in names:
        without = msgspec.structs.replace(getattr(actions, name), http=None)
        lacking: Any = {table: msgspec.structs.replace(actions, **{name: without})}
        contract = msgspec.structs.replace(default, **lacking)
        assert contract.missing_for(kind, False) is None
        said = f'contract "default": has no {table}.{name}.http, so users without a socket cannot'
        assert str(contract.missing_for(kind, True)).startswith(said)


def test_optional_actions_may_be_missing(default: Contract) -> None:
    assert default.calls is not None and default.chats is not None
    contract = msgspec.structs.replace(
        default,
        calls=msgspec.structs.replace(default.calls, status=None),
        chats=msgspec.structs.replace(default.chats, accept=None),
    )
    assert contract.missing_for("calls", True) is None
    assert contract.missing_for("live chat", True) is None


def polled(contract: Contract, *operations: str) -> list[str]:
    return [feed.name for feed in contract.feeds_for(operations)]


TALK = ("message.deliver", "receipt.deliver", "typing.deliver", "presence.deliver")
CALLS = ("call.ring", "call.answer", "call.decline", "call.status")
CHATS = ("chat.assign", "chat.deliver", "chat.status", "presence.deliver")


def test_users_poll_what_they_listen_for(default: Contract) -> None:
    assert polled(default) == []
    assert polled(default, *TALK) == ["messages"]
    assert polled(default, *CALLS) == ["calls"]
    assert polled(default, *CHATS) == ["live_chat"]
    assert polled(default, *CALLS, *CHATS) == ["calls", "live_chat"]
    assert polled(default, *CHATS, *TALK, *CALLS) == ["messages", "calls", "live_chat"]
    # Who wants nothing else must ask everywhere.
    assert polled(default, "presence.deliver") == ["messages", "live_chat"]
    assert polled(default, *CALLS, "presence.deliver") == ["messages", "calls", "live_chat"]


def test_the_order_of_the_question_does_not_matter(default: Contract) -> None:
    for wanted in itertools.permutations(("presence.deliver", "chat.status", "call.ring")):
        assert polled(default, *wanted) == ["calls", "live_chat"]


def test_a_feed_that_does_not_say_is_polled_by_everybody() -> None:
    feeds = [dict(feed) for feed in DEFAULT_TABLE["feeds"]]
    del feeds[1]["operations"]
    contract = from_table({**DEFAULT_TABLE, "feeds": feeds})
    assert contract.feeds[1].carries("call.ring") and contract.feeds[1].carries("chat.deliver")
    assert not contract.feeds[0].carries("call.ring")
    assert polled(contract) == ["calls"]
    assert polled(contract, *TALK) == ["messages", "calls"]
    assert polled(contract, "call.ring") == ["calls"]
