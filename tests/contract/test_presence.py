"""Who is told that somebody has come or gone, and when?"""

from __future__ import annotations

from typing import Any

from contract_people import Person, sign, until
from contract_sentences import says
from contract_servers import on


def status(asker: Person, user: str) -> tuple[str, int]:
    """Of one user."""
    (one,) = asker.ask("presence:get", userIds=[user])["presence"]
    assert set(one) == {"userId", "status", "devices"} and one["userId"] == user
    return one["status"], one["devices"]


@says(
    "`presence:get` | `{userIds}`, 100 at most | `{ok, presence: [{userId, status, devices}]}`, in the "
    "order of the question | changes nothing",
    "`devices` counts the device ids of the sockets, and one more for somebody who polls.",
    "`GET /api/presence` | `?userIds=a,b` | 200, as the acknowledgement of `presence:get`",
)
def test_who_is_here_and_with_how_many_devices(arrive: Any, mode: str, name: str) -> None:
    ann = arrive(mode=mode)
    for device in ("phone", "phone", "laptop"):
        arrive(f"b-{name}", device=device)
    arrive(f"a-{name}", mode="polling")
    asked = [f"{letter}-{name}" for letter in "cba"]
    answer = ann.ask("presence:get", userIds=asked)
    assert answer.fields == {"ok", "presence"} and answer.status in (None, 200)
    assert [tuple(one.values()) for one in answer["presence"]] == [
        (asked[0], "offline", 0),
        (asked[1], "online", 2),
        (asked[2], "online", 1),
    ]
    assert ann.ask("presence:get", userIds=[str(n) for n in range(100)])["ok"]
    assert ann.ask("presence:get", userIds=[str(n) for n in range(101)]).code == "PAYLOAD_INVALID"


@says(
    "`presence:update` | the conversations of that user, once for each socket, without the user's own | "
    "`{userId, status, devices, ts}`; `status` is `online` or `offline`",
    "No request leads to `presence:update`, so there is never a `meta`",
)
def test_the_conversations_of_a_user_hear_of_them_once(arrive: Any, mode: str, name: str) -> None:
    bob, carl = arrive(), arrive(mode="polling")
    token = sign(f"ann-{name}")
    for room in (name, f"{name}-2"):
        # Who only posts is a member, and not there.
        bob.http.ask("POST", "/api/rooms/join", {"room": f"conversation:{room}"}, token)
        bob.join(room)
        carl.join(room)
    ann = arrive(f"ann-{name}", mode=mode)
    for person in (bob, carl):
        (update,) = person.hear("presence:update")
        assert update["userId"] == ann.user
        assert set(update) == {"userId", "status", "devices", "ts"}
        assert (update["status"], update["devices"]) == ("online", 1)
    assert ann.events("presence:update") == []


@says(
    "A user is online from the first socket or poll on, and offline 5 s after the last socket and 10 s "
    "after the last poll, so that nobody goes and comes while a page reloads.",
)
@on("hurried")
def test_who_is_gone_for_a_while_is_offline(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(f"ann-{name}", mode=mode), arrive()
    for person in (ann, bob):
        person.join(name)
    if mode == "socket":
        second = arrive(f"ann-{name}")
        second.drop()  # one of two says nothing about the user
        ann.settle()
        last = bob.ask("echo", {}).body["serverTime"]
        ann.drop()
    else:
        last = bob.ask("echo", {}).body["serverTime"]
        ann.settle()
    until(lambda: [one for one in bob.events("presence:update") if one["status"] == "offline"], "an end")
    (update,) = [one for one in bob.events("presence:update") if one["status"] == "offline"]
    assert update["ts"] - last >= (5_000 if mode == "socket" else 10_000)
    assert (update["userId"], update["devices"]) == (ann.user, 0)
    assert status(bob, ann.user) == ("offline", 0)


@says("so that nobody goes and comes while a page reloads.")
def test_a_page_that_reloads_is_no_news(arrive: Any, name: str) -> None:
    ann, bob = arrive(f"ann-{name}"), arrive()
    for person in (ann, bob):
        person.join(name)
    ann.drop()
    arrive(f"ann-{name}")
    assert [one for one in bob.events("presence:update") if one["userId"] == ann.user] == []
    assert status(bob, ann.user) == ("online", 1)
