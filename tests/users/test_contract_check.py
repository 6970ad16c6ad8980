"""Is everything that a server may do otherwise expressible, and is each thing that does not fit named in one line?

Real servers in processes of their own; the users run here, as those of a run do.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.users.contract_check import Asked, Checked, check
from loadtest.users.contract_findings import Finding

APPS = Path(__file__).parents[1] / "e2e" / "apps"
Try = Callable[..., Checked]

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def styles() -> Iterator[str]:
    """The server with many manners."""
    child = subprocess.Popen([sys.executable, APPS / "styles.py"], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1]
    finally:
        child.terminate()
        child.wait(20)
        assert child.stdout is not None
        child.stdout.close()


@pytest.fixture
def tried(styles: str, tmp_path: Path) -> Try:
    """``tried(contract, old, new)``: what a check finds, with pieces of the file replaced."""

    def run(text: str, *changes: tuple[str, str], timeout_s: float = 1.0) -> Checked:
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file = tmp_path / "my.toml"
        file.write_text(text, encoding="utf-8")
        return check(Asked(str(file), styles, timeout_s=timeout_s))

    return run


MANNERS = {path.stem: path.read_text(encoding="utf-8") for path in (APPS / "contracts").iterdir()}
OBJECTS, DIRECT, BINARY = MANNERS["objects"], MANNERS["direct"], MANNERS["binary"]
POSTED, QUERY = MANNERS["posted"], MANNERS["query"]


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_can_be_said(tried: Try, manner: str) -> None:
    checked = tried(MANNERS[manner])
    assert checked.error is None
    assert [one for one in checked.findings if one.state == "unmatched"] == []
    sent = [one for one in checked.findings if one.place.startswith("deliveries[0]")]
    assert [one.state for one in sent] == ["matched"]


def unmatched(checked: Checked) -> Finding:
    """The first thing that does not fit."""
    assert checked.error is None
    wrong = [one for one in checked.findings if one.state == "unmatched"]
    assert wrong, checked.findings
    return wrong[0]


WRONG: dict[str, tuple[str, tuple[tuple[str, str], ...], str, str, str]] = {
    "refused by CONNECT": (
        OBJECTS,
        (('auth = { name = "${user}" }\n', ""),),
        "connect",
        "the server refused CONNECT: no name",
        "connect: auth",
    ),
    "refused by the ack": (
        OBJECTS,
        (('text = "${body}", ', ""),),
        "send.ack",
        '"send" was refused: EMPTY; the answer was [{"error":{"code":"EMPTY"}}]',
        "correct send.args",
    ),
    "refused by an event": (
        OBJECTS,
        (
            ('emit = "send"', 'emit = "shout"'),
            ('\nack = { error = "$[0].error.code", seq = "$[0].number" }', ""),
        ),
        "deliveries[0] message.deliver",
        'the server said "trouble" [{"why":"TOO_LOUD"}]',
        "correct send.args: the server refuses it",
    ),
    "refused joining": (
        OBJECTS,
        ((', ticket = "${ticket}"', ""),),
        "join.ack",
        '"enter" was refused: NO_TICKET',
        "correct join.args",
    ),
    "no ack": (
        OBJECTS,
        (('emit = "send"', 'emit = "nobody listens to this"'),),
        "send.ack",
        '"nobody listens to this" was not answered within 1 s',
        "send.ack: leave it out",
    ),
    "other fields in the ack": (
        OBJECTS,
        (('seq = "$[0].number" }', 'seq = "$[0].seq" }'),),
        "send.ack",
        'seq = "$[0].seq" finds nothing there',
        "send.ack: correct seq",
    ),
    "nothing to capture": (
        OBJECTS,
        (("$[0].ticket", "$[0].token"),),
        "authenticate",
        "nothing was there to capture for ticket",
        "authenticate: the paths in capture",
    ),
    "the marker elsewhere": (
        OBJECTS,
        (('marker = "$[0].id"', 'marker = "$[0].clientId"'),),
        "deliveries[0] message.deliver",
        '"sent" came to user 2 with [{"id":',
        'deliveries[0] message.deliver: marker = "$[0].id"',
    ),
    "another room than sent": (
        OBJECTS,
        (('room = "$[0].in"', 'room = "$[0].room"'),),
        "deliveries[0] message.deliver",
        'room = "$[0].room" finds nothing that fits in "sent" [{"id":',
        'deliveries[0] message.deliver: room = "$[0].in"',
    ),
    "another event": (
        OBJECTS,
        (('on = "sent"', 'on = "message"'),),
        "deliveries[0] message.deliver",
        'no "message" came to user 2, but "sent" did, with [{"id":',
        'deliveries[0] message.deliver: on = "sent", marker = "$[0].id"',
    ),
    "the sender does not hear itself": (
        OBJECTS,
        (('recipients = "others"', 'recipients = "room"'),),
        "deliveries[0] message.deliver",
        '"sent" did not come to the sender; it came to user 2 and user 3; the sender heard nothing',
        'deliveries[0] message.deliver: recipients = "others"',
    ),
    "the sender hears itself": (
        BINARY,
        (('marker_in = "$[0].part"', 'marker_in = "$[0].part"\nrecipients = "others"'),),
        "deliveries[0] message.deliver",
        '"blob" came to the sender too, though recipients = "others"',
        'deliveries[0] message.deliver: recipients = "room"',
    ),
    "rooms that are none": (
        BINARY,
        (('"/binary" }', '"/binary", query = { room = "${room}" } }'),),
        "deliveries[0] message.deliver",
        '"blob" came to a user in another room too',
        "name ${room} nowhere",
    ),
    "nobody hears it": (
        DIRECT,
        (('"${me}", "${peer}"', '"somebody", "${peer}"'),),
        "deliveries[0] message.deliver",
        '"dm" did not come to user 2; nobody heard it; user 2 heard nothing',
        "on must be the event by which the server delivers it",
    ),
    "another welcome": (
        DIRECT,
        (('wait = "welcome"', 'wait = "session"'),),
        "authenticate",
        'no session within 1 s; it said "welcome" [{"you":',
        'authenticate: wait = "welcome"',
    ),
    "a login that is refused": (
        POSTED,
        (('path = "/key"', 'path = "/keys"'),),
        "login",
        "login step 1, GET /keys: answered HTTP 404",
        "login: path",
    ),
    "a login without what it should give": (
        POSTED,
        (('"X-Key" }', '"X-Kee" }'),),
        "login",
        'answered HTTP 200 {"ok":true}, with no header X-Kee for ${key}',
        "login: path",
    ),
    "refused over HTTP": (
        POSTED,
        (('["X-Key", "${key}"]', '["X-Other", "${key}"]'),),
        "send.http",
        "the POST was refused: BAD_KEY",
        "correct send.http",
    ),
    "no Socket.IO on that path": (
        QUERY,
        (('namespace = "/query"', 'namespace = "/query"\npath = "/elsewhere"'),),
        "connect",
        "/elsewhere: no Socket.IO there",
        "connect: path",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named_in_one_line(tried: Try, case: str) -> None:
    text, changes, place, said, change = WRONG[case]
    finding = unmatched(tried(text, *changes))
    assert finding.place == place
    assert said in finding.said
    assert change in finding.change
    assert "\n" not in finding.said + finding.change


def test_events_that_nobody_maps_are_told(tried: Try) -> None:
    wanted = DIRECT.replace('[authenticate]\nwait = "welcome"\ncapture = { me = "$[0].you.id" }\n', "")
    checked = tried(wanted.replace('"${me}"', '"nobody"'))
    (told,) = [one for one in checked.findings if one.place == "ignored"]
    assert told.state == "unknown" and told.said.startswith('"welcome" [{"you":')


def test_what_cannot_be_tried_at_all(tried: Try, styles: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(BINARY, encoding="utf-8")
    closed = check(Asked(str(file), "http://127.0.0.1:9"))
    assert closed.error is not None and "no server there" in closed.error and closed.findings == []
    remote = check(Asked(str(file), "http://192.0.2.1:3000"))
    assert remote.error is not None and "--allow-remote" in remote.error
    nonsense = check(Asked(str(file), "nonsense"))
    assert nonsense.error == "nonsense: not a host; write it like --host http://127.0.0.1:3000"
    newer = tried(BINARY, ("format = 1", "format = 2"))
    assert newer.error is not None and newer.error.startswith(f"{file}: format: 2 is newer than 1")
    gone = check(Asked("no-such-example", styles))
    assert gone.error is not None and "broadcast" in gone.error


def test_a_secret_is_asked_for_only_where_it_signs_something(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        OBJECTS.replace('{ name = "${user}" }\n\n[auth', '{ name = "${token}" }\n\n[auth'), encoding="utf-8"
    )
    checked = check(Asked(str(file), "http://192.0.2.1:3000", allow_remote=True, timeout_s=0.2))
    assert checked.error is not None and "--token-secret" in checked.error
    file.write_text(OBJECTS, encoding="utf-8")
    checked = check(Asked(str(file), "http://192.0.2.1:3000", allow_remote=True, timeout_s=0.2))
    assert checked.error is not None and "--token-secret" not in checked.error
