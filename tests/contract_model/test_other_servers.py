"""Can servers that speak differently be described: other acks, markers in text, credentials in CONNECT?"""

from pathlib import Path
from urllib.parse import parse_qs

import pytest

from loadtest.contract import AckRule, Contract, ContractError, Delivery, load, parse
from loadtest.contract.loader import EXAMPLES, examples


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


LOGIN = """
[[login]]
method = "POST"
path = "/register"
json = { name = "${user}" }
ok = [201, 409]

[[login]]
method = "POST"
path = "/login?to=${room}"
form = { name = "${user}", password = "a b&c" }
headers = [["X-Client", "of ${device}"]]
capture = { id = "$.user.id" }
capture_cookie = { sid = "session" }
capture_header = { csrf = "X-CSRF" }

[connect]
namespace = "/room-${room}"
query = { room = "${room}", v = "a b" }
headers = [["Cookie", "session=${sid}"], ["Origin", "${origin}"]]
"""
WHO = {"user": "ann", "device": "d", "room": "a/b", "sid": "s1", "origin": "http://h"}


def test_steps_of_a_login(minimal: str) -> None:
    contract = parse(minimal + LOGIN)
    first, second = contract.login
    assert (first.ok(409), first.body(WHO), first.headers) == (True, {"name": "ann"}, ())
    assert second.target(WHO) == "/login?to=a%2Fb"
    assert parse_qs(second.filled(WHO).decode()) == {"name": ["ann"], "password": ["a b&c"]}
    assert second.header_lines(WHO) == "X-Client: of d\r\n"
    headers = {"set-cookie": "theme=dark; Path=/\nsession = s1 ; HttpOnly; Secure", "x-csrf": "c"}
    taken = second.taken({"user": {"id": 7}}, headers)
    assert taken == {"id": 7, "sid": "s1", "csrf": "c"}
    assert second.lacking(taken) == []
    assert second.lacking(second.taken({"user": 3}, {"set-cookie": "sessions=s1"})) == [
        "no $.user.id for ${id}",
        "no cookie session for ${sid}",
        "no header X-CSRF for ${csrf}",
    ]


def test_a_room_a_cookie_and_an_origin_on_the_way_in(minimal: str) -> None:
    connect = parse(minimal + LOGIN).connect
    assert connect.namespace(WHO) == "/room-a%2Fb"
    assert parse_qs(connect.query_string(WHO)) == {"room": ["a/b"], "v": ["a b"]}
    assert connect.header_lines(WHO) == [("Cookie", "session=s1"), ("Origin", "http://h")]
    plain = parse(minimal).connect
    assert (plain.namespace({}), plain.query_string({}), plain.header_lines({})) == ("/", "", [])


def test_what_is_known_of_users_before_they_are_in(minimal: str) -> None:
    contract = parse(minimal + LOGIN)
    assert contract.remembered == {"sid"}  # nothing names the others
    assert {"room", "origin", "sid"} <= contract.early and contract.has_rooms
    assert not parse(minimal).has_rooms and parse(minimal).remembered == frozenset()
    in_a_room = minimal.replace("${marker} ", "${room} ${marker} ")
    assert parse(in_a_room).has_rooms


def test_the_default_contract_knows_rooms_and_no_peers() -> None:
    contract = load(None)
    assert contract.has_rooms and contract.signs and not contract.directed
    # What is copied for every message must not grow by what nobody needs.
    assert contract.remembered == frozenset() and contract.early <= {"user", "device", "token"}


def test_whether_a_token_is_signed_here(minimal: str) -> None:
    auth = '[connect]\nauth = {token = "${token}"}\n'
    login = '[[login]]\nmethod = "GET"\npath = "/"\ncapture = {token = "$.token"}\n'
    assert parse(minimal + auth).signs
    assert not parse(minimal).signs and not parse(minimal + auth + login).signs


def test_a_welcome_that_brings_something(minimal: str) -> None:
    rule = parse(
        minimal + '[authenticate]\nwait = "hi"\ncapture = {seat = "$[0].s", no = "$[1]"}'
    ).authenticate
    assert rule is not None
    assert (rule.emit, rule.captured([{"s": 3}])) == (None, {"seat": 3})


def test_bytes_there_and_back(minimal: str) -> None:
    contract = parse(
        minimal.replace('["${marker} ${body}"]', '[{ p = { "$bytes" = "${marker} ${body}" } }, 1]')
    )
    args = contract.send.args({"marker": "run:u1:7", "body": "é"})
    assert args == [{"p": "run:u1:7 é".encode()}, 1]
    found = delivery(minimal.replace('"$[0]"', '"$[0].p"'))
    assert found.marker(args) == "run:u1:7"
    assert found.marker([{"p": bytearray(b"\xff run:u1:7")}]) == "run:u1:7"
    assert found.marker([{"p": 3}]) is None


def test_ids_of_the_server(minimal: str) -> None:
    text = minimal.replace("[[deliveries]]", 'ack = { error = "$[0]", id = "$[1].id" }\n[[deliveries]]')
    contract = parse(text.replace('marker_in = "$[0]"', 'id = "$[0]"'))
    assert contract.send.ack is not None
    assert contract.send.ack.server_id([None, {"id": 12}]) == "12" == contract.deliveries[0].server_id([12])
    assert contract.deliveries[0].marker(["run:u1:7"]) is None
    assert contract.deliveries[0].server_id([]) is None


def test_a_message_for_one_user(minimal: str) -> None:
    text = minimal.replace('["${marker} ${body}"]', '["${peer}", "${marker} ${body}"]')
    contract = parse(text + 'recipients = "user"\n')
    assert contract.directed and not contract.has_rooms
    with pytest.raises(ContractError, match='expected "user" or "both", because'):
        parse(text)


@pytest.mark.parametrize("name", examples())
def test_the_examples_load_by_their_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Path(name)).name == name
    assert load(EXAMPLES / f"{name}.toml").name == name
    Path(name).write_text("name = 'mine'", encoding="utf-8")
    with pytest.raises(ContractError, match=f"^{name}: format: missing"):
        load(Path(name))
