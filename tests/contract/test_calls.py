"""Does a call ring, and end, as the page says, whoever is called and by whichever way?"""

from __future__ import annotations

from typing import Any

import pytest
from contract_people import Person, until
from contract_sentences import says
from contract_servers import on

META = {"run": "r1", "n": 1}
SDP = {"type": "offer", "sdp": "v=0"}
RINGING = {"ok", "callId", "status", "expiresAt", "devices"}


def ring(caller: Person, callee: Person, **more: object) -> str:
    """The id of a call that rings."""
    answer = caller.ask("call:initiate", calleeId=callee.user, media="audio", **more)
    assert answer["status"] == "ringing"
    return str(answer["callId"])


@pytest.fixture
def pair(arrive: Any, mode: str) -> tuple[Person, Person]:
    """Who calls, by the mode of the test, and who is called, by the other."""
    return arrive(mode=mode), arrive(mode="polling" if mode == "socket" else "socket")


@says(
    "`call:initiate` | `{calleeId, media, conversationId?, sdp?, clientCallId?, meta?}`; `media` is "
    '`audio` or `video` | `{ok, callId, status: "ringing", expiresAt, devices}` | every device of the '
    "callee rings; `devices` says how many.",
    "What goes to a user goes to every socket in `user:<id>`.",
    "`call:incoming` | the callee | `{callId, callerId, calleeId, media, conversationId?, sdp?, ts, "
    "expiresAt, meta?}`",
    "`POST /api/calls` | as `call:initiate` | 201, as its acknowledgement",
)
def test_every_device_of_the_callee_rings(arrive: Any, mode: str, name: str) -> None:
    ann = arrive(mode=mode)
    phone, laptop = arrive(name, device="phone"), arrive(name, device="laptop")
    polling = arrive(name, mode="polling")
    more = {"conversationId": "c1", "sdp": SDP, "meta": META}
    answer = ann.ask("call:initiate", calleeId=name, media="video", **more)
    assert (answer.fields, answer["status"], answer["devices"]) == (RINGING, "ringing", 3)
    assert answer.status in (None, 201)
    expected = {"callId": answer["callId"], "callerId": ann.user, "calleeId": name, "media": "video", **more}
    for device in (phone, laptop, polling):
        (incoming,) = device.hear("call:incoming")
        assert incoming.pop("expiresAt") - incoming.pop("ts") == 30_000
        assert incoming == expected
    assert ann.events("call:incoming") == []


@says("`{calleeId, media, conversationId?, sdp?, clientCallId?, meta?}`")
def test_what_is_optional_is_left_out_where_it_was(pair: Any) -> None:
    ring(*pair)
    (incoming,) = pair[1].hear("call:incoming")
    assert set(incoming) == {"callId", "callerId", "calleeId", "media", "ts", "expiresAt"}


@says(
    "The same `clientCallId` again, while that call is open, is the same call and answers with "
    "`duplicate: true`",
    "200 with `duplicate: true`; 409",
)
def test_the_same_client_call_id_is_the_same_call(pair: Any) -> None:
    ann, bob = pair
    first = ring(ann, bob, clientCallId="c1")
    again = ann.ask("call:initiate", calleeId=bob.user, media="audio", clientCallId="c1")
    assert (again["callId"], again["duplicate"], again.status in (None, 200)) == (first, True, True)
    assert len(bob.events("call:incoming")) == 1
    ann.ask("call:end", callId=first)
    assert ring(ann, bob, clientCallId="c1") != first


@says(
    '`call:answer` | `{callId, deviceId?, sdp?, meta?}` | `{ok, callId, status: "active"}` | the '
    "callee's first device wins; the next is refused with `CALL_ALREADY_ANSWERED` and `answeredBy`",
    "`call:answered` | both parties | `{callId, answeredBy: {userId, deviceId, socketId?}, sdp?, ts, "
    "meta?}`; the callee's other devices stop ringing",
    "`ringing` | `active` | a device of the callee answers",
    "`CALL_NOT_RINGING`, `CALL_ALREADY_ANSWERED` | too late to answer, decline or hang up; another "
    "device was faster | 409",
    "`POST /api/calls/{callId}/answer` | as `call:answer`; the body may be missing here and below | 200, "
    "as its acknowledgement; 403, 404, 409",
)
def test_the_first_device_wins(arrive: Any, mode: str, name: str) -> None:
    ann, winner, slow = arrive(), arrive(name, mode=mode), arrive(name, device="laptop")
    call = ring(ann, winner)
    answer = winner.ask("call:answer", callId=call, deviceId="phone", sdp=SDP, meta=META)
    assert answer.body == {"ok": True, "callId": call, "status": "active"}
    assert answer.status in (None, 200)
    by = {"userId": name, "deviceId": "phone", **({"socketId": winner.sid} if mode == "socket" else {})}
    for person in (ann, winner, slow):
        (answered,) = person.hear("call:answered")
        assert answered.pop("ts") > 1e12
        assert answered == {"callId": call, "answeredBy": by, "sdp": SDP, "meta": META}
    for late in (slow, arrive(name, mode="polling")):
        refused = late.ask("call:answer", callId=call)
        assert (refused.code, refused.error["answeredBy"]) == ("CALL_ALREADY_ANSWERED", by)
        assert refused.status in (None, 409)


@says(
    "`call:decline` | `{callId, deviceId?, reason?, meta?}`; `reason` is `rejected` (if left out) or "
    '`busy` | `{ok, callId, status: "declined"}` | one device of the callee declines for all',
    "`call:declined` | both parties | `{callId, declinedBy: {userId, deviceId}, reason, ts, meta?}`",
    "`ringing` | `declined` | a device of the callee declines",
    "`POST /api/calls/{callId}/decline` | as `call:decline` | 200, as its acknowledgement; 403, 404, 409",
)
def test_one_device_declines_for_all(arrive: Any, mode: str, name: str) -> None:
    ann, bob, other = arrive(), arrive(name, mode=mode), arrive(name)
    for reason in ("rejected", "busy"):
        call = ring(ann, bob)
        given = {} if reason == "rejected" else {"reason": reason, "deviceId": "phone", "meta": META}
        answer = bob.ask("call:decline", callId=call, **given)
        assert answer.body == {"ok": True, "callId": call, "status": "declined"}
        assert answer.status in (None, 200)
        for person in (ann, bob, other):
            declined = person.events("call:declined")[-1]
            assert declined.pop("ts") > 1e12
            by = declined.pop("declinedBy")
            assert (by["userId"], set(by)) == (name, {"userId", "deviceId"})
            meta = {"meta": META} if reason == "busy" else {}
            assert declined == {"callId": call, "reason": reason, **meta}
        assert other.ask("call:answer", callId=call).code == "CALL_NOT_RINGING"
    assert ann.ask("call:end", callId=call).code == "CALL_NOT_RINGING"


@says(
    '`call:end` | `{callId, deviceId?, meta?}` | `{ok, callId, status: "ended", durationMs}` | either '
    "party hangs up, ringing or not; who comes second gets the same answer with `duplicate: true`",
    "`call:ended` | both parties | `{callId, endedBy?, reason, durationMs, ts, meta?}`; `reason` is `hangup`",
    "`ringing`, `active` | `ended` | a party hangs up",
    "`POST /api/calls/{callId}/end` | as `call:end` | 200, as its acknowledgement; 403, 404, 409",
)
@pytest.mark.parametrize("state", ["ringing", "active"])
@pytest.mark.parametrize("party", ["caller", "callee"])
def test_either_party_hangs_up(pair: Any, state: str, party: str) -> None:
    ann, bob = pair
    call = ring(ann, bob)
    if state == "active":
        bob.ask("call:answer", callId=call)
    first, second = (ann, bob) if party == "caller" else (bob, ann)
    answer = first.ask("call:end", callId=call, deviceId="phone", meta=META)
    again = second.ask("call:end", callId=call)
    assert (answer.fields, answer["status"]) == ({"ok", "callId", "status", "durationMs"}, "ended")
    assert again.body == {**answer.body, "duplicate": True}
    assert {answer.status, again.status} <= {None, 200}
    assert (answer["durationMs"] == 0) is (state == "ringing") or answer["durationMs"] < 1000
    for person in (ann, bob):
        (ended,) = person.hear("call:ended")
        assert ended.pop("ts") > 1e12
        assert ended == {
            "callId": call,
            "endedBy": {"userId": first.user, "deviceId": "phone"},
            "reason": "hangup",
            "durationMs": answer["durationMs"],
            "meta": META,
        }


@says(
    "`call:status` | both parties, at every change, after the event of the change | `{callId, status, "
    "ts, meta?}`",
    "in every event of a call",
)
def test_every_change_is_told_as_a_status_after_its_event(pair: Any) -> None:
    ann, bob = pair
    call = ring(ann, bob, meta={"n": 1})
    bob.ask("call:answer", callId=call, meta={"n": 2})
    ann.ask("call:end", callId=call, meta={"n": 3})
    for person in pair:
        statuses = person.hear("call:status", 3)
        assert [(one["callId"], one["status"], one["meta"]) for one in statuses] == [
            (call, "ringing", {"n": 1}),
            (call, "active", {"n": 2}),
            (call, "ended", {"n": 3}),
        ]
        assert {frozenset(one) for one in statuses} == {frozenset({"callId", "status", "ts", "meta"})}
    changes = ["call:status", "call:answered", "call:status", "call:ended", "call:status"]
    assert ann.names("call:") == changes
    assert bob.names("call:") == ["call:incoming", *changes]


@says(
    "`call:status` | `{callId}` | `{ok, call: {callId, callerId, calleeId, media, status, answeredBy?, "
    "startedAt, endedAt?}}` | changes nothing: what a client asks that was away",
    "`GET /api/calls/{callId}` | | 200, as the acknowledgement of `call:status`; 403, 404",
    "and asks `call:status` for an open call",
)
def test_who_was_away_asks_how_the_call_stands(pair: Any) -> None:
    ann, bob = pair
    call = ring(ann, bob)
    expected = {
        "callId": call,
        "callerId": ann.user,
        "calleeId": bob.user,
        "media": "audio",
        "status": "ringing",
    }
    answer = ann.ask("call:status", callId=call)
    told = dict(answer["call"])
    assert type(told.pop("startedAt")) is int and told == expected
    assert answer.status in (None, 200)
    bob.ask("call:answer", callId=call, deviceId="phone")
    active = ann.ask("call:status", callId=call)["call"]
    assert (active["status"], active["answeredBy"]["deviceId"]) == ("active", "phone")
    bob.ask("call:end", callId=call)
    ended = bob.ask("call:status", callId=call)["call"]
    assert (ended["status"], ended["endedAt"] >= ended["startedAt"]) == ("ended", True)
    assert len(ann.events("call:status")) == 3


@says(
    "`ringing` | `missed` | nobody has for 30 s; `call:ended` says `timeout`, without `meta`",
    "what the server does by itself carries none.",
    "`reason` is `hangup`, `timeout` or `disconnect`",
)
@on("hurried")
def test_a_call_that_nobody_answers_is_missed(arrive: Any, mode: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    call = ring(ann, bob, meta=META)
    until(lambda: ann.ask("call:status", callId=call)["call"]["status"] == "missed", "a missed call")
    told = ann.ask("call:status", callId=call)["call"]
    assert told["endedAt"] - told["startedAt"] >= 30_000
    for person in (ann, bob):
        (ended,) = person.hear("call:ended")
        assert set(ended) == {"callId", "reason", "durationMs", "ts"}
        assert (ended["reason"], ended["durationMs"]) == ("timeout", 0)
        assert [set(one) for one in person.events("call:status")][-1] == {"callId", "status", "ts"}
    assert bob.ask("call:decline", callId=call).code == "CALL_NOT_RINGING"


@says(
    "`ringing`, `active` | `ended` | a party has had no socket, and has asked for nothing, for more than "
    "10 s; `call:ended` says `disconnect`, without `meta`",
)
@on("hurried")
@pytest.mark.parametrize("state", ["ringing", "active"])
def test_a_party_that_is_gone_for_ten_seconds_ends_the_call(arrive: Any, mode: str, state: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    call = ring(ann, bob)
    if state == "active":
        bob.ask("call:answer", callId=call, meta=META)
    last = bob.ask("echo", {}).body["serverTime"]
    if mode == "socket":
        ann.drop()
    (ended,) = bob.hear("call:ended")
    assert set(ended) == {"callId", "reason", "durationMs", "ts"}
    assert (ended["reason"], ended["ts"] - last > 8_000) == ("disconnect", True)


@says(
    "Any other request of a party is refused with `CALL_NOT_RINGING`, one of anybody else with "
    "`FORBIDDEN`, and so is a caller who answers or declines.",
)
def test_a_call_is_nobody_elses_business(arrive: Any, mode: str) -> None:
    ann, bob, eve = arrive(mode=mode), arrive(), arrive(mode=mode)
    call = ring(ann, bob)
    refused = [eve.ask(f"call:{what}", callId=call) for what in ("answer", "decline", "end", "status")]
    refused += [ann.ask(f"call:{what}", callId=call) for what in ("answer", "decline")]
    assert {answer.code for answer in refused} == {"FORBIDDEN"}
    assert {answer.status for answer in refused} <= {None, 403}
    bob.ask("call:answer", callId=call)
    assert bob.ask("call:decline", callId=call).code == "CALL_NOT_RINGING"


@says(
    "A user is in one call at a time, with all their devices.",
    "`call:initiate` is refused with `USER_BUSY` while either party is in another call",
    "`USER_OFFLINE`, `USER_BUSY` | the callee cannot be reached; either party is in another call | 409",
)
def test_who_is_in_a_call_is_busy(arrive: Any, mode: str) -> None:
    ann, bob, carl = arrive(), arrive(), arrive(mode=mode)
    call = ring(ann, bob)
    for callee in (ann, bob):
        busy = carl.ask("call:initiate", calleeId=callee.user, media="audio")
        assert (busy.code, busy.status in (None, 409)) == ("USER_BUSY", True)
    assert ann.ask("call:initiate", calleeId=carl.user, media="audio").code == "USER_BUSY"
    ann.ask("call:end", callId=call)
    ring(carl, bob)


@says("and with `USER_OFFLINE` if the callee has no socket and has polled nothing for 10 s.")
@on("hurried")
def test_who_is_away_cannot_be_called(arrive: Any, mode: str, name: str) -> None:
    ann = arrive(mode=mode)
    offline = ann.ask("call:initiate", calleeId=name, media="audio")
    assert (offline.code, offline.status in (None, 409)) == ("USER_OFFLINE", True)
    arrive(name, mode="polling")
    reached: list[str] = []

    def gone() -> bool:
        answer = ann.ask("call:initiate", calleeId=name, media="audio").body
        if answer["ok"]:
            reached.append(answer["callId"])
            ann.ask("call:end", callId=answer["callId"])
        return not answer["ok"] and answer["error"]["code"] == "USER_OFFLINE"

    until(gone, "the end of ten seconds")
    assert reached


@says(
    "A call is remembered for five minutes after its end, then `CALL_NOT_FOUND`.",
    "`CALL_NOT_FOUND` | no such call, or one that ended long ago | 404",
)
@on("racing")
def test_a_call_is_forgotten_after_five_minutes(arrive: Any, mode: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    call = ann.ask("call:initiate", calleeId=bob.user, media="audio")["callId"]
    bob.ask("call:end", callId=call)
    ended = ann.ask("call:status", callId=call)["call"]["endedAt"]
    until(lambda: not ann.ask("call:status", callId=call).body["ok"], "a forgotten call")
    answer = ann.ask("call:status", callId=call)
    assert (answer.code, answer.status in (None, 404)) == ("CALL_NOT_FOUND", True)
    assert bob.ask("echo", {}).body["serverTime"] - ended >= 300_000


@says("the body may be missing here and below")
def test_a_polling_user_answers_without_a_word(arrive: Any) -> None:
    ann, bob = arrive(), arrive(mode="polling")
    call = ring(ann, bob)
    for what, status in (("answer", "active"), ("end", "ended")):
        answer = bob.http.ask("POST", f"/api/calls/{call}/{what}", token=bob.token)
        assert (answer.status, answer["status"]) == (200, status)
