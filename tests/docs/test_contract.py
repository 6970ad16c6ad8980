"""Does docs/contract.md ask of a server what the reference server does?"""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

import loadtest.targets.reference as reference
from loadtest.targets.reference import (
    calls,
    chats,
    faults,
    feed,
    fields,
    operators,
    presence,
    presence_watch,
    typists,
)
from loadtest.targets.reference.application import Application
from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.refusal import HTTP_STATUS
from loadtest.targets.reference.settings import Settings

PAGE = "docs/contract.md"
EVENTS = ("### Messaging: client to server", "### Calls", "### Live chat", "### Presence")


@pytest.fixture(scope="module")
def application() -> Application:
    return Application(Settings())


@pytest.fixture
def asked(pages: dict[str, str]) -> str:
    """The half of the page that is about servers."""
    return pages[PAGE].split("## Describing another server")[0]


def names(cell: str) -> list[str]:
    """What is set as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_error_code_has_its_status(table: Any) -> None:
    told = {code: int(status) for codes, _, status in table(PAGE, "### Error codes") for code in names(codes)}
    assert told == HTTP_STATUS


def test_every_event_that_a_client_may_send(application: Application, table: Any) -> None:
    """Client to server is what has a column for the acknowledgement."""
    told = {
        name for heading in EVENTS for row in table(PAGE, heading) if len(row) == 4 for name in names(row[0])
    }
    assert told == {action.name for action in application.domains.actions()} | {"authenticate", "echo"}


def test_every_event_that_the_server_sends(asked: str) -> None:
    rows = re.findall(r"^\| ([^|\n]+) \| [^|\n]+ \| `\{[^|\n]*\|$", asked, re.MULTILINE)
    told = {name for cell in rows for name in names(cell)} | {"authenticated"}
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(reference.__file__).parent.glob("*.py")
    )
    sent = set(re.findall(r'Event\.of\(\s*"([\w:]+)"|to_session\(\s*\w+, "([\w:]+)"', source))
    sent |= {(name, "") for name in re.findall(r'_(?:tell|announce)\(\s*(?:\w+, )?"(\w+:\w+)"', source)}
    assert {one or other for one, other in sent} | {"authenticated"} == told


def test_every_route(application: Application, asked: str) -> None:
    told = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]*)`", asked))
    served = {
        (method, route.path)
        for route in application._http.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert told == served


def test_every_fault_and_what_may_be_said_of_one(table: Any, asked: str) -> None:
    lines = [line for line in asked.splitlines() if line.startswith("| `") and line.count("|") == 3]
    told = {name for line in lines for name in names(line.split("|")[1])}
    assert faults.AT_ONCE | faults.LASTING | {"none"} <= told
    (row,) = [row for row in table(PAGE, "### Test hooks") if "/__fault" in row[0]]
    said = set(re.findall(r"(\w+)\??[,}]", names(row[1])[0]))
    snake = {re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name) for name in said}
    assert snake == set(faults.Fault.__struct_fields__)


def test_what_the_domains_count_is_in_the_statistics(application: Application, table: Any) -> None:
    (row,) = [row for row in table(PAGE, "### Test hooks") if "/__stats" in row[0]]
    assert set(application.domains.stats()) <= set(re.findall(r"\w+", names(row[1])[0]))


def test_the_statuses_of_calls_and_chats(table: Any, asked: str) -> None:
    after = {(status, then) for (status, _), then in calls.TRANSITIONS.items()}
    rows = [
        row
        for row in table(PAGE, "### Calls")
        if len(row) == 3 and row[1].startswith("`") and "{" not in row[2]
    ]
    told = {(status, then.strip("`")) for before, then, _ in rows for status in names(before)}
    assert told == after
    chat = {one for (one, _), other in chats.TRANSITIONS.items()} | set(chats.TRANSITIONS.values())
    line = next(line for line in asked.splitlines() if line.startswith("| `liveChat:status`"))
    assert set(names(line.split("`status` is")[1])) == chat


def test_the_figures_in_the_sentences_are_the_server_s(asked: str) -> None:
    text, defaults = " ".join(asked.split()), Settings()
    assert f"nobody has for {defaults.ring_timeout_s:g} s" in text
    assert text.count(f"has asked for nothing, for more than {defaults.party_grace_s:g} s") == 1
    assert f"has asked for nothing for more than {defaults.party_grace_s:g} s, gives all chats back" in text
    assert f"has been gone for more than {defaults.visitor_grace_s:g} s has left" in text
    assert f"offline {defaults.presence_grace_s:g} s after the last socket" in text
    polled = presence.POLLING_TTL_NS // SECOND
    assert f"and {polled} s after the last poll" in text and f"has polled nothing for {polled} s" in text
    assert f"up to `capacity` ({operators.DEFAULT_CAPACITY} at first)" in text
    assert f"`{{userIds}}`, {presence_watch.ASKED_AT_MOST} at most" in text
    assert f"up to {fields.BODY_LIMIT} characters" in text and fields.META_LIMIT_BYTES == 1024
    assert f"at most {fields.CLIENT_ID_LIMIT} characters" in text
    minutes = "remembered for five minutes", "forgotten after five minutes"
    assert calls.FORGET_AFTER_NS == 300 * SECOND and all(line in text for line in minutes)
    assert f"After {typists.TYPING_TTL_NS // SECOND} s without another `typing:start`" in text
    assert f"Typing older than {feed.TYPING_FRESH_NS // SECOND} s is left out" in text
