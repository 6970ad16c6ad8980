"""Does a polling user's feed carry what a socket would have heard, once and in order?"""

from typing import Any

import pytest

pytestmark = pytest.mark.e2e
FEED = "/api/messages/feed"


@pytest.fixture
def ann(server: Any, name: str) -> str:
    token: str = server.token(f"ann-{name}")
    assert server.post("/api/rooms/join", {"room": f"conversation:{name}"}, token).status == 200
    return token


def test_the_first_read_gives_a_cursor_and_nothing_old(
    server: Any, connect: Any, ann: str, name: str
) -> None:
    bob = connect("bob")
    bob.join(name)
    bob.send(name)
    first = server.get(FEED, ann)
    assert first.status == 200
    assert set(first.body) == {"items", "cursor", "hasMore", "serverTime"}
    assert (first.body["items"], first.body["hasMore"]) == ([], False)
    bob.send(name)
    [item] = server.get(f"{FEED}?cursor={first.body['cursor']}", ann).body["items"]
    assert item["data"]["seq"] == 2
    assert server.get(FEED, ann).body["items"] == []


def test_items_are_the_socket_events_with_a_position(server: Any, connect: Any, ann: str, name: str) -> None:
    bob = connect("bob")
    bob.join(name)
    cursor = server.get(FEED, ann).body["cursor"]
    bob.send(name, meta={"n": 1})
    bob.send(name, meta={"n": 2})
    seen = bob.wait("message:new", 2)
    page = server.get(f"{FEED}?cursor={cursor}", ann).body
    assert page["items"] == [
        {"event": "message:new", "data": seen[0], "pos": 1},
        {"event": "message:new", "data": seen[1], "pos": 2},
    ]


def test_pages_go_on_where_the_last_one_ended(server: Any, connect: Any, ann: str, name: str) -> None:
    bob = connect("bob")
    bob.join(name)
    cursor = server.get(FEED, ann).body["cursor"]
    for _ in range(5):
        bob.send(name)
    seqs, sizes = [], []
    more = True
    while more:
        page = server.get(f"{FEED}?cursor={cursor}&limit=2", ann).body
        cursor, more = page["cursor"], page["hasMore"]
        seqs += [item["data"]["seq"] for item in page["items"]]
        sizes.append(len(page["items"]))
    assert (seqs, sizes) == ([1, 2, 3, 4, 5], [2, 2, 1])


def test_nothing_new_is_304_to_whoever_shows_the_etag(server: Any, connect: Any, ann: str, name: str) -> None:
    first = server.get(FEED, ann)
    path, tag = f"{FEED}?cursor={first.body['cursor']}", first.headers["ETag"]
    assert tag == f'W/"ann-{name}-m-0"'
    same = server.get(path, ann, If_None_Match=tag)
    assert (same.status, same.raw, same.headers["ETag"]) == (304, b"", tag)
    assert server.get(path, ann).status == 200
    bob = connect("bob")
    bob.join(name)
    bob.send(name)
    news = server.get(path, ann, If_None_Match=tag)
    assert (news.status, len(news.body["items"])) == (200, 1)
    assert news.headers["ETag"] == f'W/"ann-{name}-m-1"'


def test_a_cursor_that_was_never_given_out_is_invalid(server: Any, ann: str) -> None:
    cursor = server.get(FEED, ann).body["cursor"]
    ahead = cursor.rpartition(".")[0] + ".7"
    for wrong in ("", "7", "a.b.c", ahead, "x" * 100):
        reply = server.get(f"{FEED}?cursor={wrong}", ann)
        assert (reply.status, reply.code) == (400, "CURSOR_INVALID"), wrong


def test_a_cursor_of_another_life_has_expired_and_comes_with_a_new_one(
    server: Any, start: Any, ann: str
) -> None:
    cursor = server.get(FEED, ann).body["cursor"]
    restarted = start()
    reply = restarted.get(f"{FEED}?cursor={cursor}", restarted.token("ann"))
    assert (reply.status, reply.code) == (410, "CURSOR_EXPIRED")
    assert restarted.get(f"{FEED}?cursor={reply.body['cursor']}", restarted.token("ann")).status == 200


def test_a_sender_reads_their_own_message_but_not_their_own_typing_and_marks(
    server: Any, ann: str, name: str
) -> None:
    cursor = server.get(FEED, ann).body["cursor"]
    for path, body in (
        ("/api/typing", {"conversationId": name, "state": "start"}),
        ("/api/messages", {"conversationId": name, "body": "x", "clientMsgId": "c"}),
        ("/api/messages/read", {"conversationId": name, "upToSeq": 1}),
    ):
        assert server.post(path, body, ann).status in (200, 201, 204)
    items = server.get(f"{FEED}?cursor={cursor}", ann).body["items"]
    assert [item["event"] for item in items] == ["message:new"]


def test_members_who_left_get_nothing_more(server: Any, connect: Any, ann: str, name: str) -> None:
    bob = connect("bob")
    bob.join(name)
    cursor = server.get(FEED, ann).body["cursor"]
    server.post("/api/rooms/leave", {"room": f"conversation:{name}"}, ann)
    bob.send(name)
    assert server.get(f"{FEED}?cursor={cursor}", ann).body["items"] == []


def test_a_load_of_sockets_alone_writes_no_feed(server: Any, connect: Any, name: str) -> None:
    ann, bob = connect(f"ann of {name}"), connect(f"bob of {name}")  # users that no other test polled for
    ann.join(name)
    bob.join(name)
    emitted = server.stats()["emitted"].get("message:new", 0)
    ann.send(name)
    assert server.stats()["emitted"]["message:new"] == emitted + 2
    server.get(FEED, server.token(f"bob of {name}"))
    ann.send(name)
    assert server.stats()["emitted"]["message:new"] == emitted + 5


def test_limits_are_checked(server: Any, ann: str) -> None:
    for limit in ("0", "501", "many"):
        assert server.get(f"{FEED}?limit={limit}", ann).code == "PAYLOAD_INVALID"
