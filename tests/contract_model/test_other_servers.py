"""Can servers that speak differently be described: other acks, markers in text, credentials in CONNECT?"""

import pytest

from loadtest.contract import AckRule, Contract, Delivery, parse


def ack(minimal: str, rule: str) -> AckRule:
    found = parse(minimal.replace("[[deliveries]]", f"ack = {rule}\n[[deliveries]]")).send.ack
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rule", "args", "ok", "error"),
    [
        # any answer will do
        ("{}", [], True, None),
        ("{}", [{"error": "x"}], True, None),
        # the first argument says it
        ('{ok = "$[0]"}', [True], True, None),
        ('{ok = "$[0]"}', [False], False, None),
        ('{ok = "$[0]"}', [], False, None),
        # a word says it
        ('{ok = "$[0].status", ok_is = "ok"}', [{"status": "ok"}], True, None),
        ('{ok = "$[0].status", ok_is = "ok"}', [{"status": "error"}], False, None),
        ('{ok = "$[0]", ok_is = 0}', [0], True, None),
        ('{ok = "$[0]", ok_is = 0}', [1], False, None),
        # only a failure says anything
        ('{error = "$[0].error"}', [{"id": 1}], True, None),
        ('{error = "$[0].error"}', [], True, None),
        ('{error = "$[0].error"}', [{"error": "nope"}], False, "nope"),
        ('{error = "$[0].error"}', [{"error": {"code": 5}}], False, '{"code":5}'),
        # as Node callbacks do: (error, result)
        ('{error = "$[0]", seq = "$[1].seq"}', [None, {"seq": 4}], True, None),
        ('{error = "$[0]", seq = "$[1].seq"}', ["boom"], False, "boom"),
    ],
)
def test_what_an_ack_means(minimal: str, rule: str, args: list[object], ok: bool, error: str | None) -> None:
    found = ack(minimal, rule)
    assert (found.ok(args), found.error(args)) == (ok, error)


def test_numbers_are_whole_numbers(minimal: str) -> None:
    rule = ack(minimal, '{seq = "$[0]"}')
    assert [rule.seq([value]) for value in (7, 0, True, 7.0, "7", None)] == [7, 0, None, None, None, None]


def delivery(minimal: str, more: str = "") -> Delivery:
    return parse(minimal + more).deliveries[0]


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("run-1:user_2:33", "run-1:user_2:33"),
        ("alice said: run:u1:7 hello", "run:u1:7"),
        ("<b>run:a.b@c:7</b>", "run:a.b@c:7"),
        ("(run:u1:7)", "run:u1:7"),
        ("hello", None),
        ("a:b:c", None),
        ("", None),
    ],
)
def test_a_marker_in_free_text(minimal: str, text: str, marker: str | None) -> None:
    assert delivery(minimal).marker([text]) == marker
    assert delivery(minimal).marker([{"text": text}]) is None


def test_a_pattern_of_ones_own_passes_over_a_time_of_day(minimal: str) -> None:
    text = ["at 12:30:45 run:u1:7"]
    assert delivery(minimal).marker(text) == "12:30:45"
    assert delivery(minimal, "marker_pattern = 'run:[^:]+:[0-9]+'").marker(text) == "run:u1:7"


def test_credentials_in_connect_and_silence_afterwards(minimal: str) -> None:
    contract = parse(minimal + '[connect]\nauth = {token = "${token}", client = {device = "${device}"}}')
    assert contract.connect.auth({"token": "t", "device": "d"}) == {"token": "t", "client": {"device": "d"}}
    assert contract.authenticate is None


def test_an_event_instead_of_an_ack(minimal: str) -> None:
    rule = parse(minimal + '[authenticate]\nemit = "login"\nwait = "session"').authenticate
    assert rule is not None
    assert (rule.args({}), rule.ack, rule.wait) == ([], None, "session")


POLLED = """
[send.http]
method = "PUT"
path = "/chat/${user}/${marker}"
json = "${body}"

[headers]
library = [["Host", "${host}"]]
browser = [["Host", "${host}"], ["Cookie", "session=${token}"]]

[[feeds]]
name = "all"
path = "/chat"
interval_ms = 250
cursor = "after"
items = "$"
event = "chat message"
next = "$[0].id"
unchanged = []
"""


@pytest.fixture
def polled(minimal: str) -> Contract:
    return parse(minimal + POLLED)


def test_a_feed_that_is_a_bare_list_of_one_event(polled: Contract) -> None:
    (feed,) = polled.feeds
    assert feed.target({}, "7") == "/chat?after=7"
    assert feed.events([{"id": 8, "text": "x"}]) == [("chat message", [{"id": 8, "text": "x"}])]
    assert feed.next_cursor([{"id": 8}]) == "8"
    assert feed.outcome(304) == "failed"
    assert not feed.has_more([{"id": 8}])
    assert feed.fresh_cursor([{"id": 8}]) is None


def test_values_in_a_request_path_stay_values(polled: Contract) -> None:
    call = polled.send.http
    assert call is not None
    variables = {"user": "a/b", "marker": "run:a/b:1", "body": "text"}
    assert call.target(variables) == "/chat/a%2Fb/run%3Aa%2Fb%3A1"
    assert call.body(variables) == "text"
