"""Is docs/contract.md true: does every example load, and is every key, event and route in it?"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from loadtest.contract import Contract, ContractError, parse
from loadtest.contract.delivery import NEEDED
from loadtest.contract.header import Header
from loadtest.contract.loader import DEFAULT, from_table
from loadtest.contract.table import ALWAYS, Given, Operation, Table

PAGE = Path(__file__).parents[2].joinpath("docs", "contract.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
DEFAULT_TABLE = tomllib.loads(DEFAULT.read_text(encoding="utf-8"))


def types_in(wanted: Any) -> Iterator[Any]:
    """A type and everything it is made of."""
    yield wanted
    for inner in get_args(wanted):
        yield from types_in(inner)


def tables(cls: type[Table] = Contract) -> Iterator[type[Table]]:
    yield cls
    for field in msgspec.structs.fields(cls):
        for inner in types_in(field.type):
            if isinstance(inner, type) and issubclass(inner, Table) and inner is not Header:
                yield from tables(inner)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_every_example_loads(example: str) -> None:
    """A fragment replaces the tables of the default contract that it names; a whole file stands alone."""
    table = tomllib.loads(example)
    whole = table if "format" in table else {**DEFAULT_TABLE, **table}
    assert from_table(whole).format == 1


def test_there_is_a_whole_file_and_an_example_of_every_table() -> None:
    shown = [tomllib.loads(example) for example in EXAMPLES]
    assert any("format" in table for table in shown)
    sections = {field.encode_name for field in msgspec.structs.fields(Contract)}
    assert sections - {key for table in shown for key in table} == {"read", "typing"}  # as the other actions


def test_every_key_is_explained() -> None:
    keys = {field.encode_name for table in tables() for field in msgspec.structs.fields(table)}
    assert {"missed", "expired_cursor", "window_ms", "fault_control", "ok_is"} <= keys
    explained = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`\n]+`", PAGE))))
    assert keys - explained == set()


def test_every_variable_is_explained() -> None:
    given = {
        name
        for cls in tables()
        for field in msgspec.structs.fields(cls)
        for note in types_in(field.type)
        if isinstance(note, Given)
        for name in note.names
    }
    assert {"room", "since_seq", "host", "callee", "chat", "capacity", "users"} <= given
    section = PAGE.split("### Templates")[1].split("### Paths")[0]
    assert {name for name in given | ALWAYS if f"`{name}`" not in section} == set()


def test_every_event_and_route_of_the_default_is_there() -> None:
    def strings(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("emit", "on", "path", "stats", "fault") and isinstance(inner, str):
                    yield inner.partition("?")[0]
                yield from strings(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from strings(inner)

    def there(name: str) -> bool:
        """What the contract calls ``${call}``, the page may call ``{callId}``."""
        pattern = re.escape(re.sub(r"\$\{\w+\}", "<>", name)).replace("<>", r"\{\w+\}")
        return re.search(rf"`([A-Z]+ )?{pattern}`", PAGE) is not None

    named = set(strings(DEFAULT_TABLE)) | set(DEFAULT_TABLE["ignored"])
    assert {"message:send", "/api/rooms/join", "/api/messages/feed", "/__fault"} <= named
    assert {"call:status", "/api/calls/${call}/answer", "/api/live-chat/feed", "liveChat:presence"} <= named
    assert {name for name in named if not there(name)} == set()


def test_every_operation_is_explained_with_what_it_needs() -> None:
    section = PAGE.split("### `[[deliveries]]`")[1].split("### `[[feeds]]`")[0]
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \|[^|\n]*\|([^|\n]*)\|$", section, re.MULTILINE)
    explained = {operation: tuple(re.findall(r"`(\w+)`", needs)) for operation, needs in rows}
    assert list(explained) == list(get_args(Operation))
    assert {operation: needs for operation, needs in explained.items() if needs} == NEEDED


def test_the_line_about_a_missing_table_is_the_one_that_is_said(default: Contract) -> None:
    said = msgspec.structs.replace(default, name="x", calls=None).missing_for("calls", False)
    assert said and f"`{said}`" in PAGE


def test_the_faults_shown_are_the_faults_told() -> None:
    shown = re.findall(r"^my\.toml: .*$", PAGE, re.MULTILINE)
    text = next(example for example in EXAMPLES if "format" in example)
    text = text.replace("\n[[", 'ack = { ok = "[0].ok" }\n\n[jion]\nemit = "enter"\n\n[[')
    with pytest.raises(ContractError) as caught:
        parse(text, "my.toml")
    assert caught.value.faults == shown
