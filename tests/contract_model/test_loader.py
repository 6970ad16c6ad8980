"""Does the author of a contract learn everything that is wrong with it, at once, in a clear line each?"""

import copy
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loadtest.contract
from loadtest.contract import Contract, ContractError, load, parse
from loadtest.contract.loader import DEFAULT, from_table

DEFAULT_TEXT = DEFAULT.read_text(encoding="utf-8")
DEFAULT_TABLE = tomllib.loads(DEFAULT_TEXT)


def faults_of(text: str) -> list[str]:
    with pytest.raises(ContractError) as caught:
        parse(text, "my.toml")
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def test_the_smallest_contract_needs_two_tables(minimal: str) -> None:
    contract = parse(minimal)
    assert contract.connect.path == "/socket.io"
    assert contract.send.args({"marker": "r:u:1", "body": "hello"}) == ["r:u:1 hello"]
    assert contract.send.ack is None
    assert (contract.join, contract.authenticate, contract.headers, contract.feeds) == (None, None, None, ())


ALL_WRONG = """
name = 3
format = 1
ignored = ["", 4]

[connect]
path = "socket.io"
auth = ["${token}"]
health = 3

[headers]
library = [["Host", "${host}"], ["a b", "x"], ["content-length", "1"], "x"]
browser = [["A", "é"]]

[sned]
emit = "x"

[join]
emit = "joinRoom"
args = [{ room = "${roo}", at = 1979-05-27, "a b" = ["${"] }]
ack = { ok = "[0].ok", eror = "$[0].e", capture = { Foo = "$[0]" } }

[join.http]
method = "FETCH"
path = "/api/${body}"
ok = [99, "a"]

[leave]
args = "x"
ack = { ok_is = 1 }

[calls]
ring_timeout_ms = 0

[calls.initiate]
emit = "ring"
args = ["${call}", "${callee}", "${marker}"]
ack = {}

[calls.answer]
emit = "answer"
args = ["${callee}", "${call}"]

[calls.decline]
args = []

[calls.ende]
emit = "end"

[calls.status]
emit = "status"
args = ["${marker}"]
ack = { capture = {} }
http = { method = "GET", path = "/calls/${call}", capture = 3 }

[chats]
close = 3
accept = { emit = "take", args = ["${chat}", "${topic}"] }

[chats.start]
emit = "help"
args = ["${topic}", "${chat}"]
ack = { capture = { chat = "chat" } }
http = { method = "POST", path = "/chats", capture = { chat = "$.id", status = "$.status" } }

[chats.message]
emit = "say"
args = ["${chat}", "${body}", "${seq}"]

[chats.online]
emit = "online"
args = ["${status}", "${capacity}", "${users}"]

[presence.get]
emit = "who"
args = ["${users}", "${user}", "${room}"]

[token]
lifetime_s = 0.5

[[deliveries]]
operation = "message.delivr"
on = ""
marker = "$[0].m"
marker_in = "$[0].x"
marker_pattern = "("
volatile = 1

[[deliveries]]
on = "x"
operation = "message.deliver"
room = "$."

[[deliveries]]
on = "y"
operation = "call.status"
marker = "$[0].m"
subject = 3
stats = "$[0].s"

[[deliveries]]
on = "y"
operation = "chat.assign"
marker = "$[0].m"
recipients = "all"

[[deliveries]]
on = "z"
operation = "chat.deliver"
sender = "$[0].s"
status = "$[0].s"
subject = "$[0].c"

[[deliveries]]
on = "v"
operation = "presence.deliver"
sender = "$[0].s"

[[deliveries]]
on = "w"
operation = "presence.delivr"
sender = "$[0].s"
status = "$[0].s"

[[feeds]]
name = "a"
path = "/x ${user}"
operations = ["call.ring", "calls"]
interval_ms = 0
cursor = "c"
items = "$.items"
event = "$x"
ok = []

[[feeds]]
name = "a"
path = "/x"
interval_ms = 1.5
cursor = "c"
event = "message:new"
data = 3

[documented]
reconnect_delays_ms = 5
poll_ms = { a = "b" }
"""

EVERY_FAULT = """
sned: unknown key, did you mean "send"?
name: expected text, found a whole number
connect.path: expected a path on the server such as "/socket.io", it starts with "/"
connect.auth: expected a table, found a list
connect.health: expected a table, found a whole number
headers.library[1]: 'a b' is not a header name
headers.library[2]: content-length depends on the request, the harness writes it; leave it out
headers.library[3]: expected a pair of name and value such as ["Accept", "*/*"]
headers.browser[0]: a header value is printable ASCII, not 'é'
headers.browser: no Host among the headers, HTTP/1.1 needs ["Host", "${host}"]
join.args[0].room: unknown variable ${roo}, known: chat, device, room, since_seq, status, token, user
join.args[0].at: JSON has no date or time, write it as text
join.args[0]."a b"[0]: not a variable in '${': write "${name}", or "$${" for a literal "${"
join.ack.eror: unknown key, did you mean "error"?
join.ack.ok: not a path, expected something like "$[0].ok"
join.ack.capture.Foo: not a variable's name, expected lower case such as call_id
join.http.method: expected one of "GET", "POST", "PUT", "PATCH", "DELETE", found 'FETCH'
join.http.path: unknown variable ${body}, known: chat, device, room, since_seq, status, token, user
join.http.ok[0]: expected 100 to 599
join.http.ok[1]: expected a whole number, found text
leave.args: expected a list of arguments, found text
leave.ack.ok_is: needs "ok", the path whose value it is compared with
leave.emit: missing, as is "http": an action needs at least one of them
leave.ack: nothing is emitted that could be acknowledged, "emit" is missing
calls.ende: unknown key, did you mean "end"?
calls.initiate.args[0]: unknown variable ${call}, known: callee, chat, device, marker, status, token, user
calls.answer.args[0]: unknown variable ${callee}, known: call, chat, device, marker, status, token, user
calls.decline.emit: missing, as is "http": an action needs at least one of them
calls.status.args[0]: unknown variable ${marker}, known: call, chat, device, status, token, user
calls.status.http.capture: expected a table, found a whole number
calls.ring_timeout_ms: expected 1 or more
calls.status.ack.capture.status: missing, users cannot go on without it
chats.start.ack.capture.chat: not a path, expected something like "$[0].ok"
chats.message.args[2]: unknown variable ${seq}, known: body, chat, device, marker, status, token, user
chats.close: expected a table, found a whole number
chats.online.args[2]: unknown variable ${users}, known: capacity, chat, device, marker, status, token, user
chats.accept.args[1]: unknown variable ${topic}, known: chat, device, marker, status, token, user
chats.start.ack.capture.status: missing, users cannot go on without it
presence.get.args[2]: unknown variable ${room}, known: chat, device, status, token, user, users
token.lifetime_s: expected a whole number, found a fraction
deliveries[0].operation: expected one of "message.deliver", "receipt.deliver", "typing.deliver", "presence.deliver", "call.ring", "call.answer", "call.decline", "call.status", "chat.assign", "chat.deliver", "chat.status", found 'message.delivr'
deliveries[0].on: expected text that is not empty
deliveries[0].marker_pattern: not a regular expression: missing ), unterminated subpattern at position 0
deliveries[0].volatile: expected true or false, found a whole number
deliveries[0].marker_in: "marker" says where the marker is already, keep one of them
deliveries[1].room: not a path, expected something like "$[0].ok"
deliveries[1].marker: missing, as are "marker_in" and "id": nothing says which message this is
deliveries[2].stats: unknown key, did you mean "status"?
deliveries[2].subject: not a path, expected something like "$[0].ok", found a whole number
deliveries[3].recipients: expected one of "room", "others", "user", "both", found 'all'
deliveries[3].subject: missing, chat.assign means nothing without it
deliveries[3].sender: missing, chat.assign means nothing without it
deliveries[3].operator: missing, chat.assign means nothing without it
deliveries[4].marker: missing, as are "marker_in" and "id": nothing says which message this is
deliveries[5].status: missing, presence.deliver means nothing without it
deliveries[6].operation: expected one of "message.deliver", "receipt.deliver", "typing.deliver", "presence.deliver", "call.ring", "call.answer", "call.decline", "call.status", "chat.assign", "chat.deliver", "chat.status", found 'presence.delivr'
feeds[0].path: a path on the server is printable ASCII without spaces and #: percent-encode them
feeds[0].operations[1]: expected one of "message.deliver", "receipt.deliver", "typing.deliver", "presence.deliver", "call.ring", "call.answer", "call.decline", "call.status", "chat.assign", "chat.deliver", "chat.status", found 'calls'
feeds[0].interval_ms: expected 1 or more
feeds[0].event: not a path, expected something like "$[0].ok"
feeds[0].ok: expected at least one entry
feeds[1].interval_ms: expected a whole number, found a fraction
feeds[1].items: missing
feeds[1].data: not a path, expected something like "$[0].ok", found a whole number
ignored[0]: expected text that is not empty
ignored[1]: expected text, found a whole number
documented.reconnect_delays_ms: expected a list, found a whole number
documented.poll_ms.a: expected a whole number, found text
feeds[1].name: 'a' is taken by feeds[0]
deliveries[3].on: 'y' is taken by deliveries[2]
"""  # noqa: E501


def test_every_fault_at_once() -> None:
    assert faults_of(ALL_WRONG) == ["my.toml: " + line for line in EVERY_FAULT.strip().splitlines()]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("[join]\nemit = 'j'\nack = {oks = '$[0]'}", 'join.ack.oks: unknown key, did you mean "ok"?'),
        ("colour = 1", "colour: unknown key, known here: name, format, connect, "),
        ('"a.b" = 1', '"a.b": unknown key, known here: '),
        ("[typing]", "typing.start: missing"),
        ("typing = []", "typing: expected a table, found a list"),
        ("feeds = {}", "feeds: expected a list, found a table"),
        ("feeds = [1]", "feeds[0]: expected a table, found a whole number"),
        ("[[errors]]\non = 'e'\n[[errors]]\non = 'e'", "errors[1].on: 'e' is taken by errors[0]"),
        ("[[errors]]\non = 'chat message'", "errors[0].on: 'chat message' is taken by deliveries[0]"),
        ("ignored = ['a', 'chat message']", "ignored[1]: 'chat message' is taken by deliveries[0]"),
        ("ignored = ['a', 'b', 'a']", "ignored[2]: 'a' is taken by ignored[0]"),
        ("ignored = 'a'", "ignored: expected a list, found text"),
        (
            "[[deliveries]]\non = 'chat message'\noperation = 'typing.deliver'\nmarker = '$[0].m'",
            "deliveries[1].on: 'chat message' is taken by deliveries[0]",
        ),
        ("[presence]", "presence.get: missing"),
        ("[tokn]\nlifetime_s = 5", 'tokn: unknown key, did you mean "token"?'),
        ("[token]\nlifetime_s = 0", "token.lifetime_s: expected 1 or more"),
        ("[token]\nsecret = 's'", "token.secret: unknown key, known here: lifetime_s"),
        (
            "[authenticate]\nemit = 'a'\nargs = ['${body}']",
            "authenticate.args[0]: unknown variable ${body}, known: ",
        ),
        ("[authenticate]\nargs = []", 'authenticate.emit: missing, as is "wait": there is nothing to say'),
        ("[authenticate]\nwait = 'w'\nack = {}", "authenticate.ack: nothing is emitted that could be"),
        (
            "[authenticate]\nemit = 'a'\ncapture = {a = '$[0]'}",
            'authenticate.capture: needs "wait", the event it reads; what an ack brings is captured in "ack"',
        ),
        ("[[login]]\nmethod = 'GET'", "login[0].path: missing"),
        ("login = {}", "login: expected a list, found a table"),
        (
            "[[login]]\nmethod = 'POST'\npath = '/l'\njson = 1\nform = {}",
            'login[0].form: "json" says what the body is already, keep one of them',
        ),
        (
            "[[login]]\nmethod = 'POST'\npath = '/l'\nform = {a = 1}",
            "login[0].form.a: expected text, found a whole number",
        ),
        (
            "[[login]]\nmethod = 'GET'\npath = '/l'\ncapture_cookie = {Sid = 'sid'}",
            "login[0].capture_cookie.Sid: not a variable's name, expected lower case such as call_id",
        ),
        (
            "[[login]]\nmethod = 'GET'\npath = '/l'\ncapture_header = {a = ''}",
            "login[0].capture_header.a: expected text that is not empty",
        ),
        (
            "[[login]]\nmethod = 'GET'\npath = '/l?u=${marker}'",
            "login[0].path: unknown variable ${marker}, known: device, host, origin, room, token, user",
        ),
        ("connect = {headers = [['a b', 'x']]}", "connect.headers[0]: 'a b' is not a header name"),
        ("connect = {query = {a = 1}}", "connect.query.a: expected text, found a whole number"),
        (
            "connect = {namespace = 'chat'}",
            'connect.namespace: expected a path on the server such as "/chat", it starts with "/"',
        ),
        (
            "[join]\nemit = 'j'\nargs = [{ '$bytes' = 1 }]",
            'join.args[0]: "$bytes" stands alone in its table and holds text: { "$bytes" = "${body}" }',
        ),
        (
            "[[deliveries]]\non = 'x'\noperation = 'receipt.deliver'\nid = '$[0]'\n[read]\nemit = 'r'\nack = {}",
            'deliveries[1].id: needs "id" in read.ack too: how else does the sender learn the id?',
        ),
        (
            "[[deliveries]]\non = 'x'\noperation = 'call.answer'\nid = '$[0]'\nsubject = '$[0]'",
            "deliveries[1].id: the sender of call.answer learns no id, it needs a marker",
        ),
        (
            "[[deliveries]]\non = 'x'\noperation = 'typing.deliver'\nid = '$[0]'\nmarker = '$[1]'",
            "deliveries[1].id: the marker says which message this is already, keep one of them",
        ),
        (
            "[[deliveries]]\non = 'x'\noperation = 'message.deliver'\nmarker = '$[0]'\nrecipients = 'user'",
            'deliveries[1].recipients: "user" needs ${peer} in [send]: for whom is a message?',
        ),
        (
            "[hooks]\nstats = 'x'",
            'hooks.stats: expected a path on the server such as "/x", it starts with "/"',
        ),
        ("[connect]\nhealth = {path = '/', json = {a = inf}}", "connect.health.json.a: JSON has no infinity"),
        (
            "[connect]\nhealth = {path = '/', status = true}",
            "connect.health.status: expected a whole number, found tr",
        ),
    ],
)
def test_one_fault(minimal: str, more: str, fault: str) -> None:
    top, tables = ("", more) if more.startswith("[") else (more, "")
    (line,) = faults_of(f"{top}\n{minimal}\n{tables}")
    assert line.startswith(f"my.toml: {fault}")


@pytest.mark.parametrize(
    ("operation", "needed"),
    [
        ("message.deliver", []),
        ("receipt.deliver", []),
        ("typing.deliver", []),
        ("presence.deliver", ["sender", "status"]),
        ("call.ring", ["subject"]),
        ("call.answer", ["subject"]),
        ("call.decline", ["subject"]),
        ("call.status", ["subject", "status"]),
        ("chat.assign", ["subject", "sender", "operator"]),
        ("chat.deliver", ["subject", "sender"]),
        ("chat.status", ["subject", "status"]),
    ],
)
def test_what_a_delivery_must_tell(minimal: str, operation: str, needed: list[str]) -> None:
    table = f"{minimal}\n[[deliveries]]\non = 'x'\noperation = '{operation}'\n"
    lacking = [
        f"my.toml: deliveries[1].{key}: missing, {operation} means nothing without it" for key in needed
    ]
    if lacking:
        assert faults_of(f"{table}marker = '$[0].m'\n") == lacking
    told = table + "".join(f"{key} = '$[0].{key}'\n" for key in needed)
    assert len(parse(f"{told}marker = '$[0].m'").deliveries) == 2
    unmarked = (
        'my.toml: deliveries[1].marker: missing, as are "marker_in" and "id": '
        "nothing says which message this is"
    )
    # Nobody asks for coming and going, so nothing there could carry a marker.
    if operation == "presence.deliver":
        assert parse(told).deliveries[1].marker([{"m": "run:u1:7"}]) is None
    else:
        assert faults_of(told) == [unmarked]


def test_users_without_calls_and_chats_need_none_of_it(minimal: str) -> None:
    contract = parse(minimal)
    assert (contract.calls, contract.chats, contract.presence, contract.ignored) == (None, None, None, ())
    assert contract.token.lifetime_s == 86_400


def test_polling_users_need_headers_and_a_way_to_send(minimal: str) -> None:
    feed = 'name = "m"\npath = "/f"\ninterval_ms = 1\ncursor = "c"\nitems = "$"\nevent = "$.e"\n'
    assert faults_of(f"{minimal}\n[[feeds]]\n{feed}") == [
        "my.toml: headers: missing, [[feeds]] make polling users, and their requests need headers",
        "my.toml: send.http: missing, [[feeds]] make polling users, who send over HTTP",
    ]


def test_what_is_missing_altogether() -> None:
    assert faults_of("") == [f"my.toml: {key}: missing" for key in ("name", "format", "send", "deliveries")]
    assert faults_of("name = 'x'\nformat = 1\ndeliveries = []\n[send]\nemit = 'x'") == [
        "my.toml: deliveries: expected at least one entry"
    ]


def test_a_newer_format_is_the_only_fault_told() -> None:
    (line,) = faults_of("format = 2\nwhatever = 1")
    assert line == "my.toml: format: 2 is newer than 1, which this release reads: update realtime-loadtest"
    assert "my.toml: format: expected 1 or more" in faults_of("format = 0")
    assert "my.toml: format: expected a whole number, found text" in faults_of("format = '1'")


def test_a_captured_value_is_a_variable(minimal: str) -> None:
    capturing = (
        "[join]\nemit = 'j'\nack = {capture = {ticket = '$[0].t'}}\n[leave]\nemit = 'l'\nargs = ['${ticket}']"
    )
    contract = parse(f"{minimal}\n{capturing}")
    assert contract.join is not None
    assert contract.join.ack is not None
    assert contract.leave is not None
    variables = contract.join.ack.captured([{"t": 9}])
    assert variables == {"ticket": 9}
    assert contract.join.ack.captured([{"no": 9}]) == {}
    assert contract.leave.args(variables) == [9]


def test_a_payload_may_have_a_key_called_capture(minimal: str) -> None:
    (line,) = faults_of(f"{minimal}\n[join]\nemit = 'j'\nargs = [{{capture = {{ticket = '${{ticket}}'}}}}]")
    assert line.startswith("my.toml: join.args[0].capture.ticket: unknown variable ${ticket}, known: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = 1\nb = = 2\n", r"not TOML: .*\(at line 2, column 5\)"),
        (b"a = 1\na = 2\n", r"not TOML: Cannot overwrite a value"),
        (b"name = '\xff'\n", r"not UTF-8 at byte 8, save it as UTF-8"),
        (b"a = " + b"9" * 5000, "not TOML that can be read: "),
        (b"a = " + b"[" * 5000, "nested too deeply to be a contract"),
        (b"[connect.health.json" + b".a" * 5000 + b"]", "nested too deeply to be a contract"),
    ],
)
def test_not_a_contract_at_all(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    with pytest.raises(ContractError) as caught:
        load(file)
    (line,) = caught.value.faults
    assert re.fullmatch(re.escape(str(file)) + ": " + reason + ".*", line)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "no.toml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(ContractError) as caught:
            load(path)
        assert caught.value.faults[0].startswith(f"{path}: cannot be read: {reason}")
    with pytest.raises(ContractError, match="cannot be read"):
        load(Path("nul\0l"))


def test_load_reads_the_file_it_is_given(tmp_path: Path, minimal: str) -> None:
    for encoding, end in (("utf-8", "\n"), ("utf-8-sig", "\r\n")):
        (tmp_path / "my.toml").write_text(minimal, encoding=encoding, newline=end)
        assert load(tmp_path / "my.toml").name == "minimal"


SNIPPETS = st.sampled_from(
    ['"', "'''", "[", "]", "[[", "{", "}", "=", "\n", "${", "$${", "$[0]", ".", ",", "#", "1", "\\u",
     "\x00", "é", "1979-05-27", "nan", "true", "[send]\n", "[a.b]\n", "x = 1\n"]
)  # fmt: skip


EDITS = st.tuples(st.integers(0, len(DEFAULT_TEXT)), st.integers(0, 30), SNIPPETS | st.text(max_size=5))


@given(st.lists(EDITS, max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_damaged_text_raises_anything_else(edits: list[tuple[int, int, str]]) -> None:
    text = DEFAULT_TEXT
    for start, length, put in edits:
        text = text[:start] + put + text[start + length :]
    assert all(line.startswith("contract: ") for line in _faults(lambda: parse(text)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | SNIPPETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | SNIPPETS, inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_odd_value_anywhere_raises_anything_else(data: st.DataObject) -> None:
    raw = copy.deepcopy(DEFAULT_TABLE)
    inner: object = raw
    while isinstance(inner, (dict, list)) and inner:
        key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else range(len(inner))))
        if data.draw(st.booleans()) or not isinstance(inner[key], (dict, list)):
            inner[key] = data.draw(VALUES)
            break
        inner = inner[key]
    faults = _faults(lambda: from_table(raw))
    assert not faults or repr(raw) != repr(
        DEFAULT_TABLE
    )  # repr: 1, 1.0 and true are equal, but not the same TOML
    assert NOBODY_KNOWS not in faults


NOBODY_KNOWS = "contract: a ContractError that names no fault"


def _faults(build: Callable[[], Contract]) -> list[str]:
    """None for a contract, at least one for a ContractError; anything else that is raised fails the test."""
    try:
        build()
    except ContractError as error:
        return error.faults or [NOBODY_KNOWS]
    return []


def test_all_names_what_is_public() -> None:
    assert sorted(loadtest.contract.__all__) == loadtest.contract.__all__
    assert all(hasattr(loadtest.contract, name) for name in loadtest.contract.__all__)
